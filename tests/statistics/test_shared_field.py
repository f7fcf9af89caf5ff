"""Truth whose simulations share their initial field: one realisation, which has no error and gives no verdict."""

import json
from dataclasses import replace

import numpy as np
import pytest

from focus_engine.config.statistics import STATISTICS
from focus_engine.data.initial_fields import initial_fields, varied_one_at_a_time
from focus_engine.data.judged_files import JudgedFile
from focus_engine.data.judged_pair import JudgedPair, read_pair
from focus_engine.data.maps import open_map_set
from focus_engine.evaluation.truth import held_out_truth
from focus_engine.progress import drain
from focus_engine.simulation.designs import design_set
from focus_engine.statistics.compare import Evaluation
from focus_engine.statistics.design import Design
from focus_engine.statistics.map_stack import MapStack
from focus_engine.statistics.protocol import statistic_of

SIDE, EACH = 16, 8
POINTS = design_set("1P", 17, 0).params
IDS = np.repeat(np.arange(len(POINTS)), EACH)


def universes(seed, *, fields=IDS):
    """Return log-normal maps at the points of a 1P set; equal `fields` share the amplitude of map j, and its phases."""
    rng = np.random.default_rng(seed)
    n = np.hypot(np.fft.fftfreq(SIDE, 1 / SIDE)[:, None], np.fft.fftfreq(SIDE, 1 / SIDE))
    count = int(fields.max()) + 1
    waves = np.fft.ifft2(np.fft.fft2(rng.normal(size=(count, EACH, SIDE, SIDE))) / np.maximum(n, 1)).real
    waves *= np.exp(0.15 * rng.normal(size=(count, 1, 1, 1))) / waves.std()
    mean, amplitude = POINTS[IDS, 0, None, None], POINTS[IDS, 1, None, None]
    return mean * np.exp(amplitude * waves[fields, np.arange(IDS.size) % EACH])


def judged(real, generated, design):
    """Return the report of two statistics."""
    stacks = MapStack(real, 25.0), MapStack(generated, 25.0)
    results = {}
    for name in ("power_spectrum", "slab_mean"):
        statistic = statistic_of(STATISTICS[name])
        bins = statistic.bins(*stacks)
        results[name] = statistic.compare(*(statistic.measure(one, bins) for one in stacks), design)
    return Evaluation(results, len(real), len(POINTS), 25.0, 0, shared_field=design.shared_field)


def test_a_perfect_generator_is_never_told_from_a_shared_field(monkeypatch):
    """Taken as independent simulations, such a truth tells perfect generators from real maps in every trial."""
    monkeypatch.setattr("focus_engine.statistics.design.NULL_DRAWS", 120)
    monkeypatch.setattr("focus_engine.statistics.design.BOOTSTRAP_DRAWS", 20)
    alarms = {"own": 0, "shared": 0, "taken as own": 0}
    for seed in range(3):
        generated = universes([seed, 1], fields=np.arange(IDS.size))
        own, shared = universes([seed, 2]), universes([seed, 2], fields=np.zeros_like(IDS))
        design = Design.paired(IDS, POINTS[IDS])
        alarms["own"] += judged(own, generated, design).verdict.distinguishable
        alarms["taken as own"] += judged(shared, generated, design).verdict.distinguishable
        found = judged(shared, generated, replace(design, shared_field=True))
        alarms["shared"] += found.verdict.distinguishable
    assert alarms == {"own": 0, "shared": 0, "taken as own": 3}
    assert "share their initial field" in found.verdict.text
    assert "of one initial field" in found.counts
    for score in found.scores():
        if score.statistic in found.results:
            assert score.value is not None
            assert (score.error, score.null, score.p_value) == (None, None, None)


def written(path, **arrays):
    np.savez(path, maps=np.random.default_rng(0).lognormal(size=(IDS.size, 8, 8)), params=POINTS[IDS], **arrays)
    return path


@pytest.mark.parametrize(
    ("arrays", "shared"),
    [({}, True), ({"initial_field": IDS}, False), ({"initial_field": IDS // 2}, True)],
    ids=["1P by its parameters", "ids that differ", "ids of pairs"],
)
def test_files_tell_that_they_share_a_field(tmp_path, arrays, shared):
    real = JudgedFile(written(tmp_path / "real.npz", **arrays), "real")
    np.savez(tmp_path / "drawn.npz", maps=2 * np.load(real.path)["maps"], params=POINTS[IDS])
    read = drain(read_pair(JudgedPair(JudgedFile(tmp_path / "drawn.npz", "generated"), real))).maps
    assert read.design().shared_field == shared
    assert any("share their initial field" in note for note in read.notes) == shared
    few = read.real.take(np.flatnonzero(IDS == 3))
    assert not few.shares_field
    assert not read.generated.shares_field


def test_a_record_and_seeds_are_believed_before_parameters(tmp_path):
    maps, table = tmp_path / "maps.npy", tmp_path / "params.txt"
    for design, shared in (("1P", True), ("LH", False)):
        (tmp_path / "simulation.json").write_text(json.dumps({"arguments": {"design": design}}))
        assert (initial_fields(maps, table, np.zeros((3, 0))) is not None) == shared
    other = tmp_path / "other.npy"
    for seeds, ids in (([5, 5, 5, 5, 5], [0] * 5), ([9, 3, 5, 7, 1], [4, 1, 2, 3, 0])):
        rows = [f"1P_{i} {m} {s} {seed}" for i, (m, s, seed) in enumerate(zip(*POINTS[:5].T, seeds, strict=True))]
        table.write_text("\n".join(rows))
        assert initial_fields(other, table, np.repeat(POINTS[:5], 2, axis=0)).ids.tolist() == np.repeat(ids, 2).tolist()


def test_the_truth_of_a_run_tells_it_too(tmp_path):
    np.save(tmp_path / "set.npy", np.ones((IDS.size, 8, 8), dtype=np.float32))
    np.savetxt(tmp_path / "params.txt", POINTS)
    maps = open_map_set(tmp_path / "set.npy", tmp_path / "params.txt", box_size=25.0, maps_per_simulation=EACH)
    assert held_out_truth(maps, [1, 4, 9], 6).design.shared_field
    assert not held_out_truth(maps, [1], 6).design.shared_field


@pytest.mark.parametrize(("design", "count"), [("LH", 2), ("LH", 3), ("LH", 40), ("CV", 5), ("EX", 8)])
def test_other_designs_are_not_taken_for_1p(design, count):
    assert not any(varied_one_at_a_time(np.repeat(design_set(design, count, s).params, 2, axis=0)) for s in range(9))
    assert varied_one_at_a_time(POINTS)


def test_one_varied_parameter_is_1p_if_its_values_are_evenly_spaced():
    even, factors = np.linspace(0.1, 0.5, 5), 0.25 * 2.0 ** np.arange(5)
    fixed = np.full((5, 1), 0.8)
    assert varied_one_at_a_time(np.column_stack([even, fixed])[[2, 0, 4, 1, 3]])
    assert varied_one_at_a_time(np.repeat(np.column_stack([fixed, factors]), 3, axis=0))
    assert not varied_one_at_a_time(np.column_stack([even**1.1, fixed]))
    assert not varied_one_at_a_time(np.column_stack([even, fixed])[:4])
    assert not varied_one_at_a_time(np.linspace(0.1, 0.5, 100)[:, None])  # the middles of the strata of an LH set
    rng = np.random.default_rng(3)
    assert not any(varied_one_at_a_time(rng.uniform(0.1, 0.5, (5, 1))) for _ in range(200))
    one = [design_set("LH", 5, seed, {"sigma_8": (0.8, 0.8)}).params for seed in range(20)]
    assert not any(map(varied_one_at_a_time, one))
