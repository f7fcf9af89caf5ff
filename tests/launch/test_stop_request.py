"""Stop requests are files: any number of them from another host costs the log of a live worker no line."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from recording_worker import forked, steps_in, write_steps

from focus_engine.errors import FocusError
from focus_engine.events.log import append_event, read_events
from focus_engine.events.table import StopRequested, StopWithdrawn, WorkerStarting
from focus_engine.launch.start import request_stop, withdraw_stop
from focus_engine.launch.state import summarise
from focus_engine.launch.stop_request import StopRequest, read_stop_request, stop_request_of, write_stop_request
from focus_engine.runs.folder import RunFolder

REQUESTS = 1000


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "exp")
    run.make_folders()
    run.config.touch()
    return run


class StaleSizes:
    """A client of a network disk that appends where it saw the end of a file first, as NFS may.

    `open` with O_APPEND and `write` are those of this process; what the other host appends is not seen.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: dict[str, int] = {}
        self._opened: dict[int, str] = {}
        self._open, self._write, self._close = os.open, os.write, os.close
        monkeypatch.setattr(os, "open", self.open)
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(os, "close", self.close)

    def open(self, path: str | Path, flags: int, *more: int, **options: int) -> int:
        descriptor = self._open(path, flags & ~os.O_APPEND, *more, **options)
        if flags & os.O_APPEND:
            self._opened[descriptor] = str(path)
            self.sizes.setdefault(str(path), os.fstat(descriptor).st_size)
        return descriptor

    def write(self, descriptor: int, data: bytes) -> int:
        if (path := self._opened.get(descriptor)) is None:
            return self._write(descriptor, data)
        count = os.pwrite(descriptor, data, self.sizes[path])
        self.sizes[path] += count
        return count

    def close(self, descriptor: int) -> None:
        self._opened.pop(descriptor, None)
        self._close(descriptor)


@pytest.mark.process
def test_a_thousand_requests_from_a_host_with_stale_sizes_lose_no_line(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Callable[..., None]
):
    done = tmp_path / "done"
    pid = forked(lambda: write_steps(run, done))
    until(lambda: len(steps_in(run)) > 3)
    monkeypatch.setenv("FOCUS_HOST", "login-node")
    stale = StaleSizes(monkeypatch)
    for number in range(REQUESTS):
        summary = request_stop(run, "epoch" if number % 2 else "now")
        assert summary.state in {"running", "stopping"}
    until(lambda: any(isinstance(event, StopRequested) for event in read_events(run.events)))
    assert summarise(run).state == "stopping"
    request_stop(run, "epoch")
    withdraw_stop(run)
    assert summarise(run).state == "running"
    done.touch()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert steps_in(run) == list(range(1, int(done.read_text()) + 1))
    events = read_events(run.events)
    assert len(events) == run.events.read_bytes().count(b"\n")  # every line is whole
    asked = [event for event in events if isinstance(event, StopRequested)]
    assert {event.host for event in asked} == {"login-node"}
    assert isinstance(
        [event for event in events if isinstance(event, StopRequested | StopWithdrawn)][-1], StopWithdrawn
    )
    assert stale.sizes == {}  # this host has appended to nothing

    stale.sizes[str(run.events)] = 0  # what would happen if it did
    append_event(run.events, StopRequested(when="now"))
    assert not any(isinstance(event, WorkerStarting) for event in read_events(run.events))


def test_a_request_says_when_by_whom_and_since_when(run: RunFolder):
    request = write_stop_request(run, "now")
    assert stop_request_of(run) == request
    assert (request.when, request.pid) == ("now", os.getpid())
    assert request.host
    assert request.key != write_stop_request(run, "now").key
    assert not list(run.logs.glob("*.new"))
    size = run.stop_request.stat().st_size
    write_stop_request(run, "epoch")
    assert run.stop_request.stat().st_size == size


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("epoch\n", "epoch"),  # of an earlier version
        ("now\n", "now"),
        ("", "epoch"),
        ("[1]", "epoch"),
        ('{"when": 3}', "epoch"),
        ('{"when": "now", "pid": "x", "key": 4}', "now"),
        ("\x00\xff", "epoch"),
        ('{"when": "now", "ke', "now"),  # cut short by a stale size
    ],
)
def test_any_stop_file_stops(run: RunFolder, text: str, when: str):
    run.stop_request.write_text(text, encoding="utf-8")
    assert stop_request_of(run) == StopRequest(when)  # type: ignore[arg-type]
    assert read_stop_request(run) == when


def test_a_folder_that_cannot_be_written_is_named(run: RunFolder):
    run.stop_request.mkdir()
    with pytest.raises(FocusError, match=r"stop cannot be written: "):
        write_stop_request(run, "now")
