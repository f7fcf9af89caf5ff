"""Attacks by hostile files, folders and names: each is refused with a message, or has no effect."""

import os
import pickle
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from workers import Make, Until, ended, epochs_of, ignore

from focus_engine.errors import InputError
from focus_engine.evaluation.trained_model import open_trained
from focus_engine.events.log import read_events
from focus_engine.events.table import Warned
from focus_engine.launch.start import request_stop, start_run
from focus_engine.launch.state import summarise
from focus_engine.runs.folder import RunFolder
from focus_engine.training.checkpoint import load_checkpoint
from focus_engine.worker.foreground import run_in_foreground
from focus_tui.__main__ import run as focus_in_process

pytestmark = pytest.mark.process
Focus = Callable[..., tuple[int, str, str]]
NETWORK = """
from pathlib import Path
from focus_engine.models.unet import SimpleUNet
Path({mark!r}).touch()

class Net(SimpleUNet):
    pass
"""


@pytest.fixture
def focus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Focus:
    monkeypatch.setenv("FOCUS_EXPERIMENTS", str(tmp_path))
    monkeypatch.setenv("FOCUS_TRUST", "0")

    def call(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = focus_in_process([str(argument) for argument in arguments])
        return code, *capfd.readouterr()

    return call


@pytest.fixture
def foreign(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[RunFolder, Path]:
    """A trained run whose network is code on the path, stamped by another user; importing it leaves a file."""
    mark = tmp_path / "imported"
    (tmp_path / "their_network.py").write_text(NETWORK.format(mark=str(mark)))
    monkeypatch.syspath_prepend(str(tmp_path))
    run = make("theirs")
    run.config.write_text(run.config.read_text().replace("model: {", "model: {from: their_network.Net, "))
    monkeypatch.setenv("FOCUS_KEY_FILE", str(tmp_path / "their_key"))
    assert run_in_foreground(run, on_event=ignore).state == "finished"
    said = [event.message for event in read_events(run.events) if isinstance(event, Warned)]
    assert "model.from: the code of their_network.Net is run" in said
    return run, mark


def forget(mark: Path) -> None:
    """Forget that the network was imported."""
    mark.unlink(missing_ok=True)
    sys.modules.pop("their_network", None)


def test_code_named_by_somebody_elses_checkpoint_is_not_run(
    foreign: tuple[RunFolder, Path], focus: Focus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run, mark = foreign
    assert open_trained(run.checkpoint_best).config.model.from_ == "their_network.Net"  # its maker may
    monkeypatch.setenv("FOCUS_KEY_FILE", str(tmp_path / "my_key"))
    run.config.write_text(run.config.read_text().replace("num_epochs: 2", "num_epochs: 3"))
    for command in (
        ["sample", "theirs", "-n", "2"],
        ["sample", "theirs", "--checkpoint", run.checkpoint_last],
        ["evaluate", "theirs"],
        ["train", "theirs", "--resume"],
        ["resume", "theirs"],
    ):
        forget(mark)
        code, _, err = focus(*command)
        assert (code, "their_network.Net" in err, "--trust" in err) == (2, True, True), (command, err)
        assert not mark.exists(), command
    code, _, err = focus("sample", "theirs", "-n", "2", "--trust")
    assert code == 0, err
    assert "the code of their_network.Net is run" in err
    assert mark.exists()


def test_a_stamp_holds_for_what_was_stamped(foreign: tuple[RunFolder, Path]):
    run, mark = foreign
    content = torch.load(run.checkpoint_best, weights_only=True)
    content["config"]["model"]["from"] = "their_network.Other"
    torch.save(content, run.checkpoint_best)
    forget(mark)
    with pytest.raises(InputError, match=r"their_network.Other.*--trust"):
        open_trained(run.checkpoint_best)
    assert not mark.exists()


def test_the_key_is_private(foreign: tuple[RunFolder, Path], tmp_path: Path):  # noqa: ARG001  (it makes the key)
    assert stat.S_IMODE((tmp_path / "their_key").stat().st_mode) == 0o600


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch exploded",)


def test_a_hostile_pickle_is_not_run(make: Make, focus: Focus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    run = make("x")
    run.make_folders()
    torch.save({"format": "focus-checkpoint", "state": Bomb()}, run.checkpoint_best)
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(Bomb()))
    for path in (run.checkpoint_best, tmp_path / "raw.pt"):
        code, _, err = focus("sample", "x", "--checkpoint", path)
        assert code == 2, err
        assert "Traceback" not in err
    assert not (tmp_path / "exploded").exists()


def test_a_zip_bomb_is_not_unpacked(make: Make, focus: Focus, tmp_path: Path):
    make("x")
    bomb = tmp_path / "bomb.pt"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("archive/data.pkl", "w") as entry:
        for _ in range(64):
            entry.write(bytes(1 << 20))
    assert bomb.stat().st_size < 1 << 17
    code, _, err = focus("sample", "x", "--checkpoint", bomb)
    assert (code, "refused" in err) == (2, True), err


@pytest.mark.parametrize(
    "text",
    [
        "experiment: !!python/object/apply:os.system ['touch exploded']",
        "experiment: !!python/name:os.system",
        "experiment: !!python/object/new:os.system [touch exploded]",
        "a: &a [x, x, x, x, x, x, x, x]\n"
        + "".join(f"{c}: &{c} [*{b}, *{b}, *{b}, *{b}, *{b}]\n" for b, c in zip("abcdefgh", "bcdefghi", strict=True)),
    ],
)
def test_hostile_yaml(focus: Focus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(text)
    code, _, err = focus("config", "check", tmp_path / "config.yaml")
    assert (code, "config.yaml" in err, "Traceback" in err) == (2, True, False), err
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/etc/out", "..", "a\nb", "\x1b[2Ja", "a" * 300])
def test_names_stay_in_the_experiments_folder(focus: Focus, tmp_path: Path, name: str):
    before = sorted(tmp_path.parent.iterdir())
    code, _, err = focus("new", name)
    assert (code, "\x1b" in err) == (2, False)
    assert sorted(tmp_path.parent.iterdir()) == before


@pytest.mark.parametrize("what", ["logs", "checkpoints", "logs/events.jsonl", "logs/run.lock", "logs/worker.log"])
def test_links_that_lead_out_are_not_written_through(make: Make, focus: Focus, tmp_path: Path, what: str):
    run = make("x")
    run.make_folders()
    outside = tmp_path / "outside"
    if (run.path / what).is_dir():
        outside.mkdir()
        (run.path / what).rmdir()
    else:
        outside.write_text("precious")
        (run.path / what).unlink(missing_ok=True)
    (run.path / what).symlink_to(outside)
    code, _, err = focus("start", "x")
    assert (code, "leads out of the run folder" in err) == (2, True), err
    assert list(outside.iterdir()) == [] if outside.is_dir() else outside.read_text() == "precious"


def test_a_link_within_the_folder_and_a_linked_folder_are_fine(make: Make, tmp_path: Path):
    make("real")
    (tmp_path / "other").symlink_to(tmp_path / "real")
    run = RunFolder(tmp_path / "other")
    run.make_folders()
    (run.path / "kept").mkdir()
    run.samples.rmdir()
    run.samples.symlink_to(run.path / "kept")
    assert run_in_foreground(run, on_event=ignore).state == "finished"


def test_a_folder_that_everybody_may_write_in_is_warned_of(make: Make, focus: Focus, until: Until):
    run = make("x", epochs=1)
    run.path.chmod(0o777)
    code, _, err = focus("start", "x")
    assert (code, f"warning: everybody can write in {run.path}: chmod o-w {run.path}" in err) == (0, True)
    until(lambda: ended(run))
    assert "can be written by everybody" in focus("doctor", "x")[1]


def test_escape_sequences_do_not_reach_the_terminal(make: Make, focus: Focus):
    run = make("x")
    run.make_folders()
    evil = "\x1b]0;owned\x07\x1b[2J"
    run.events.write_text(Warned(code="x", message=evil).to_json() + "\n")
    run.labels.write_text('{"note": "' + evil.replace("\x1b", "\\u001b").replace("\x07", "\\u0007") + '"}')
    for command in (["logs", "x"], ["status", "x"], ["ls"]):
        code, out, err = focus(*command)
        assert (code, "\x1b" in out + err, "\x07" in out + err) == (0, False, False), command


def test_files_are_made_with_the_users_umask_and_nothing_listens(make: Make, until: Until):
    run = make("x", epochs=10_000, more="early_stopping: {patience: 0}")
    before = os.umask(0o027)
    try:
        start_run(run)
        until(lambda: len(epochs_of(run)) > 0)
        process = psutil.Process(summarise(run).pid)
        family = [process, *process.children(recursive=True)]
        assert not [c for one in family for c in one.net_connections() if c.status == psutil.CONN_LISTEN]
    finally:
        os.umask(before)
        request_stop(run, "now")
        until(lambda: ended(run))
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in run.path.rglob("*") if path.name != "config.yaml"}
    assert len(modes) > 8
    assert [path for path, mode in modes.items() if mode & 0o027] == []
    assert load_checkpoint(run.checkpoint_last).epoch >= 1


def test_rm_removes_the_link_of_a_hostile_folder_not_what_it_leads_to(make: Make, focus: Focus, tmp_path: Path):
    run = make("x")
    run.make_folders()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    shutil.rmtree(run.samples)
    run.samples.symlink_to(outside)
    code, _, err = focus("rm", "x", "--yes")
    assert (code, "leads out of the run folder" in err) == (2, True), err
    run.samples.unlink()
    assert focus("rm", "x", "--yes")[0] == 0
    assert (outside / "precious").exists()


def test_the_dashboard_and_the_command_line_open_no_port():
    ask = "import focus_tui.cli.app, focus_tui.dashboard.app, sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert not {"http.server", "socketserver", "xmlrpc.server"} & set(done.stdout.split())
