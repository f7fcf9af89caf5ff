"""Construction of the optimiser from the config, by the table `focus_engine.config.optimisers`."""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from focus_engine.config.blocks.training import TrainingBlock
from focus_engine.config.optimisers import OPTIMISERS
from focus_engine.training.matrices import can_fuse, split_parameters
from focus_engine.training.muon import Muon
from focus_engine.training.soap import SOAP
from focus_engine.training.without_compiler import SGD, Adam, AdamW


def build_optimiser(network: nn.Module, training: TrainingBlock) -> torch.optim.Optimizer:
    """Return the optimiser of the trainable parameters of `network`, which must be on its device.

    Raises:
        InputError: the network has no parameters of the kind for which the optimiser is made.
    """
    spec = OPTIMISERS[training.optimizer]
    module, _, name = spec.path.partition(":")
    make: Callable[..., torch.optim.Optimizer] = getattr(importlib.import_module(module), name)
    return make(network, **spec.arguments(training))


def adamw(network: nn.Module, **settings: Any) -> torch.optim.Optimizer:  # noqa: ANN401
    """Return AdamW (1711.05101), fused where the device has it.

    A checkpoint holds `fused` beside the moments, so that a run which began unfused resumes unfused, bit for bit.
    """
    weights = _trainable(network)
    return AdamW(weights, **settings, fused=can_fuse(weights) or None)


def adam(network: nn.Module, **settings: Any) -> torch.optim.Optimizer:  # noqa: ANN401
    """Return Adam (1412.6980), with the weight decay as part of the gradient; fused as `adamw` is."""
    weights = _trainable(network)
    return Adam(weights, **settings, fused=can_fuse(weights) or None)


def sgd(network: nn.Module, **settings: Any) -> torch.optim.Optimizer:  # noqa: ANN401
    """Return stochastic gradient descent with momentum."""
    return SGD(_trainable(network), **settings)


def muon(network: nn.Module, **settings: Any) -> torch.optim.Optimizer:  # noqa: ANN401
    """Return Muon for the hidden matrices, AdamW for the rest."""
    return Muon(*split_parameters(network, "muon"), **settings)


def soap(network: nn.Module, **settings: Any) -> torch.optim.Optimizer:  # noqa: ANN401
    """Return SOAP for the hidden matrices, AdamW for the rest."""
    return SOAP(*split_parameters(network, "soap"), **settings)


def _trainable(network: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in network.parameters() if parameter.requires_grad]
