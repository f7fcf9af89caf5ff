"""Laws of a training that begins. Configs that break them load, because runs of earlier versions have them."""

from focus_engine.config.laws import Blocks, Law
from focus_engine.config.networks import block_of_network
from focus_engine.errors import InputError, Problem

UNTRAINED_START = (
    "diffusion.min_snr_gamma with zero_terminal_snr gives t = T, where sampling starts, no weight in the loss: "
    "set diffusion.min_snr_offset to 1, or leave min_snr_gamma out"
)


def beginning_laws(config: Blocks) -> list[Law]:
    """Return the laws that a config keeps beside `joint_laws` when its training begins."""
    diffusion, training, scale = config.diffusion, config.training, config.sampling.cfg_scale
    weighs_start = diffusion.min_snr_gamma is None or diffusion.min_snr_offset > 0
    return [
        (
            config.method != "diffusion" or not diffusion.zero_terminal_snr or weighs_start,
            UNTRAINED_START,
            ("diffusion.min_snr_offset", "diffusion.min_snr_gamma", "diffusion.zero_terminal_snr"),
        ),
        (
            scale == 1 or training.cfg_prob > 0 or config.model.cond_dim == 0,
            (
                f"sampling.cfg_scale is {scale:g}, but with training.cfg_prob 0 the network never sees maps without "
                "parameters, which guidance needs: use cfg_scale 1, or cfg_prob 0.1"
            ),
            ("sampling.cfg_scale", "training.cfg_prob"),
        ),
        *_halving_laws(config),
    ]


def _halving_laws(config: Blocks) -> list[Law]:
    """The size of simulated maps is known before there are any; that of files is checked when they are opened."""
    data, levels = config.data, len(config.model.channel_mults)
    if block_of_network(config.model.from_) != "unet" or data.source != "simulated":
        return []
    stride, keys = 2 ** (levels - 1), ("data.map_size", "model.channel_mults")
    words = f"data.map_size is {data.map_size}, but model.channel_mults has {levels} levels, each half of the one above"
    return [(data.map_size % stride == 0, f"{words}: use a multiple of {stride}, or fewer levels", keys)]


def check_beginning(config: Blocks, where: str = "") -> None:
    """Refuse a config with which no training can begin; `where` names its file in the message.

    Raises:
        InputError: a law of `beginning_laws` does not hold.
    """
    broken = [Problem(words, where, keys=keys) for holds, words, keys in beginning_laws(config) if not holds]
    if broken:
        raise InputError(problems=broken)
