"""Optimisers of matrices: which parameters are hidden matrices, and AdamW for the others.

Muon and SOAP treat a weight as a linear map between hidden layers. A convolution is one from in·kh·kw to out numbers.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw as adamw_step

from focus_engine.errors import InputError
from focus_engine.training.without_compiler import WithoutCompiler

FUSED_DEVICES = ("cpu", "cuda", "mps")
"""Devices for which torch has Adam in one kernel: 1.2 instead of 5.8 ms a step for 0.4 M parameters on one core."""
_LINEAR_MAPS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def split_parameters(network: nn.Module, optimiser: str) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the hidden matrices of `network` and its other trainable parameters.

    A hidden matrix is the weight of a linear layer or an ungrouped convolution that is not among the `outer_layers` of
    the network: names of the modules that read its inputs or write its output. In a network that does not have this
    attribute they are the first and the last such layer.

    Raises:
        InputError: there is no hidden matrix.
    """
    layers = {name: one for name, one in network.named_modules() if _is_linear_map(one)}
    names = list(layers)
    outer = getattr(network, "outer_layers", [*names[:1], *names[-1:]])
    hidden = {id(layer.weight) for name, layer in layers.items() if name not in outer}
    trainable = [one for one in network.parameters() if one.requires_grad]
    matrices = [one for one in trainable if id(one) in hidden]
    if not matrices:
        raise InputError(
            f"training.optimizer: {optimiser} is for hidden matrices (weights of linear layers and convolutions except "
            f"the first and the last), and {type(network).__name__} has none; use adamw",
            keys=("training.optimizer",),
        )
    return matrices, [one for one in trainable if id(one) not in hidden]


def _is_linear_map(module: nn.Module) -> bool:
    return isinstance(module, _LINEAR_MAPS) and getattr(module, "groups", 1) == 1


def can_fuse(parameters: Iterable[nn.Parameter]) -> bool:
    """Return whether torch has a fused Adam for these parameters."""
    return all(one.is_floating_point() and one.device.type in FUSED_DEVICES for one in parameters)


def by_shape(matrices: Iterable[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Yield the parameters that have a gradient in groups of one shape, which are worked on as one batch."""
    groups: dict[tuple[torch.Size, torch.dtype, torch.device], list[nn.Parameter]] = {}
    for one in matrices:
        if one.grad is not None:
            groups.setdefault((one.shape, one.dtype, one.device), []).append(one)
    yield from groups.values()


class MatrixOptimiser(WithoutCompiler):
    """Base class: a group of matrices, each updated by `step_matrices`, and a group of the rest, updated by AdamW.

    Both groups have the same learning rate, weight decay, betas and eps.
    """

    def __init__(self, matrices: list[nn.Parameter], others: list[nn.Parameter], **settings: Any) -> None:  # noqa: ANN401
        fused = can_fuse(others)  # read by torch too, when it loads a state onto a device
        groups = [{"params": matrices, "matrices": True}, {"params": others, "matrices": False, "fused": fused}]
        super().__init__([group for group in groups if group["params"]], settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient; return the value of `closure` if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["matrices"]:
                for same in by_shape(group["params"]):
                    self.step_matrices(same, group)
            else:
                self._step_others([one for one in group["params"] if one.grad is not None], group)
        return loss

    def step_matrices(self, matrices: list[nn.Parameter], group: dict[str, Any]) -> None:
        """Update parameters of one shape with the settings of `group`."""
        raise NotImplementedError

    def _step_others(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        states = [self.state[one] for one in parameters]
        for one, state in zip(parameters, states, strict=True):
            if not state:
                state["step"] = torch.zeros((), device=one.device if group["fused"] else None)
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(one), torch.zeros_like(one)
        adamw_step(
            list[Tensor](parameters),
            [one.grad for one in parameters if one.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=group["fused"],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )
