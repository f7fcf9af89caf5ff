"""torch's optimisers without its compiler, which their methods import to keep it away from them.

Each start of a worker would import torch._dynamo with the first of these methods: 1.8 s of CPU. No optimiser is
compiled here.
"""

import inspect
from typing import Any

import torch


def _undecorated(method: Any) -> Any:  # noqa: ANN401  (a method of torch)
    """Return a method of torch's optimisers without its decorators."""
    return inspect.unwrap(method)


class WithoutCompiler(torch.optim.Optimizer):
    """Base class: an optimiser whose methods do not import the compiler."""

    add_param_group = _undecorated(torch.optim.Optimizer.add_param_group)
    zero_grad = _undecorated(torch.optim.Optimizer.zero_grad)
    state_dict = _undecorated(torch.optim.Optimizer.state_dict)
    load_state_dict = _undecorated(torch.optim.Optimizer.load_state_dict)


class Adam(WithoutCompiler, torch.optim.Adam):
    """torch's Adam."""

    step = torch.no_grad()(_undecorated(torch.optim.Adam.step))


class AdamW(WithoutCompiler, torch.optim.AdamW):
    """torch's AdamW."""

    step = torch.no_grad()(_undecorated(torch.optim.AdamW.step))


class SGD(WithoutCompiler, torch.optim.SGD):
    """torch's SGD."""

    step = torch.no_grad()(_undecorated(torch.optim.SGD.step))
