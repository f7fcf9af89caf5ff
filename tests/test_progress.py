"""Long work yields its progress and returns its result."""

import pytest

from focus_engine.progress import drain, relay


def work(steps, closed=None):
    try:
        yield from range(steps)
    finally:
        if closed is not None:
            closed.append(True)
    return f"{steps} steps"


def test_the_result_is_returned_after_every_step_was_shown():
    shown = []
    assert drain(work(3), shown.append) == "3 steps"
    assert shown == [0, 1, 2]
    assert drain(work(0), shown.append) == "0 steps"


def test_relayed_work_converts_its_steps_and_keeps_its_result():
    shown = []
    assert drain(relay(work(3), lambda step: [str(step)] * step), shown.append) == "3 steps"
    assert shown == ["1", "2", "2"]


@pytest.mark.parametrize("run", [drain, lambda steps, show: drain(relay(steps, lambda step: (step,)), show)])
def test_work_is_closed_when_its_consumer_fails(run):
    closed = []

    def fail(step):
        if step == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(work(3, closed), fail)
    assert closed == [True]


def test_a_relay_may_abandon_the_work():
    closed = []

    def leave(step):
        raise LookupError(step)
        yield

    with pytest.raises(LookupError):
        drain(relay(work(3, closed), leave))
    assert closed == [True]
