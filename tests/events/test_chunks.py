"""Reading a log in chunks: every event once, lines longer than a chunk included, and little memory for a long log."""

import tracemalloc

import pytest
from example_events import epoch, started, step, worker

from focus_engine.events import log as event_log
from focus_engine.events.log import KindReader, append_event, read_events
from focus_engine.events.table import EpochFinished, RunStarted, Warned

KINDS = (EpochFinished, RunStarted)


@pytest.mark.parametrize("size", [1 << 18, 4096, 64])
def test_chunks_of_any_size_give_every_event(tmp_path, monkeypatch, size):
    monkeypatch.setattr(event_log, "CHUNK_BYTES", size)
    path = tmp_path / "events.jsonl"
    events = [worker(), started(), step(1, 1), Warned(code="long", message="x" * 5000), epoch(1), step(2, 1), epoch(2)]
    for event in events:
        append_event(path, event)
    assert read_events(path) == events
    assert KindReader(path, KINDS, 1 << 20).poll() == ([events[1], events[4], events[6]], False)


def test_a_reader_of_some_kinds_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "events.jsonl"
    reader = KindReader(path, KINDS, 1 << 20)
    assert reader.poll() == ([], False)
    append_event(path, started())
    append_event(path, epoch(1))
    whole = (epoch(2).to_json() + "\n").encode()
    with path.open("ab") as log:
        log.write(whole[:40])
    assert reader.poll() == ([started(), epoch(1)], False)
    with path.open("ab") as log:
        log.write(whole[40:])
    assert reader.poll() == ([epoch(2)], False)
    path.write_bytes(whole)
    assert reader.poll() == ([epoch(2)], True)
    path.unlink()
    assert reader.poll() == ([], True)


def test_of_a_long_log_only_the_end_is_read(tmp_path):
    path = tmp_path / "events.jsonl"
    for number in range(1, 6):
        append_event(path, epoch(number))
    most = len(epoch(5).to_json()) + 20
    assert KindReader(path, KINDS, most).poll() == ([epoch(5)], False)


def test_a_long_log_takes_little_memory(tmp_path):
    path = tmp_path / "events.jsonl"
    append_event(path, started())
    with path.open("ab") as log:
        log.write((step(1, 1).to_json() + "\n").encode() * 30_000)
    assert path.stat().st_size > 6_000_000
    tracemalloc.start()
    try:
        assert KindReader(path, KINDS, 1 << 23).poll() == ([started()], False)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
