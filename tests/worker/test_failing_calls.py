"""A file call that fails is told in one message with its cause and a path; nothing lies, nothing is lost.

`make nightly` lets every kind of call of twelve commands fail with six errors (`scripts/failing_calls.py`).
"""

import errno
from pathlib import Path

import pytest
from failing_calls import Commands, FailingCalls, Point
from power_loss import NAME, Recording

from focus_engine.errors import remedy
from focus_engine.runs.proofs import proof_of
from focus_engine.training.checkpoint import sha256_of

pytestmark = pytest.mark.xdist_group("power")  # they share the recording

HARD = [
    ("new", Point("fsync", "run_model.sh", 1), errno.ENOSPC, True),
    ("stop", Point("write", "stop", 1), errno.EDQUOT, True),
    ("resume", Point("read", "checkpoint_last.pt", 2), errno.ESTALE, False),
    ("resume", Point("write", "progress.json.new", 1), errno.EIO, False),
    ("resume", Point("write", ".checkpoint_last.pt", 20), errno.ENOSPC, True),
    ("resume", Point("write", "events.jsonl", 9), errno.EIO, True),
    ("stop", Point("read", "events.jsonl", 1), errno.ESTALE, False),
    ("start", Point("open", "events.jsonl", 3), errno.ESTALE, False),
    ("start-no-flock", Point("rename", ".run.lock.held-000001", 2), errno.ENOSPC, True),
    ("status", Point("open", "events.jsonl", 1), errno.EMFILE, False),
    ("judge", Point("read", "real.npz", 1), errno.EMFILE, False),
]


@pytest.mark.parametrize(("name", "at", "error", "stays"), HARD)
def test_a_call_that_fails_is_told_and_costs_nothing(
    recording: Recording, tmp_path: Path, name: str, at: Point, error: int, *, stays: bool
):
    made, verdict, unclear = Commands(recording, tmp_path / "state").fail(name, at, error, stays=stays)
    assert made
    assert verdict.harm == []
    assert unclear == []


def test_a_file_that_cannot_be_read_now_is_not_called_damaged(recording: Recording, tmp_path: Path):
    commands = Commands(recording, tmp_path / "state")
    run = commands.begin("verify")
    told = commands.call(
        "verify", FailingCalls(tmp_path / "state", Point("open", "checkpoint_last.pt", 1), errno.EMFILE)
    )
    assert told.code == 1
    assert f"cannot be read, such as {run.checkpoint_last} (Too many open files)" in told.text
    assert "DAMAGED" not in told.text
    assert proof_of(run, run.checkpoint_last) is None
    assert NAME in told.text


def test_each_error_has_its_remedy():
    assert "ulimit" in remedy(OSError(errno.EMFILE, ""))
    assert "quota" in remedy(OSError(errno.EDQUOT, ""))
    assert "space" not in remedy(OSError(errno.ESTALE, ""))


def test_a_digest_that_fails_names_its_file(tmp_path: Path):
    (tmp_path / "x.pt").write_bytes(b"0")
    calls = FailingCalls(tmp_path, Point("read", "x.pt", 1), errno.ENOMEM)
    with calls.installed(), pytest.raises(OSError, match="allocate") as failed:
        sha256_of(tmp_path / "x.pt")
    assert failed.value.filename == str(tmp_path / "x.pt")
