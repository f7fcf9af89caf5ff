"""Muon: momentum with its singular values set to about 1 (Jordan et al. 2024, kellerjordan.github.io/posts/muon).

The update is scaled to the root mean square of AdamW's, so that its learning rate and weight decay carry over
(Moonlight, 2502.16982, eq. 4).
"""

from typing import Any

import torch
from torch import Tensor, nn

from focus_engine.training.matrices import MatrixOptimiser

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5
RMS = 0.2
"""Root mean square of AdamW's update at learning rate 1, as Moonlight measured it."""


def orthogonalised(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """Return U s Vᵀ with s between about 0.7 and 1.2 for each of `matrices` U S Vᵀ (n, rows, columns).

    Each Newton-Schulz step maps a singular value s to 3.4445 s - 4.7750 s³ + 2.0315 s⁵, at first of the matrix divided
    by its Frobenius norm. Computed in `dtype`.
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).to(dtype)
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=1e-7)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(MatrixOptimiser):
    """Muon with Nesterov momentum for `matrices`, AdamW for `others`.

    Newton-Schulz runs in bfloat16 on a GPU, as in the source, and in the precision of the weights on a CPU.
    """

    def __init__(
        self,
        matrices: list[nn.Parameter],
        others: list[nn.Parameter],
        *,
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(
            matrices, others, lr=lr, weight_decay=weight_decay, momentum=momentum, betas=tuple(betas), eps=eps
        )

    def step_matrices(self, matrices: list[nn.Parameter], group: dict[str, Any]) -> None:
        """Update weights of one shape, convolutions as (out, in·kh·kw)."""
        momentum, lr = group["momentum"], group["lr"]
        gradients = [one.grad for one in matrices if one.grad is not None]
        averages = [self._average(one) for one in matrices]
        torch._foreach_lerp_(averages, gradients, 1 - momentum)
        ahead = torch.stack([gradient.lerp(mean, momentum) for gradient, mean in zip(gradients, averages, strict=True)])
        ahead = ahead.flatten(2)
        dtype = torch.bfloat16 if ahead.is_cuda else ahead.dtype
        scale = RMS * max(ahead.shape[-2:]) ** 0.5
        updates = orthogonalised(ahead, dtype).view(len(matrices), *matrices[0].shape)
        weights = list[Tensor](matrices)
        torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])
        torch._foreach_add_(weights, updates.unbind(), alpha=-lr * scale)

    def _average(self, parameter: nn.Parameter) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        average: Tensor = state["momentum_buffer"]
        return average
