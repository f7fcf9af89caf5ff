import itertools

import numpy as np
import pytest

from focus_engine.statistics import bispectrum
from focus_engine.statistics.map_stack import MapStack

BOX = 25.0


@pytest.fixture
def rng():
    return np.random.default_rng(8)


def measure(contrast, box_size=BOX):
    """Measure fields whose mean is subtracted: 1 + a small multiple is a density, and B scales with its cube."""
    scale = 0.5 / np.abs(contrast).max()
    result = bispectrum.measure(MapStack(1 + scale * contrast, box_size), None)
    return result, result.values / scale**3


def gaussian(rng, n_maps, power_of, size=32):
    """Return Gaussian fields of unit variance with mode variances power_of(|k|), and these, as (H, W)."""
    n = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(size, 1 / size)], indexing="ij"))
    power = np.where(n > 0, power_of(np.maximum(n, 1)), 0)
    power *= size**4 / power.sum()
    transform = np.fft.fft2(rng.normal(size=(n_maps, size, size))) * np.sqrt(power / size**2)
    return np.fft.ifft2(transform).real, power


def brute_force(field, result):
    """Return mean δ₁δ₂δ₃ over the triangles of each kind, by a loop over pairs of modes."""
    size = len(field)
    transform = np.fft.fft2(field - field.mean())
    modes = list(itertools.product(range(-(size // 2) + 1, (size + 1) // 2), repeat=2))
    unit = 2 * np.pi / BOX

    def bin_of(mode):
        return int(np.searchsorted(result.k_edges, unit * np.hypot(*mode), side="right")) - 1

    first_short = result.n_bins - (result.triangles.size - result.n_bins)
    kinds = {(i, i, i): i for i in range(result.n_bins)}
    kinds |= {(0, j, j): result.n_bins + j - first_short for j in range(first_short, result.n_bins)}
    sums, counts = np.zeros(result.triangles.size), np.zeros(result.triangles.size)
    for one, two in itertools.product(modes, repeat=2):
        three = (-one[0] - two[0], -one[1] - two[1])
        kind = kinds.get((bin_of(one), bin_of(two), bin_of(three)))
        if kind is not None:
            sums[kind] += (transform[one] * transform[two] * transform[three]).real
            counts[kind] += 1
    return sums / counts * BOX**4 / size**6, counts


@pytest.mark.parametrize("size", [8, 13])
def test_triangles_are_those_of_a_brute_force_sum(rng, size):
    field = rng.gamma(2.0, size=(size, size))
    result = bispectrum.measure(MapStack(field[None] / field.mean(), BOX), None)
    expected, counts = brute_force(field / field.mean(), result)
    np.testing.assert_array_equal(result.triangles, counts)
    np.testing.assert_allclose(result.values[0], expected, rtol=1e-9)


def test_power_is_that_of_the_modes_in_the_bins(rng):
    """The mean |δ|² L² / N⁴ over the modes of each bin, by the full complex transform."""
    field = 1 + 0.1 * rng.random((2, 16, 16))
    result = bispectrum.measure(MapStack(field, BOX), None)
    k = 2 * np.pi / BOX * np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(16, 1 / 16)]))
    squares = np.abs(np.fft.fft2(field / field.mean(axis=(1, 2), keepdims=True))) ** 2 * BOX**2 / 16**4
    for i in range(result.n_bins):
        inside = (k >= result.k_edges[i]) & (k < result.k_edges[i + 1])
        np.testing.assert_allclose(result.power[:, i], squares[:, inside].mean(axis=1), rtol=1e-10)
        assert result.k[i] == pytest.approx(k[inside].mean())
    products = 3 * result.power**2
    np.testing.assert_allclose(result.reduced[:, : result.n_bins], result.values[:, : result.n_bins] / products)


def test_a_gaussian_field_has_none(rng):
    result, values = measure(gaussian(rng, 400, lambda n: n**-1.5)[0])
    assert result.triangles.size > result.n_bins
    for estimate in (values, result.reduced):
        error = estimate.std(axis=0, ddof=1) / np.sqrt(len(estimate))
        assert np.abs(estimate.mean(axis=0) / error).max() < 4


def test_white_noise_has_the_third_moment_of_its_pixels(rng):
    """For independent pixels B = κ₃ (L / N)⁴ in every triangle; exact but for the mean that is subtracted."""
    gauss = rng.normal(size=(400, 32, 32))
    f = 0.2
    _, values = measure(gauss + f * (gauss**2 - 1))
    expected = (6 * f + 8 * f**3) * (BOX / 32) ** 4
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    assert np.abs((values.mean(axis=0) - expected) / error).max() < 4
    assert error[-1] < 0.08 * expected


def test_local_non_gaussianity_to_leading_order(rng):
    """B = 2 f (P₁P₂ + P₂P₃ + P₃P₁); the mean over triangles of P₁P₂ is by the same sums over a given spectrum."""
    gauss, power = gaussian(rng, 600, lambda n: n**-1.0)
    f = 0.03
    result, values = measure(gauss + f * (gauss**2 - 1))
    _, no_signal = measure(gauss)
    excess = values - no_signal  # the noise of the Gaussian part cancels
    expected = 2 * f * products_of_power(power, result) * BOX**4 / 32**8
    error = excess.std(axis=0, ddof=1) / np.sqrt(len(excess))
    assert np.abs(excess.mean(axis=0) / expected - 1).max() < 0.1
    assert np.abs((excess.mean(axis=0) - expected) / error).max() < 4.5


def products_of_power(power, result):
    """Return the mean of P₁P₂ + P₂P₃ + P₃P₁ over the triangles of each kind."""
    size = len(power)
    k = 2 * np.pi / BOX * np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(size, 1 / size)]))
    masks = [(k >= low) & (k < high) for low, high in itertools.pairwise(result.k_edges)]
    n_squeezed = result.triangles.size - result.n_bins
    kinds = [(i, i, i) for i in range(result.n_bins)]
    kinds += [(0, j, j) for j in range(result.n_bins - n_squeezed, result.n_bins)]
    found = []
    for kind in kinds:
        total = 0.0
        for pair in itertools.combinations(range(3), 2):
            fields = [np.fft.ifft2(masks[one] * (power if i in pair else 1)).real for i, one in enumerate(kind)]
            total += np.prod(fields, axis=0).sum()
        found.append(total * size**4)
    return np.array(found) / result.triangles


def test_units_follow_the_box(rng):
    """Twice the box is 2⁴ times B in (Mpc/h)⁴, half of k, and the same Q."""
    field = rng.lognormal(sigma=0.5, size=(3, 16, 16))
    one, two = (bispectrum.measure(MapStack(field, box), None) for box in (25.0, 50.0))
    np.testing.assert_allclose(two.values, 16 * one.values)
    np.testing.assert_allclose(two.power, 4 * one.power)
    np.testing.assert_allclose(two.k, one.k / 2)
    np.testing.assert_allclose(two.reduced, one.reduced)


def test_shifts_rotations_and_the_unit_of_the_map_do_not_matter(rng):
    field = rng.lognormal(sigma=0.7, size=(1, 24, 24))
    same = [field, 1e11 * field, np.roll(field, (5, 3), axis=(1, 2)), np.rot90(field, axes=(1, 2)), field[:, ::-1]]
    found = [bispectrum.measure(MapStack(one, BOX), None).values for one in same]
    for one in found[1:]:
        np.testing.assert_allclose(one, found[0], rtol=1e-9)


def test_maps_that_are_not_square_have_the_k_of_both_sides(rng):
    """A square map beside a copy of itself has the same modes, among more; each δ is doubled, A² / (H W)³ halved."""
    square = rng.lognormal(sigma=0.5, size=(2, 16, 16))
    one = bispectrum.measure(MapStack(square, BOX), None)
    two = bispectrum.measure(MapStack(np.concatenate([square, square], axis=2), 2 * BOX), None)
    np.testing.assert_allclose(two.k_edges, one.k_edges, rtol=1e-6)
    np.testing.assert_allclose(two.values * two.triangles, 4 * one.values * one.triangles, rtol=1e-9)


def test_a_constant_map_has_none_and_a_tiny_one_has_no_triangles():
    result = bispectrum.measure(MapStack(np.full((2, 16, 16), 3.0), BOX), None)
    assert not result.values.any()
    assert not result.reduced.any()
    for shape in ((4, 8), (2, 2), (1, 2)):
        assert bispectrum.measure(MapStack(np.ones((2, *shape)), BOX), None).values.shape == (2, 0)


def test_maps_are_read_in_chunks(rng, monkeypatch):
    field = rng.lognormal(sigma=0.5, size=(7, 16, 16))
    whole = bispectrum.measure(MapStack(field, BOX), None)
    monkeypatch.setattr("focus_engine.statistics.map_stack._CHUNK_PIXELS", 2 * 256)
    np.testing.assert_allclose(bispectrum.measure(MapStack(field, BOX), None).values, whole.values, rtol=1e-12)
