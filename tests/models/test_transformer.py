"""What is the transformers' own: attention by differences modulo the box, windows, and their keys."""

import pytest
import torch
from random_networks import inputs, random_network

from focus_engine.config.load import parse_config
from focus_engine.errors import InputError
from focus_engine.models.attention import TorusAttention, rotated, rotation
from focus_engine.models.build import build_network, count_parameters
from focus_engine.models.transformer import TorusTransformer, _joined, _windows

KEYS = {"cond_dim": 2, "time_dim": 8, "patch": 2, "width": 16, "depth": 2, "heads": 2}


def test_rotated_products_depend_on_the_difference_modulo_the_box():
    """⟨R(i) q, R(j) k⟩ for one query and one key everywhere on a grid."""
    shape = (3, 4)
    query, key = torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    angles = rotation(shape, 8, query)
    products = (rotated(query.expand(12, 8), angles) @ rotated(key.expand(12, 8), angles).T).view(*shape, *shape)
    for row in range(3):
        for column in range(4):
            torch.testing.assert_close(products[row, column], products[0, 0].roll((row, column), (0, 1)))
    assert products[0, 0].flatten().unique().numel() == 12


def test_attention_is_that_of_its_formula():
    attention = random_network(TorusAttention, width=8, heads=2)
    x = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    angles = rotation((2, 3), 4, x)
    mixed = []
    query, key, value = attention.qkv(x[0]).split(8, dim=1)
    for head in (slice(0, 4), slice(4, 8)):
        turned = []
        for one, norm in ((query, attention.norm_query), (key, attention.norm_key)):
            part = one[:, head]
            part = norm.weight * part / (part.square().mean(1, keepdim=True) + 1e-6).sqrt()
            turn = torch.complex(part[:, :2], part[:, 2:]) * torch.polar(torch.ones_like(angles[0]), _angle(angles))
            turned.append(torch.cat((turn.real, turn.imag), dim=1))
        mixed.append(torch.softmax(turned[0] @ turned[1].T / 2, dim=1) @ value[:, head])
    torch.testing.assert_close(attention(x, angles)[0], attention.out(torch.cat(mixed, dim=1)))


def _angle(angles: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return torch.atan2(angles[1], angles[0])


def test_windows_are_cut_and_joined():
    grid = torch.arange(2 * 4 * 6).view(2, 4, 6, 1)
    windows = _windows(grid, (2, 3))
    assert windows.shape == (8, 6, 1)
    assert torch.equal(windows[1].view(2, 3), grid[0, :2, 3:, 0])
    assert torch.equal(_joined(windows, (2, 3), grid), grid)


def _reach(network: TorusTransformer) -> torch.Tensor:
    """Where a change of one pixel changes the output, (16, 16)."""
    x, time, cond = inputs(1, 1, 16, 16)
    changed = x.clone()
    changed[..., 6, 6] += 1.0
    with torch.no_grad():
        return ((network(changed, time, cond) - network(x, time, cond)).abs() > 1e-12)[0, 0]


def test_one_block_in_windows_sees_a_window_and_two_see_its_neighbours():
    one, two = (_reach(random_network(TorusTransformer, **KEYS | {"depth": n}, window=2)) for n in (1, 2))
    near = torch.zeros(16, 16, dtype=torch.bool)
    near[3:9, 3:9] = True  # the window of pixels 4 to 7, and one pixel around it by the convolutions
    assert torch.equal(one & near, one)
    assert not torch.equal(two & near, two)
    assert not two.all()


def test_attention_over_the_box_sees_all_of_it():
    assert _reach(random_network(TorusTransformer, **KEYS | {"depth": 1})).all()


@pytest.mark.parametrize("name", ["DiT", "Swin"])
def test_the_default_has_29_million_parameters(name: str, tmp_path):
    model = parse_config(f"model: {{from: {name}}}", tmp_path).config.model
    with torch.device("meta"):
        network = build_network(model)
    assert count_parameters(network) == 29_371_329
    assert network.stride == {"DiT": 4, "Swin": 32}[name]


def test_the_keys_reach_the_network(tmp_path):
    text = "model: {from: Swin, swin: {patch: 2, window: 4, width: 32, depth: 3, heads: 4, mlp_ratio: 1}}"
    network = build_network(parse_config(text, tmp_path).config.model)
    first = network.blocks[0]
    seen = (network.patch, network.window, first.attention.qkv.in_features, len(network.blocks), first.attention.heads)
    assert seen == (2, 4, 32, 3, 4)
    assert first.mlp[0].out_features == 32


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("from: DiT, dit: {width: 100}", "model.dit.heads is 6, but 4 x 6 does not divide 100, model.dit.width"),
        ("from: Swin, swin: {heads: 5}", "model.swin.heads is 5, but 4 x 5 does not divide 384, model.swin.width"),
        ("from: DiT, dit: {patch: 5}", "data.map_size is 32, which model.dit.patch = 5 does not divide"),
        ("from: Swin, swin: {window: 6}", "32, which model.swin.patch x model.swin.window = 24 does not divide"),
        ("from: Swin, swin: {window: 1}", "model.swin.window: 1: must be >= 2"),
        ("from: DiT, dit: {patches: 3}", "did you mean 'model.dit.patch'"),
    ],
)
def test_keys_that_do_not_fit_are_refused(model: str, message: str, tmp_path):
    with pytest.raises(InputError, match=message):
        parse_config(f"model: {{{model}}}", tmp_path)


def test_keys_of_another_network_are_not_held_to_its_laws(tmp_path):
    loaded = parse_config("model: {dit: {width: 100, patch: 5}}", tmp_path)
    assert loaded.config.model.dit.width == 100
    assert [one.split("model.", 1)[1] for one in loaded.warnings] == ["dit is not read by model.from: SimpleUNet"]


def test_a_block_that_holds_its_defaults_needs_no_warning(tmp_path):
    """A template of one network, edited into another."""
    assert parse_config("model: {from: DiT, unet: {attention_levels: 0}}", tmp_path).warnings == ()
