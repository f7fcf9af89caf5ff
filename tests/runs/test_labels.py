"""Labels: read back as written, harmless when the file is broken, and written atomically."""

import json
import os

import pytest

from focus_engine.errors import FocusError, InputError
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.labels import MAX_NOTE, MAX_TAG, Labels, read_labels, write_labels


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path)


@pytest.mark.parametrize(
    "labels",
    [Labels(), Labels(("baseline", "v1.2", "실험"), "worse at k > 5\nsecond line \x1b[2J", archived=True)],
)
def test_what_is_written_is_read(run, labels):
    write_labels(run, labels)
    assert read_labels(run) == labels
    assert [path.name for path in run.path.iterdir()] == ["labels.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"tags": 3, "note": [], "archived": "yes"}',
        b'{"tags": ["a b", "", 3, null, "-x"], "note": null}',
    ],
)
def test_a_broken_file_is_no_labels(run, content):
    run.labels.write_bytes(content)
    assert read_labels(run) == Labels()


def test_what_can_be_read_of_a_file_is_kept(run):
    run.labels.write_text(json.dumps({"tags": ["a", "b c"], "note": "x" * (MAX_NOTE + 1), "later": 1}))
    assert read_labels(run) == Labels(("a",), "x" * MAX_NOTE)


def test_a_missing_file_or_a_folder_in_its_place_is_no_labels(run):
    assert read_labels(run) == Labels()
    run.labels.mkdir()
    assert read_labels(run) == Labels()
    with pytest.raises(FocusError, match="cannot be written"):
        write_labels(run, Labels(("a",)))


@pytest.mark.parametrize("tag", ["", "a b", "a,b", "a:b", "-a", ".a", "+a", "a/b", "a\n", "\x1b", "x" * (MAX_TAG + 1)])
def test_what_is_no_tag_is_refused_in_words(tag):
    with pytest.raises(InputError, match="cannot be a tag: use letters, digits"):
        Labels((tag,))


def test_tags_stand_once_and_in_order():
    labels = Labels(("b", "a", "b"))
    assert labels.tags == ("b", "a")
    assert labels.with_tags(["c", "a"]).tags == ("b", "a", "c")
    assert labels.with_tags(["c"], removed=["b", "none"]) == Labels(("a", "c"))


def test_a_note_too_long_is_refused():
    with pytest.raises(InputError, match="at most 10,000"):
        Labels(note="x" * (MAX_NOTE + 1))


def test_a_note_of_stray_bytes_is_refused_and_the_old_one_stays(run):
    write_labels(run, Labels(note="old"))
    with pytest.raises(InputError, match="no text"):
        write_labels(run, Labels(note=os.fsdecode(b"\xff")))
    assert read_labels(run).note == "old"


def test_a_folder_that_refuses_says_so(run, monkeypatch):
    write_labels(run, Labels(("old",)))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.write_text", refuse)
    with pytest.raises(FocusError, match="Permission denied; they stay as they were"):
        write_labels(run, Labels(("new",)))
    monkeypatch.undo()
    assert read_labels(run).tags == ("old",)
