"""Some hundred mutations of every file that another may have written; `scripts/fuzz_files.py` reads 10,000 of each."""

from pathlib import Path

import pytest
from fuzz_guard import WATCH, Result, fuzz, install
from fuzz_mutations import Bomb
from fuzz_targets import Target, targets

from focus_engine.errors import FocusError
from focus_engine.evaluation.exporting import export_weights
from focus_engine.runs.folder import RunFolder

pytestmark = pytest.mark.xdist_group("averages")  # its tests share a trained model
SLOW = {"checkpoint": 12, "weights file": 12, "SLURM defaults": 12, "snapshot": 12, "config": 12}


@pytest.fixture(scope="module")
def known(home: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Target]:
    folder = tmp_path_factory.mktemp("examples")
    run = RunFolder(home / "tiny")
    export_weights(run, folder / "w.safetensors", checkpoint="best", ema=None, force=False)
    return targets(folder, run.checkpoint_last, folder / "w.safetensors")


def test_mutated_files_are_read_or_refused(known: list[Target], tmp_path: Path):
    for target in known:
        result = Result()
        fuzz(target, range(SLOW.get(target.name, 30)), 7, tmp_path / "place", result)
        assert not result.harm, (target.name, result.first)
        assert result.read == result.accepted + result.refused > 10


def test_whole_files_are_accepted(known: list[Target], tmp_path: Path):
    """A reader that refuses everything would pass every mutation."""
    for target in known:
        for number, seed in enumerate(target.seeds):
            result = Result()
            whole = Target(target.name, target.place, (seed,), lambda _, content: content, target.read)
            fuzz(whole, range(1), 0, tmp_path / f"place_{number}", result)
            assert (result.accepted, result.harm) == (1, 0), (target.name, result.first)


def test_the_watch_sees_what_must_not_be(tmp_path: Path):
    import os
    import pickle

    def of(read) -> Result:
        result = Result()
        target = Target("x", "x.bin", (pickle.dumps(Bomb()),), lambda _, content: content, read)
        fuzz(target, range(1), 0, tmp_path / "place", result)
        return result

    install()
    assert of(lambda _, path: pickle.loads(path.read_bytes())).executed == 1  # noqa: S301
    assert of(lambda *_: os.system("true")).executed == 1  # noqa: S605
    assert of(lambda *_: (tmp_path / "beside").write_text("x")).escaped == 1
    assert of(lambda *_: {}["x"]).raised == 1
    assert of(lambda *_: FocusError).accepted == 1
    assert WATCH.home is None
