"""Check that a changed config still allows a run to be resumed.

Part of the light tier, so that `focus resume` can refuse before a worker starts; the worker repeats the check with the
config in the checkpoint.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from focus_engine.config.block import Resume, resume_marks
from focus_engine.config.schema import Config, plain_config
from focus_engine.config.yaml_text import KeyPath
from focus_engine.errors import InputError
from focus_engine.events.log import read_events
from focus_engine.events.table import RunStarted
from focus_engine.runs.folder import RunFolder


def check_resumable(config: Config, trained: dict[str, Any]) -> None:
    """Raise InputError, with the differences, if keys changed that the schema marks as fixed on resume.

    `trained` is the plain config that the run was trained with. Keys that it lacks, because an earlier FOCUS did not
    know them, count as their defaults. `batch_size` and `accumulate` may change together if the number of maps per step
    stays the same. The data are compared by their fingerprint instead of by their paths.
    """
    before, now = _with_defaults(trained, plain_config(Config())), plain_config(config)
    free: set[Resume] = {"free"}
    if _maps_per_step(before) == _maps_per_step(now):
        free.add("maps_a_step")
    marks = dict(resume_marks(Config))
    differences = [
        f"{'.'.join(at)}: {_shown(old)} -> {_shown(new)}"
        for at, old, new in _differences(before, now)
        if _mark(at, marks) not in free
    ]
    if differences:
        raise InputError(
            "config.yaml has changed since the checkpoint was written: " + "; ".join(differences) + ". Put it back, "
            "or start a new run with focus new NAME --from this experiment"
        )


def _mark(at: KeyPath, marks: Mapping[KeyPath, Resume]) -> Resume:
    """Return the mark of a key; that of its innermost known block for a key that the schema does not know."""
    return next((marks[at[:n]] for n in range(len(at), 0, -1) if at[:n] in marks), "fixed")


def _maps_per_step(config: dict[str, Any]) -> int:
    return int(config["training"]["batch_size"]) * int(config["training"]["accumulate"])


def trained_config(run: RunFolder) -> dict[str, Any] | None:
    """Return the plain config of the last training of `run` from its event log, or None if the log has none."""
    started = [event for event in read_events(run.events) if isinstance(event, RunStarted)]
    return started[-1].config or None if started else None


def _with_defaults(given: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    filled = defaults | given
    for key, default in defaults.items():
        if isinstance(default, dict) and isinstance(given.get(key), dict):
            filled[key] = _with_defaults(given[key], default)
    return filled


def _differences(old: Any, new: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:  # noqa: ANN401
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), (*at, key))
    elif old != new:
        yield at, old, new


def _shown(value: object) -> str:
    return "(none)" if value is None else json.dumps(value)
