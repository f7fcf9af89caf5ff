"""The labels that people give a run: tags, a note, and whether it is archived.

They have their own file, `labels.json`, so that they can change at any time without touching the config, which
rebuilds the model, or the event log, which the worker writes.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from focus_engine.atomic import write_atomically
from focus_engine.errors import FocusError, InputError
from focus_engine.runs.folder import RunFolder
from focus_engine.small_files import read_json

MAX_TAG = 50
MAX_NOTE = 10_000


@dataclass(frozen=True)
class Labels:
    """The labels of a run.

    Attributes:
        tags: each once, in the order in which they were given.
        note: free text; may be empty.
        archived: whether the run is hidden from lists; nothing is deleted.

    Raises:
        InputError: an invalid tag (see `check_tag`), or a note that is too long.
    """

    tags: tuple[str, ...] = ()
    note: str = ""
    archived: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "tags", tuple(dict.fromkeys(check_tag(tag) for tag in self.tags)))
        if len(self.note) > MAX_NOTE:
            raise InputError(f"the note has {len(self.note):,} characters; at most {MAX_NOTE:,}")

    def with_tags(self, added: Iterable[str] = (), removed: Iterable[str] = ()) -> "Labels":
        """Return these labels with the `added` tags at the end and without the `removed` ones."""
        gone = set(removed)
        return Labels(tuple(tag for tag in (*self.tags, *added) if tag not in gone), self.note, self.archived)


def check_tag(tag: str) -> str:
    """Return `tag` if it is a valid tag. Raises InputError otherwise."""
    if tag and len(tag) <= MAX_TAG and tag[0].isalnum() and all(c.isalnum() or c in "-_." for c in tag):
        return tag
    rule = f"letters, digits, '-', '_' and '.', at most {MAX_TAG}, the first a letter or digit, such as baseline"
    raise InputError(f"{tag!r} cannot be a tag: use {rule}")


def read_labels(run: RunFolder) -> Labels:
    """Return the labels of `run`: what can be read of the file, so no labels when it is missing or broken."""
    try:
        held = read_json(run.labels)
    except (OSError, ValueError):
        return Labels()
    if not isinstance(held, dict):
        return Labels()
    tags, note = held.get("tags"), held.get("note")
    kept = tuple(tag for tag in tags if _is_tag(tag)) if isinstance(tags, list) else ()
    return Labels(kept, note[:MAX_NOTE] if isinstance(note, str) else "", held.get("archived") is True)


def write_labels(run: RunFolder, labels: Labels) -> None:
    """Replace the labels of `run` atomically.

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
