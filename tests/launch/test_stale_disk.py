"""The log of a live worker under requests through another client of a network disk: for real, with FUSE."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from recording_worker import forked, steps_in, write_steps

from focus_engine.events.log import append_event, read_events
from focus_engine.events.table import StopRequested
from focus_engine.launch.start import request_stop
from focus_engine.runs.folder import RunFolder

pytestmark = pytest.mark.faults

REQUESTS = 1000
MOUNT = Path(__file__).parent.parent / "support" / "stale_disk.py"


@pytest.fixture
def clients(tmp_path: Path, until: Callable[..., None]) -> Iterator[list[Path]]:
    """Two clients of one folder, each of which keeps the sizes of files for a while."""
    (server := tmp_path / "server").mkdir()
    places = [tmp_path / "compute", tmp_path / "login"]
    mounts = []
    for place in places:
        place.mkdir()
        mounts.append(subprocess.Popen([sys.executable, str(MOUNT), str(server), str(place)]))
        until(lambda place=place, mount=mounts[-1]: place.is_mount() or mount.poll() is not None)
        assert place.is_mount()
    yield places
    for place, mount in zip(places, mounts, strict=True):
        subprocess.run(["umount", "--lazy", str(place)], check=True)
        mount.wait()


def test_a_thousand_requests_of_another_client_lose_no_line(
    clients: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Callable[..., None]
):
    here, there = (RunFolder(place / "exp") for place in clients)
    truth = RunFolder(tmp_path / "server" / "exp")
    here.make_folders()
    here.config.touch()
    done = tmp_path / "done"
    pid = forked(lambda: write_steps(here, done))
    until(lambda: len(steps_in(truth)) > 3)
    monkeypatch.setenv("FOCUS_HOST", "login-node")
    for number in range(REQUESTS):
        request_stop(there, "epoch" if number % 2 else "now")
    done.touch()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert steps_in(truth) == list(range(1, int(done.read_text()) + 1))
    events = read_events(truth.events)
    assert len(events) == truth.events.read_bytes().count(b"\n")  # every line is whole
    assert {event.host for event in events if isinstance(event, StopRequested)} == {"login-node"}

    there.events.stat()  # what would happen if this client appended while another does
    append_event(here.events, StopRequested(when="now"))
    append_event(there.events, StopRequested(when="epoch"))
    asked = [event.when for event in read_events(truth.events)[-2:] if isinstance(event, StopRequested)]
    assert asked != ["now", "epoch"]
