r"""Classifier-free guidance (Ho & Salimans, 2207.12598), applied to the output of the network.

w = 1 gives the conditional model, w = 0 the unconditional one. Any w > 1 narrows the distribution: for Gaussians of
conditional and unconditional width σ_c and σ_u the samples have width σ_c (σ_c/σ_u)^(w-1), which is unphysical.
Every prediction type is affine in the noise with the same coefficients with and without condition, so that guiding
the output guides the score.
"""

import torch
from torch import Tensor

from focus_engine.generative.process import Network


def guided_output(network: Network, x: Tensor, time: Tensor, cond: Tensor, weight: float = 1.0) -> Tensor:
    """Return unconditional + `weight` (conditional - unconditional), (B, C, H, W).

    Weights other than 0 and 1 cost an NFE of 2 per map, computed as one batch of twice the size.
    """
    if weight == 1.0:
        return network(x, time, cond, None)
    unconditional_rows = torch.ones(len(x), dtype=torch.bool, device=x.device)
    if weight == 0.0:
        return network(x, time, cond, unconditional_rows)
    both = network(
        torch.cat((x, x)),
        torch.cat((time, time)),
        torch.cat((cond, cond)),
        torch.cat((~unconditional_rows, unconditional_rows)),
    ).to(x.dtype)
    conditional, unconditional = both.chunk(2)
    return torch.lerp(unconditional, conditional, weight)


def nfe_per_call(weight: float) -> int:
    """Return the NFE (network function evaluations) per map of one `guided_output`."""
    return 1 if weight in (0.0, 1.0) else 2
