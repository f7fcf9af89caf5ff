"""Run folders with very many files: what looks again and again lists none of them, and `focus rm` holds no list."""

import io
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from example_events import epoch, started, worker

from focus_engine.events.log import append_event
from focus_engine.launch.process import ProcessIdentity
from focus_engine.runs.folder import RunFolder
from focus_tui.cli import runs as commands
from focus_tui.dashboard import report_files
from focus_tui.dashboard.feed import DiskFeed
from focus_tui.dashboard.report_files import ReportFiles

MANY = 12_000


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each folder is listed, by its last name."""
    counts: Counter[str] = Counter()

    def counting(name: str) -> None:
        real = getattr(os, name)

        def list_it(path: object = ".") -> object:
            counts[Path(os.fspath(path)).name if not isinstance(path, int) else "fd"] += 1
            return real(path)

        monkeypatch.setattr(os, name, list_it)

    counting("scandir")
    counting("listdir")
    return counts


@pytest.fixture
def crowded() -> Iterator[RunFolder]:
    """A run that trains, with links to one file in all of its folders."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as name:
        run = RunFolder(Path(name) / "a")
        run.make_folders()
        run.config.write_text("method: flow\n", encoding="utf-8")
        me = ProcessIdentity.of_this_process()
        run.worker.write_text(me.to_json(), encoding="utf-8")
        for event in (worker(me), started(), epoch(1)):
            append_event(run.events, event)
        (run.figs / "f").touch()
        for folder in (run.figs, run.samples, run.logs):
            for number in range(MANY // 3):
                os.link(run.figs / "f", folder / f"x_{number}.png")
        yield run


def test_ls_and_status_list_no_folder_of_a_run(focus, crowded, listed):
    root = ("--root", str(crowded.path.parent))
    assert focus(*root, "ls")[0] == focus(*root, "status", "a")[0] == 0
    assert focus(*root, "ls", "--json")[0] == focus(*root, "status", "a", "--json")[0] == 0
    assert focus(*root, "start", "a")[0] == 2  # it runs
    assert focus(*root, "sample", "a")[0] == 2  # it has no checkpoint
    assert not listed.keys() & {"a", "figs", "samples", "logs", "fd"}, listed


def test_the_dashboard_lists_the_root_alone(crowded, listed):
    feed = DiskFeed(crowded.path.parent)
    feed.follow([crowded])
    feed.set_visible([str(crowded.path)])
    for _ in range(3):
        feed.refresh()
        feed._poll()
    assert not listed.keys() & {"a", "figs", "samples", "logs", "fd"}, listed


def test_a_figure_folder_is_listed_where_it_changed(crowded, listed, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(report_files.time, "monotonic", lambda: now[0])
    files = ReportFiles([crowded.figs])
    for _ in range(100):
        assert files.newest_first() == []
    assert listed["figs"] == 1
    report = crowded.figs / "comparison_a.json"
    report.write_text("{}", encoding="utf-8")
    os.utime(crowded.figs, (10, 10))
    assert files.newest_first() == [(report.stat().st_mtime_ns, report)]
    (crowded.figs / "comparison_b.json").touch()
    os.utime(crowded.figs, (10, 10))  # a clock that is too coarse for the second change
    now[0] += 3.0
    assert len(files.newest_first()) == 2
    now[0] += 3.0
    for _ in range(100):
        files.newest_first()
    assert listed["figs"] == 3


def test_a_long_listing_is_not_repeated_at_each_change(crowded, listed, monkeypatch):
    now = [0.0]

    def slow() -> float:
        now[0] += 0.1
        return now[0]

    monkeypatch.setattr(report_files.time, "monotonic", slow)
    files = ReportFiles([crowded.figs])
    for number in range(60):
        os.utime(crowded.figs, (number, number))
        files.newest_first()
    assert listed["figs"] == 2


def test_rm_says_at_once_what_it_counts_and_counts_no_more_than_it_says(focus, crowded, monkeypatch):
    root = ("--root", str(crowded.path.parent))
    crowded.worker.unlink()
    crowded.events.unlink()
    (crowded.checkpoints / "checkpoint_last.pt").write_bytes(bytes(10_000))
    counted = 0
    real = commands._files

    def files(folder: Path) -> Iterator["os.DirEntry[str]"]:
        nonlocal counted
        for one in real(folder):
            counted += 1
            yield one

    monkeypatch.setattr(commands, "_files", files)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, _, said = focus(*root, "rm", "a")
    assert code == 2
    assert counted == commands.MOST_COUNTED + 1
    assert "more than 10,000 files, the first of 10.0 kB, 1 checkpoints" in said
    code, _, said = focus(*root, "rm", "a", "--yes")
    assert (code, counted) == (0, commands.MOST_COUNTED + 1)
    assert said.index("deleting") < said.index("deleted")
    assert not crowded.path.exists()
