"""Optimisers against independent implementations, and which parameters each takes."""

import copy
import io

import pytest
import torch
from torch import Tensor, nn

from focus_engine.config.blocks.training import TrainingBlock
from focus_engine.config.load import parse_config
from focus_engine.config.optimisers import OPTIMISERS
from focus_engine.errors import InputError
from focus_engine.models.unet import SimpleUNet
from focus_engine.training import muon
from focus_engine.training.matrices import split_parameters
from focus_engine.training.muon import Muon, orthogonalised
from focus_engine.training.optimisers import build_optimiser
from focus_engine.training.soap import SOAP


def small_network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SimpleUNet(cond_dim=2, base_channels=8, channel_mults=(1, 2), time_dim=8)


def set_gradients(parameters: list[nn.Parameter], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for one in parameters:
        one.grad = torch.randn(one.shape, generator=generator, dtype=one.dtype)


def walk(network: nn.Module, optimizer: torch.optim.Optimizer, seeds: range) -> list[Tensor]:
    for seed in seeds:
        set_gradients(list(network.parameters()), seed)
        optimizer.step()
    return [one.detach().clone() for one in network.parameters()]


# every optimiser of the table


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_step_lowers_a_quadratic_loss(name: str):
    network = small_network()
    optimizer = build_optimiser(network, TrainingBlock(optimizer=name, lr=1e-3, weight_decay=0.0))

    def loss() -> Tensor:
        return sum(one.square().sum() for one in network.parameters())

    before = float(loss().detach())
    for _ in range(3):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert float(loss().detach()) < before


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_state_goes_on_from_a_file_bit_for_bit(name: str):
    settings = TrainingBlock(optimizer=name, lr=1e-2)
    whole, first, second = small_network(), small_network(), small_network()
    expected = walk(whole, build_optimiser(whole, settings), range(25))
    optimizer = build_optimiser(first, settings)
    walk(first, optimizer, range(12))
    file = io.BytesIO()
    torch.save([first.state_dict(), optimizer.state_dict()], file)
    file.seek(0)
    weights, state = torch.load(file, weights_only=True)
    second.load_state_dict(weights)
    resumed = build_optimiser(second, settings)
    resumed.load_state_dict(state)
    assert all(map(torch.equal, walk(second, resumed, range(12, 25)), expected))


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_rate_of_zero_moves_nothing(name: str):
    """Warmup starts near it; the loop sets it on every group."""
    network = small_network()
    before = [one.detach().clone() for one in network.parameters()]
    optimizer = build_optimiser(network, TrainingBlock(optimizer=name))
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    assert all(map(torch.equal, walk(network, optimizer, range(3)), before))


def test_adamw_agrees_with_the_unfused():
    own, theirs = small_network(), small_network()
    ours = walk(own, build_optimiser(own, TrainingBlock(lr=1e-2, weight_decay=0.1)), range(5))
    reference = torch.optim.AdamW(theirs.parameters(), lr=1e-2, weight_decay=0.1, foreach=False)
    torch.testing.assert_close(ours, walk(theirs, reference, range(5)))


def test_a_run_that_began_unfused_goes_on_unfused():
    """Checkpoints of earlier versions resume bit for bit."""
    old, now = small_network(), small_network()
    before = torch.optim.AdamW(old.parameters(), lr=1e-2, weight_decay=1e-4)
    walk(old, before, range(3))
    now.load_state_dict(old.state_dict())
    resumed = build_optimiser(now, TrainingBlock(lr=1e-2))
    assert resumed.param_groups[0]["fused"]
    resumed.load_state_dict(copy.deepcopy(before.state_dict()))
    assert all(map(torch.equal, walk(now, resumed, range(3, 6)), walk(old, before, range(3, 6))))


def test_a_network_with_complex_weights_trains():
    network = nn.Linear(2, 2, dtype=torch.complex64)
    before = network.weight.detach().clone()
    optimizer = build_optimiser(network, TrainingBlock())
    network(torch.ones(1, 2, dtype=torch.complex64)).abs().sum().backward()
    optimizer.step()
    assert not torch.equal(before, network.weight)


# which parameters


def test_hidden_matrices_are_those_between_the_outer_layers():
    network = small_network()
    names = {id(one): name for name, one in network.named_parameters()}
    matrices, others = ([names[id(one)] for one in part] for part in split_parameters(network, "muon"))
    assert sorted([*matrices, *others]) == sorted(names.values())
    assert all(name.endswith("weight") for name in matrices)
    left = {name for name in others if not name.endswith("bias") and "norm" not in name}
    outer = {"stem", "head", "embedding.time.0", "embedding.condition.0"}
    assert left == {*(f"{name}.weight" for name in outer), "embedding.no_condition"}


def test_without_names_the_first_and_last_layers_are_the_outer_ones():
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4), nn.Conv2d(4, 4, 1, groups=2), nn.Linear(4, 1))
    network.append(nn.Embedding(3, 4)).append(nn.LayerNorm(3))
    matrices, _ = split_parameters(network, "muon")
    assert [one is network[1].weight for one in matrices] == [True]


@pytest.mark.parametrize("name", ["muon", "soap"])
def test_a_network_without_hidden_matrices_is_refused(name: str):
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    with pytest.raises(InputError, match=f"training.optimizer: {name} .* Sequential has none; use adamw"):
        build_optimiser(network, TrainingBlock(optimizer=name))


@pytest.mark.parametrize("make", [Muon, SOAP])
def test_the_rest_is_updated_by_adamw(make: type):
    settings = {"lr": 1e-2, "weight_decay": 0.1, "betas": (0.8, 0.9), "eps": 1e-3}
    own, theirs = (nn.ParameterList([torch.ones(3), torch.ones(2, 2)]) for _ in range(2))
    ours = walk(own, make([], list(own), **settings), range(4))
    torch.testing.assert_close(ours, walk(theirs, torch.optim.AdamW(theirs, **settings), range(4)))


# Muon


@pytest.mark.parametrize("shape", [(3, 4, 7), (2, 6, 3), (1, 5, 5)])
def test_newton_schulz_maps_the_singular_values_alone(shape: tuple[int, ...]):
    """The same polynomial on the singular values of a decomposition."""
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    values = values / values.square().sum(-1, keepdim=True).sqrt()
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    expected = left @ torch.diag_embed(values) @ right
    torch.testing.assert_close(orthogonalised(matrices, torch.float64), expected)
    assert (values > 0.3).all()
    assert (values < 1.3).all()


def test_a_zero_gradient_gives_a_zero_update():
    assert orthogonalised(torch.zeros(1, 2, 3), torch.float32).abs().max() == 0


def test_muon_agrees_with_that_of_torch(monkeypatch: pytest.MonkeyPatch):
    """Torch's runs Newton-Schulz in bfloat16 on every device, so ours is made to."""
    settings = {"lr": 1e-2, "weight_decay": 0.1, "momentum": 0.9}
    own, theirs = (nn.ParameterList([torch.ones(4, 6), torch.ones(4, 6), torch.ones(5, 2)]) for _ in range(2))
    exact = orthogonalised
    monkeypatch.setattr(muon, "orthogonalised", lambda x, _: exact(x.bfloat16(), torch.bfloat16).float())
    ours = walk(own, Muon(list(own), [], **settings), range(6))
    reference = torch.optim.Muon(theirs, **settings, adjust_lr_fn="match_rms_adamw")
    torch.testing.assert_close(ours, walk(theirs, reference, range(6)), rtol=0, atol=2e-4)


@pytest.mark.parametrize("make", [Muon, SOAP])
def test_a_convolution_is_a_matrix_of_its_outputs(make: type):
    flat, conv = nn.ParameterList([torch.ones(4, 18)]), nn.ParameterList([torch.ones(4, 2, 3, 3)])
    settings = {"lr": 1e-2, "weight_decay": 0.1}
    (expected,) = walk(flat, make(list(flat), [], **settings), range(4))
    conv_optimizer = make(list(conv), [], **settings)
    for seed in range(4):
        set_gradients(list(flat), seed)
        conv[0].grad = flat[0].grad.view(4, 2, 3, 3)
        conv_optimizer.step()
    torch.testing.assert_close(conv[0].detach().flatten(1), expected)


def test_the_update_of_muon_has_the_size_of_that_of_adamw():
    weight = nn.Parameter(torch.zeros(64, 32, 3, 3))
    set_gradients([weight], 0)
    Muon([weight], [], lr=1.0, weight_decay=0.0).step()
    assert weight.detach().square().mean().sqrt() == pytest.approx(0.2, rel=0.2)


# SOAP


@pytest.mark.parametrize(
    ("longest", "expected"),
    [
        (10, [-0.94567296, -0.63728025, -0.53496681, -0.41570705, -0.25528408, -0.05531220]),
        (3, [-0.93551991, -0.63620705, -0.54450406, -0.42435026, -0.24290075, -0.05632441]),
    ],
)
def test_soap_agrees_with_pytorch_optimizer(longest: int, expected: list[float]):
    """Numbers of pytorch-optimizer 4.1.0, whose QR is in float32; at 3 only the rows are rotated."""
    weight = nn.Parameter(torch.linspace(-1, 1, 12, dtype=torch.float64).sin().reshape(3, 4))
    optimizer = SOAP(
        [weight],
        [],
        lr=1e-2,
        weight_decay=0.1,
        betas=(0.9, 0.95),
        precondition_frequency=3,
        max_precond_dim=longest,
    )
    for step in range(14):
        wave = torch.cos(torch.arange(12.0).double().reshape(3, 4) * (1 + step))
        weight.grad = 0.5 * weight.detach() + wave
        optimizer.step()
    given = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(weight.detach().flatten()[:6], given, rtol=0, atol=1e-7)


def test_soap_without_a_basis_is_adamw_one_step_late():
    settings = {"lr": 1e-2, "weight_decay": 0.0, "betas": (0.9, 0.95)}
    own, theirs = (nn.ParameterList([torch.ones(3, 4)]) for _ in range(2))
    ours = walk(own, SOAP(list(own), [], **settings, max_precond_dim=1), range(6))
    torch.testing.assert_close(ours, walk(theirs, torch.optim.AdamW(theirs, **settings), range(1, 6)))


# keys


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ("{optimizer: sgd, betas: [0.9, 0.99]}", "training.betas is given, but training.optimizer: sgd does not read"),
        ("{momentum: 0.9}", "adamw does not read it; those that do: sgd, muon"),
        ("{optimizer: soap, momentum: 0.9}", "soap does not read it"),
        ("{betas: [0.9, 1.0]}", "must be < 1"),
        ("{betas: [0.9]}", "training.betas: [0.9]: give two numbers"),
        ("{optimizer: lion}", "allowed: 'adamw', 'adam', 'sgd', 'muon' or 'soap'"),
    ],
)
def test_a_setting_that_the_optimiser_does_not_read_is_refused(training: str, message: str, tmp_path):
    with pytest.raises(InputError, match=message.replace("[", r"\[")):
        parse_config(f"training: {training}", tmp_path)


def test_settings_reach_the_optimiser_and_else_it_has_its_own():
    network = small_network()
    keys = {"betas": [0.5, 0.6], "eps": 1e-4, "momentum": 0.7, "optimizer": "muon"}
    for group in build_optimiser(network, TrainingBlock.model_validate(keys)).param_groups:
        assert (group["betas"], group["eps"], group["momentum"]) == ((0.5, 0.6), 1e-4, 0.7)
    defaults = {name: build_optimiser(network, TrainingBlock(optimizer=name)).param_groups[0] for name in OPTIMISERS}
    assert (defaults["adamw"]["betas"], defaults["soap"]["betas"]) == ((0.9, 0.999), (0.95, 0.95))
    assert (defaults["sgd"]["momentum"], defaults["muon"]["momentum"]) == (0.9, 0.95)
