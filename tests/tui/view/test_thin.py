"""Thinning a long log, with and without numpy: both keep the same lines, and drop step events only."""

import pytest
from example_events import epoch, started, worker

from focus_engine.events import log as event_log
from focus_engine.events.log import LogReader
from focus_tui.view import thin

STEP = b'{"type":"step_progress","time":1,"epoch":1,"batch":%d}'
OTHERS = [event.to_json().encode() for event in (worker(), started(), epoch(1), epoch(2))]


@pytest.mark.parametrize("stride", [2, 7, 100])
def test_both_ways_keep_the_same_lines(stride):
    lines = [STEP % number for number in range(300)]
    for place, other in enumerate(OTHERS):
        lines.insert(60 * place + 1, other)
    chunk = b"\n".join([*lines, b"torn"])
    end = chunk.rfind(b"\n") + 1
    kept = thin.thinned_lines(chunk, end, stride)
    assert kept == [line for line in event_log.thinned_lines(chunk, end, stride) if line]
    assert [line for line in kept if not line.startswith(b'{"type":"step')] == OTHERS
    assert len(kept) <= 304 // stride + len(OTHERS) + 1


@pytest.mark.parametrize("chunk", [b"\n", b"\n\n", b"x\n", b"{}\nab\n"])
def test_short_lines_are_no_steps(chunk):
    assert b"\n".join(thin.thinned_lines(chunk, len(chunk), 5)) + b"\n" == chunk


def test_a_long_log_is_read_in_chunks_and_thinned(tmp_path, monkeypatch):
    monkeypatch.setattr(event_log, "CHUNK_BYTES", 1 << 14)
    monkeypatch.setattr(event_log, "THINNED_BYTES", 1 << 13)
    path = tmp_path / "events.jsonl"
    steps = b"\n".join(STEP % number for number in range(2000))
    path.write_bytes(b"\n".join([OTHERS[2], steps, OTHERS[3]]) + b"\n")
    reader, events, chunks = LogReader(path, thin=thin.thinned_lines), [], 0
    while True:
        chunk = reader.poll()
        events += chunk.events
        chunks += 1
        if not chunk.more:
            break
    assert chunks > 3
    assert [event.epoch for event in events if event.type == "epoch_finished"] == [1, 2]
    with path.open("ab") as log:
        log.write(OTHERS[2] + b"\n")
    assert [event.type for event in reader.poll().events] == ["epoch_finished"]
