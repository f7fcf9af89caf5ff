"""What people write on a run: tags, a note, and whether it is put away.

A file of its own beside the config (`labels.json`), because the config rebuilds the model and the event log is
the worker's: labels may change at any time without touching either.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from focus_engine.atomic import write_atomically
from focus_engine.errors import FocusError, InputError
from focus_engine.runs.folder import RunFolder

MAX_TAG = 50
MAX_NOTE = 10_000


@dataclass(frozen=True)
class Labels:
    """What people wrote on a run.

    Attributes:
        tags: each once, in the order in which they were given.
        note: free text; empty when there is none.
        archived: put away: out of the list, nothing deleted.

    Raises:
        InputError: a tag that is not one (see `check_tag`), or a note too long.
    """

    tags: tuple[str, ...] = ()
    note: str = ""
    archived: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "tags", tuple(dict.fromkeys(check_tag(tag) for tag in self.tags)))
        if len(self.note) > MAX_NOTE:
            raise InputError(f"the note has {len(self.note):,} characters; at most {MAX_NOTE:,}")

    def with_tags(self, added: Iterable[str] = (), removed: Iterable[str] = ()) -> "Labels":
        """Return these labels with `added` tags at the end and `removed` ones gone."""
        gone = set(removed)
        return Labels(tuple(tag for tag in (*self.tags, *added) if tag not in gone), self.note, self.archived)


def check_tag(tag: str) -> str:
    """Return `tag` when it can be one. Raises InputError otherwise."""
    if tag and len(tag) <= MAX_TAG and tag[0].isalnum() and all(c.isalnum() or c in "-_." for c in tag):
        return tag
    rule = f"letters, digits, '-', '_' and '.', at most {MAX_TAG}, the first a letter or digit, such as baseline"
    raise InputError(f"{tag!r} cannot be a tag: use {rule}")


def read_labels(run: RunFolder) -> Labels:
    """Return the labels of `run`; a missing or broken file has none, and what can be read of it is kept."""
    try:
        held = json.loads(run.labels.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return Labels()
    if not isinstance(held, dict):
        return Labels()
    tags, note = held.get("tags"), held.get("note")
    kept = tuple(tag for tag in tags if _is_tag(tag)) if isinstance(tags, list) else ()
    return Labels(kept, note[:MAX_NOTE] if isinstance(note, str) else "", held.get("archived") is True)


def write_labels(run: RunFolder, labels: Labels) -> None:
    """Replace the labels of `run` in one step.

    Raises:
        FocusError: the folder cannot be written; the labels stay as they were.
    """
    text = json.dumps(asdict(labels), ensure_ascii=False, indent=2)
    try:
        with write_atomically(run.labels) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    except UnicodeEncodeError:
        raise InputError("the note or a tag holds bytes that are no text") from None
    except OSError as error:
        raise FocusError(
            f"{run.path}: its labels cannot be written: {error.strerror or error}; they stay as they were"
        ) from None


def _is_tag(tag: object) -> bool:
    try:
        return isinstance(tag, str) and bool(check_tag(tag))
    except InputError:
        return False
