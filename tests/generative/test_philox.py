"""Philox: published vectors, numpy's generator, and the laws of Gaussians drawn from it."""

import math

import numpy as np
import pytest
import torch

from focus_engine.generative import map_noise
from focus_engine.generative.map_noise import LARGEST_SEED, MapNoise
from focus_engine.generative.philox import philox, unit_normals

CPU = torch.device("cpu")
WORD = 0xFFFFFFFF
KNOWN = [  # counter, key, words: kat_vectors of Random123 1.14, philox4x32 with 10 rounds
    ([0] * 4, (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([WORD] * 4, (WORD, WORD), [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        (0xA4093822, 0x299F31D0),
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]
NARROW = (32, (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85))
WIDE = (64, (0xD2E7470EE14C6C93, 0xCA5A826395121157), (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B))


def reference(counter: list[int], key: tuple[int, int], bits: int, multipliers: tuple, weyl: tuple) -> list[int]:
    """Return the words of a counter by Python's integers, for words of any size."""
    top = 2**bits
    a, b, c, d = counter
    first, second = key
    for _ in range(10):
        p, q = a * multipliers[0], c * multipliers[1]
        a, b, c, d = q // top ^ b ^ first, q % top, p // top ^ d ^ second, p % top
        first, second = (first + weyl[0]) % top, (second + weyl[1]) % top
    return [a, b, c, d]


def words_of(counter: list[int], key: tuple[int, int]) -> list[int]:
    words = philox(tuple(torch.tensor([word]) for word in counter), key)
    return [int(word) for word in words]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_words_are_those_that_are_published(counter: list[int], key: tuple[int, int], words: list[int]):
    assert words_of(counter, key) == words


def test_words_agree_with_the_reference_that_agrees_with_numpy():
    rng = np.random.default_rng(0)
    for _ in range(20):
        wide = [int(word) for word in rng.integers(0, 2**64, 6, dtype=np.uint64)]
        counter = wide[:4]
        stream = np.random.Philox(counter=np.array(counter, dtype=np.uint64), key=np.array(wide[4:], dtype=np.uint64))
        # numpy adds one to the counter before it draws
        counter[0] += 1
        assert stream.random_raw(4).tolist() == reference(counter, tuple(wide[4:]), *WIDE)
        narrow = [int(word) for word in rng.integers(0, 2**32, 6)]
        assert words_of(narrow[:4], tuple(narrow[4:])) == reference(narrow[:4], tuple(narrow[4:]), *NARROW)


def test_the_noise_of_a_pixel_is_a_function_of_seed_map_draw_and_place():
    seed, map_id = 2**40 + 3, 2**33 + 5
    noise = MapNoise(seed, map_id - 1, 3, (2, 3, 3), CPU)
    noise()
    drawn = noise()[1].flatten()
    for place in (0, 4):  # 18 pixels: five counters, the last one used in part
        u, v, *_ = reference([place, 1, map_id % 2**32, map_id >> 32], (seed % 2**32, seed >> 32), *NARROW)
        radius, angle = math.sqrt(-2 * math.log((u + 0.5) / 2**32)), 2 * math.pi * v / 2**32
        expected = (radius * math.cos(angle), radius * math.sin(angle))
        assert drawn[4 * place : 4 * place + 2].tolist() == pytest.approx(expected, rel=1e-6)


def test_noise_does_not_depend_on_batches_or_blocks(monkeypatch: pytest.MonkeyPatch):
    shape = (1, 5, 7)
    whole = MapNoise(3, 0, 9, shape, CPU)()
    parts = [MapNoise(3, first, 3, shape, CPU)() for first in (0, 3, 6)]
    assert torch.equal(torch.cat(parts), whole)
    monkeypatch.setitem(map_noise._BLOCKS, "cpu", 13)
    assert torch.equal(MapNoise(3, 0, 9, shape, CPU)(), whole)
    assert len({float(value) for value in whole.flatten()}) == whole.numel()
    for other in (MapNoise(4, 0, 9, shape, CPU), MapNoise(3 + 2**32, 0, 9, shape, CPU), MapNoise(3, 9, 9, shape, CPU)):
        assert not torch.isclose(other(), whole, atol=1e-6).any()
    assert MapNoise(LARGEST_SEED, 0, 1, shape, CPU)().isfinite().all()


def test_normals_have_the_moments_and_tails_of_a_gaussian():
    drawn = MapNoise(11, 0, 64, (1, 128, 128), CPU)()
    values, count = drawn.double().flatten(), drawn.numel()
    for order, moment in ((1, 0), (2, 1), (3, 0), (4, 3), (6, 15)):
        spread = math.sqrt((math.prod(range(1, 2 * order, 2)) - moment**2) / count)
        assert abs(float((values**order).mean()) - moment) < 4.5 * spread
    for limit in (1.0, 2.0, 3.0, 4.0):
        share = math.erfc(limit / math.sqrt(2))
        beyond = int((values.abs() > limit).sum())
        assert abs(beyond - count * share) < 4.5 * math.sqrt(count * share)
    pairs = values.view(-1, 4)
    correlation = torch.corrcoef(torch.cat((pairs, pairs.square()), dim=1).T) - torch.eye(8)
    assert correlation.abs().max() < 4.5 * math.sqrt(5 / len(pairs))  # that of x with x² has the largest error


def test_the_extreme_words_give_finite_normals():
    ends = torch.tensor([0, 1, WORD - 1, WORD])
    normals = unit_normals(tuple(torch.meshgrid(ends, ends, ends, ends, indexing="ij")))
    assert normals.isfinite().all()
    assert float(normals.abs().max()) == pytest.approx(math.sqrt(-2 * math.log(2**-33)))
