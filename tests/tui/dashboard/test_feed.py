"""The feed on a real disk: what it posts when runs appear, log events, end and disappear."""

import json
import shutil
import threading
from pathlib import Path

import pytest
from example_events import end, epoch, started, worker

from focus_engine.events.log import append_event
from focus_engine.launch.process import ProcessIdentity, boot_id, host_name
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.labels import Labels, write_labels
from focus_tui.dashboard.feed import DiskFeed, RunGone, RunRead, RunsRead


class Posted:
    """Stores the messages of a feed, and waits for one that matches."""

    def __init__(self) -> None:
        self.messages: list = []
        self._news = threading.Condition()

    def __call__(self, message) -> bool:
        with self._news:
            self.messages.append(message)
            self._news.notify_all()
        return True

    def wait(self, matches, seconds: float = 20.0):
        with self._news:
            assert self._news.wait_for(lambda: any(matches(one) for one in self.messages), seconds)
            return next(one for one in reversed(self.messages) if matches(one))


def make_run(root: Path, name: str, *events) -> RunFolder:
    run = RunFolder(root / name)
    run.make_folders()
    run.config.write_text("method: diffusion\n")
    for event in events:
        append_event(run.events, event)
    return run


@pytest.fixture
def feed(tmp_path):
    feed = DiskFeed(tmp_path, refresh=0.02)
    yield feed
    feed.stop()


def rows(message) -> dict:
    return {row.summary.name: row for row in message.rows} if isinstance(message, RunsRead) else {}


def test_lists_runs_as_they_appear_and_disappear(tmp_path, feed):
    make_run(tmp_path, "a")
    posted = Posted()
    feed.start(posted)
    posted.wait(lambda m: rows(m).keys() == {"a"})
    b = make_run(tmp_path, "b", worker(), started(), epoch(1))
    feed.refresh()
    posted.wait(lambda m: rows(m).keys() == {"a", "b"})
    shutil.rmtree(b.path)
    feed.refresh()
    posted.wait(lambda m: posted.messages.index(m) > 1 and rows(m).keys() == {"a"})


def test_follows_a_run_event_by_event(tmp_path, feed):
    run = make_run(tmp_path, "a", worker(), started(), epoch(1))
    posted = Posted()
    feed.follow([run])
    feed.start(posted)
    posted.wait(lambda m: isinstance(m, RunRead) and len(m.view.epochs) == 1)
    append_event(run.events, epoch(2, 0.25))
    view = posted.wait(lambda m: isinstance(m, RunRead) and len(m.view.epochs) == 2).view
    assert view.summary.val_loss == 0.25
    assert view.summary.state == "lost"  # its worker never existed


def test_reads_a_replaced_log_from_the_start(tmp_path, feed):
    run = make_run(tmp_path, "a", worker(), started(), epoch(1), epoch(2))
    posted = Posted()
    feed.follow([run])
    feed.start(posted)
    posted.wait(lambda m: isinstance(m, RunRead) and len(m.view.epochs) == 2)
    other = run.events.with_name("other")
    append_event(other, epoch(1, 0.9))
    other.replace(run.events)
    posted.wait(lambda m: isinstance(m, RunRead) and [one.val_loss for one in m.view.epochs] == [0.9])


def test_reports_a_followed_run_whose_folder_disappeared(tmp_path, feed):
    run = make_run(tmp_path, "a", worker(), started())
    posted = Posted()
    feed.follow([run])
    feed.start(posted)
    posted.wait(lambda m: isinstance(m, RunRead))
    shutil.rmtree(run.path)
    assert posted.wait(lambda m: isinstance(m, RunGone)).run == run


def test_reads_curves_of_the_rows_on_the_screen_only(tmp_path, feed):
    seen, unseen = (make_run(tmp_path, name, worker(), started(), epoch(1), epoch(2, 0.3)) for name in "ab")
    posted = Posted()
    feed.set_visible([str(seen.path)])
    feed.start(posted)
    message = posted.wait(lambda m: "a" in rows(m) and rows(m)["a"].val_losses)
    assert rows(message)["a"].val_losses == (0.5, 0.3)
    assert rows(message)["a"].device == "cpu"
    assert rows(message)["b"].val_losses == ()
    assert unseen.exists()


def test_changed_labels_are_posted(tmp_path, feed):
    run = make_run(tmp_path, "a")
    posted = Posted()
    feed.start(posted)
    posted.wait(lambda m: "a" in rows(m))
    write_labels(run, Labels(tags=("paper",)))
    feed.refresh()
    posted.wait(lambda m: "a" in rows(m) and rows(m)["a"].labels.tags == ("paper",))


def test_the_end_of_a_run_is_posted(tmp_path, feed):
    run = make_run(tmp_path, "a", worker(), started(), epoch(1))
    posted = Posted()
    feed.start(posted)
    posted.wait(lambda m: "a" in rows(m))
    append_event(run.events, end(number=1))
    feed.refresh()
    posted.wait(lambda m: "a" in rows(m) and rows(m)["a"].summary.state == "finished")


def test_torn_and_hostile_lines_are_skipped(tmp_path, feed):
    run = make_run(tmp_path, "a", worker(), started(), epoch(1))
    with run.events.open("ab") as log:
        log.write(b'{"type":"epoch_finished","time":1}\n\xff\xfe\n[]\n' + json.dumps({"type": []}).encode() + b"\n{tor")
    posted = Posted()
    feed.follow([run])
    feed.start(posted)
    view = posted.wait(lambda m: isinstance(m, RunRead)).view
    assert [one.epoch for one in view.epochs] == [1]


def test_a_missing_experiments_folder_has_no_rows(tmp_path):
    feed = DiskFeed(tmp_path / "missing", refresh=0.02)
    posted = Posted()
    feed.start(posted)
    assert posted.wait(lambda m: isinstance(m, RunsRead)).rows == ()
    feed.stop()


def test_of_two_dashboards_one_tells_that_a_run_is_lost(tmp_path, own_settings):
    own_settings.parent.mkdir(parents=True)
    own_settings.write_text(f"notify: {{command: 'echo $FOCUS_NAME $FOCUS_STATE | tee -a {tmp_path}/told; exit 3'}}\n")
    run = make_run(tmp_path / "root", "a", worker(), started(), epoch(1))
    run.worker.write_text(ProcessIdentity(2**30, host_name(), boot_id(), "0", 1.0).to_json())
    feeds = [DiskFeed(tmp_path / "root", refresh=0.02) for _ in range(2)]
    posts = [Posted() for _ in feeds]
    for feed, posted in zip(feeds, posts, strict=True):
        feed.start(posted)
    for posted in posts:
        posted.wait(lambda m: rows(m).keys() == {"a"})
    for feed in feeds:
        feed.stop()
    for thread in threading.enumerate():
        if thread.name == "focus-notify":
            thread.join()
    assert (tmp_path / "told").read_text() == "a lost\n"
    assert run.worker_log.read_text() == "a lost\nnotify.command: ended with code 3\n"  # not the screen
