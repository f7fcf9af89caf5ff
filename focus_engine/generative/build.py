"""From the config to a generative process: the only place that knows which methods there are."""

from focus_engine.config import Config
from focus_engine.errors import FocusError
from focus_engine.generative.diffusion import Diffusion
from focus_engine.generative.noise import build_schedule
from focus_engine.generative.process import Process


def build_process(config: Config) -> Process:
    """Return the process of `config.method` with the settings of its block.

    Raises:
        InputError: the settings do not fit together.
        FocusError: the method is not implemented.
    """
    if config.method != "diffusion":
        raise FocusError(f"method: {config.method} is not implemented yet; use method: diffusion")
    block = config.diffusion
    schedule = build_schedule(
        block.schedule,
        block.timesteps,
        block.beta_start,
        block.beta_end,
        zero_terminal_snr=block.zero_terminal_snr,
    )
    return Diffusion(schedule, block.prediction, block.min_snr_gamma)
