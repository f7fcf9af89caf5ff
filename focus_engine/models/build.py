"""Construction of a network from a config; the only constructor, so that a checkpoint's config rebuilds its model."""

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from focus_engine.config.blocks.model import ModelBlock
from focus_engine.config.networks import NETWORKS, SHARED_KEYS, NetworkSpec, unknown_network
from focus_engine.errors import InputError


def build_network(model: ModelBlock, *, seed: int | None = None) -> nn.Module:
    """Return the network of the `model` block, on torch's default device.

    With a `seed` the initial weights depend only on it, and the global random state is unchanged.
    Apart from the names in `NETWORKS`, `model.from` is the import path of a class or function (`package.module.Name`)
    that takes the shared keys of the block and those of `model.options`, and returns a
    `focus_engine.generative.process.Network`.

    Raises:
        InputError: the path can't be imported, or its object does not return a network for these keys.
    """
    spec = NETWORKS.get(model.from_)
    make = _class_of(spec) if spec else _import(model.from_)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        return make(**spec.arguments(model)) if spec else _make_foreign(make, model)


def shape_of_network(model: ModelBlock) -> nn.Module:
    """Return the network of the `model` block on torch's meta device: shapes without memory for values.

    Raises:
        InputError: as `build_network`; and what torch raises for sizes beyond what it can count.
    """
    with torch.device("meta"), _NoValues():
        return build_network(model)


class _NoValues(TorchFunctionMode):
    """Leaves out the computation of initial values. On the meta device torch imports its compiler for some of it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401  (torch's protocol)
        if func in {torch.Tensor.normal_, torch.Tensor.div_}:
            return args[0]
        return (torch.empty if func is torch.randn else func)(*args, **(kwargs or {}))


def check_weights(model: ModelBlock, weights: Mapping[str, Tensor], where: str) -> None:
    """Raise InputError if `weights` of the file `where` do not fit the network of the `model` block.

    Networks of FOCUS are built without memory for it, so that a file that claims to be huge costs nothing.
    """
    if model.from_ not in NETWORKS:
        return
    try:
        words = misfit(shape_of_network(model), weights)
    except (RuntimeError, OverflowError, ValueError, TypeError) as error:  # of sizes beyond what torch can count
        words = " ".join(str(error).split())[:200]
    if words:
        raise InputError(f"{where}: the weights do not fit the network that its config names: {words}")


def misfit(network: nn.Module, weights: Mapping[str, Tensor]) -> str:
    """Return in words the first difference between the weights of `network` and `weights`; empty where they fit."""
    own = network.state_dict()
    for name in sorted(own.keys() | weights.keys()):
        shapes = [_shape_words(one.get(name)) for one in (weights, own)]
        if shapes[0] != shapes[1]:
            return f"{name} is {shapes[0]} in the file and {shapes[1]} in the network"
    return ""


def _shape_words(weights: object) -> str:
    if not isinstance(weights, Tensor):
        return "missing" if weights is None else "no array"
    return " x ".join(map(str, weights.shape)) or "one number"


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def _class_of(spec: NetworkSpec) -> Callable[..., nn.Module]:
    module, _, name = spec.path.partition(":")
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]


def _import(path: str) -> Callable[..., Any]:
    module_name, _, name = path.rpartition(".")
    if not module_name or not all(part.isidentifier() for part in path.split(".")):
        raise InputError(unknown_network(path))
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


def _make_foreign(make: Callable[..., Any], model: ModelBlock) -> nn.Module:
    path, options = model.from_, model.options or {}
    _check_options(make, path, options)
    shared = {key: getattr(model, key) for key in SHARED_KEYS}
    try:
        network = make(**shared, **options)
    except Exception as error:
        raise InputError(
            f"model.from: {path} does not accept the keys of the model block, {', '.join([*shared, *options])} "
            f"({type(error).__name__}: {error})"
        ) from error
    if not isinstance(network, nn.Module):
        raise InputError(f"model.from: {path} made {type(network).__name__}, not a torch.nn.Module")
    return network


def _check_options(make: Callable[..., Any], path: str, options: dict[str, Any]) -> None:
    """Raise InputError for an option that `make` does not take, or that is a key of the block itself."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):  # C code that does not say: its own complaint must do
        return
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters)
    named = [one.name for one in parameters if one.kind in {one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD}]
    allowed = [name for name in named if name not in SHARED_KEYS]
    for key in options:
        at = f"model.options.{key}"
        if key in SHARED_KEYS:
            raise InputError(f"{at}: write it as model.{key}", keys=(at,))
        if not takes_any and key not in allowed:
            close = difflib.get_close_matches(key, allowed, n=1)
            hint = f"; did you mean {f'model.options.{close[0]}'!r}?" if close else ""
            words = f"{path} does not take {key!r}; it takes: {', '.join(allowed) or 'nothing more'}{hint}"
            raise InputError(words, where=at, keys=(at,))
