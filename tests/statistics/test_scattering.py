import json
from pathlib import Path

import numpy as np
import pytest
from power_reference import law_map
from scipy import special

from focus_engine.statistics import scattering
from focus_engine.statistics.map_stack import MapStack

REFERENCE = json.loads((Path(__file__).parent / "references" / "kymatio_scattering.json").read_text("utf-8"))
COARSE = 0.003  # relative: what the coarser grids of the larger scales cost on one 32² map


@pytest.fixture
def rng():
    return np.random.default_rng(12)


def red_logs(rng, n_maps=6, size=32):
    """Return Gaussian fields of unit variance with P(k) ∝ 1 / k²."""
    n = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(size, 1 / size)]))
    n[0, 0] = np.inf
    logs = np.fft.ifft2(np.fft.fft2(rng.normal(size=(n_maps, size, size))) / n).real
    return logs / logs.std()


def table(logs, scale=None):
    """Return (n, V) coefficients of 10 ** logs, of which `scale` standardises the logarithm; by default not at all."""
    found = scattering.measure(MapStack(10.0**logs, 25.0), scale or scattering.LogScale(1e-30, 0.0, 1.0))
    return np.concatenate([found.mean[:, None], found.first, found.parallel, found.perpendicular], axis=1)


def slow_coefficients(field, scales=3):
    """Return s1, s2 parallel and s2 perpendicular by sums over pixels with wavelets summed over periodic images."""
    size = len(field)
    offsets = np.arange(size)[:, None] + size * np.arange(-4, 5)

    def wavelet(j, turn):
        y, x = (axis / 2**j for axis in np.meshgrid(offsets.ravel(), offsets.ravel(), indexing="ij"))
        envelope = np.exp(-(x**2 + y**2) / (2 * 0.8**2)) / (2 * np.pi * 0.8**2) / 4**j
        angle = np.pi * turn / 4
        wave = envelope * np.exp(0.75j * np.pi * (x * np.cos(angle) + y * np.sin(angle)))
        images = (wave - envelope * wave.sum() / envelope.sum()).reshape(size, 9, size, 9)
        return images.sum(axis=(1, 3))

    def modulus(values, wave):
        rows = np.arange(size)
        shifted = (rows[:, None] - rows) % size  # [place, pixel]
        return np.abs(np.einsum("yaxb,ab->yx", wave[shifted[:, :, None, None], shifted[None, None]], values))

    waves = {(j, turn): wavelet(j, turn) for j in range(scales) for turn in range(4)}
    first = {key: modulus(field, wave) for key, wave in waves.items()}
    pairs = [(j1, j2) for j1 in range(scales) for j2 in range(j1 + 1, scales)]
    found = [np.mean([first[j, turn].mean() for turn in range(4)]) for j in range(scales)]
    for right in (0, 2):
        for j1, j2 in pairs:
            found.append(np.mean([modulus(first[j1, turn], waves[j2, (turn + right) % 4]).mean() for turn in range(4)]))
    return np.array(found)


def test_coefficients_are_those_of_sums_over_pixels(rng):
    logs = red_logs(rng, 1, 16)
    scales = 3
    expected = slow_coefficients(logs[0], scales)
    found = table(logs)[0]
    assert found[0] == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(found[1:], expected, rtol=COARSE)


@pytest.mark.parametrize("row", REFERENCE["maps"], ids=lambda row: f"seed {row['seed']}")
def test_agrees_with_kymatio(row):
    """Its wavelets at full resolution agree to the cost of our coarser grids; its own transform uses coarser ones."""
    logs = np.log10(law_map(REFERENCE["side"], row["seed"]))
    found = scattering.measure(MapStack(10 ** (logs - logs.mean())[None], 25.0), scattering.LogScale(1e-30, 0.0, 1.0))
    for name in ("first", "parallel", "perpendicular"):
        np.testing.assert_allclose(getattr(found, name)[0], row["filters"][name], rtol=COARSE)
        np.testing.assert_allclose(getattr(found, name)[0], row["transform"][name], rtol=0.025)


def test_first_order_of_white_noise_is_that_of_complex_gaussians(rng):
    """E|z| = σ √π / 2 for a circular Gaussian; the exact law of z = a + ib needs the variances of its two axes."""
    size, n_maps = 32, 300
    found = table(rng.normal(size=(n_maps, size, size)))[:, 1:5]
    error = found.std(axis=0, ddof=1) / np.sqrt(n_maps)
    circular, exact = np.zeros(4), np.zeros(4)
    for j in range(4):
        for turn in range(4):
            wave = scattering._morlet((size, size), j, np.pi * turn / 4)
            power = (wave**2).sum() / size**2
            pseudo = (wave * np.roll(wave[::-1, ::-1], 1, axis=(0, 1))).sum() / size**2
            wide, narrow = (power + abs(pseudo)) / 2, (power - abs(pseudo)) / 2
            exact[j] += np.sqrt(2 * wide / np.pi) * special.ellipe(1 - narrow / wide) / 4
            circular[j] += np.sqrt(np.pi) / 2 * np.sqrt(power) / 4
    assert np.abs((found.mean(axis=0) - exact) / error).max() < 4
    np.testing.assert_allclose(found.mean(axis=0)[1:], circular[1:], rtol=0.01)


def test_shifts_rotations_and_reflections_do_not_matter(rng):
    """Exactly where the coarser grids are met, to their cost elsewhere."""
    logs = red_logs(rng)
    found = table(logs)
    about_a_pixel = np.roll(np.rot90(logs, axes=(1, 2)), 1, axis=1)
    for same in (np.roll(logs, (8, 16), axis=(1, 2)), about_a_pixel):
        np.testing.assert_allclose(table(same), found, rtol=2e-5, atol=1e-7)
    for same in (np.roll(logs, (5, 3), axis=(1, 2)), np.rot90(logs, axes=(1, 2)), logs[:, ::-1]):
        np.testing.assert_allclose(table(same)[:, 1:3], found[:, 1:3], rtol=2e-5)
        np.testing.assert_allclose(table(same), found, rtol=0.02, atol=1e-7)


def test_they_scale_with_the_amplitude_and_not_with_the_unit(rng):
    logs = red_logs(rng)
    scale = scattering.bins(MapStack(10.0**logs, 25.0), MapStack(10.0**logs, 25.0))
    assert scale.mean == pytest.approx(logs.mean(), abs=1e-6)
    assert scale.sigma == pytest.approx(logs.std(), rel=1e-6)
    found = table(logs, scale)
    np.testing.assert_allclose(table(1.3 * logs, scale)[:, 1:], 1.3 * found[:, 1:], rtol=1e-4)
    brighter = MapStack(10.0 ** (logs + 11), 25.0)
    np.testing.assert_allclose(table(logs + 11, scattering.bins(brighter, brighter)), found, rtol=1e-3, atol=1e-5)


def test_they_see_phases(rng):
    """A field with the P(k) of its logarithm kept and its phases drawn anew has other second-order coefficients."""
    logs = np.abs(red_logs(rng, 40)) ** 1.5
    phases = np.exp(1j * np.angle(np.fft.fft2(rng.normal(size=logs.shape))))
    gauss = np.fft.ifft2(np.abs(np.fft.fft2(logs)) * phases).real
    real, other = table(logs)[:, 5:], table(gauss)[:, 5:]
    shift = (other.mean(axis=0) - real.mean(axis=0)) / real.std(axis=0) * np.sqrt(len(logs) / 2)
    assert np.abs(shift).max() > 10


def test_zeros_are_raised_to_the_floor(rng):
    field = 10.0 ** red_logs(rng, 2)
    field[0, 3, 4] = 0
    smallest = field[field > 0].min()
    stack = MapStack(field, 25.0)
    scale = scattering.bins(stack, stack)
    assert scale.floor == pytest.approx(smallest / 10)
    raised = MapStack(np.maximum(field, scale.floor), 25.0)
    np.testing.assert_array_equal(scattering.measure(stack, scale).first, scattering.measure(raised, scale).first)


@pytest.mark.parametrize("shape", [(8, 8), (25, 40), (48, 20)])
def test_maps_of_any_shape_are_measured(rng, shape):
    found = scattering.measure(MapStack(rng.lognormal(size=(3, *shape)), 25.0), scattering.LogScale(1e-30, 0.0, 1.0))
    n_scales = found.first.shape[1]
    assert n_scales == int(np.log2(min(shape))) - 1
    assert found.parallel.shape == found.perpendicular.shape == (3, n_scales * (n_scales - 1) // 2)
    assert len(found.pairs) == found.parallel.shape[1]
    assert (found.first > 0).all()


def test_constant_maps_are_unknown_and_tiny_ones_have_no_scales(rng):
    flat = MapStack(np.full((2, 16, 16), 3.0), 25.0)
    assert np.isnan(scattering.measure(flat, scattering.bins(flat, flat)).first).all()
    for shape, scales in (((4, 8), 1), ((2, 2), 0), ((1, 2), 0)):
        tiny = MapStack(rng.random((2, *shape)), 25.0)
        assert scattering.measure(tiny, scattering.bins(tiny, tiny)).first.shape == (2, scales)


def test_maps_are_read_in_chunks(rng, monkeypatch):
    stack = MapStack(10.0 ** red_logs(rng, 7), 25.0)
    scale = scattering.bins(stack, stack)
    whole = scattering.measure(stack, scale)
    monkeypatch.setattr("focus_engine.statistics.map_stack._CHUNK_PIXELS", 2 * 32**2)
    np.testing.assert_allclose(scattering.measure(stack, scale).parallel, whole.parallel, rtol=1e-6)
