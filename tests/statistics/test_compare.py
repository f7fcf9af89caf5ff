import json

import numpy as np
import pytest

from focus_engine.errors import FocusError, InputError
from focus_engine.statistics.compare import evaluate_maps
from focus_engine.statistics.simulations import Simulations

pytestmark = pytest.mark.xdist_group("evaluation")  # its tests share a fixture that takes seconds

BOX = 25.0
N_SIMULATIONS, PER_SIMULATION, SIDE = 12, 5, 16
IDS = np.repeat(np.arange(N_SIMULATIONS), PER_SIMULATION)


def universes(seed, amplitude=0.5, spread=0.3):
    """Return lognormal maps whose mean and amplitude depend on their simulation and whose phases do not."""
    parameters = np.random.default_rng(99).uniform(1 - spread, 1 + spread, size=(N_SIMULATIONS, 2))[IDS]
    rng = np.random.default_rng(seed)
    n = np.hypot(np.fft.fftfreq(SIDE, 1 / SIDE)[:, None], np.fft.fftfreq(SIDE, 1 / SIDE))
    red = np.where(n > 0, np.maximum(n, 1) ** -1.0, 0)
    waves = np.fft.ifft2(np.fft.fft2(rng.normal(size=(IDS.size, SIDE, SIDE))) * red).real
    field = np.exp(amplitude * parameters[:, 1, None, None] * waves / waves.std())
    slab = 1 + 0.02 * rng.normal(size=(IDS.size, 1, 1))
    return 1e11 * parameters[:, 0, None, None] * slab * field / field.mean(axis=(1, 2), keepdims=True)


@pytest.fixture(scope="module")
def evaluation():
    return evaluate_maps(universes(100), universes(1), real_simulation_ids=IDS, box_size=BOX)


def test_a_perfect_generator_stays_within_true_against_true(evaluation):
    power, pdf, slab = evaluation.power_spectrum, evaluation.pdf, evaluation.slab_mean
    assert 0 < power.median_abs_error < 2 * power.true_vs_true_median_abs_error
    assert 0 < power.median_abs_error < 2 * power.true_vs_true_same_simulation
    assert 0 < pdf.w1 < 2 * pdf.true_vs_true_same_simulation < pdf.true_vs_true_w1
    assert abs(slab.bias) < 3 * slab.bias_std
    assert slab.scatter == pytest.approx(slab.true_vs_true_scatter, rel=0.3)
    assert slab.scatter == pytest.approx(0.02 * np.sqrt(2), rel=0.3)
    assert slab.true_vs_true_bias < 0.01
    assert np.mean(np.abs(power.ratio - 1) < 2 * power.ratio_std) > 0.8


def test_definitions_by_hand(evaluation):
    """The documented numbers follow from the documented arrays."""
    power = evaluation.power_spectrum
    np.testing.assert_allclose(power.ratio, power.generated_mean / power.real_mean)
    scored = power.k < 0.8 * power.k_nyquist
    assert power.median_abs_error == np.median(np.abs(power.ratio[scored] - 1))
    assert power.k.max() < power.k_nyquist == pytest.approx(np.pi * SIDE / BOX)


def test_true_against_true_of_two_simulations_by_hand():
    maps = universes(0)[:10]
    result = evaluate_maps(maps, maps, real_simulation_ids=IDS[:10], box_size=BOX)
    one = evaluate_maps(maps[:5], maps[5:], real_simulation_ids=IDS[:5], box_size=BOX)
    other = evaluate_maps(maps[5:], maps[:5], real_simulation_ids=IDS[:5], box_size=BOX)
    lowest, highest = sorted(e.power_spectrum.median_abs_error for e in (one, other))
    assert lowest <= result.power_spectrum.true_vs_true_median_abs_error <= highest
    assert result.power_spectrum.median_abs_error == 0


def test_errors_are_found():
    real, good = universes(100), universes(1)
    strong = evaluate_maps(real, universes(1, amplitude=0.65), real_simulation_ids=IDS, box_size=BOX)
    assert strong.power_spectrum.median_abs_error > strong.power_spectrum.true_vs_true_median_abs_error
    assert strong.pdf.w1 > strong.pdf.true_vs_true_w1
    heavy = evaluate_maps(real, 1.1 * good, real_simulation_ids=IDS, box_size=BOX)
    assert heavy.slab_mean.bias == pytest.approx(0.1, abs=0.02)
    assert heavy.slab_mean.bias > 5 * heavy.slab_mean.bias_std
    swapped = evaluate_maps(real, good[::-1], real_simulation_ids=IDS, box_size=BOX)
    assert swapped.slab_mean.scatter > 3 * swapped.slab_mean.true_vs_true_scatter


def test_the_json_document(evaluation):
    document = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert set(document["power_spectrum"]) >= {
        "k",
        "real_mean",
        "real_std",
        "generated_mean",
        "ratio",
        "median_abs_error",
        "true_vs_true_median_abs_error",
    }
    assert {len(v) for v in document["power_spectrum"].values() if isinstance(v, list)} == {7}
    for statistic in (value for value in document.values() if isinstance(value, dict)):
        assert any(key.startswith("true_vs_true") for key in statistic)
    assert document["n_maps"] == IDS.size


def test_unknown_is_null():
    maps = universes(0)[:1]
    document = evaluate_maps(maps, maps, real_simulation_ids=[3], box_size=BOX).to_dict()
    assert document["power_spectrum"]["median_abs_error"] == 0.0
    assert document["power_spectrum"]["true_vs_true_median_abs_error"] is None
    assert set(document["power_spectrum"]["real_std"]) == {None}
    assert document["pdf"]["true_vs_true_w1"] is None
    assert document["slab_mean"]["true_vs_true_bias"] is None
    assert document["slab_mean"]["scatter"] is None
    json.dumps(document, allow_nan=False)


def test_featureless_and_tiny_maps_do_not_fail():
    flat = np.ones((2, 4, 4))
    json.dumps(evaluate_maps(flat, flat, real_simulation_ids=[0, 1], box_size=1).to_dict(), allow_nan=False)
    tiny = universes(0)[:2, :2, :2]
    json.dumps(evaluate_maps(tiny, tiny, real_simulation_ids=[0, 1], box_size=1).to_dict(), allow_nan=False)


def test_same_seed_same_answer():
    real, generated = universes(100), universes(1)
    first, again, other = (
        evaluate_maps(real, generated, real_simulation_ids=IDS, box_size=BOX, seed=seed).to_dict() for seed in (5, 5, 6)
    )
    assert first == again
    key = "true_vs_true_median_abs_error"
    assert first["power_spectrum"][key] != other["power_spectrum"][key]
    assert first["power_spectrum"][key] == pytest.approx(other["power_spectrum"][key], rel=0.25)


def test_bad_input_is_named():
    real = universes(0)
    with pytest.raises(InputError, match="same row"):
        evaluate_maps(real, real[:-1], real_simulation_ids=IDS, box_size=BOX)
    with pytest.raises(InputError, match="one id per map"):
        evaluate_maps(real, real, real_simulation_ids=IDS[:-1], box_size=BOX)
    broken = real.copy()
    broken[7, 2, 2] = np.nan
    with pytest.raises(InputError, match="real map 7"):
        evaluate_maps(broken, real, real_simulation_ids=IDS, box_size=BOX)
    with pytest.raises(FocusError, match="generated map 7") as caught:
        evaluate_maps(real, broken, real_simulation_ids=IDS, box_size=BOX)
    assert caught.value.exit_code == 1


def test_halves_are_disjoint_and_whole():
    simulations = Simulations.of(["b", "a", "b", "c", "a", "c", "c"], 7)
    for one, other in simulations.halves(seed=0):
        assert sorted([*one, *other]) == [0, 1, 2]
    for first in simulations.map_halves(seed=0):
        np.testing.assert_array_equal(simulations.totals(first), [1, 1, 1])
    np.testing.assert_array_equal(simulations.totals(np.ones(7)), [2, 2, 3])
    assert list(Simulations.of([4, 4], 2).halves(seed=0)) == []
