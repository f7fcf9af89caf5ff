import numpy as np
import pytest

from focus_engine.errors import InputError
from focus_engine.simulation.cosmology import Cosmology, top_hat_variance

CORNERS = [(0.1, 0.6), (0.3, 0.8), (0.5, 1.0)]


def colossus(omega_m: float, sigma_8: float):
    from colossus.cosmology import cosmology as module

    ours = Cosmology(omega_m, sigma_8)
    values = {"flat": True, "H0": 100 * ours.h, "Om0": omega_m, "Ob0": ours.Omega_b, "sigma8": sigma_8, "ns": ours.n_s}
    return ours, module.setCosmology("focus_test", {**values, "relspecies": False}, persistence="")


@pytest.mark.parametrize(("omega_m", "sigma_8"), CORNERS)
def test_linear_power_agrees_with_colossus(omega_m: float, sigma_8: float):
    ours, theirs = colossus(omega_m, sigma_8)
    k = np.geomspace(1e-3, 50, 100)
    power = ours.linear_power(k)
    np.testing.assert_allclose(power, theirs.matterPowerSpectrum(k, model="eisenstein98_zb"), rtol=2e-3)
    # Baryons still suppress small scales: beyond the wiggles the formula follows the full one.
    small = k > 1
    np.testing.assert_allclose(power[small], theirs.matterPowerSpectrum(k[small], model="eisenstein98"), rtol=0.04)


@pytest.mark.parametrize(("omega_m", "sigma_8"), CORNERS)
def test_growth_and_expansion_agree_with_colossus(omega_m: float, sigma_8: float):
    ours, theirs = colossus(omega_m, sigma_8)
    for a in (0.05, 0.3, 0.7, 1.0):
        assert ours.growth(a) == pytest.approx(theirs.growthFactor(1 / a - 1), rel=1e-3)
        assert ours.expansion(a) == pytest.approx(theirs.Ez(1 / a - 1), rel=1e-6)


def test_growth_is_the_scale_factor_when_matter_is_all():
    einstein_de_sitter = Cosmology(1.0, 0.8)
    for a in (0.01, 0.2, 1.0):
        assert einstein_de_sitter.growth(a) == pytest.approx(a, rel=1e-12)
        assert einstein_de_sitter.growth_rate(a) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("a", [0.05, 0.4, 0.999])
def test_growth_rate_is_the_logarithmic_derivative_of_growth(a: float):
    cosmology = Cosmology(0.2, 0.8)
    step = 1e-4
    slope = np.log(cosmology.growth(a * np.exp(step)) / cosmology.growth(a * np.exp(-step))) / (2 * step)
    assert cosmology.growth_rate(a) == pytest.approx(slope, rel=1e-7)


@pytest.mark.parametrize(("omega_m", "sigma_8"), CORNERS)
def test_power_has_its_sigma_8(omega_m: float, sigma_8: float):
    k = np.geomspace(1e-4, 50, 3000)
    variance = top_hat_variance(k, Cosmology(omega_m, sigma_8).linear_power(k), 8.0)
    assert variance**0.5 == pytest.approx(sigma_8, rel=1e-4)


def test_top_hat_variance_of_a_power_law_is_its_closed_form():
    # P = k^-2: ∫ W²(x) dx / (2π² R) over 0 … ∞, with ∫ W² dx = 3π/5.
    k = np.geomspace(1e-6, 1e3, 40000)
    assert top_hat_variance(k, k**-2.0, 2.0) == pytest.approx(3 * np.pi / 5 / (2 * np.pi**2 * 2.0), rel=1e-4)


def test_no_power_in_the_mean():
    assert Cosmology(0.3, 0.8).linear_power(0.0) == 0


@pytest.mark.parametrize(
    ("values", "named"),
    [((0.03, 0.8), "Omega_m"), ((1.2, 0.8), "Omega_m"), ((0.3, 0.0), "sigma_8"), ((float("nan"), 0.8), "Omega_m")],
)
def test_impossible_universes_are_refused_by_name(values: tuple[float, float], named: str):
    with pytest.raises(InputError, match=named):
        Cosmology(*values)
