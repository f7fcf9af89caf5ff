import numpy as np
import pytest

from focus_engine.errors import InputError
from focus_engine.statistics import pdf
from focus_engine.statistics.design import Design
from focus_engine.statistics.map_stack import MapStack

SIMULATIONS = np.repeat(np.arange(6), 3)


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def compare_pdfs(real, generated, simulations, seed):
    stacks = MapStack(real, 25.0), MapStack(generated, 25.0, what="generated map")
    bins = pdf.bins(*stacks)
    return pdf.compare(*(pdf.measure(stack, bins) for stack in stacks), Design.paired(simulations, seed=seed))


def lognormal(rng, mean=11.0, sigma=0.5, n_maps=18):
    return 10 ** rng.normal(mean, sigma, size=(n_maps, 32, 32))


def test_w1_is_that_of_scipy(rng):
    from scipy import stats

    real, generated = lognormal(rng), lognormal(rng, 11.1, 0.6)
    result = compare_pdfs(real, generated, SIMULATIONS, seed=0)
    logs = np.log10(real).ravel()
    exact = stats.wasserstein_distance(logs, np.log10(generated).ravel()) / logs.std()
    assert result.w1 == pytest.approx(exact, abs=2e-3)
    assert result.real_sigma == pytest.approx(logs.std(), rel=1e-4)


def test_a_shift_is_its_own_distance(rng):
    """W1 of a field and the same field times a constant is the shift of its logarithm, in σ."""
    real = lognormal(rng)
    result = compare_pdfs(real, real * 10**0.2, SIMULATIONS, seed=0)
    assert result.w1 == pytest.approx(0.2 / result.real_sigma, rel=5e-3)
    assert compare_pdfs(real, real, SIMULATIONS, seed=0).w1 == 0


def test_densities_are_those_of_the_gaussian(rng):
    result = compare_pdfs(lognormal(rng), lognormal(rng), SIMULATIONS, seed=0)
    x = result.log10_value
    gaussian = np.exp(-((x - 11) ** 2) / 2 / 0.25) / np.sqrt(2 * np.pi * 0.25)
    np.testing.assert_allclose(result.real_pdf, gaussian, atol=0.06)
    np.testing.assert_allclose(result.generated_pdf, gaussian, atol=0.06)
    assert (result.real_pdf * np.diff(x)[0]).sum() == pytest.approx(1)
    assert result.real_std.max() < 0.1


def test_true_against_true_is_seeded_and_small(rng):
    real = lognormal(rng)
    first, again = (compare_pdfs(real, real, SIMULATIONS, seed=1).true_vs_true_w1 for _ in range(2))
    assert first == again
    assert 0 < first < 0.05


def test_zeros_are_floored_and_counted(rng):
    real, generated = lognormal(rng), lognormal(rng)
    real[0, :4, :4] = 0
    generated[:, 0, 0] = 1e-30
    result = compare_pdfs(real, generated, SIMULATIONS, seed=0)
    assert result.floor == pytest.approx(real[real > 0].min() / 10)
    assert result.real_floored == pytest.approx(16 / real.size)
    assert result.generated_floored == pytest.approx(18 / generated.size)
    assert np.isfinite(result.w1)
    assert compare_pdfs(generated, generated, SIMULATIONS, seed=0).real_floored == 0


def test_outliers_count_but_do_not_stretch_the_picture(rng):
    real, generated = lognormal(rng), lognormal(rng)
    generated[0, 0, 0] = 1e30
    result = compare_pdfs(real, generated, SIMULATIONS, seed=0)
    assert result.log10_value[-1] < 15


def test_unknown_without_a_second_simulation(rng):
    real = lognormal(rng, n_maps=2)
    result = compare_pdfs(real, real, [7, 7], seed=0)
    assert np.isnan(result.true_vs_true_w1)
    assert np.isnan(result.real_std).all()
    assert result.w1 == 0


def test_constant_maps_have_no_sigma():
    flat = np.full((2, 4, 4), 3.0)
    assert np.isnan(compare_pdfs(flat, flat, [0, 1], seed=0).w1)


def test_an_unphysical_map_is_named(rng):
    real, generated = lognormal(rng), lognormal(rng)
    generated[5, 1, 1] = -2
    with pytest.raises(InputError, match="generated map 5"):
        compare_pdfs(real, generated, SIMULATIONS, seed=0)


def test_the_tail_and_the_mean_of_logarithms_are_those_of_the_pixels(rng):
    """With a mean 0.1 dex higher, pixels above the 99.9th percentile are nearly twice as many: Φ(−2.89) / Φ(−3.09)."""
    from scipy import stats

    real, generated = lognormal(rng, n_maps=180), lognormal(rng, 11.1, n_maps=180)
    found = compare_pdfs(real, generated, np.arange(180) // 30, seed=0).scores
    threshold = np.quantile(real, 0.999)
    share = [(one > threshold).mean() for one in (real, generated)]
    assert found["tail"].value == pytest.approx(share[1] / share[0] - 1, rel=0.05)
    assert found["tail"].value == pytest.approx(stats.norm.sf(3.09 - 0.2) / 1e-3 - 1, rel=0.25)
    apart = np.log10(generated).mean() - np.log10(real).mean()
    assert found["log_mean"].value == pytest.approx(apart, abs=1e-4)
    assert apart == pytest.approx(0.1, abs=0.01)
