r"""Drawing maps in batches, with a network, a generative process, a sampler and guidance.

The noise of map i depends on (seed, i) alone (`map_noise`), not on the number of maps, the batch size or the device.
Maps are normalised; the caller converts them to physical units and handles progress bars, files and autocast.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from focus_engine.config.methods import DEFAULT_METHOD, METHODS
from focus_engine.config.samplers import SPACINGS, SamplerSpec, choose_sampler, samplers_with_churn
from focus_engine.errors import FocusError, InputError, is_out_of_memory
from focus_engine.generative.guidance import nfe_per_call
from focus_engine.generative.map_noise import LARGEST_SEED, MapNoise
from focus_engine.generative.prior import SpectralPrior
from focus_engine.generative.process import Denoised, Denoiser, Network, Process
from focus_engine.generative.samplers.spacing import spaced_times
from focus_engine.generative.samplers.table import FUNCTIONS
from focus_engine.generative.samplers.task import SamplerTask, Step

Precision = Callable[[], AbstractContextManager[object]]
"""Returns the context of a network evaluation, for example `lambda: torch.autocast("cuda", torch.bfloat16)`."""

_PIXELS_ON_A_CPU, _PIXELS_ON_A_GPU = 2**16, 2**22


def filling_batch(map_shape: tuple[int, int, int], device: torch.device) -> int:
    """Return how many maps of `map_shape` (C, H, W) fill `device`: more at once are no faster.

    64 maps of 32² on a CPU, 64 of 256² on a GPU; at least one for each thread.
    """
    side, across = map_shape[-2:]
    if device.type == "cpu":
        return max(torch.get_num_threads(), _PIXELS_ON_A_CPU // (side * across))
    return max(1, _PIXELS_ON_A_GPU // (side * across))


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
    paired: bool = False
    """Whether maps 2i and 2i + 1 start from opposite noise, whose mean is exactly 0."""

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
        if self.seed > LARGEST_SEED:
            raise InputError(f"seed {self.seed}: use at most {LARGEST_SEED} (64 bits)")
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


Restore = Callable[[Tensor, Tensor], Tensor]
"""Returns the normalised maps of a batch (B, C, H, W) from what the network draws, and parameters (B, P)."""

Start = Callable[[Tensor, Tensor, Process, SamplingPlan], Tensor]
"""Returns the start of a batch from unit noise (B, C, H, W) and standardised parameters (B, P)."""


@dataclass(frozen=True, slots=True)
class SamplingProgress:
    """Progress after one sampler step of one batch."""

    maps_done: int
    """Number of finished maps, including this batch if `finished` is not None."""
    maps_total: int
    maps_drawn: float
    """Number of finished maps, and of maps in progress times the share of their steps that is done."""
    step: int
    """Steps done in this batch, 1 ... steps."""
    steps: int
    nfe: int
    """NFE (network function evaluations) so far per map of this batch."""
    x0: Tensor
    """Current estimate of this batch's maps, as the network draws them, (b, C, H, W), on the device."""
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


def sample_steps(
    network: Network,
    process: Process,
    cond: Tensor,
    map_shape: tuple[int, int, int],
    plan: SamplingPlan,
    *,
    device: torch.device | str = "cpu",
    precision: Precision = nullcontext,
    without_gradients: Precision = torch.no_grad,
    prior: SpectralPrior | None = None,
    restore: Restore | None = None,
) -> Iterator[SamplingProgress]:
    """Draw one map of `map_shape` (C, H, W) for each standardised row of `cond` (N, P); yield after each step.

    A batch that does not fit into the memory of a GPU is drawn again in halves, with the same noise. Networks that
    take no gradients themselves can be evaluated in `torch.inference_mode`. `prior` is needed where the plan starts
    from it, `restore` where the network draws maps in units of their own spectrum.

    Raises:
        InputError: the plan or the prior does not fit the process or the maps (raised before sampling).
        FocusError: a single map does not fit into the memory of the device.
    """
    plan = plan.checked(process)
    start = _white_start
    if plan.prior == "spectrum":
        if prior is None:
            raise InputError("prior spectrum: there is no spectrum of the training maps to start from; use white")
        prior.check_size(map_shape)
        start = partial(_spectral_start, prior)
    contexts = (without_gradients, precision)
    job = _Job(network, process, cond, map_shape, plan, torch.device(device), contexts, start, restore or _as_it_is)
    return _sample_batches(job)


def _as_it_is(maps: Tensor, cond: Tensor) -> Tensor:  # noqa: ARG001
    """Return `maps`: the network draws normalised maps."""
    return maps


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


@dataclass(frozen=True, eq=False, slots=True)
class _Job:
    """What `sample_steps` was given, checked."""

    network: Network
    process: Process
    cond: Tensor
    map_shape: tuple[int, int, int]
    plan: SamplingPlan
    device: torch.device
    contexts: tuple[Precision, Precision]
    start: Start
    restore: Restore


def maps_at_once(plan: SamplingPlan, process: Process) -> int:
    """Return the maps of a batch: one where the sampler chooses its steps, so that no map depends on another."""
    return 1 if choose_sampler(plan.sampler, process.method).chooses_steps else plan.batch_size


def _sample_batches(job: _Job) -> Iterator[SamplingProgress]:
    first, size = 0, maps_at_once(job.plan, job.process)
    while first < len(job.cond):
        fits = True
        try:
            yield from _sample_batch(job, first, job.cond[first : first + size])
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            fits = False  # tried again outside: the exception holds the tensors of the failed attempt
        if fits:
            first += size
        elif size == 1:
            other = "" if job.device.type == "cpu" else ", or use device cpu"
            raise FocusError(f"{job.device}: out of memory with one map: free some of it{other}")
        else:
            size = (min(size, len(job.cond) - first) + 1) // 2
            if job.device.type == "cuda":
                torch.cuda.empty_cache()


def _sample_batch(job: _Job, first: int, cond: Tensor) -> Iterator[SamplingProgress]:
    """Yield the steps of the maps `first` ... of the rows `cond` (n, P)."""
    plan, process = job.plan, job.process
    without_gradients, precision = job.contexts
    denoised = 0

    def denoise(x: Tensor, t: float) -> Denoised:
        nonlocal denoised
        denoised += 1
        with precision():
            return process.denoise(job.network, x, t, rows, guidance=plan.guidance)

    def following(steps: Iterator[Step]) -> Step | None:
        # The mode must end before this generator yields, or it would leak to the caller.
        with without_gradients():
            return next(steps, None)

    rows = cond.to(job.device, torch.float32)
    noise = MapNoise(plan.seed, plan.first + first, len(rows), job.map_shape, job.device, paired=plan.paired)
    steps = _solver(job, denoise, noise, rows)
    while (step := following(steps)) is not None:
        done = step.index == step.total - 1
        finished = job.restore(step.x.float(), rows).cpu().clone() if done else None
        yield SamplingProgress(
            maps_done=first + (len(rows) if finished is not None else 0),
            maps_total=len(job.cond),
            maps_drawn=first + len(rows) * (step.index + 1) / step.total,
            step=step.index + 1,
            steps=step.total,
            nfe=denoised * nfe_per_call(plan.guidance),
            x0=step.x0,
            finished=finished,
        )


def _solver(job: _Job, denoise: Denoiser, noise: MapNoise, rows: Tensor) -> Iterator[Step]:
    """Yield the sampler's steps from noise at the standardised parameters `rows` (n, P)."""
    plan, process = job.plan, job.process
    sampler = choose_sampler(plan.sampler, process.method)
    times = spaced_times(process, plan.steps, plan.spacing or sampler.spacing)
    eta = sampler.check_eta(plan.eta)
    task = SamplerTask(process, denoise, noise, times, eta, plan.churn, plan.rtol, plan.atol)
    yield from FUNCTIONS[sampler.name](task, job.start(noise(), rows, process, plan))
