"""The floating-point operations of a network, counted without evaluating it."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from focus_engine.config.blocks.model import ModelBlock
from focus_engine.models.build import shape_of_network


def training_flop(model: ModelBlock, map_shape: tuple[int, int, int]) -> float | None:
    """Return the FLOP of a forward and a backward pass of one map of `map_shape` (C, H, W).

    Convolutions, matrix products and attention count, per operation, on torch's meta device: 1 s for 143 M weights.
    None where the network cannot be evaluated there, as some networks of the user's own.
    """
    return _counted(model, map_shape, backward=True)


def forward_flop(model: ModelBlock, map_shape: tuple[int, int, int]) -> float | None:
    """Return the FLOP of the forward pass alone, which takes a third of the time to count."""
    return _counted(model, map_shape, backward=False)


def _counted(model: ModelBlock, map_shape: tuple[int, int, int], *, backward: bool) -> float | None:
    try:
        with torch.device("meta"), torch.set_grad_enabled(backward):
            network = shape_of_network(model)
            x, time, cond = torch.empty(1, *map_shape), torch.empty(1), torch.empty(1, model.cond_dim)
            with FlopCounterMode(display=False) as counter:
                output = network(x, time, cond)
                if backward:
                    output.sum().backward()
    except Exception:  # noqa: BLE001  (code of the user's own can raise anything)
        return None
    return float(counter.get_total_flops())
