"""The judge judged, in small: log-normal universes, a perfect generator and strong faults.

The full matrix is that of scripts/judge_power.py. The gates stand at p < 0.001.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

HOME = Path(__file__).parents[2]
sys.path.append(str(HOME / "scripts"))  # scripts are no package: E402 below

import judge_page  # noqa: E402
import judge_power  # noqa: E402
from judge_faults import FAULT_BY_NAME, FAULTS, changed_maps, spread_rows  # noqa: E402
from judge_pool import Measurements, Pool  # noqa: E402

pytestmark = pytest.mark.xdist_group("judge power")  # its tests share a fixture that takes seconds

UNIVERSES, POINTS, SLABS, SIDE = 7, 16, 6, 32
SIZE = judge_power.Size("1500", POINTS)
STRONG = ("sigma8_reversed", "shuffled", "repeated", "gaussian", "smoothed")
JUDGED = ("perfect", "grouped", "memorised", *STRONG)


def universe(params, seed):
    """Return slabs (SLABS, SIDE, SIDE) of a log-normal universe: two along each axis, which fill it."""
    rng = np.random.default_rng(seed)
    n = np.sqrt(sum(one**2 for one in np.meshgrid(*[np.fft.fftfreq(SIDE, 1 / SIDE)] * 3, indexing="ij")))
    red = np.where(n > 0, np.maximum(n, 1) ** -1.3, 0) * np.exp(-((n / 12) ** 2))
    waves = np.fft.ifftn(np.fft.fftn(rng.normal(size=n.shape)) * red).real
    density = np.exp(1.2 * params[1] * waves / np.sqrt((red**2).sum() / n.size))
    density *= 1e11 * params[0] / density.mean()
    halves = [np.moveaxis(density, axis, 0).reshape(2, SIDE // 2, SIDE, SIDE).sum(axis=1) for axis in range(3)]
    return np.concatenate(halves).astype(np.float32)


@pytest.fixture(scope="module")
def pool():
    grid = np.array([(omega, sigma) for omega in (0.2, 0.27, 0.36, 0.48) for sigma in (0.65, 0.75, 0.86, 1.0)])
    maps = np.array([[universe(row, [u, g]) for g, row in enumerate(grid)] for u in range(UNIVERSES + 1)])
    return Pool(grid, maps[:-1], maps[-1])


@pytest.fixture(scope="module")
def outcomes(pool, tmp_path_factory):
    log = tmp_path_factory.mktemp("judge") / "trials.jsonl"
    return list(judge_power.trials(pool, Measurements(pool, None), dict.fromkeys(JUDGED, 1), log, [SIZE]))


def verdicts(outcomes):
    return {one["fault"]: one["verdict"] for one in outcomes}


def test_perfect_generators_pass(outcomes):
    assert verdicts(outcomes)["perfect"] > 1e-3
    assert verdicts(outcomes)["grouped"] > 1e-3


@pytest.mark.parametrize("fault", STRONG)
def test_a_strong_fault_is_caught(outcomes, fault):
    assert verdicts(outcomes)[fault] < 1e-3


def test_memory_of_training_maps_is_caught(outcomes):
    (outcome,) = [one for one in outcomes if one["fault"] == "memorised"]
    assert outcome["p"]["memorised"] < 1e-3
    (outcome,) = [one for one in outcomes if one["fault"] == "perfect"]
    assert outcome["p"]["memorised"] > 1e-3


def test_generated_maps_are_never_of_the_real_universes(pool):
    trial = judge_power.Trial.drawn(SIZE, 3, pool)
    real = set(trial.real_rows()[0].tolist())
    for fault in FAULTS:
        if fault.choice != "memorised":
            rows, places = trial.generated_rows(fault, pool.rows)
            assert not real & set(rows.tolist()), fault.name
            assert len(rows) == places.point.size == POINTS * SLABS


def test_independent_maps_are_of_as_many_universes_as_there_are(pool):
    rows, _ = judge_power.Trial.drawn(SIZE, 4, pool).generated_rows(FAULT_BY_NAME["perfect"], pool.rows)
    universe_of = rows // (POINTS * SLABS)
    assert all(len(set(universe_of[place : place + SLABS])) == SLABS for place in range(0, rows.size, SLABS))


def test_faults_are_what_they_say(pool):
    rows = spread_rows(pool, 1)
    true = pool.flat[rows.ravel()].astype(np.float64)
    made = {one.name: changed_maps(one, pool, rows).astype(np.float64) for one in FAULTS if one.change is not None}
    assert all((maps > 0).all() for maps in made.values())
    np.testing.assert_allclose(made["mean_up"], 1.05 * true, rtol=1e-5)
    kept = ("small_scales_up", "noisy", "smoothed", "random_phases", "gaussian")
    for name in kept:
        np.testing.assert_allclose(made[name].mean(axis=(1, 2)), true.mean(axis=(1, 2)), rtol=1e-4)
    middle = pool.maps.mean(axis=(0, 2, 3, 4), dtype=np.float64)[np.arange(rows.size) % POINTS]
    apart = [maps.mean(axis=(1, 2)) - middle for maps in (true, made["narrow_means"])]
    np.testing.assert_allclose(apart[1], 0.8 * apart[0], rtol=1e-3, atol=1e-4 * true.mean())
    logs = [np.abs(np.fft.rfft2(np.log(maps)))[:, 1:, 1:] for maps in (true, made["random_phases"])]
    np.testing.assert_allclose(logs[1], logs[0], rtol=2e-2, atol=1e-2)


def test_finished_trials_are_not_computed_again(pool, outcomes, tmp_path, monkeypatch):
    log = tmp_path / "trials.jsonl"
    log.write_text("".join(f"{judge_power.json.dumps(one)}\n" for one in outcomes))
    monkeypatch.setattr(judge_power, "scores_of", None)
    counts = dict.fromkeys(("perfect", "shuffled"), 1)
    again = list(judge_power.trials(pool, Measurements(pool, None), counts, log, [SIZE]))
    assert again == [one for one in outcomes if one["fault"] in counts]


def test_results_of_generators_that_were_not_judged_stay(outcomes, tmp_path):
    for folder in ("benchmarks/results", "docs"):
        (tmp_path / folder).mkdir(parents=True)
    judge_page.write_results(outcomes, UNIVERSES, tmp_path)
    file = tmp_path / "benchmarks" / "results" / "judge_power.json"
    whole = json.loads(file.read_text())
    fault = outcomes[-1]["fault"]
    judge_page.write_results([one for one in outcomes if one["fault"] == fault], UNIVERSES, tmp_path)
    assert json.loads(file.read_text()) == whole


def test_the_page_says_what_is_missed(outcomes):
    document = judge_page.summary(outcomes, UNIVERSES)
    assert document["sizes"]["1500"]["shuffled"]["verdict"] == 1
    missed = [{**one, "verdict": 0.5} if one["fault"] == "shuffled" else one for one in outcomes]
    page = judge_page.page(judge_page.summary(missed, UNIVERSES))
    (line,) = [line for line in page.splitlines() if line.startswith("At 1,500 maps, not caught")]
    assert "parameters shuffled (0 %)" in line
    assert "every fault" not in line


def test_the_published_matrix_shows_every_fault_caught_and_the_level_kept():
    sizes = json.loads((HOME / "benchmarks/results/judge_power.json").read_text())["sizes"]
    perfect = {"perfect", "grouped"}
    assert set(sizes["1500"]) == {one.name for one in FAULTS}
    rates = {fault: one["verdict"] for fault, one in sizes["1500"].items() if fault not in perfect}
    assert {fault: rate for fault, rate in rates.items() if rate < 0.9} == {}
    for size, faults in sizes.items():
        for name in perfect & set(faults):
            low, high = faults[name]["interval"]
            assert low <= 0.05, (size, name)
            assert high >= 0.05 or faults[name]["verdict"] == 0, (size, name)


def test_interval_of_a_rate():
    """Clopper and Pearson by the incomplete beta function."""
    from scipy.stats import beta

    low, high = judge_page.interval(5, 100)
    assert low == pytest.approx(beta.ppf(0.025, 5, 96), abs=1e-4)
    assert high == pytest.approx(beta.ppf(0.975, 6, 95), abs=1e-4)
