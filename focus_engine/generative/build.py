"""Construction of a generative process from a config; the only module that knows all methods."""

from focus_engine.config.schema import Config
from focus_engine.generative.diffusion import Diffusion
from focus_engine.generative.flow import Flow
from focus_engine.generative.noise import build_schedule
from focus_engine.generative.process import Process


def build_process(config: Config) -> Process:
    """Return the generative process of `config.method` with the settings of its block.

    Raises:
        InputError: the settings do not fit together.
    """
    if config.method == "flow":
        path = config.flow_matching
        return Flow(path.sigma_min, path.sigma_max, path.time_sampling)
    block = config.diffusion
    schedule = build_schedule(
        block.schedule,
        block.timesteps,
        block.beta_start,
        block.beta_end,
        zero_terminal_snr=block.zero_terminal_snr,
    )
    return Diffusion(schedule, block.prediction, block.min_snr_gamma)
