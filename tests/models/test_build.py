"""Networks built from a config: sizes, seeds, and user classes."""

import sys
from pathlib import Path

import pytest
import torch

from focus_engine.config.blocks.model import ModelBlock
from focus_engine.config.templates import template_config
from focus_engine.errors import InputError
from focus_engine.models.build import build_network, count_parameters, misfit, shape_of_network

SMALL = {"cond_dim": 2, "base_channels": 8, "channel_mults": (1, 2), "time_dim": 8}


def block(**keys: object) -> ModelBlock:
    return ModelBlock.model_validate(keys)


@pytest.mark.parametrize("name", ["SimpleUNet", "FlowUNet"])
def test_the_seed_model_has_146_million_parameters(name: str):
    with torch.device("meta"):
        network = build_network(block(**{"from": name}, base_channels=128, time_dim=256, cond_dim=6))
    assert count_parameters(network) == pytest.approx(146_229_505, rel=0.05)


def test_the_small_model_is_small():
    network = build_network(block(base_channels=16, channel_mults=[1, 2], cond_dim=2))
    assert count_parameters(network) < 1_000_000
    assert network(torch.randn(2, 1, 32, 32), torch.rand(2), torch.randn(2, 2)).shape == (2, 1, 32, 32)


@pytest.mark.parametrize("network", ["SimpleUNet", "FlowUNet", "DiT", "Swin"])
def test_the_shape_of_a_network_is_that_of_its_weights(network: str):
    model = template_config("small", {"model.from": network}).model
    shape, real = shape_of_network(model), build_network(model)
    assert not misfit(shape, real.state_dict())
    assert "is no array in the file" in misfit(shape, real.state_dict() | {next(iter(real.state_dict())): 0.5})
    assert all(weight.is_meta for weight in shape.state_dict().values())


def test_initial_weights_depend_on_the_seed_alone():
    before = torch.random.get_rng_state()
    first = build_network(block(**SMALL), seed=5).state_dict()
    torch.testing.assert_close(torch.random.get_rng_state(), before)
    torch.rand(3)
    again, other = (build_network(block(**SMALL), seed=seed).state_dict() for seed in (5, 6))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["stem.weight"], other["stem.weight"])


@pytest.fixture
def user_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write an importable user module and return its name."""
    name = "focus_test_user_networks"
    (tmp_path / f"{name}.py").write_text(
        "import torch\n"
        "class Mine(torch.nn.Conv2d):\n"
        "    def __init__(self, in_channels, out_channels, cond_dim, base_channels, channel_mults, time_dim):\n"
        "        super().__init__(in_channels, out_channels, 1)\n"
        "class Deep(torch.nn.Conv2d):\n"
        "    def __init__(self, in_channels, out_channels, depth=1, *, kernels=(1,), **others):\n"
        "        super().__init__(in_channels, out_channels, kernels[0])\n"
        "        self.depth = depth\n"
        "class Strict(torch.nn.Conv2d):\n"
        "    def __init__(self, in_channels, out_channels, cond_dim, base_channels, channel_mults, time_dim,\n"
        "                 depth=1):\n"
        "        super().__init__(in_channels, out_channels, depth)\n"
        "class Narrow(torch.nn.Module):\n"
        "    def __init__(self, width): super().__init__()\n"
        "def number(**keys): return 3\n"
        "constant = 3\n"
    )
    (tmp_path / f"{name}_broken.py").write_text("import there_is_no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for module in (name, f"{name}_broken"):
        sys.modules.pop(module, None)


def test_builds_the_users_own_class(user_code: str):
    network = build_network(block(**{"from": f"{user_code}.Mine"}, **SMALL), seed=1)
    assert type(network).__name__ == "Mine"
    assert count_parameters(network) == 2


def test_the_users_own_class_takes_keys_of_its_own(user_code: str):
    model = block(**{"from": f"{user_code}.Deep"}, **SMALL, options={"depth": 4, "kernels": [3, 1], "name": "x"})
    network = build_network(model)
    assert (network.depth, network.kernel_size) == (4, (3, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dept": 2}, r"model.options.dept: \S+.Strict does not take 'dept'; it takes: depth; did you mean \S+depth'"),
        ({"base_channels": 2}, "model.options.base_channels: write it as model.base_channels"),
        ({"depth": "many"}, "Strict does not accept the keys of the model block, .*, depth"),
    ],
)
def test_an_option_that_a_class_does_not_take_is_named(user_code: str, options: dict, message: str):
    model = block(**{"from": f"{user_code}.Strict"}, **SMALL, options=options)
    with pytest.raises(InputError, match=message) as refused:
        build_network(model)
    assert next(iter(options)) == "depth" or refused.value.key == f"model.options.{next(iter(options))}"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("SimpleUnet", "'SimpleUnet' is unknown; allowed: SimpleUNet, FlowUNet, DiT, Swin"),
        ("..Mine", "is unknown"),
        ("no_such_package.Mine", "cannot be imported.*PYTHONPATH"),
        ("{}.Other", "cannot be imported.*Other"),
        ("{}_broken.Mine", "there_is_no_such_package"),
        ("{}.Narrow", "does not accept the keys"),
        ("{}.number", "made int"),
        ("{}.constant", "not a class or a function"),
    ],
)
def test_refuses_what_makes_no_network(user_code: str, path: str, message: str):
    with pytest.raises(InputError, match=message):
        build_network(block(**{"from": path.format(user_code)}, **SMALL))
