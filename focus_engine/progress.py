"""The convention for long work: a generator yields its progress and returns its result.

The caller owns bars, logs and screens; closing the generator stops the work. `yield from` passes progress on and gives
the result. `drain` runs the work to its end, and `relay` passes its progress on in another form; both report each step
to the pulse of the process.
"""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import TypeVar

from focus_engine.pulse import PULSE

Step = TypeVar("Step")
Relayed = TypeVar("Relayed")
Result = TypeVar("Result")


def drain(work: Generator[Step, None, Result], show: Callable[[Step], object] = lambda _: None) -> Result:
    """Run `work` to its end, hand each step of progress to `show`, and return the result."""
    with closing(work):
        while True:
            try:
                step = next(work)
            except StopIteration as end:
                result: Result = end.value
                return result
            PULSE.moved()
            show(step)


def relay(
    work: Generator[Step, None, Result], handle: Callable[[Step], Iterable[Relayed]]
) -> Generator[Relayed, None, Result]:
    """Yield what `handle` returns for each step of `work`; return the result of `work`."""
    with closing(work):
        while True:
            try:
                step = next(work)
            except StopIteration as end:
                result: Result = end.value
                return result
            PULSE.moved()
            yield from handle(step)
