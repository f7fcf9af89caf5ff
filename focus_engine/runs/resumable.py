"""Whether a run may go on with its config as it stands now: what may change between two halves of a training.

Light, so that `focus resume` refuses before anything starts; the worker asks again with the checkpoint's own record.
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
    """Raise InputError, with the differences, when the config changed in more than the schema marks.

    `trained` is the plain config that the run was trained with; keys that it lacks, because that FOCUS did not know
    them, had their defaults. `batch_size` and `accumulate` may change together if a step sees as many maps as before:
    the same maps, in other pieces. The data are compared by their fingerprint instead of by their paths.
    """
    before, now = _filled(trained, plain_config(Config())), plain_config(config)
    free: set[Resume] = {"free"}
    if _maps_a_step(before) == _maps_a_step(now):
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
            "or begin anew with focus new NAME --from this experiment"
        )


def _mark(at: KeyPath, marks: Mapping[KeyPath, Resume]) -> Resume:
    """The mark of a key, or of the innermost block that the schema knows of one that it does not."""
    return next((marks[at[:n]] for n in range(len(at), 0, -1) if at[:n] in marks), "fixed")


def _maps_a_step(config: dict[str, Any]) -> int:
    return int(config["training"]["batch_size"]) * int(config["training"]["accumulate"])


def trained_config(run: RunFolder) -> dict[str, Any] | None:
    """Return the plain config of the last training of `run` as its log tells it, or None when it does not."""
    started = [event for event in read_events(run.events) if isinstance(event, RunStarted)]
    return started[-1].config or None if started else None


def _filled(given: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    filled = defaults | given
    for key, default in defaults.items():
        if isinstance(default, dict) and isinstance(given.get(key), dict):
            filled[key] = _filled(given[key], default)
    return filled


def _differences(old: Any, new: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:  # noqa: ANN401
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), (*at, key))
    elif old != new:
        yield at, old, new


def _shown(value: object) -> str:
    return "(none)" if value is None else json.dumps(value)
