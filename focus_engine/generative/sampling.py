r"""Drawing maps in batches, with a network, a generative process, a sampler and guidance.

All randomness of map i comes from a counter-based stream keyed by (seed, i), drawn on the CPU. The noise of a map
therefore does not depend on the number of maps, the batch size or the device. Maps are normalised; the caller
converts them to physical units and handles progress bars, files and autocast.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from focus_engine.config.methods import DEFAULT_METHOD, METHODS
from focus_engine.config.samplers import SPACINGS, SamplerSpec, choose_sampler, samplers_with_churn
from focus_engine.errors import InputError
from focus_engine.generative.guidance import nfe_per_call
from focus_engine.generative.prior import SpectralPrior
from focus_engine.generative.process import Denoised, Network, Process
from focus_engine.generative.samplers.spacing import spaced_times
from focus_engine.generative.samplers.table import FUNCTIONS
from focus_engine.generative.samplers.task import SamplerTask

Precision = Callable[[], AbstractContextManager[object]]
"""Returns the context of a network evaluation, for example `lambda: torch.autocast("cuda", torch.bfloat16)`."""


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """The settings of a sampling run; `checked` validates them against the process."""

    sampler: str = METHODS[DEFAULT_METHOD].sampler
    steps: int = 50
    eta: float | None = None
    """None: the sampler's default (see `focus_engine.config.samplers`)."""
    guidance: float = 1.0
    seed: int = 0
    batch_size: int = 64
    prior: str = "white"
    """Where sampling starts: white, unit noise; spectrum, noise with mean and spectrum of the maps (`prior`)."""
    first: int = 0
    """Index of the first map: maps drawn in parts get the same noise as maps drawn at once."""
    spacing: str | None = None
    """Where the steps are placed (see `samplers.spacing`); None: as the sampler does by default."""
    churn: float = 0.0
    rtol: float = 1e-3
    """Relative tolerance of a sampler that chooses its steps; `steps` is then the most."""
    atol: float = 1e-3

    def checked(self, process: Process) -> "SamplingPlan":
        """Return the plan with η and spacing set.

        Raises:
            InputError: the sampler does not fit the process, or a value is out of range.
        """
        sampler = choose_sampler(self.sampler, process.method)
        spacing = self.spacing or sampler.spacing
        if spacing not in SPACINGS:
            raise InputError(f"spacing {spacing!r} is unknown; use one of: {', '.join(SPACINGS)}", keys=("spacing",))
        spaced_times(process, self.steps, spacing)
        _check_solver(self, sampler)
        if self.batch_size < 1:
            raise InputError(f"batch size {self.batch_size}: use 1 or more")
        if self.seed < 0:
            raise InputError(f"seed {self.seed}: use 0 or more")
        if self.prior not in ("white", "spectrum"):
            raise InputError(f"prior {self.prior!r} is unknown; allowed: white, spectrum")
        if not 0 <= self.guidance < float("inf"):
            raise InputError(f"guidance {self.guidance:g}: use a number from 0; 1 samples the conditional model")
        return replace(self, eta=sampler.check_eta(self.eta), spacing=spacing)


def _check_solver(plan: SamplingPlan, sampler: SamplerSpec) -> None:
    if not 0 <= plan.churn < float("inf"):
        raise InputError(f"churn {plan.churn:g}: use a number from 0", keys=("churn",))
    if plan.churn > 0 and not sampler.churns:
        raise InputError(
            f"churn {plan.churn:g}: sampler {sampler.name} has none; only {samplers_with_churn()}", keys=("churn",)
        )
    for name, value in (("rtol", plan.rtol), ("atol", plan.atol)):
        if not 0 < value < float("inf"):
            raise InputError(f"{name} {value:g}: use a number above 0", keys=(name,))


Start = Callable[[Tensor, Tensor, Process, SamplingPlan], Tensor]
"""Returns the start of a batch from unit noise (B, C, H, W) and standardised parameters (B, P)."""


@dataclass(frozen=True, slots=True)
class SamplingProgress:
    """Progress after one sampler step of one batch."""

    maps_done: int
    """Number of finished maps, including this batch if `finished` is not None."""
    maps_total: int
    step: int
    """Steps done in this batch, 1 ... steps."""
    steps: int
    nfe: int
    """NFE (network function evaluations) so far per map of this batch."""
    x0: Tensor
    """Current estimate of this batch's maps, normalised, (b, C, H, W), on the device."""
    finished: Tensor | None
    """The batch's maps, normalised float32 (b, C, H, W) on the CPU, after the last step; else None."""


class DrawnBatches:
    """Collects the finished maps of `sample_steps` from its progress."""

    def __init__(self) -> None:
        self._batches: list[Tensor] = []
        self.nfe = 0

    def add(self, progress: SamplingProgress) -> None:
        """Add the progress of one step."""
        self.nfe = max(self.nfe, progress.nfe)
        if progress.finished is not None:
            self._batches.append(progress.finished)

    @property
    def maps(self) -> Tensor:
        """The finished maps, normalised float32 (N, C, H, W) on the CPU."""
        return torch.cat(self._batches)


class MapNoise:
    """Unit Gaussian noise of maps `first` ... `first + count - 1`, independent of the batch size."""

    def __init__(self, seed: int, first: int, count: int, shape: tuple[int, ...], device: torch.device) -> None:
        # Philox takes the pair as its key. torch's CPU generator would keep only 32 bits of a hash, so that two maps
        # of a large set could share their noise.
        self._streams = [np.random.Generator(np.random.Philox(key=[seed, first + i])) for i in range(count)]
        self._shape = shape
        self._device = device

    def __call__(self) -> Tensor:
        """Return the next noise of each map, float32 (count, *shape)."""
        noise = np.empty((len(self._streams), *self._shape), dtype=np.float32)
        for stream, out in zip(self._streams, noise, strict=True):
            stream.standard_normal(dtype=np.float32, out=out)
        return torch.from_numpy(noise).to(self._device)


def sample_steps(
    network: Network,
    process: Process,
    cond: Tensor,
    map_shape: tuple[int, int, int],
    plan: SamplingPlan,
    *,
    device: torch.device | str = "cpu",
    precision: Precision = nullcontext,
    prior: SpectralPrior | None = None,
) -> Iterator[SamplingProgress]:
    """Draw one map of `map_shape` (C, H, W) for each standardised row of `cond` (N, P); yield after each step.

    `prior` is needed where the plan starts from it.

    Raises:
        InputError: the plan or the prior does not fit the process or the maps (raised before sampling).
    """
    plan = plan.checked(process)
    start = _white_start
    if plan.prior == "spectrum":
        if prior is None:
            raise InputError("prior spectrum: there is no spectrum of the training maps to start from; use white")
        prior.check_size(map_shape)
        start = partial(_spectral_start, prior)
    return _sample_batches(network, process, cond, map_shape, plan, torch.device(device), precision, start)


def _white_start(noise: Tensor, cond: Tensor, process: Process, plan: SamplingPlan) -> Tensor:  # noqa: ARG001
    """Return unit noise (B, C, H, W), scaled for the first step."""
    return process.prior_scale * noise


def _spectral_start(prior: SpectralPrior, noise: Tensor, cond: Tensor, process: Process, plan: SamplingPlan) -> Tensor:
    """Return noise (B, C, H, W) with mean and spectrum of the maps at `cond`, as at the first time.

    Without signal at that time it is `_white_start`, bit for bit. Guidance of 0 draws unconditional maps, which start
    from the mean and spectrum over all parameters.
    """
    data_scale, noise_scale = process.scales(process.times(plan.steps)[0])
    if data_scale == 0:
        return _white_start(noise, cond, process, plan)
    return prior.start(noise, None if plan.guidance == 0 else cond, data_scale, noise_scale)


def _sample_batches(
    network: Network,
    process: Process,
    cond: Tensor,
    map_shape: tuple[int, int, int],
    plan: SamplingPlan,
    device: torch.device,
    precision: Precision,
    starting: Start,
) -> Iterator[SamplingProgress]:
    sampler = choose_sampler(plan.sampler, process.method)
    times = spaced_times(process, plan.steps, plan.spacing or sampler.spacing)
    # Steps chosen for a batch would make a map depend on the others in it.
    batch_size = 1 if sampler.chooses_steps else plan.batch_size
    for first in range(0, len(cond), batch_size):
        rows = cond[first : first + batch_size].to(device, torch.float32)
        noise = MapNoise(plan.seed, plan.first + first, len(rows), map_shape, device)
        denoised = 0

        def denoise(x: Tensor, t: float, rows: Tensor = rows) -> Denoised:
            nonlocal denoised
            denoised += 1
            # no_grad must end before the generator yields, or it would leak to the caller.
            with torch.no_grad(), precision():
                return process.denoise(network, x, t, rows, guidance=plan.guidance)

        start = starting(noise(), rows, process, plan)
        eta = sampler.check_eta(plan.eta)
        task = SamplerTask(process, denoise, noise, times, eta, plan.churn, plan.rtol, plan.atol)
        for step in FUNCTIONS[sampler.name](task, start):
            finished = step.x.float().cpu() if step.index == step.total - 1 else None
            yield SamplingProgress(
                maps_done=first + (len(rows) if finished is not None else 0),
                maps_total=len(cond),
                step=step.index + 1,
                steps=step.total,
                nfe=denoised * nfe_per_call(plan.guidance),
                x0=step.x0,
                finished=finished,
            )
