import json

import numpy as np
import pytest

from focus_engine.config.statistics import STATISTICS
from focus_engine.errors import FocusError, InputError
from focus_engine.statistics.compare import evaluate_maps, judge
from focus_engine.statistics.covariance import split_chi_square
from focus_engine.statistics.design import Design
from focus_engine.statistics.judged_maps import JudgedMaps
from focus_engine.statistics.matching import match_maps
from focus_engine.statistics.protocol import known
from focus_engine.statistics.sample import Rows, View
from focus_engine.statistics.simulations import Simulations

pytestmark = pytest.mark.xdist_group("evaluation")  # its tests share a fixture that takes seconds

BOX = 25.0
N_SIMULATIONS, PER_SIMULATION, SIDE = 12, 5, 16
IDS = np.repeat(np.arange(N_SIMULATIONS), PER_SIMULATION)
PARAMS = np.random.default_rng(99).uniform(0.7, 1.3, size=(N_SIMULATIONS, 2))[IDS]


def universes(seed, amplitude=0.5, params=PARAMS):
    """Return lognormal maps whose mean and amplitude follow the parameters and whose phases do not."""
    rng = np.random.default_rng(seed)
    n = np.hypot(np.fft.fftfreq(SIDE, 1 / SIDE)[:, None], np.fft.fftfreq(SIDE, 1 / SIDE))
    red = np.where(n > 0, np.maximum(n, 1) ** -1.0, 0)
    waves = np.fft.ifft2(np.fft.fft2(rng.normal(size=(len(params), SIDE, SIDE))) * red).real
    field = np.exp(amplitude * params[:, 1, None, None] * waves / waves.std())
    slab = 1 + 0.02 * rng.normal(size=(len(params), 1, 1))
    return 1e11 * params[:, 0, None, None] * slab * field / field.mean(axis=(1, 2), keepdims=True)


def compared(real, generated, **changes):
    options = {"real_simulation_ids": IDS, "box_size": BOX, "params": PARAMS, **changes}
    return evaluate_maps(real, generated, **options)


@pytest.fixture(scope="module")
def evaluation():
    return compared(universes(100), universes(1))


def score(evaluation, key):
    return next(one for one in evaluation.scores() if one.spec.key == key)


def test_a_perfect_generator_is_within_its_null(evaluation):
    for one in evaluation.scores():
        assert (one.value is None) == STATISTICS[one.statistic].needs_training, one.spec.key
        assert one.p_value is None or one.p_value > 1e-3, one.sentence
    assert evaluation.verdict.p_value > 1e-2
    assert evaluation.verdict.text.startswith("indistinguishable")
    power = evaluation.power_spectrum
    assert np.mean(np.abs(power.ratio - 1) < 2 * power.ratio_std) > 0.8
    assert np.mean(np.abs(power.ratio - 1) < 2 * power.ratio_null_std) > 0.8
    assert power.fixed_std.mean() < power.real_std.mean()


def test_definitions_by_hand(evaluation):
    """The documented numbers follow from the documented arrays."""
    power = evaluation.power_spectrum
    np.testing.assert_allclose(power.ratio, power.generated_mean / power.real_mean)
    scored = power.k < 0.8 * power.k_nyquist
    assert power.median_abs_error == pytest.approx(np.median(np.abs(power.ratio[scored] - 1)))
    assert power.k.max() < power.k_nyquist == pytest.approx(np.pi * SIDE / BOX)


def test_equal_maps_have_no_errors():
    maps = universes(0)
    evaluation = compared(maps, maps)
    for key in ("power_error", "power_large", "log_power_small", "pdf_w1", "slab_bias", "slab_scatter"):
        assert score(evaluation, key).value == pytest.approx(0, abs=1e-12)
    for key in ("slab_slope", "response_middle"):
        assert score(evaluation, key).value == pytest.approx(1)


@pytest.mark.parametrize(
    ("fault", "key", "word"),
    [
        (lambda: universes(1, amplitude=0.65), "log_power_middle", "high"),
        (lambda: 1.1 * universes(1), "slab_bias", "dense"),
        (lambda: 0.9 * universes(1), "slab_bias", "light"),
        (lambda: universes(1)[np.roll(np.arange(IDS.size), PER_SIMULATION)], "slab_slope", "weak"),
        (lambda: np.repeat(universes(1)[::PER_SIMULATION], PER_SIMULATION, axis=0), "width_middle", "narrow"),
    ],
)
def test_faults_are_found_and_named(fault, key, word):
    evaluation = compared(universes(100), fault())
    assert score(evaluation, key).verdict == word
    assert evaluation.verdict.distinguishable
    assert "a perfect model scores" in evaluation.verdict.text


def test_a_ratio_of_means_is_unbiased_where_a_mean_of_ratios_is_not():
    """Maps whose means scatter by 40 %: the mean of ratios exceeds 0 by the squared scatter, the bias does not."""
    rng = np.random.default_rng(5)
    means = rng.lognormal(-0.08, 0.4, size=(2, 800))
    real, generated = means[..., None, None] * np.ones((1, 1, 2, 2))
    found = evaluate_maps(real, generated, real_simulation_ids=np.arange(800), box_size=BOX)
    assert (means[1] / means[0] - 1).mean() > 0.1
    assert abs(found.slab_mean.bias) < 4 * 0.4 * np.sqrt(2 / 800)


def test_generated_maps_need_not_be_paired():
    """Rows in another order, and another number of maps at each point, are compared at the same parameters."""
    many = np.repeat(PARAMS[::PER_SIMULATION], 9, axis=0)
    drawn, order = universes(3, params=many), np.random.default_rng(0).permutation(len(many))
    sides = [JudgedMaps("real", "real.npz", universes(100)[:, None], PARAMS, simulation=IDS)]
    sides.append(JudgedMaps("generated", "drawn.npz", drawn[order][:, None], many[order]))
    placed = match_maps(*sides).design()
    evaluation = judge(universes(100), drawn[order], placed, BOX)
    assert (evaluation.n_maps, evaluation.n_generated, evaluation.n_points) == (IDS.size, len(many), N_SIMULATIONS)
    assert abs(evaluation.slab_mean.bias) < 0.02
    assert evaluation.verdict.p_value > 1e-2


def test_a_grouped_generated_set_has_a_grouped_null():
    """Maps that share a deviation within a simulation: independent draws scatter less than whole simulations."""
    ids = np.repeat(np.arange(40), 10)
    params = np.random.default_rng(1).uniform(0.7, 1.3, size=(40, 1))[ids]
    rng = np.random.default_rng(2)

    def stacks():
        shared = rng.lognormal(0, 0.1, size=40)[ids]
        return (params[:, 0] * shared)[:, None, None] * np.ones((1, 2, 2))

    real, generated = stacks(), stacks()
    table, rows = params[::10], Rows.of(ids, ids)
    found = [judge(real, generated, Design(table, rows, Rows.of(ids, of)), BOX) for of in (None, ids)]
    alone, grouped = (score(one, "slab_bias").null_spread for one in found)
    assert grouped == pytest.approx(0.1 * np.sqrt(2 / 40), rel=0.3)
    assert alone == pytest.approx(0.1 * np.sqrt(1 / 40 + 1 / 400), rel=0.3)


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
    assert document["n_maps"] == IDS.size
    keys = {"name", "statistic", "band", "value", "error", "null", "null_spread", "p_value", "verdict"}
    assert all(set(one) == keys for one in document["scores"])
    assert len(document["scores"]) == len(evaluation.scores())
    assert set(document["verdict"]) == {"text", "p_value", "deciding_score"}


def test_unknown_is_null():
    maps = universes(0)[:1]
    one = compared(maps, maps, real_simulation_ids=[3], params=PARAMS[:1])
    assert one.counts == "1 generated map against 1 real map of 1 simulation, at 1 parameter point"
    document = one.to_dict()
    assert document["power_spectrum"]["median_abs_error"] == 0.0
    assert document["power_spectrum"]["true_vs_true_median_abs_error"] is None
    assert set(document["power_spectrum"]["real_std"]) == {None}
    assert document["pdf"]["true_vs_true_w1"] is None
    assert document["slab_mean"]["true_vs_true_bias"] is None
    assert document["slab_mean"]["scatter"] is None
    assert all(one["p_value"] is None and one["null"] is None for one in document["scores"])
    assert document["verdict"]["p_value"] is None
    json.dumps(document, allow_nan=False)


def test_featureless_and_tiny_maps_do_not_fail():
    flat = np.ones((2, 4, 4))
    json.dumps(evaluate_maps(flat, flat, real_simulation_ids=[0, 1], box_size=1).to_dict(), allow_nan=False)
    tiny = universes(0)[:2, :2, :2]
    json.dumps(evaluate_maps(tiny, tiny, real_simulation_ids=[0, 1], box_size=1).to_dict(), allow_nan=False)


def test_same_seed_same_answer(evaluation):
    again, other = (compared(universes(100), universes(1), seed=seed).to_dict() for seed in (0, 6))
    assert evaluation.to_dict() == again
    key = "true_vs_true_median_abs_error"
    assert again["power_spectrum"][key] != other["power_spectrum"][key]
    assert again["power_spectrum"][key] == pytest.approx(other["power_spectrum"][key], rel=0.25)
    nulls = [[one["null_spread"] for one in document["scores"]] for document in (again, other)]
    np.testing.assert_allclose(*(known(spreads) for spreads in nulls), rtol=0.4)


def test_bad_input_is_named():
    real = universes(0)
    with pytest.raises(InputError, match="same row"):
        compared(real, real[:-1])
    with pytest.raises(InputError, match="one id per map"):
        compared(real, real, real_simulation_ids=IDS[:-1])
    with pytest.raises(InputError, match="maps of different parameters"):
        compared(real, real, real_simulation_ids=np.zeros(IDS.size))
    broken = real.copy()
    broken[7, 2, 2] = np.nan
    with pytest.raises(InputError, match="real map 7"):
        compared(broken, real)
    with pytest.raises(FocusError, match="generated map 7") as caught:
        compared(real, broken)
    assert caught.value.exit_code == 1


def test_halves_are_disjoint_and_whole():
    simulations = Simulations.of(["b", "a", "b", "c", "a", "c", "c"], 7)
    for one, other in simulations.halves(seed=0):
        assert sorted([*one, *other]) == [0, 1, 2]
    for first in simulations.map_halves(seed=0):
        np.testing.assert_array_equal(simulations.totals(first), [1, 1, 1])
    np.testing.assert_array_equal(simulations.totals(np.ones(7)), [2, 2, 3])
    assert list(Simulations.of([4, 4], 2).halves(seed=0)) == []


def test_every_field_is_judged_and_every_pair_crosswise():
    """A second field that follows the first in the real maps and not in the generated ones: only the pair shows it."""
    real, generated = (np.stack([one, one**1.5], axis=1) for one in (universes(100), universes(1)))
    alone = np.stack([universes(1), universes(2) ** 1.5], axis=1)
    options = {"fields": ("Mcdm", "T")}
    right, wrong = compared(real, generated, **options), compared(real, alone, **options)
    assert {one.field for one in right.scores()} == {"Mcdm", "T", "Mcdm x T"}
    assert right.verdict.p_value > 1e-2
    assert wrong.verdict.deciding_score.startswith("Mcdm x T cross.")
    for field in ("Mcdm", "T"):
        assert all(one.p_value is None or one.p_value > 1e-3 for one in wrong.scores() if one.field == field)
    document = json.loads(json.dumps(wrong.to_dict(), allow_nan=False))
    assert set(document["fields"]) == {"T", "Mcdm x T"}
    assert document["fields"]["T"]["power_spectrum"]["median_abs_error"] > 0
    assert len({(one["field"], one["statistic"], one["name"]) for one in document["scores"]}) == len(document["scores"])
    with pytest.raises(InputError, match="3 names are given for 2 fields"):
        compared(real, generated, fields=("a", "b", "c"))


def test_chi_square_split_by_simulation_is_that_of_independent_gaussians():
    """χ² of n independent Gaussians against m others is (1 + 1/m) (m − 1) / (m − 3) on average."""
    rows = Rows.of(np.repeat(np.arange(20), 3), np.repeat(np.arange(20), 3))
    rng = np.random.default_rng(3)
    real, generated = (View(rng.normal(size=(60, 400)), rows) for _ in range(2))
    for judged, m in ((generated, 60), (real, 57)):
        assert split_chi_square(judged, real) == pytest.approx((1 + 1 / m) * (m - 1) / (m - 3), rel=0.02)
    assert split_chi_square(View(generated.source + 1, rows), real) == pytest.approx(2.05, rel=0.05)
    few = Rows.of(np.zeros(4, dtype=np.intp), np.array([0, 0, 1, 1]))
    assert np.isnan(split_chi_square(View(np.ones((4, 2)), few), View(np.ones((4, 2)), few)))
