"""Construction of a generative process from a config; the only constructor, one function per method."""

from collections.abc import Callable

from focus_engine.config.schema import Config
from focus_engine.generative.diffusion import Diffusion
from focus_engine.generative.edm import Edm
from focus_engine.generative.flow import Flow
from focus_engine.generative.noise import build_schedule
from focus_engine.generative.process import Process


def build_process(config: Config) -> Process:
    """Return the generative process of `config.method` with the settings of its block.

    Raises:
        InputError: the settings do not fit together.
    """
    return PROCESSES[config.method](config)


def _diffusion(config: Config) -> Process:
    block = config.diffusion
    schedule = build_schedule(
        block.schedule,
        block.timesteps,
        block.beta_start,
        block.beta_end,
        zero_terminal_snr=block.zero_terminal_snr,
        shift=block.shift,
    )
    weights = (block.min_snr_gamma, block.min_snr_offset, config.training.loss_scales)
    return Diffusion(schedule, block.prediction, *weights)


def _flow(config: Config) -> Process:
    path = config.flow_matching
    times = (path.time_sampling, path.time_mean, path.time_std)
    return Flow(path.sigma_min, path.sigma_max, *times, shift=path.shift, scale_power=config.training.loss_scales)


def _edm(config: Config) -> Process:
    block = config.edm
    return Edm(block.sigma_min, block.sigma_max, block.p_mean, block.p_std, config.training.loss_scales)


PROCESSES: dict[str, Callable[[Config], Process]] = {"diffusion": _diffusion, "flow": _flow, "edm": _edm}
"""By the names of `focus_engine.config.methods.METHODS`."""
