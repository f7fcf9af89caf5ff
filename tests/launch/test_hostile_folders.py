"""Links, pipes and devices that somebody left in a run folder: nothing hangs, nothing outside is read or written."""

import json
import os
import threading
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np
import pytest
from example_events import started, worker
from unicode_text import hidden, unicode_classes

from focus_engine.data.judged_files import JudgedFile, read_judged_maps
from focus_engine.data.map_files import open_maps_file
from focus_engine.errors import FocusError, InputError
from focus_engine.events.log import append_event, read_events
from focus_engine.events.table import Warned
from focus_engine.launch.file_lock import FileLock
from focus_engine.launch.process import ProcessIdentity
from focus_engine.launch.progress_beat import ProgressBeat
from focus_engine.launch.rank_files import RankRecord, read_rank_records
from focus_engine.launch.slurm.jobs import SubmittedJob
from focus_engine.launch.start import log_end
from focus_engine.launch.state import summarise
from focus_engine.launch.stop_request import write_stop_request
from focus_engine.runs.folder import RunFolder, check_name
from focus_engine.runs.labels import Labels, read_labels, write_labels
from focus_engine.runs.proofs import proof_of, remember, verify
from focus_engine.runs.safety import check_links
from focus_engine.small_files import open_to_append, read_text, replace_text
from focus_tui.__main__ import run as focus

READ = ("config", "events", "labels", "worker", "progress", "stop_request", "slurm_job", "worker_log")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "x")
    made.make_folders()
    made.config.write_text("method: flow\n")
    made.events.write_text(f"{worker().to_json()}\n{started().to_json()}\n")
    return made


def everything(run: RunFolder) -> None:
    """Read what lists and `focus status` read."""
    summarise(run)
    read_events(run.events)
    read_labels(run)
    log_end(run)
    SubmittedJob.read(run)
    list(verify(run))
    proof_of(run, run.checkpoint_last)


@pytest.mark.parametrize("name", [*READ, "proofs", "averages"])
@pytest.mark.parametrize("what", ["pipe", "device", "folder", "loop"])
def test_nothing_waits_for_what_is_no_file(run: RunFolder, name: str, what: str):
    path = {"proofs": run.checkpoints / "proofs.json", "averages": run.averages / "averages_000000001.pt"}.get(name)
    path = path or getattr(run, name)
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    match what:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case _:
            path.symlink_to(path.name)
    reading = threading.Thread(target=everything, args=(run,), daemon=True)
    reading.start()
    reading.join(30)
    assert not reading.is_alive()
    if what == "pipe" and name in {"events", "worker_log", "stop_request"}:
        with pytest.raises(InputError, match="a pipe or a device"):
            check_links(run)


def test_what_is_too_large_is_not_read(tmp_path: Path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="larger than"):
        read_text(tmp_path / "large")
    assert ProcessIdentity.read(tmp_path / "large") is None


def test_links_under_temporary_names_are_not_followed(run: RunFolder, tmp_path: Path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    run.ranks.mkdir()
    beat = ProgressBeat(
        **dict.fromkeys(("worker", "time", "idle", "limit", "every", "monotonic"), 1.0),
        **dict.fromkeys(("pid", "step", "reports"), 1),
        host="h",
        boot_id=None,
        phase="",
        stalled=False,
    )
    places = [f"{run.worker}.new", f"{run.progress}.new", f"{run.ranks}/attempt_0_rank_0.json.new", f"{run.labels}.new"]
    for make in (os.symlink, os.link):
        for place in places:
            make(precious, place)
        replace_text(run.worker, "x")
        beat.write(run.progress)
        RankRecord(rank=0, attempt=0, identity={}).write(run.ranks)
        assert precious.read_text() == "mine"
        for place in places:
            Path(place).unlink(missing_ok=True)
    for place in (run.stop_request, run.labels, run.checkpoints / "proofs.json"):
        place.symlink_to(precious)
    write_stop_request(run, "now")
    write_labels(run, Labels(note="x"))
    remember(run, run.config, "proved")
    assert precious.read_text() == "mine"
    assert not run.stop_request.is_symlink()


def test_a_lock_is_not_written_through_a_link(tmp_path: Path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    for make in (os.symlink, os.link):
        make(precious, tmp_path / "slot")
        with pytest.raises(OSError, match=r"symbolic links|hard link"):
            FileLock.take(tmp_path / "slot")
        (tmp_path / "slot").unlink()
    assert precious.read_text() == "mine"


SWAPPED = ("events", "train_log", "worker_log", "stop_request", "labels", "progress", "lock")


def test_files_that_become_links_while_they_are_written_change_nothing_outside(run: RunFolder, tmp_path: Path):
    """A thread swaps each of seven files 400 times for a link to an outside file, soft or hard, and back."""
    (precious := tmp_path / "precious").write_text("mine")
    own, link, refused, done = tmp_path / "own", tmp_path / "link", 0, threading.Event()

    def swap() -> None:
        for number in range(400):
            for path in (getattr(run, name) for name in SWAPPED):
                (os.symlink, os.link)[number % 2](precious, link)
                link.replace(path)
                own.write_text("")
                own.replace(path)
        done.set()

    writers = (
        lambda: append_event(run.events, started()),
        lambda: os.close(open_to_append(run.train_log)),
        lambda: [os.write(log := open_to_append(run.worker_log), b"x"), os.close(log)],
        lambda: write_stop_request(run, "now"),
        lambda: write_labels(run, Labels(note="x")),
        lambda: replace_text(run.progress, "{}"),
        lambda: (lock := FileLock.take(run.lock)) and [lock.write("x"), lock.release()],
    )
    threading.Thread(target=swap, daemon=True).start()
    while not done.is_set():
        for write in writers:
            try:
                write()
            except (OSError, FocusError):
                refused += 1
        assert precious.read_text() == "mine"
    assert refused, "no write met a link"
    assert Path(f"{run.events}").is_file()


@pytest.mark.parametrize("name", ["events", "train_log", "worker_log"])
def test_logs_with_another_name_are_not_written(
    run: RunFolder, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "precious").write_text("mine")
    getattr(run, name).unlink(missing_ok=True)
    os.link(tmp_path / "precious", getattr(run, name))
    with pytest.raises(InputError, match="is a hard link"):
        check_links(run)
    with pytest.raises(OSError, match="has another name too"):
        append_event(getattr(run, name), started())
    monkeypatch.setenv("FOCUS_TRUST", "1")
    check_links(run)
    append_event(getattr(run, name), started())


def test_maps_that_name_other_files_are_refused(tmp_path: Path):
    """HDF5 files can take their numbers from any file of the machine: they would end in samples and reports."""
    secret = tmp_path / "secret"
    secret.write_bytes(np.full(256, 42.0, dtype="<f4").tobytes())
    path = tmp_path / "maps.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("maps", (4, 8, 8), "<f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
    virtual = tmp_path / "virtual.h5"
    with h5py.File(tmp_path / "source.h5", "w") as file:
        file["maps"] = np.ones((4, 8, 8), "<f4")
    layout = h5py.VirtualLayout((4, 8, 8), "<f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "source.h5"), "maps", (4, 8, 8))
    with h5py.File(virtual, "w") as file:
        file.create_virtual_dataset("maps", layout)
    for one in (path, virtual):
        for read in (open_maps_file, lambda where: read_judged_maps(JudgedFile(where, "real"))):
            with pytest.raises(FocusError, match="from other files: refused"):
                read(one)


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".zarr"])
def test_maps_that_would_fill_the_disk_are_refused(tmp_path: Path, suffix: str):
    import zarr

    path = tmp_path / f"maps{suffix}"
    if suffix == ".zarr":
        zarr.create_array(str(path), shape=(10**6, 512, 512), chunks=(1, 512, 512), dtype="<f4")[0] = 1.0
    elif suffix == ".h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("maps", (10**6, 512, 512), "<f4", chunks=(1, 512, 512))
    else:
        np.savez_compressed(path, maps=np.zeros((64, 64, 64), "<f4"))
        content = bytearray(path.read_bytes())
        at = content.rfind(b"PK\x01\x02") + 24  # the size that the directory of the archive states
        content[at : at + 4] = (3 << 30).to_bytes(4, "little")
        path.write_bytes(content)
    with pytest.raises(InputError, match="unpacks to"):
        read_judged_maps(JudgedFile(path, "real"))
    with pytest.raises(InputError, match="unpacks to"):
        open_maps_file(path)


def test_lists_and_status_list_no_folder_of_a_run(run: RunFolder, monkeypatch: pytest.MonkeyPatch):
    """A hundred thousand figures and samples cost them nothing."""
    listed: list[str] = []
    scandir, listdir = os.scandir, os.listdir
    monkeypatch.setattr(os, "scandir", lambda path=".": listed.append(os.fspath(path)) or scandir(path))
    monkeypatch.setattr(os, "listdir", lambda path=".": listed.append(os.fspath(path)) or listdir(path))
    for command in (["ls"], ["status", "x"], ["ls", "--json"], ["logs", "x"]):
        assert focus(["--root", str(run.path.parent), *command]) == 0
    assert str(run.path.parent) in listed, "the watch works"
    assert not [one for one in listed if one.startswith(str(run.path))]


def test_names_of_every_unicode_class_are_refused_or_harmless(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Refused: what moves the cursor, ends a line, or is no text. Any other name is listed, as text."""
    by_class = unicode_classes()
    refused, taken, said = set(), [], list[str]()
    for kind, found in by_class.items():
        for character in {found[0], found[len(found) // 2], found[-1]}:
            try:
                taken.append(check_name(f"a{character}b"))
            except InputError as error:
                refused.add(kind)
                said.append(str(error))
    assert not hidden("".join(said))
    assert refused >= {"Cc", "Cs", "Zl", "Zp"}
    assert refused <= {"Cc", "Cs", "Zl", "Zp", "Po"}  # of these, the slashes
    for name in taken:
        (tmp_path / name).mkdir()
        RunFolder(tmp_path / name).config.touch()
    assert focus(["--root", str(tmp_path), "ls", "--json"]) == 0
    assert {row["name"] for row in json.loads(capsys.readouterr().out)} == set(taken)
    assert focus(["--root", str(tmp_path), "ls"]) == 0
    shown = capsys.readouterr().out
    assert not hidden(shown)
    assert len(shown.splitlines()) >= len(taken)


def test_characters_of_every_unicode_class_reach_the_screen_as_text(run: RunFolder, capsys: pytest.CaptureFixture[str]):
    """Those that move, hide or reorder text are escaped; every other one, letters without a font too, stays."""
    by_class = unicode_classes()
    some = "".join(c for found in by_class.values() for c in (*found[:40], *found[-2:]) if c not in "\n\r")
    with run.events.open("a", encoding="utf-8", errors="surrogatepass") as log:
        log.write(Warned(code="x", message="begin" + json.loads(json.dumps(some)) + "end").to_json() + "\n")
    write_labels(run, Labels(note=some.encode("utf-8", "ignore").decode()))
    for command in (["logs", "x"], ["status", "x"], ["ls"], ["ls", "--columns", "name,note"]):
        assert focus(["--root", str(run.path.parent), *command]) in {0, 2}
        shown = "".join(capsys.readouterr())
        assert not hidden(shown)


def test_a_rank_file_names_no_file(run: RunFolder):
    """Its process id was once part of a path, /proc/PID/stat."""
    run.ranks.mkdir()
    identity = asdict(ProcessIdentity.of_this_process())
    RankRecord(rank=0, attempt=0, identity=identity).write(run.ranks)
    assert len(read_rank_records(run.ranks)) == 1
    for odd in ("../../etc", 1.5, None, [1], True):
        RankRecord(rank=0, attempt=0, identity={**identity, "pid": odd}).write(run.ranks)
        assert read_rank_records(run.ranks) == []
