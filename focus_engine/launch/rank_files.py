"""The files in `logs/ranks`: which process each rank of a run is, and how it ended.

A rank (`worker/rank.py`) writes its own; the worker that launched the ranks (`torchrun.py`) reads them.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from focus_engine.launch.process import ProcessIdentity
from focus_engine.small_files import read_json, replace_text


@dataclass(frozen=True)
class RankRecord:
    """One rank of one attempt: its process and, once it has ended, how. A file still `running` is of a killed rank.

    Attributes:
        rank: its number.
        attempt: 0, or the number of the restart of torch.distributed.run that it belongs to.
        identity: the fields of its `ProcessIdentity`.
        how: `running` until it ends; then `done`, `failed`, or `terminated` when SIGTERM ended it.
        when: when this was written [Unix seconds].
        message: what went wrong, in a sentence.
        user_error: whether the user's input was wrong.
        outcome: of rank 0 when it is done: state, why, where, peak_memory.
    """

    rank: int
    attempt: int
    identity: dict[str, Any]
    how: str = "running"
    when: float = field(default_factory=time.time)
    message: str = ""
    user_error: bool = False
    outcome: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write the record, replacing the rank's earlier one of this attempt. Raises OSError."""
        path = folder / f"attempt_{self.attempt}_rank_{self.rank}.json"
        replace_text(path, json.dumps(asdict(self)))


def read_rank_records(folder: Path) -> list[RankRecord]:
    """Return the records of the last attempt, by rank."""
    records = list(_read(folder, "attempt_*_rank_*.json"))
    last = max((one.attempt for one in records), default=0)
    return sorted((one for one in records if one.attempt == last), key=lambda one: one.rank)


def failed_before(folder: Path, attempt: int) -> list[RankRecord]:
    """Return the records of the ranks that failed or were killed in the attempt before `attempt`."""
    before = _read(folder, f"attempt_{attempt - 1}_rank_*.json")
    return [one for one in before if one.how in {"failed", "running"}]


def _read(folder: Path, pattern: str) -> Iterator[RankRecord]:
    """Yield the records in the files that match, by file name; files that cannot be read are left out."""
    for path in sorted(folder.glob(pattern)):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            yield _checked(RankRecord(**read_json(path)))


def _checked(record: RankRecord) -> RankRecord:
    """Return `record`. Raises TypeError if a field has another type than it states."""
    kinds = {int: ("rank", "attempt"), float: ("when",), str: ("how", "message"), dict: ("identity", "outcome")}
    if any(type(getattr(record, name)) is not kind for kind, names in kinds.items() for name in names):
        raise TypeError(record)
    ProcessIdentity.from_row(record.identity)
    return record
