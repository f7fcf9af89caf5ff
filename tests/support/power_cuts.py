"""Cuts the power of a recorded run at many moments and counts what that costs."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from disk_states import KINDS, Cut
from power_loss import NAME, Recording, after_the_reboot, build, digest, go_on, judge

WINDOW = 12
"""Cuts are most frequent this many changes before and after a rename or a sync."""
CHECKPOINTS = tuple(f"{NAME}/checkpoints/checkpoint_{kind}.pt" for kind in ("last", "previous", "best"))


@dataclass
class Report:
    """How many states were opened and resumed, and what was wrong, which should be nothing.

    Attributes:
        states: distinct states, by kind of disk.
        resumed: states from which the run went on to its end.
        lies: states that claim what is not there.
        lost: states that lack what was reported as saved, or do not end as the undisturbed run.
        tracebacks: states that raised an exception that is no message to the user.
        examples: some of the failures, with their cuts.
        seconds: CPU time.
    """

    states: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    lies: int = 0
    lost: int = 0
    tracebacks: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def harm(self) -> int:
        """Sum of all failures."""
        return self.lies + self.lost + self.tracebacks

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self) | {"states": dict(self.states), "distinct": sum(self.states.values())}


def cuts(recording: Recording, seed: int) -> Iterator[Cut]:
    """Yield cuts without end: at each rename and sync the least and the most of each kind, then at random."""
    ops = recording.disk.ops
    draw = random.Random(seed)  # noqa: S311  (moments, not secrets)
    edges = [index for index, op in enumerate(ops) if op.kind in {"sync", "move", "leave"}]
    first = [
        Cut(at + after, kind, fate) for at in edges for after in (0, 1) for kind in KINDS for fate in ("least", "most")
    ]
    draw.shuffle(first)
    number = 0
    while True:
        number += 1
        if first and number % 2:
            yield first.pop()
            continue
        near = min(len(ops), max(0, draw.choice(edges) + draw.randint(-WINDOW, WINDOW)))
        yield Cut(draw.choice((near, near, draw.randint(0, len(ops)))), draw.choice(KINDS), "random", number)


def campaign(recording: Recording, folder: Path, *, states: int, resumes: int, seed: int) -> Report:
    """Open and judge `states` distinct states, and resume `resumes` of them, those with different checkpoints first."""
    report, seen, checkpoints = Report(), set[str](), set[str]()
    began = time.process_time()
    distinct: list[Cut] = []  # in their checkpoints
    others: list[Cut] = []
    with after_the_reboot():
        for number, cut in enumerate(cuts(recording, seed)):
            if sum(report.states.values()) >= states or number > 50 * states:
                break
            tree = recording.disk.after(cut)
            if (key := digest(tree)) in seen:
                continue
            seen.add(key)
            report.states[cut.kind] += 1
            _count(report, cut, judge(recording, build(tree, folder), cut.at))
            key = digest({name: tree.get(name) or b"" for name in CHECKPOINTS})
            if cut.at < recording.created:
                continue
            (others if key in checkpoints else distinct).append(cut)
            checkpoints.add(key)
        draw = random.Random(seed)  # noqa: S311  (moments, not secrets)
        for cuts_found in (distinct, others):
            draw.shuffle(cuts_found)
        for cut in [*distinct, *others][:resumes]:
            report.resumed += 1
            _count(report, cut, go_on(recording, build(recording.disk.after(cut), folder)))
    report.seconds = time.process_time() - began
    return report


def _count(report: Report, cut: Cut, verdict: Any) -> None:
    report.lies += bool(verdict.lies)
    report.lost += bool(verdict.lost)
    report.tracebacks += bool(verdict.tracebacks)
    if verdict.harm and len(report.examples) < 20:
        report.examples.append({"cut": asdict(cut), "harm": verdict.harm})
