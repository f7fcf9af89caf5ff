import numpy as np
import pytest

from focus_engine.errors import InputError
from focus_engine.statistics.camels_scatter import camels_cv_scatter, camels_scatter_like
from focus_engine.units import SURFACE_DENSITY

BANDS = ((0.0, 1.0), (1.0, 8.0), (8.0, 16.0))
LEAVE_ONE_OUT = (0.251, 0.183, 0.111)
"""Mean |ΔP/P| of a simulation of CAMELS CV against the other 26, in `BANDS`: published beside the scatter."""


def band_mean(values: np.ndarray, low: float, high: float) -> float:
    k = camels_cv_scatter().k
    return float(values[(k >= low) & (k < high)].mean())


def test_the_numbers_are_those_of_the_published_set():
    scatter = camels_cv_scatter("Mcdm")
    assert scatter.k.shape == scatter.std_map.shape == scatter.std_simulation.shape == (128,)
    np.testing.assert_allclose(scatter.k, np.arange(1, 129) * 2 * np.pi / 25, rtol=1e-6)
    assert (scatter.simulations, scatter.maps_per_simulation) == (27, 15)
    assert scatter.std_map[0] ** 2 == pytest.approx(1655.9014, rel=1e-5)
    assert scatter.std_simulation[0] ** 2 == pytest.approx(252.90607, rel=1e-5)
    assert (np.diff(scatter.std_map[:60]) < 0).all()  # P(k) falls, and its scatter with it


def test_a_simulation_holds_fewer_independent_maps_at_large_scales():
    """Between 1 (all alike) and 15 (all independent) up to the error of 27 simulations: a variance to 27 %."""
    scatter = camels_cv_scatter()
    assert (scatter.std_simulation < scatter.std_map).all()
    assert (scatter.effective_maps > 5).all()
    assert (scatter.effective_maps < 15 * 1.3).all()
    assert 6 < band_mean(scatter.effective_maps, *BANDS[0]) < 8
    assert band_mean(scatter.effective_maps, *BANDS[1]) > 10


@pytest.mark.parametrize(("band", "error"), list(zip(BANDS, LEAVE_ONE_OUT, strict=True))[:2])
def test_scatter_and_leave_one_out_error_agree(band: tuple[float, float], error: float):
    """The error gives σ/P of a simulation (a Gaussian has mean |x| = 0.798 σ) and √n of it is that of a map."""
    of_simulation = error / (np.sqrt(2 / np.pi) * np.sqrt(27 / 26))
    of_map = of_simulation * band_mean(np.sqrt(camels_cv_scatter().effective_maps), *band)
    assert 0.6 < of_map < 0.9


def test_it_is_shown_only_beside_maps_of_the_same_box_and_resolution():
    scatter = camels_cv_scatter()
    assert scatter.fits(25.0, 256)
    assert scatter.fits(25.0001, 256)
    assert not scatter.fits(25.0, 128)
    assert not scatter.fits(50.0, 256)


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({}, True),
        ({"field": "Mcdm"}, True),
        ({"field": "HI"}, False),
        ({"unit": "K"}, False),
        ({"box_size": 50.0}, False),
        ({"shape": (128, 256)}, False),
        ({"shape": (128, 128)}, False),
    ],
)
def test_it_stands_beside_maps_of_total_matter_like_those_of_camels_alone(changed, shown):
    of_camels = {"field": "", "unit": SURFACE_DENSITY, "box_size": 25.0, "shape": (256, 256)}
    assert (camels_scatter_like(**(of_camels | changed)) is not None) == shown


def test_other_fields_are_refused_by_name():
    with pytest.raises(InputError, match="'Mgas' is not packaged; fields: Mcdm"):
        camels_cv_scatter("Mgas")
