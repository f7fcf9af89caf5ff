"""When a worker that hangs replaces or ends itself, and when it does not. Real restarts are in test_stall.py."""

import os
from contextlib import nullcontext
from typing import Any

import pytest
from workers import Make

from focus_engine.launch.process import ProcessIdentity
from focus_engine.launch.rank_files import RankRecord, read_rank_records
from focus_engine.worker import rank, recover
from focus_engine.worker.options import WorkerOptions
from focus_engine.worker.recorder import Recorder


class ReplacedError(Exception):
    """Stands for a process that `os.execve` replaced, or that has left."""


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Return the environments of the processes that took the place of this one."""
    environments: list[dict[str, str]] = []

    def execve(_program: str, _command: list[str], environment: dict[str, str]) -> None:
        environments.append(environment)
        raise ReplacedError

    def leave(_code: int) -> None:
        raise ReplacedError

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(os, "_exit", leave)
    return environments


def test_a_process_of_a_terminal_or_a_program_is_neither_ended_nor_replaced(make: Make):
    run = make()
    for foreground in (True, False):
        dog = recover.watchdog_of(run, Recorder(run), WorkerOptions(foreground=foreground))
        assert (dog._end is None, dog._restart is None) == (foreground, foreground)


def test_a_restart_from_the_same_checkpoint_is_not_tried_twice(
    make: Make, replaced: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
):
    run = make()
    run.make_folders()
    dog: Any = recover.watchdog_of(run, Recorder(run), WorkerOptions())
    for content, count in (("", 1), ("", 1), ("one", 2), ("one", 2), ("another", 3)):
        if content:
            run.checkpoint_last.write_text(content)
            os.utime(run.checkpoint_last, ns=(0, 0))
        with pytest.raises(ReplacedError) if count > len(replaced) else nullcontext():
            dog._restart("no progress")
        assert len(replaced) == count
        monkeypatch.setenv(recover.RESTARTED_VARIABLE, replaced[-1][recover.RESTARTED_VARIABLE])


def test_ranks_restart_as_often_as_max_restarts_says(make: Make, replaced: list[dict[str, str]]):
    run = make(more="devices: 2\n  max_restarts: 2")
    run.ranks.mkdir(parents=True)
    identity = ProcessIdentity.of_this_process().__dict__
    for attempt in range(4):
        dog: Any = rank._watchdog(run, RankRecord(0, attempt, identity), Recorder(run))
        with pytest.raises(ReplacedError) if attempt < 2 else nullcontext():
            dog._restart("no progress")
    assert max(one.attempt for one in read_rank_records(run.ranks)) == 1
    assert replaced == []
    other: Any = rank._watchdog(run, RankRecord(1, 0, identity), Recorder(run))
    assert (other._end, other._restart) == (None, None)  # rank 0 acts for all
