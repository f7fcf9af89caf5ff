"""Construction of a network from a config; the only constructor, so that a checkpoint's config rebuilds its model."""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from focus_engine.config.schema import ModelBlock
from focus_engine.errors import InputError
from focus_engine.models.unet import SimpleUNet
from focus_engine.trust import OWN_NETWORKS

NETWORKS: dict[str, Callable[..., nn.Module]] = dict.fromkeys(OWN_NETWORKS, SimpleUNet)
"""Flow matching gives the same network a continuous time."""


def build_network(model: ModelBlock, *, seed: int | None = None) -> nn.Module:
    """Return the network of the `model` block, on torch's default device.

    With a `seed` the initial weights depend only on it, and the global random state is unchanged.
    Apart from the names in `NETWORKS`, `model.from` is the import path of a class or function (`package.module.Name`)
    that takes the keys of the block and returns a `focus_engine.generative.process.Network`.

    Raises:
        InputError: the path can't be imported, or its object does not return a network for these keys.
    """
    make = NETWORKS.get(model.from_) or _import(model.from_)
    keys = model.model_dump(exclude={"from_"})
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        if model.from_ in NETWORKS:
            return make(**keys)
        return _make_foreign(make, model.from_, keys)


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def _import(path: str) -> Callable[..., Any]:
    module_name, _, name = path.rpartition(".")
    known = ", ".join(NETWORKS)
    if not module_name or not all(part.isidentifier() for part in path.split(".")):
        raise InputError(
            f"model.from: {path!r} is unknown; allowed: {known}, or an import path such as my_package.networks.MyNet"
        )
    try:
        made = getattr(importlib.import_module(module_name), name)
    except Exception as error:
        raise InputError(
            f"model.from: {path} cannot be imported ({type(error).__name__}: {error}); "
            "install its package or put its folder on PYTHONPATH"
        ) from error
    if not callable(made):
        raise InputError(f"model.from: {path} is {type(made).__name__}, not a class or a function")
    return made  # type: ignore[no-any-return]


def _make_foreign(make: Callable[..., Any], path: str, keys: dict[str, Any]) -> nn.Module:
    try:
        network = make(**keys)
    except Exception as error:
        raise InputError(
            f"model.from: {path} does not accept the keys of the model block, {', '.join(keys)} "
            f"({type(error).__name__}: {error})"
        ) from error
    if not isinstance(network, nn.Module):
        raise InputError(f"model.from: {path} made {type(network).__name__}, not a torch.nn.Module")
    return network
