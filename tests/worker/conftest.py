"""Universes of 16 x 16 pixels, and runs whose workers end with the test."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from power_loss import Recording
from workers import DATA, Make, write_config

from focus_engine.config.schema import Config
from focus_engine.launch.process import process_start
from focus_engine.launch.state import summarise
from focus_engine.progress import drain
from focus_engine.runs.folder import RunFolder
from focus_engine.simulation.cache import simulate_cached_universes


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The universes of `DATA`, made once."""
    folder = tmp_path_factory.mktemp("cache")
    block = Config.model_validate(
        {
            "data": {
                key: float(value) if "." in value else int(value)
                for key, value in (pair.split(": ") for pair in DATA.split(", "))
            }
        }
    ).data
    drain(simulate_cached_universes(block, folder))
    return folder


@pytest.fixture
def make(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Return a maker of experiments; their workers end with the test."""
    monkeypatch.setenv("FOCUS_CACHE", str(cache))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    made: list[RunFolder] = []

    def new(name: str = "a run", *, root: Path = tmp_path, **keys: Any) -> RunFolder:
        run = RunFolder(root / name)
        run.path.mkdir(exist_ok=True)
        write_config(run, **keys)
        made.append(run)
        return run

    yield new
    torch.set_num_threads(threads)
    for run in made:
        summary = summarise(run)
        if summary.pid not in {None, os.getpid()} and process_start(int(summary.pid or 0)) is not None:
            os.kill(int(summary.pid or 0), signal.SIGKILL)


@pytest.fixture(scope="session")
def recording(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    """A recorded run, for the tests of the group `power`."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOCUS_CACHE", str(cache))
        yield Recording(tmp_path_factory.mktemp("power") / "recorded")
    torch.set_num_threads(threads)
