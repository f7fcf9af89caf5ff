"""SOAP: Adam in the slowly moving eigenbasis of Shampoo's factors (Vyas et al., 2409.11321, algorithm 3)."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from focus_engine.training.matrices import MatrixOptimiser

PRECONDITION_FREQUENCY = 10
"""Steps between two updates of the eigenbasis."""
MAX_PRECOND_DIM = 512
"""A side of a matrix that is longer keeps its own basis."""


class SOAP(MatrixOptimiser):
    """SOAP for `matrices`, AdamW for `others`.

    As in the authors' code, the first step measures the factors and does not move the weights, and the factors decay
    with the second beta.
    """

    def __init__(
        self,
        matrices: list[nn.Parameter],
        others: list[nn.Parameter],
        *,
        lr: float,
        weight_decay: float,
        betas: tuple[float, float] = (0.95, 0.95),
        eps: float = 1e-8,
        precondition_frequency: int = PRECONDITION_FREQUENCY,
        max_precond_dim: int = MAX_PRECOND_DIM,
    ) -> None:
        settings = {"precondition_frequency": precondition_frequency, "max_precond_dim": max_precond_dim}
        super().__init__(matrices, others, lr=lr, weight_decay=weight_decay, betas=tuple(betas), eps=eps, **settings)

    def step_matrices(self, matrices: list[nn.Parameter], group: dict[str, Any]) -> None:
        """Update weights of one shape, convolutions as (out, in·kh·kw)."""
        for one in matrices:
            if one.grad is None:
                continue
            gradient, state = one.grad.flatten(1), self.state[one]
            if not state:
                state.update(_first_state(gradient, group))
                continue
            update = _adam_update(gradient, state, group)
            one.add_(update.view_as(one), alpha=-group["lr"])
            one.mul_(1 - group["lr"] * group["weight_decay"])
            _advance_basis(gradient, state, group)


def _first_state(gradient: Tensor, group: dict[str, Any]) -> dict[str, Any]:
    """Return the state after the first step: Shampoo's factors and their eigenvectors, by falling eigenvalue."""
    moments = {"exp_avg": torch.zeros_like(gradient), "exp_avg_sq": torch.zeros_like(gradient)}
    state: dict[str, Any] = {"step": 0, **moments}
    for side, product in _products(gradient, group["max_precond_dim"]):
        state[side] = (1 - group["betas"][1]) * product
        state[f"{side}_basis"] = torch.linalg.eigh(state[side]).eigenvectors.flip(1)
    return state


def _products(gradient: Tensor, longest: int) -> Iterator[tuple[str, Tensor]]:
    """Yield G Gᵀ as "left" and Gᵀ G as "right", each unless its side is longer than `longest`."""
    if gradient.shape[0] <= longest:
        yield "left", gradient @ gradient.T
    if gradient.shape[1] <= longest:
        yield "right", gradient.T @ gradient


def _adam_update(gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
    """Return Adam's update at learning rate 1, computed in the eigenbasis; advances the moments.

    The first moment is kept in the weights' own basis and rotated when used, so that it survives changes of the basis.
    """
    first, second = group["betas"]
    state["step"] += 1
    state["exp_avg"].lerp_(gradient, 1 - first)
    state["exp_avg_sq"].lerp_(_into(state, gradient).square(), 1 - second)
    root = state["exp_avg_sq"].sqrt().add_(group["eps"])
    correction = (1 - second ** state["step"]) ** 0.5 / (1 - first ** state["step"])
    return _out_of(state, _into(state, state["exp_avg"]).div_(root)).mul_(correction)


def _into(state: dict[str, Any], matrix: Tensor) -> Tensor:
    left, right = state.get("left_basis"), state.get("right_basis")
    matrix = matrix if left is None else left.T @ matrix
    return matrix.clone() if left is right is None else matrix if right is None else matrix @ right


def _out_of(state: dict[str, Any], matrix: Tensor) -> Tensor:
    left, right = state.get("left_basis"), state.get("right_basis")
    matrix = matrix if left is None else left @ matrix
    return matrix if right is None else matrix @ right.T


def _advance_basis(gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    """Average the factors; every `precondition_frequency` steps bring the bases nearer to their eigenvectors.

    That is one step of power iteration and a QR decomposition (algorithm 4), after sorting by the estimated eigenvalue.
    """
    for side, product in _products(gradient, group["max_precond_dim"]):
        factor, basis = state[side].lerp_(product, 1 - group["betas"][1]), state[f"{side}_basis"]
        if state["step"] % group["precondition_frequency"]:
            continue
        powered = factor @ basis
        order = torch.argsort((basis * powered).sum(0), descending=True)
        state["exp_avg_sq"] = state["exp_avg_sq"].index_select(("left", "right").index(side), order)
        state[f"{side}_basis"] = torch.linalg.qr(powered[:, order]).Q
