"""`focus check` on a training whose steps take too long: the cost is scaled from a part of one."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from focus_engine.api import Experiment
from focus_engine.config.edit import set_keys
from focus_engine.data.opening import open_maps
from focus_engine.events.table import DataProgress
from focus_engine.models.recompute import recomputed_blocks
from focus_engine.progress import drain
from focus_engine.training import validation
from focus_engine.training.prepare import prepare_run
from focus_engine.training.prepared_data import prepare_data
from focus_engine.worker import costs, probe, rehearsal, run_queue, universes_ahead
from focus_engine.worker.probe import Probe, _expected, _peak
from focus_engine.worker.rehearsal import rehearse


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    draw = np.random.default_rng(0)
    np.save(tmp_path / "maps.npy", (10 ** draw.normal(11, 0.3, (60, 32, 32))).astype(np.float32))
    np.savetxt(tmp_path / "params.txt", draw.uniform((0.1, 0.6), (0.5, 1.0), (60, 2)))
    files = {"data.source": "files", "data.maps_path": "../maps.npy", "data.params_path": "../params.txt"}
    small = {"model.base_channels": 8, "model.channel_mults": [1, 2], "data.maps_per_simulation": 1}
    return Experiment.create("one", root=tmp_path, template="small", settings=files | small)


def test_a_part_of_a_step_stands_for_the_whole_where_that_takes_too_long(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
):
    whole = experiment.check()
    assert whole.measured == ""
    monkeypatch.setattr(rehearsal, "STEP_SECONDS", 0.0)
    monkeypatch.setattr(costs, "READ_BYTES", 0)
    monkeypatch.setattr(costs, "FEWEST_READ", 16)
    monkeypatch.setattr(costs, "TIMED_STEPS", 0)  # 32 of 54 maps are read
    monkeypatch.setattr(rehearsal, "TIMED_STEPS", 0)
    monkeypatch.setattr(probe, "PROBE_SECONDS", 0.0)
    work, said = rehearse(experiment.run), []
    while True:
        try:
            said.append(next(work))
        except StopIteration as done:
            part = done.value
            break
    assert isinstance(said[0], DataProgress)
    assert [one.what for one in said][-1] == "timing an update of the weights"
    assert part.measured.endswith("of 32 x 32 pixels; scaled by the arithmetic")
    for name in ("maps", "steps_per_epoch", "map_shape", "resident", "n_parameters", "checkpoint_bytes"):
        assert getattr(part, name) == getattr(whole, name)
    assert part.peak_memory > 0
    assert part.seconds_per_epoch > part.seconds_per_step > 0
    for one in (whole, part):  # 512 maps of the template, beside the samples of an epoch
        assert one.calibration_seconds > 0
        assert one.sampling_seconds


def test_the_calibration_is_counted_by_its_maps(experiment: Experiment, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(costs, "_time_map", lambda _: 0.25)
    seconds = {}
    for maps in (0, 10, 301):
        changes = ["training.sample_every=0", f"sampling.calibration_maps={maps}"]
        experiment.run.config.write_text(set_keys(experiment.run.config.read_text(), changes, experiment.run.config))
        seconds[maps] = experiment.check().calibration_seconds
    assert seconds == {0: 0.0, 10: 16.0, 301: 75.5}  # at least 64 maps, in pairs


def test_memory_of_recomputed_blocks_is_their_inputs_and_one_of_them(experiment: Experiment):
    kept, config = [], experiment.config
    maps = drain(open_maps(config, experiment.run.path))
    for on in (False, True):
        training = config.training.model_copy(update={"activation_checkpointing": on})
        config = config.model_copy(update={"training": training})
        prepared = prepare_run(config, prepare_data(config, maps), torch.device("cpu"))
        kept.append(probe._kept(prepared, next(iter(prepared.training.batches.epoch(1)))))
        assert all(block.recomputes == on for block in recomputed_blocks(prepared.state.network))
    assert 0.3 < kept[1] / kept[0] < 0.8


def test_a_validation_is_predicted_for_as_many_maps_as_it_evaluates(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
):
    config, place = experiment.config, torch.device("cpu")
    maps = drain(open_maps(config, experiment.run.path))
    prepared = prepare_run(config, prepare_data(config, maps), place)
    monkeypatch.setattr(costs, "DRAWS", validation.DRAWS)  # which is smaller in tests
    whole = costs.whole_training(config, maps.n_simulations, 1, maps.shape, place)
    evaluated, loss = [], prepared.process.loss

    def counted(network: torch.nn.Module, x: torch.Tensor, *args: object, **more: object) -> torch.Tensor:
        evaluated.append(len(x))
        return loss(network, x, *args, **more)

    monkeypatch.setattr(type(prepared.process), "loss", lambda _, *args, **more: counted(*args, **more))
    prepared.training.validation.losses(prepared.state.network, prepared.state.network)
    assert sum(evaluated) == 2 * whole.validation_maps
    part = Probe(maps=1, height=16, width=16, seconds=3.0, forward=1.0, kept=0.0)
    found = costs.scaled_costs(prepared, whole, part)
    assert found.validation == pytest.approx(sum(evaluated) / config.training.batch_size)


def test_the_peak_of_memory_follows_that_of_the_parts_where_they_are_large_enough():
    resident = [(SimpleNamespace(maps=torch.empty(n)), peak) for n, peak in ((10, 5e8), (110, 1.5e9))]
    assert _peak(resident, 1e8, 6e9, 1010) == pytest.approx(probe.PEAK_OVER_KEPT * 6e9)
    assert _peak(resident, 5e8, 6e9, 1010) == pytest.approx(probe.GAPS * 1e10)
    low, high = probe.PEAKS_OVER_KEPT
    assert _peak(resident, 5e8, 2e9, 1010) == pytest.approx(high * 2e9)
    assert _peak(resident, 5e8, 2e10, 1010) == pytest.approx(low * 2e10)


def test_costs_are_scaled_along_the_line_of_the_two_largest_parts():
    class Part:
        def __init__(self, pixels: int) -> None:
            self.maps = type("Maps", (), {"numel": lambda _: pixels})()

    line = [(Part(10), 3.0 + 10), (Part(40), 3.0 + 40)]
    assert _expected(line, 1000) == pytest.approx(1003.0)
    assert _expected(line[:1], 100) == pytest.approx(130.0)
    assert _expected([line[0], (Part(40), 12.0)], 80) == pytest.approx(24.0)  # disturbed: in proportion to the last


def test_the_second_part_costs_twice_the_smallest_whatever_time_is_left():
    """With forward passes of 0.1 s and 0.2 s at 10 and 40 pixels, 128 pixels are the first at twice the cost of 10."""

    class Part:
        def __init__(self, pixels: int) -> None:
            self.maps = torch.empty(pixels)

    parts = [Part(pixels) for pixels in (10, 40, 128, 1000)]
    forward, kept = [(parts[0], 0.1), (parts[1], 0.2)], [(parts[0], 10.0), (parts[1], 40.0)]
    prepared = type("Prepared", (), {"device": torch.device("cpu")})
    done = [(parts[0], 1.0)]
    assert probe._next(prepared, parts, done, kept, forward, seconds=0.0) is parts[2]
    assert probe._next(prepared, parts, done, kept, forward, seconds=100.0) is parts[3]
    assert probe._next(prepared, parts, [*done, (parts[1], 1.3)], kept, forward, seconds=0.0) is parts[2]
    assert probe._next(prepared, parts, [*done, (parts[2], 1.9)], kept, forward, seconds=0.0) is None
    assert probe._next(prepared, parts, [*done, (parts[2], 3.0)], kept, forward, seconds=0.0) is None
    assert probe._next(prepared, parts, [*done, (parts[2], 3.0)], kept, forward, seconds=100.0) is parts[3]
    too_much = [(parts[0], 1e15), (parts[1], 4e15)]
    assert probe._next(prepared, parts, [*done, (parts[2], 3.0)], too_much, forward, seconds=100.0) is None


def test_the_slowdown_by_other_programs_is_the_wait_of_this_process_for_a_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run_queue, "TASKS", tmp_path)
    for thread, told in {"1": "100 50 3", "2": "10 0 1"}.items():
        (tmp_path / thread).mkdir()
        (tmp_path / thread / "schedstat").write_text(told)
    queue = run_queue.RunQueue()
    assert queue.slowdown() is None  # nothing has run
    (tmp_path / "1" / "schedstat").write_text("140 90 5")
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "schedstat").write_text("10 20 1")  # a thread that began meanwhile
    assert queue.slowdown() == pytest.approx(1 + (40 + 20) / (40 + 10))
    monkeypatch.setattr(run_queue, "TASKS", tmp_path / "none")
    assert run_queue.RunQueue().slowdown() is None


def test_missing_universes_are_not_simulated_but_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FOCUS_CACHE", str(tmp_path / "cache"))
    small = {"model.base_channels": 8, "model.channel_mults": [1, 2], "data.simulations": 200}
    experiment = Experiment.create("one", root=tmp_path / "here", template="small", settings=small)
    found = experiment.check()
    assert found.universes == 200
    assert found.simulation_seconds > 0
    assert found.maps == (2700, 150, 150)
    assert found.map_shape == (1, 32, 32)
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_there_is_nothing_to_simulate_where_the_universes_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FOCUS_CACHE", str(tmp_path / "cache"))
    few = {"data.simulations": 6, "model.base_channels": 8, "model.channel_mults": [1, 2]}
    experiment = Experiment.create("one", root=tmp_path, template="small", settings=few)
    assert universes_ahead.universes_ahead(experiment.config).count == 6
    drain(open_maps(experiment.config, experiment.run.path))
    assert universes_ahead.universes_ahead(experiment.config) is None
    assert experiment.check().universes == 0


def test_one_of_several_ranks_is_timed_with_its_share_of_a_batch(experiment: Experiment):
    alone, shared = experiment.check(), []
    config = experiment.config.training

    def keep(prepared, *args):
        shared.append((prepared.config.training.batch_size, torch.get_num_threads()))
        return timed(prepared, *args)

    timed, threads = rehearsal.timed_costs, torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rehearsal, "timed_costs", keep)
        text = experiment.run.config.read_text(encoding="utf-8")
        experiment.run.config.write_text(text.replace("devices: 1", "devices: 2"), encoding="utf-8")
        found = experiment.check()
    assert shared == [(config.batch_size // 2, max(1, threads // 2))]
    assert torch.get_num_threads() == threads
    assert (found.devices, found.batch_size, found.steps_per_epoch) == (2, config.batch_size, alone.steps_per_epoch)
