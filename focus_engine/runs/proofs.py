"""When each checkpoint file of a run was last read and checked in full (`focus_engine/seal.py`).

`checkpoints/proofs.json` remembers it with the file's size and modification time: a proof ends with the file that it
is about. The file is a convenience: who finds it missing or unreadable knows of no proof.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from focus_engine.atomic import write_atomically
from focus_engine.runs.folder import RunFolder
from focus_engine.seal import Condition, Inspection, inspect_path, is_sealed
from focus_engine.small_files import read_json

FILE = "proofs.json"


@dataclass(frozen=True)
class Proof:
    """One check of a file.

    Attributes:
        condition: proved, unproved or damaged (`seal.Inspection`).
        when: when it was read [Unix seconds].
        bytes: its size.
        mtime_ns: its modification time [ns].
    """

    condition: Condition
    when: float
    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Verified:
    """What checking a file of a run has shown.

    Attributes:
        path: the file.
        bytes: its size.
        inspection: what reading it has shown.
    """

    path: Path
    bytes: int
    inspection: Inspection


def checkpoint_files(run: RunFolder) -> list[Path]:
    """Return the existing checkpoints of `run`, the last first, and its snapshots of averaged weights."""
    main = (run.checkpoint_last, run.checkpoint_best, run.checkpoint_previous)
    return [path for path in main if path.is_file()] + sorted(run.averages.glob("averages_*.pt"))


def verify(run: RunFolder) -> Iterator[Verified]:
    """Read every checkpoint file of `run` in full, remember what that showed, and yield it file by file.

    Files that a running worker removes meanwhile are left out.
    """
    for path in checkpoint_files(run):
        before = _stamp(path)
        found = inspect_path(path)
        if before is None or not path.is_file():
            continue
        if found.readable and _stamp(path) == before:
            remember(run, path, found.condition)
        yield Verified(path, before[0], found)


def remember(run: RunFolder, path: Path, condition: Condition | None = None) -> None:
    """Remember that `path` has just been read in full; no error where the folder cannot be written.

    Without `condition`, the file was loaded: it is proved if it is sealed, else unproved.
    """
    stamp = _stamp(path)
    if stamp is None:
        return
    condition = condition or ("proved" if is_sealed(path) else "unproved")
    known = {name: one for name, one in _read(run).items() if _stamp(run.checkpoints / name)}
    known[_name(run, path)] = Proof(condition, time.time(), *stamp)
    text = json.dumps({name: asdict(one) for name, one in sorted(known.items())}, indent=1)
    with suppress(OSError), write_atomically(run.checkpoints / FILE) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def proof_of(run: RunFolder, path: Path) -> Proof | None:
    """Return the last check of `path`, or None if it was not checked since it was written."""
    proof, stamp = _read(run).get(_name(run, path)), _stamp(path)
    return proof if proof is not None and stamp == (proof.bytes, proof.mtime_ns) else None


def _read(run: RunFolder) -> dict[str, Proof]:
    try:
        rows = read_json(run.checkpoints / FILE)
        return {str(name): _parsed(row) for name, row in rows.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _parsed(row: dict[str, object]) -> Proof:
    """Return a row of the file. Raises KeyError, TypeError or ValueError if another program wrote it."""
    condition, when, size, mtime = (row[name] for name in ("condition", "when", "bytes", "mtime_ns"))
    if condition not in ("proved", "unproved", "damaged"):
        raise ValueError(condition)
    if type(when) not in (int, float) or type(size) is not int or type(mtime) is not int:
        raise TypeError
    return Proof(condition, float(when), size, mtime)  # type: ignore[arg-type]


def _name(run: RunFolder, path: Path) -> str:
    return os.path.relpath(path, run.checkpoints)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):  # a name in the file may be no name
        return None
    return status.st_size, status.st_mtime_ns
