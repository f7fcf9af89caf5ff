"""The convention for long work: a generator yields its progress and returns its result.

The caller owns bars, logs and screens; closing the generator stops the work. `yield from` passes progress on and gives
the result. `drain` and `drained` run the work to its end, and `relay` passes its progress on in another form; all
report each step to the pulse of the process.
"""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from functools import wraps
from typing import ParamSpec, TypeVar

from focus_engine.pulse import PULSE

Step = TypeVar("Step")
Relayed = TypeVar("Relayed")
Result = TypeVar("Result")
Given = ParamSpec("Given")


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


def drained(begin: Callable[Given, Generator[Step, None, Result]]) -> Callable[Given, Result]:
    """Return a function of the same arguments as `begin` that runs its work to the end and returns the result."""

    @wraps(begin)
    def run(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        return drain(begin(*args, **kwargs))

    return run


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
