"""Which figures the drawing process draws, and when: each once, but the history only when it is due and at the end."""

import os
from collections.abc import Iterator

import pytest

from focus_engine.worker import artist
from focus_engine.worker.artist import Requests


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Yield both ends of a pipe; the test closes the writing one."""
    read, write = os.pipe()
    yield read, write
    os.close(read)


def test_of_histories_that_wait_the_last_is_drawn_at_the_end(pipe: tuple[int, int]):
    read, write = pipe
    os.write(write, b"history\nsamples 1\nhistory\npower 1\n" + 500 * b"history\n" + b"history finished\n")
    requests = iter(Requests(read))
    assert [next(requests), next(requests)] == ["samples 1", "power 1"]
    os.close(write)
    assert list(requests) == ["history finished"]


def test_a_history_is_drawn_once_it_is_due_and_then_rests(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr(artist.time, "monotonic", lambda: now[0])
    read, write = pipe
    requests = Requests(read)
    os.write(write, b"history\n")
    now[0] += artist.FIRST_HISTORY_SECONDS
    drawn = iter(requests)
    assert next(drawn) == "history"
    now[0] += 3.0  # seconds that drawing takes
    os.write(write, b"history\nsamples 2\n")
    assert next(drawn) == "samples 2"
    assert requests._wait() == pytest.approx(27.0)
    os.close(write)
    assert list(drawn) == ["history"]


def test_a_torn_line_at_the_end_is_no_request(pipe: tuple[int, int]):
    read, write = pipe
    os.write(write, b"samples 1\nsampl")
    os.close(write)
    assert list(Requests(read)) == ["samples 1"]
