"""Activation checkpointing: blocks of a network that keep only their inputs for the backward pass.

The backward pass evaluates each block once more (Chen et al., 1604.06174). That is a fifth to a third more FLOP for
half of the memory or less (docs/performance.md); the gradients are the same bit for bit, because no block draws random
numbers.
"""

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class RecomputedBlock(nn.Module):
    """A block that can be evaluated anew in the backward pass; a subclass has `compute` in place of `forward`."""

    recomputes = False

    def compute(self, *inputs: Any) -> Any:  # noqa: ANN401  (each block has its own)
        """Return the output of the block."""
        raise NotImplementedError

    def forward(self, *inputs: Any) -> Any:  # noqa: ANN401
        """Return the output of `compute`."""
        if self.recomputes and torch.is_grad_enabled():
            # There are no random numbers whose state would have to be kept.
            return checkpoint(self.compute, *inputs, use_reentrant=False, preserve_rng_state=False)
        return self.compute(*inputs)


def recomputed_blocks(network: nn.Module) -> list[RecomputedBlock]:
    """Return the blocks of `network` that can be recomputed, in the order of its modules."""
    return [block for block in network.modules() if isinstance(block, RecomputedBlock)]


def recompute(network: nn.Module, *, on: bool) -> int:
    """Let the blocks of `network` be recomputed, or not; return how many it has."""
    blocks = recomputed_blocks(network)
    for block in blocks:
        block.recomputes = on
    return len(blocks)
