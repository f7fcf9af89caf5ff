import numpy as np
import pytest

from focus_engine.statistics.camels_scatter import cv_scatter
from focus_engine.units import NORMALISED, SURFACE_DENSITY

CAMELS = {"field": "Mcdm", "box_size": 25.0, "shape": (256, 256), "units": SURFACE_DENSITY}
K_F = 2 * np.pi / 25


def test_published_values_are_returned_at_their_k():
    published = np.sqrt([1655.9014249958334, 932.584775265716, 646.4755985648144])
    np.testing.assert_allclose(cv_scatter(K_F * np.arange(1, 4), **CAMELS), published, rtol=1e-4)
    between = cv_scatter([1.5 * K_F], **CAMELS)
    assert published[1] < between[0] < published[0]
    assert np.isnan(cv_scatter([0.1, 100.0], **CAMELS)).all()


@pytest.mark.parametrize(
    "change", [{"field": "HI"}, {"box_size": 50.0}, {"shape": (128, 128)}, {"units": NORMALISED}], ids=str
)
def test_other_maps_have_none(change):
    assert cv_scatter([1.0], **(CAMELS | change)) is None


def test_a_field_without_a_name_is_total_matter():
    np.testing.assert_array_equal(cv_scatter([1.0], **(CAMELS | {"field": ""})), cv_scatter([1.0], **CAMELS))
    assert cv_scatter([1.0], **(CAMELS | {"field": "Mgas"}))[0] < cv_scatter([1.0], **CAMELS)[0]
