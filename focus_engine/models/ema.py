"""The exponential moving average (EMA) of the weights, used for validation, sampling and export."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from focus_engine.errors import InputError


class ExponentialAverage:
    """An exponential moving average of a network's weights, with warm-up.

    Update n (from 0) keeps a fraction min(decay, (1 + n)/(10 + n)) of the average, so that the EMA of a short run is
    not dominated by the random initial weights. Buffers are copied, not averaged.
    """

    def __init__(self, network: nn.Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"training.ema_decay: {decay:g}; use a number from 0 (no average) to below 1")
        self.decay = decay
        self.updates = 0
        self.module = copy.deepcopy(network).requires_grad_(requires_grad=False).eval()
        """The averaged network, in evaluation mode."""

    def next_decay(self) -> float:
        """Return the fraction of the average that the next update keeps."""
        return min(self.decay, (1 + self.updates) / (10 + self.updates))

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the weights of `network`, which must be of the same architecture."""
        average: list[Tensor] = list(self.module.parameters())
        current: list[Tensor] = list(network.parameters())
        torch._foreach_lerp_(average, current, 1 - self.next_decay())  # as torch's own optimisers do
        for kept, buffer in zip(self.module.buffers(), network.buffers(), strict=True):
            kept.copy_(buffer)
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the weights (`module`) and the number of `updates`."""
        return {"module": self.module.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the average from `state_dict`; the decay stays the configured one."""
        self.module.load_state_dict(state["module"])
        self.updates = int(state["updates"])
