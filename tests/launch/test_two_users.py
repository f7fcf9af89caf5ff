"""Two users who share a folder: neither stops, changes or reads what is the other's, and each is told why."""

import contextlib
import hashlib
import io
import json
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from example_events import epoch, started, worker
from other_users import ALICE, BOB, as_user

from focus_engine.errors import FocusError
from focus_engine.launch import start
from focus_engine.launch.process import ProcessIdentity, boot_id, host_name, process_start
from focus_engine.launch.slots import take_free_slots
from focus_engine.runs.folder import RunFolder
from focus_engine.trust import stamp
from focus_tui.__main__ import run as focus

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root, which becomes two other users"),
]


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which every user may make files, as /scratch is."""
    folder = Path(tempfile.mkdtemp(prefix="focus-users-")).resolve()
    folder.chmod(0o1777)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("FOCUS_CACHE", str(folder / "cache"))
    monkeypatch.setenv("FOCUS_EXPERIMENTS", str(folder / "experiments"))
    monkeypatch.setattr(start, "subprocess", subprocess)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def alices(shared: Path) -> Iterator[tuple[RunFolder, "subprocess.Popen[bytes]"]]:
    """A run of Alice, whose worker lives."""
    process = subprocess.Popen(["/bin/sleep", "600"], user=ALICE, group=ALICE)
    identity = ProcessIdentity(process.pid, host_name(), boot_id(), process_start(process.pid), 1.0)

    def make() -> None:
        run = RunFolder(shared / "experiments" / "hers")
        run.make_folders()
        run.config.write_text("method: flow\n")
        run.worker.write_text(identity.to_json())
        run.events.write_text("".join(f"{one.to_json()}\n" for one in (worker(identity), started(), epoch(1))))

    (shared / "experiments").mkdir()
    (shared / "experiments").chmod(0o1777)
    assert as_user(ALICE, make) is None
    yield RunFolder(shared / "experiments" / "hers"), process
    process.kill()
    process.wait()


def said(*arguments: str) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of a command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = focus(list(arguments))
    return code, out.getvalue(), err.getvalue()


def contents(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def test_nothing_of_another_user_is_stopped_or_changed(alices: tuple[RunFolder, "subprocess.Popen[bytes]"]):
    run, process = alices
    before = contents(run.path)
    reading = [["ls"], ["status", "hers"], ["logs", "hers"], ["verify", "hers"]]
    writing = [
        ["stop", "hers"],
        ["stop", "hers", "--now"],
        ["resume", "hers"],
        ["train", "hers"],
        ["rm", "hers", "--yes"],
    ]
    writing += [["tag", "hers", "x"], ["note", "hers", "x"], ["archive", "hers"], ["start", "hers"]]
    for code, out, err in as_user(BOB, lambda: [said(*one) for one in reading]):
        assert (code, "Traceback" in err) == (0, False), (out, err)
        assert "running" in out + err or "no checkpoints" in err or "WorkerStarting" in out or out
    for command, (code, _, err) in zip(writing, as_user(BOB, lambda: [said(*one) for one in writing]), strict=True):
        assert code in {1, 2}, (command, err)
        assert (err.startswith("focus: "), "Traceback" in err) == (True, False), (command, err)
    assert contents(run.path) == before
    assert process.poll() is None


def test_a_run_that_nobody_else_may_read_hides_no_other(alices: tuple[RunFolder, "subprocess.Popen[bytes]"]):
    run, _ = alices
    private = run.path.with_name("private")
    shutil.copytree(run.path, private)
    (private / "logs").chmod(0o700)
    shutil.copytree(run.path, run.path.with_name("closed"))
    run.path.with_name("closed").chmod(0o700)
    code, out, err = as_user(BOB, lambda: said("ls"))
    assert (code, "hers" in out, "Traceback" in err) == (0, True, False), (out, err)


def test_the_key_is_read_by_its_owner_only(shared: Path, monkeypatch: pytest.MonkeyPatch):
    key = shared / "key"
    monkeypatch.setenv("FOCUS_KEY_FILE", str(key))
    made = as_user(ALICE, lambda: stamp("her.Network"))
    assert len(made) == 64
    assert key.stat().st_uid == ALICE
    assert as_user(BOB, lambda: stamp("her.Network")) is None
    assert "PermissionError" in as_user(BOB, lambda: key.read_bytes().hex())
    assert as_user(ALICE, lambda: stamp("her.Network")) == made


def test_slots_are_of_one_user(shared: Path):
    run = RunFolder(shared / "x")

    def take() -> str:
        try:
            return str(take_free_slots(run, "cpu").devices)
        except FocusError as error:
            return str(error)

    assert as_user(ALICE, take) == "('cpu',)"
    assert "set FOCUS_CACHE to a folder of yours" in as_user(BOB, take)
    assert as_user(ALICE, take) == "('cpu',)"


def test_a_full_process_table(shared: Path):
    def begin() -> list[Any]:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        return [*said("start", "his"), said("ls", "--json")[1]]

    (shared / "experiments").mkdir()
    assert said("new", "his", "--template", "small_flow")[0] == 0
    for path in (shared / "experiments", *(shared / "experiments").rglob("*")):
        os.chown(path, BOB, BOB)
    answer = as_user(BOB, begin)
    assert len(answer) == 4, answer
    code, _, err, listed = answer
    assert (code, "no worker can be started" in err, "Traceback" in err) == (1, True, False), err
    assert json.loads(listed)[0]["state"] == "created"
