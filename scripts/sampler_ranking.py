"""Rank samplers and spacings on exact denoisers: what `focus sample --nfe` and the defaults are chosen by.

Two problems with known answers, sampled without a network, so that every error is the sampler's:
- a distribution of one pixel with a heavy right tail (two Gaussians), as the log density has: the error of the mean
  density E[10^(x/2)];
- a Gaussian field with the red spectrum of normalised maps: the errors of its pixel variance and of P(k), by scale.

Run `python scripts/sampler_ranking.py [NFE ...]`; it takes half a minute and prints a table in Markdown.
"""

import math
import sys
from collections.abc import Iterator

import torch
from torch import Tensor

from focus_engine.config.samplers import SAMPLERS, SPACINGS, SamplerSpec
from focus_engine.generative.diffusion import Diffusion
from focus_engine.generative.edm import Edm
from focus_engine.generative.flow import Flow
from focus_engine.generative.noise import build_schedule
from focus_engine.generative.process import Denoised, Process
from focus_engine.generative.samplers.spacing import spaced_times
from focus_engine.generative.samplers.table import FUNCTIONS
from focus_engine.generative.samplers.task import SamplerTask

BUDGETS = (5, 10, 20, 50)
PROCESSES: dict[str, Process] = {
    "diffusion": Diffusion(build_schedule("cosine", 1000, zero_terminal_snr=True), "v"),
    "flow": Flow(),
    "edm": Edm(),
}
SIZE = 32
DENSITY_PER_UNIT = math.log(10) / 2
"""A standard deviation of the log density is half a decade."""
TAIL = torch.tensor([[0.9, 0.1], [-0.25, 1.6], [0.35, 0.9]], dtype=torch.float64)
"""Weight, mean and variance of the two Gaussians, before standardisation."""


def standardised(tail: Tensor) -> Tensor:
    """Return the mixture with mean 0 and variance 1."""
    weight, mean, variance = tail
    centre = (weight * mean).sum()
    width = (weight * (variance + mean**2)).sum() - centre**2
    return torch.stack([weight, (mean - centre) / width.sqrt(), variance / width])


MIXTURE = standardised(TAIL)
K = torch.fft.fftfreq(SIZE, 1 / SIZE, dtype=torch.float64)
RADIUS = (K[:, None] ** 2 + K[None, :] ** 2).sqrt().flatten()
POWER = (1 + RADIUS**2) ** -1.5 / ((1 + RADIUS**2) ** -1.5).mean()
"""Variance of each mode, (1024,), of mean 1."""
NORMAL = torch.linspace(-6.5, 6.5, 4001, dtype=torch.float64)
"""Start of the pixel, on a grid that is weighted by the normal density."""
WEIGHT = torch.exp(-(NORMAL**2) / 2) / torch.exp(-(NORMAL**2) / 2).sum()


def denoise_tail(x: Tensor, a: float, s: float) -> Tensor:
    """Return E[pixel | x]."""
    weight, mean, variance = MIXTURE
    total = a**2 * variance + s**2
    away = x[:, None] - a * mean
    share = torch.softmax(weight.log() - total.log() / 2 - away**2 / total / 2, dim=1)
    result: Tensor = (share * (mean + a * variance / total * away)).sum(dim=1)
    return result


def rows(budgets: tuple[int, ...]) -> Iterator[tuple[str, str, str, list[str]]]:
    """Yield process, sampler, spacing and one cell for each budget."""
    for title, process in PROCESSES.items():
        for spec in SAMPLERS.values():
            if process.method in spec.methods and spec.deterministic and not spec.chooses_steps:
                for spacing in SPACINGS:
                    yield title, spec.name, spacing, [cell(spec, process, spacing, nfe) for nfe in budgets]


def cell(spec: SamplerSpec, process: Process, spacing: str, nfe: int) -> str:
    """Return the errors in per cent: mean density, pixel variance, P(k) at k 2-8 and 8-16."""
    steps = spec.steps_within(nfe, process.method)
    if steps < 1:
        return "-"

    def denoise(x: Tensor, t: float) -> Denoised:
        a, s = process.scales(t)
        data = denoised(x, a, s)
        return Denoised(data, (x - a * data) / s if s > 0 else torch.zeros_like(x))

    start = start_of(process)
    task = SamplerTask(process, denoise, lambda: torch.zeros_like(start), spaced_times(process, steps, spacing))
    *_, last = FUNCTIONS[spec.name](task, start)
    return errors_of(last.x)


def start_of(process: Process) -> Tensor:
    """Return the exact start: the width of each mode, then the pixel on its grid."""
    a, s = process.scales(process.times(1)[0])
    return torch.cat([(a**2 * POWER + s**2).sqrt(), math.hypot(a, s) * NORMAL])


def denoised(x: Tensor, a: float, s: float) -> Tensor:
    """Return the expected data of modes and pixel."""
    modes, pixels = x[: len(POWER)], x[len(POWER) :]
    return torch.cat([a * POWER / (a**2 * POWER + s**2) * modes, denoise_tail(pixels, a, s)])


def errors_of(x: Tensor) -> str:
    """Return the errors of samples `x` as one cell."""
    ratio, pixels = x[: len(POWER)] ** 2 / POWER, x[len(POWER) :]
    middle, small = (RADIUS > 2) & (RADIUS <= 8), (RADIUS > 8) & (RADIUS < 16)
    errors = (
        float((WEIGHT * torch.exp(DENSITY_PER_UNIT * pixels)).sum()) / mean_density() - 1,
        float((POWER * ratio).mean()) - 1,
        float(ratio[middle].mean()) - 1,
        float(ratio[small].mean()) - 1,
    )
    return " ".join(f"{100 * error:+.1f}" for error in errors)


def mean_density() -> float:
    """Return the exact E[10^(x/2)]."""
    weight, mean, variance = MIXTURE
    return float((weight * torch.exp(DENSITY_PER_UNIT * mean + DENSITY_PER_UNIT**2 * variance / 2)).sum())


def main() -> None:
    """Print the table."""
    budgets = tuple(int(word) for word in sys.argv[1:]) or BUDGETS
    print("Errors in per cent: mean density, pixel variance, P(k) at middle and small scales.\n")
    print(f"| | sampler | spacing | {' | '.join(f'NFE {nfe}' for nfe in budgets)} |")
    print(f"| --- | --- | --- |{' --- |' * len(budgets)}")
    for title, name, spacing, cells in rows(budgets):
        print(f"| {title} | {name} | {spacing} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
