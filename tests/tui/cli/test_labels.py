"""tag, note and archive from outside: what they write, print and refuse."""

import os
import time

import pytest
from example_events import worker

from focus_engine.events.log import append_event
from focus_engine.launch.process import ProcessIdentity, boot_id, host_name, process_start
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.labels import Labels, read_labels, write_labels


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "experiments" / "a")
    folder.make_folders()
    folder.config.touch()
    return folder


@pytest.mark.parametrize(
    ("arguments", "tags"),
    [
        (["new"], ("old", "draft", "new")),
        (["+new", "two"], ("old", "draft", "new", "two")),
        (["-draft"], ("old",)),
        (["-draft", "+h"], ("old", "h")),
        (["old", "--remove"], ("draft",)),
        (["--remove", "old", "+new"], ("draft", "new")),
        (["old"], ("old", "draft")),
        (["-h"], ("old", "draft")),
        (["실험"], ("old", "draft", "실험")),
    ],
)
def test_tags_are_added_and_removed(focus, run, arguments, tags):
    write_labels(run, Labels(("old", "draft"), "kept", archived=True))
    code, out, err = focus("tag", "a", *arguments)
    assert (code, out, err) == (0, "", f"a: {' '.join(tags)}\n")
    assert read_labels(run) == Labels(tags, "kept", archived=True)
    assert focus("tag", "a") == (0, "".join(f"{tag}\n" for tag in tags), "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a", "a b"], "'a b' cannot be a tag"),
        (["a", "+"], "'' cannot be a tag"),
        (["a", "--force"], "no such option: --force"),
        (["a", "+x", "-x"], "'x' is both added and removed"),
        (["none", "x"], "no experiment 'none'"),
        ([], "Missing argument"),
    ],
)
def test_a_wrong_tag_is_refused_and_nothing_written(focus, run, arguments, words):
    code, out, err = focus("tag", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert not run.labels.exists()


def test_a_note_is_written_printed_and_cleared(focus, run):
    assert focus("note", "a") == (0, "", "a has no note. Write one: focus note a TEXT\n")
    assert focus("note", "a", " worse at k > 5 \x1b[2J ")[0] == 0
    assert read_labels(run).note == "worse at k > 5 \x1b[2J"
    assert focus("note", "a") == (0, "worse at k > 5 \\x1b[2J\n", "")
    assert focus("note", "a", "")[2] == "a: note removed\n"
    assert read_labels(run) == Labels()


def test_an_experiment_is_archived_and_unarchived(focus, run):
    write_labels(run, Labels(("x",), "kept"))
    code, out, err = focus("archive", "a", "a")
    assert (code, out, err) == (0, "", "a is archived; focus archive a --undo brings it back\n")
    assert read_labels(run) == Labels(("x",), "kept", archived=True)
    assert focus("archive", "a", "--undo")[0] == 0
    assert read_labels(run) == Labels(("x",), "kept")


def test_nothing_is_archived_if_one_run_is_live(focus, run, tmp_path):
    other = RunFolder(tmp_path / "experiments" / "b")
    other.make_folders()
    other.config.touch()
    who = ProcessIdentity(os.getpid(), host_name(), boot_id(), process_start(os.getpid()), time.time())
    run.worker.write_text(who.to_json(), encoding="utf-8")
    append_event(run.events, worker(who))
    code, _, err = focus("archive", "b", "a")
    assert (code, err) == (2, "focus: a is starting: stop it before archiving it: focus stop a\n")
    assert not other.labels.exists()
    assert focus("archive", "a", "--undo")[0] == 0


def test_unwritable_labels_exit_with_1(focus, run):
    run.labels.mkdir()
    code, _, err = focus("tag", "a", "x")
    assert code == 1
    assert "its labels cannot be written" in err
