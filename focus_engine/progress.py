"""The convention of long work: a generator yields how far it is, and returns its result.

The caller owns bars, logs and screens; closing the generator stops the work. `yield from` passes progress on and gives
the result; at the other end `drain` runs the work, and `relay` passes it on in other words.
"""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import TypeVar

Step = TypeVar("Step")
Told = TypeVar("Told")
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
            show(step)


def relay(work: Generator[Step, None, Result], tell: Callable[[Step], Iterable[Told]]) -> Generator[Told, None, Result]:
    """Yield what `tell` makes of each step of `work`, and return its result."""
    with closing(work):
        while True:
            try:
                step = next(work)
            except StopIteration as end:
                result: Result = end.value
                return result
            yield from tell(step)
