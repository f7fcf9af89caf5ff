"""Real maps that a generator was trained on are recognised by their content, in any file, and refused."""

import tracemalloc

import numpy as np
import pytest

from focus_engine import spooling
from focus_engine.config.schema import Config
from focus_engine.data import judged_values
from focus_engine.data.digests import digests_of, from_text, known, set_digests, to_text
from focus_engine.data.judged_files import JudgedFile
from focus_engine.data.judged_pair import JudgedPair, read_pair
from focus_engine.data.maps import StoredValues, open_map_set
from focus_engine.errors import InputError
from focus_engine.progress import drain
from focus_engine.training.prepared_data import prepare_data

SIMULATIONS, EACH = 8, 3
DRAW = np.random.default_rng(0)
MAPS = DRAW.lognormal(25, 0.5, (SIMULATIONS * EACH, 8, 8)).astype(np.float32)
ROWS = DRAW.uniform((0.1, 0.6), (0.5, 1.0), (SIMULATIONS, 2)).astype(np.float32)
PARAMS = np.repeat(ROWS, EACH, axis=0)


@pytest.fixture
def data(tmp_path):
    """Return the description of the data of a run in its checkpoints."""
    np.save(tmp_path / "maps.npy", MAPS)
    np.savetxt(tmp_path / "params.txt", ROWS, fmt="%.9g")
    opened = open_map_set(tmp_path / "maps.npy", tmp_path / "params.txt", box_size=25.0, maps_per_simulation=EACH)
    config = Config.model_validate({"data": {"train_split": 0.5}})
    return prepare_data(config, opened).describe()


@pytest.fixture
def samples(tmp_path, data):
    """Return a file of generated maps that names its training maps."""

    def write(rows, **changes):
        content = {
            "maps": DRAW.lognormal(25, 0.5, (len(rows), 8, 8)).astype(np.float32),
            "params": PARAMS[rows],
            "data_fingerprint": data["fingerprint"],
            "training_digests": from_text(data["training_digests"]),
        }
        np.savez(tmp_path / "samples.npz", **content | changes)
        return JudgedFile(tmp_path / "samples.npz", "generated")

    return write


def real(path, rows, dtype="f8"):
    np.savez(path, maps=MAPS[rows, None].astype(dtype), params=PARAMS[rows], box_size=25.0)
    return JudgedFile(path, "real")


def rows_of(data, split):
    return np.concatenate([np.arange(EACH) + EACH * simulation for simulation in data["split"][split]])


def test_training_maps_are_refused_and_test_maps_are_not(tmp_path, data, samples):
    test, train = rows_of(data, "test"), rows_of(data, "train")
    read = drain(read_pair(JudgedPair(samples(test), real(tmp_path / "real.npz", test))))
    assert read.maps.real.count == len(test)
    assert not read.maps.notes
    mixed = np.sort(np.concatenate([test, train[:2]]))
    pair = JudgedPair(samples(mixed), real(tmp_path / "real.npz", mixed))
    with pytest.raises(InputError, match=rf"2 of its {len(mixed)} maps are training maps.*--even-if-trained-on"):
        drain(read_pair(pair))
    allowed = drain(read_pair(JudgedPair(pair.generated, pair.real, even_if_trained_on=True)))
    assert "training maps of the generator" in allowed.maps.notes[-1]


def test_an_old_file_recognises_the_whole_set_only(tmp_path, samples):
    every = np.arange(len(MAPS))
    old = samples(every, training_digests=np.empty(0, dtype=np.uint64))
    whole = JudgedFile(tmp_path / "maps.npy", "real", tmp_path / "params.txt", EACH)
    with pytest.raises(InputError, match="is the whole data set"):
        drain(read_pair(JudgedPair(old, whole)))
    read = drain(read_pair(JudgedPair(old, real(tmp_path / "real.npz", every))))
    assert "--training FILE" in read.maps.notes[0]


def test_of_a_training_file_the_training_maps_are_taken(tmp_path, data, samples):
    test, train = rows_of(data, "test"), rows_of(data, "train")
    pair = JudgedPair(samples(test), real(tmp_path / "real.npz", test), training=tmp_path / "maps.npy")
    np.testing.assert_array_equal(drain(read_pair(pair)).training[:, 0], MAPS[train])
    unnamed = samples(test, training_digests=np.empty(0, dtype=np.uint64))
    with pytest.raises(InputError, match="training maps"):
        drain(read_pair(JudgedPair(unnamed, pair.real, training=pair.training)))


def test_copies_of_real_maps_are_said(tmp_path, data, samples):
    test = rows_of(data, "test")
    read = drain(read_pair(JudgedPair(samples(test, maps=MAPS[test]), real(tmp_path / "real.npz", test))))
    assert f"{len(test)} of the {len(test)} generated maps are also among the real" in read.maps.notes[0]


def test_digests_follow_the_physical_values(tmp_path, data):
    assert data["training_digests"] == to_text(from_text(data["training_digests"]))
    np.save(tmp_path / "logs.npy", np.log10(MAPS.astype(np.float64)))
    logs = open_map_set(
        tmp_path / "logs.npy",
        tmp_path / "params.txt",
        box_size=25.0,
        maps_per_simulation=EACH,
        stored=StoredValues("log10"),
    )
    digests = digests_of(MAPS[:, None])
    assert len(set(digests.tolist())) == len(MAPS)
    np.testing.assert_array_equal(set_digests(logs, [3, 1]), digests[[3, 1]])


def test_a_constant_row_is_never_recognised():
    empty = digests_of(np.zeros((2, 1, 4, 4)))
    assert not known(empty, empty).any()


def test_scattered_maps_of_a_mapped_file_stay_out_of_memory(tmp_path, monkeypatch):
    """Every second map has a parameter point of both sides, and every second training map is one of the generator."""
    monkeypatch.setattr(spooling, "IN_MEMORY", 2**16)
    monkeypatch.setattr(spooling, "_BLOCK", 2**16)
    monkeypatch.setattr(judged_values, "_CHUNK_PIXELS", 2**13)
    maps, training = DRAW.lognormal(25, 0.5, (2, 300, 64, 64)).astype(np.float32)
    params = np.tile(ROWS[:2], (150, 1))
    np.savez(tmp_path / "real.npz", maps=maps, params=params, box_size=25.0)
    own = DRAW.lognormal(25, 0.5, (4, 64, 64)).astype(np.float32)
    digests = digests_of(training[::2, None])
    np.savez(tmp_path / "drawn.npz", maps=own, params=params[:8:2], training_digests=digests)
    np.save(tmp_path / "training.npy", training)
    files = [JudgedFile(tmp_path / f"{name}.npz", what) for name, what in (("drawn", "generated"), ("real", "real"))]
    tracemalloc.start()
    try:
        read = drain(read_pair(JudgedPair(*files, training=tmp_path / "training.npy", common=True)))
        assert tracemalloc.get_traced_memory()[1] < maps.nbytes / 4
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(read.maps.real.maps[:, 0], maps[::2])
    np.testing.assert_array_equal(read.training[:, 0], training[::2])
