"""Matching of two sides by parameters: in any order and number, to 1e-5, and no point is dropped without a word."""

import numpy as np
import pytest

from focus_engine.errors import InputError
from focus_engine.statistics.design import distinct_params
from focus_engine.statistics.judged_maps import JudgedMaps
from focus_engine.statistics.matching import match_maps

NAMES = ("Omega_m", "sigma_8")
POINTS = np.array([[0.1, 0.9], [0.3, 0.8], [0.5, 0.7]])


def side(what, rows, points=POINTS, size=8, **how):
    params = None if points is None else points[np.asarray(rows)]
    maps = np.arange(len(rows), dtype=np.float32)[:, None, None, None] + np.zeros((1, size, size))
    return JudgedMaps(what, f"{what}.npz", maps, params, **{"param_names": NAMES, "box_size": 25.0, **how})


def test_rows_need_not_be_paired():
    real, generated = side("real", [0, 0, 1, 1, 2]), side("generated", [2, 1, 2, 0, 2, 2], POINTS + 4e-6)
    matched = match_maps(real, generated)
    np.testing.assert_allclose(matched.points[matched.real_point], real.params)
    np.testing.assert_allclose(matched.points[matched.generated_point], generated.params, atol=1e-5)
    assert matched.real is real
    assert np.bincount(matched.generated_point).sum() == 6


@pytest.mark.parametrize("scale", [1.0, 2e-9, 70.0])
def test_the_tolerance_suits_the_size_of_a_parameter(scale):
    values = scale * np.array([1.0, 1.0 + 4e-6, 1.0 + 3e-5, 0.0])[:, None]
    points, place = distinct_params(values)
    assert place.tolist() == [1, 1, 2, 0]
    assert points.shape == (3, 1)


def test_unmatched_points_are_named_and_left_out_only_when_asked():
    real, generated = side("real", [0, 0, 1, 2, 2]), side("generated", [2, 1, 1])
    with pytest.raises(InputError, match=r"2 real maps at 1 parameter points .*Omega_m=0.1, sigma_8=0.9.*--common"):
        match_maps(real, generated)
    matched = match_maps(real, generated, common=True)
    assert matched.real.maps[:, 0, 0, 0].tolist() == [2, 3, 4]
    assert matched.real_point.tolist() == [0, 1, 1]
    assert matched.generated_point.tolist() == [1, 0, 0]
    assert "left out" in matched.notes[0]


def test_no_shared_point_names_the_nearest():
    with pytest.raises(InputError, match=r"share no parameter point.*Nearest: Omega_m=0.11.* against Omega_m=0.1, "):
        match_maps(side("real", [0, 1, 2]), side("generated", [0], POINTS + 0.01), common=True)


def test_sets_without_parameters_are_one_point():
    matched = match_maps(side("real", [0, 1], None), side("generated", [0, 1, 2], None))
    assert matched.points.shape == (1, 0)
    assert matched.generated_point.tolist() == [0, 0, 0]


def test_a_text_table_takes_the_columns_that_the_other_side_has():
    six = np.concatenate([POINTS, np.random.default_rng(0).uniform(0.5, 2, (3, 4))], axis=1)
    names = (*NAMES, "A_SN1", "A_AGN1", "A_SN2", "A_AGN2")
    table = side("real", [0, 1, 2], six, param_names=names, positional=True)
    matched = match_maps(table, side("generated", [2, 1, 0]))
    assert matched.generated_point.tolist() == [2, 1, 0]
    assert "matched by Omega_m, sigma_8" in matched.notes[0]


@pytest.mark.parametrize(
    ("generated", "words"),
    [
        (side("generated", [0, 1, 2], box_size=50.0), "box of 50 Mpc/h"),
        (side("generated", [0, 1, 2], size=4), "4 × 4 pixels"),
        (side("generated", [0, 1, 2], POINTS[:, ::-1], param_names=NAMES[::-1]), "same columns"),
        (side("generated", [0, 1, 2], POINTS[:, :1], param_names=NAMES[:1]), "same columns"),
        (side("generated", [0, 1, 2], None), r"generated.npz has no parameters .*--params FILE"),
        (side("generated", [0, 1, 2], units=("normalised field",)), "undo the normalisation"),
        (side("generated", [0, 1, 2], fields=("HI",)), "the fields HI"),
    ],
)
def test_what_can_not_be_compared_is_refused(generated, words):
    with pytest.raises(InputError, match=words):
        match_maps(side("real", [0, 1, 2], fields=("Mcdm",)), generated)


def test_channels_must_agree():
    generated = side("generated", [0, 1, 2])
    with pytest.raises(InputError, match="2 channel"):
        match_maps(side("real", [0, 1, 2]), JudgedMaps("generated", "g.npz", np.ones((3, 2, 8, 8)), generated.params))
