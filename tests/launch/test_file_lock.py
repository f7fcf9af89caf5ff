"""Locks with flock and without: one holder, freed by its death, and of twenty starts at once one."""

import errno
import fcntl
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from focus_engine.errors import FocusError, RunConflictError
from focus_engine.launch import exclusive_file
from focus_engine.launch.exclusive_file import EXPIRY_SECONDS
from focus_engine.launch.file_lock import FileLock, is_locked
from focus_engine.launch.process import ProcessIdentity
from focus_engine.launch.run_lock import run_lock
from focus_engine.runs.folder import RunFolder

STARTERS = 20


def without_flock(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.fixture(params=[None, errno.ENOSYS])
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file to lock, on a disk with flock or without."""
    if request.param is not None:
        without_flock(request.param, monkeypatch)
    return tmp_path / "x.lock"


def in_child(work: Callable[[], int]) -> int:
    """Fork a process that exits with what `work` returns; return its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        code = work()
    finally:
        os._exit(code)


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_one_holder_until_it_releases(path: Path):
    lock = FileLock.take(path)
    assert lock is not None
    lock.write("mine")
    assert FileLock.take(path) is None
    assert is_locked(path)
    assert path.read_text() == "mine"
    lock.release()
    assert not is_locked(path)
    again = FileLock.take(path)
    assert again is not None
    again.release()


def test_the_death_of_its_holder_frees_it(path: Path):
    reader, writer = os.pipe()

    def hold() -> int:
        held = FileLock.take(path)
        os.write(writer, b"1" if held is not None else b"0")
        signal.pause()
        return 0

    pid = in_child(hold)
    assert os.read(reader, 1) == b"1"
    assert is_locked(path)
    assert FileLock.take(path) is None
    os.kill(pid, signal.SIGKILL)
    exit_code(pid)
    assert not is_locked(path)
    lock = FileLock.take(path)
    assert lock is not None
    lock.release()
    os.close(reader)
    os.close(writer)


def test_a_child_goes_on_holding_what_its_launcher_took(path: Path):
    lock = FileLock.take(path)
    assert lock is not None
    begun, begin = os.pipe()
    done, end = os.pipe()

    def adopt() -> int:
        os.read(begun, 1)
        own = FileLock.adopt(path, lock.token)
        os.write(end, b"1" if own is not None else b"0")
        os.read(begun, 1)
        return 0

    pid = in_child(adopt)
    lock.hand_over(pid)
    lock.release()
    assert is_locked(path)
    os.write(begin, b"1")
    assert os.read(done, 1) == b"1"
    assert FileLock.take(path) is None
    os.write(begin, b"1")
    assert exit_code(pid) == 0
    assert not is_locked(path)
    assert FileLock.adopt(path, "file:none") is None
    assert FileLock.adopt(path, "") is None
    for one in (begun, begin, done, end):
        os.close(one)


def test_of_twenty_at_once_one_wins(path: Path):
    """Each of the processes holds what it took until all have tried, also where an earlier holder died."""
    for _ in range(2):
        tried, trying = os.pipe()
        free, hold = os.pipe()

        def start(free: int = free, hold: int = hold, trying: int = trying) -> int:
            os.close(hold)
            won = FileLock.take(path) is not None
            os.write(trying, b"1")
            os.read(free, 1)  # until all have tried
            return 0 if won else 3

        pids = [in_child(start) for _ in range(STARTERS)]
        for _ in pids:
            assert os.read(tried, 1) == b"1"
        os.close(hold)
        assert sorted(exit_code(pid) for pid in pids) == [0] + [3] * (STARTERS - 1)
        for one in (tried, trying, free):
            os.close(one)


def lock_file(path: Path, **changes: object) -> Path:
    """Write a lock file of another holder."""
    own = replace(ProcessIdentity.of_this_process(), host="far-away")
    file = path.with_name(f".{path.name}.held-000007")
    file.write_text(json.dumps(asdict(own) | {"key": "k", "released": False} | changes))
    return file


def test_a_holder_elsewhere_counts_until_its_file_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    without_flock(errno.ENOSYS, monkeypatch)
    path = tmp_path / "x.lock"
    path.touch()
    for content in ({}, {"pid": None}):  # the second: not written yet
        file = lock_file(path, **content)
        assert is_locked(path)
        assert FileLock.take(path) is None
        past = time.time() - EXPIRY_SECONDS - 60
        os.utime(file, (past, past))
        assert not is_locked(path)
    lock_file(path, released=True)
    assert not is_locked(path)
    lock = FileLock.take(path)
    assert lock is not None
    assert [file.name for file in tmp_path.glob(".x.lock.held-*")] == [".x.lock.held-000008"]
    lock.release()


def test_a_late_process_that_judged_an_old_file_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It creates a number that others have used and removed meanwhile, and finds a higher one."""
    without_flock(errno.ENOSYS, monkeypatch)
    path = tmp_path / "x.lock"
    lock_file(path)  # held, number 7
    newest, looks = exclusive_file._newest, []

    def late(asked: Path) -> tuple[int, Path | None]:
        looks.append(asked)
        return (2, None) if len(looks) == 1 else newest(asked)

    monkeypatch.setattr(exclusive_file, "_newest", late)
    assert FileLock.take(path) is None
    assert [file.name for file in tmp_path.glob(".x.lock.held-*")] == [".x.lock.held-000007"]


def test_a_file_that_cannot_be_asked_is_not_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "x.lock"
    assert not is_locked(path)  # there is none
    path.touch()
    without_flock(errno.EIO, monkeypatch)
    assert is_locked(path)
    with pytest.raises(OSError, match="Input/output error"):
        FileLock.take(path)
    run = RunFolder(tmp_path / "run")
    with pytest.raises(FocusError, match=r"cannot be written: Input/output error \(.*run\.lock\)"), run_lock(run):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_run_is_locked_without_flock_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int):
    without_flock(number, monkeypatch)
    run = RunFolder(tmp_path / "run")
    with (
        run_lock(run),
        pytest.raises(RunConflictError, match="is being started or calibrated, or is running already"),
        run_lock(run),
    ):
        pass
    with run_lock(run):
        pass
