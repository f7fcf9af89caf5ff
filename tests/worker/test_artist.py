"""Which figures the drawing process draws, and when: each once, but the history only when it is due and at the end."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from workers import Make

from focus_engine.events.table import EpochFinished, Event, RunEnded
from focus_engine.launch.stop_request import When, write_stop_request
from focus_engine.runs.folder import RunFolder
from focus_engine.worker import artist
from focus_engine.worker.artist import Artist, Requests
from focus_engine.worker.foreground import run_in_foreground


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Yield both ends of a pipe; the test closes the writing one."""
    read, write = os.pipe()
    yield read, write
    os.close(read)


def test_of_histories_that_wait_the_last_is_drawn_at_the_end(pipe: tuple[int, int]):
    read, write = pipe
    os.write(write, b"history\nsamples 1\nhistory\npower 1\n" + 500 * b"history\n" + b"history finished\n")
    requests = iter(Requests(read))
    assert [next(requests), next(requests)] == ["samples 1", "power 1"]
    os.close(write)
    assert list(requests) == ["history finished"]


def test_a_history_is_drawn_once_it_is_due_and_then_rests(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr(artist.time, "monotonic", lambda: now[0])
    read, write = pipe
    requests = Requests(read)
    os.write(write, b"history\n")
    now[0] += artist.FIRST_HISTORY_SECONDS
    drawn = iter(requests)
    assert next(drawn) == "history"
    now[0] += 3.0  # seconds that drawing takes
    os.write(write, b"history\nsamples 2\n")
    assert next(drawn) == "samples 2"
    assert requests._wait() == pytest.approx(27.0)
    os.close(write)
    assert list(drawn) == ["history"]


def test_a_torn_line_at_the_end_is_no_request(pipe: tuple[int, int]):
    read, write = pipe
    os.write(write, b"samples 1\nsampl")
    os.close(write)
    assert list(Requests(read)) == ["samples 1"]


def test_requests_wait_while_no_process_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    drawn, real, full = tmp_path / "drawn", subprocess.Popen, [True, True, False]

    def start(_: list[str], **given: Any) -> "subprocess.Popen[bytes]":
        if full.pop(0):
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return real(["/bin/sh", "-c", f"cat > '{drawn}'"], **given)

    monkeypatch.setattr(artist.subprocess, "Popen", start)
    one = Artist(RunFolder(tmp_path))
    one.draw("history")
    assert one.refusal == "Resource temporarily unavailable"
    one.draw("samples 1")
    one.draw("history")
    assert one.refusal == ""
    assert one.finish("finished")
    assert drawn.read_text() == "samples 1\nhistory\nhistory finished\n"


@pytest.mark.process
@pytest.mark.parametrize("when", ["epoch", "now"])
def test_a_run_that_stops_waits_for_its_figures_and_one_that_stops_now_does_not(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: When
):
    """The drawing process here draws when it is told that the run has ended."""
    run, drawn, started = make("run", epochs=1000), tmp_path / "drawn", list[subprocess.Popen[bytes]]()

    def start(_: Artist) -> "subprocess.Popen[bytes]":
        command = ["/bin/sh", "-c", f"cat > /dev/null; touch '{drawn}'"]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, bufsize=0))
        return started[-1]

    def watch(event: Event) -> None:
        if isinstance(event, EpochFinished) and event.epoch == 2:
            write_stop_request(run, when)
        if isinstance(event, RunEnded):
            assert not drawn.exists(), "the end is recorded before the figures"

    monkeypatch.setattr(Artist, "_start", start)
    assert run_in_foreground(run, on_event=watch).state == "stopped"
    assert len(started) == 1
    assert drawn.exists() == (when == "epoch")
    assert started[0].returncode == (0 if when == "epoch" else -9)


def test_the_process_leaves_the_cores_to_training():
    program = (
        "import os, pathlib; from focus_engine.worker.artist import step_back; step_back(); "
        "group = pathlib.Path('/proc/self/autogroup'); "
        "print(os.nice(0), group.read_text().split()[-1] if group.is_file() else 'none')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], start_new_session=True, capture_output=True, text=True, check=True
    )
    niceness, group = done.stdout.split()
    assert int(niceness) == min(19, os.nice(0) + artist.PRIORITY)
    assert group in {str(artist.PRIORITY), "none"}
