"""The states that a disk may legally hold after a power cut, rebuilt from the changes that were asked of it.

What a sync has covered stays. Of the rest, three kinds of disk keep:

- `ext4` (data=ordered): names and sizes in order up to some moment, at least up to the last sync of any file; of the
  data of a file any prefix.
- `nfs`: every name; of the data of a file any prefix, or all with some blocks of zeros.
- `any`: whatever POSIX allows: of the unsynced changes of names any part, in any folder; data as on `nfs`.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from file_calls import Op

BLOCK = 4096
Kind = Literal["ext4", "nfs", "any"]
Fate = Literal["least", "most", "random"]
KINDS: tuple[Kind, ...] = ("ext4", "nfs", "any")
Tree = dict[str, bytes | None]
"""Content by path below the folder; None for a folder."""


@dataclass(frozen=True)
class Cut:
    """A power cut after the first `at` changes on a disk of some `kind`, which keeps the least, the most or some."""

    at: int
    kind: Kind
    fate: Fate
    seed: int = 0


class Disk:
    """The changes of a recording, and what is left of them after a cut."""

    def __init__(self, ops: Sequence[Op], folders: set[int]) -> None:
        self.ops, self.folders = ops, folders
        self._writes: dict[int, list[tuple[int, Op]]] = defaultdict(list)
        for index, op in enumerate(ops):
            if op.kind in {"write", "cut"}:
                self._writes[op.serial].append((index, op))
        self._whole: dict[tuple[int, int], bytes] = {}
        self._syncs = [(index, op) for index, op in enumerate(ops) if op.kind == "sync"]
        self._changes = [(index, op) for index, op in enumerate(ops) if op.kind in {"enter", "leave", "move"}]

    def after(self, cut: Cut) -> Tree:
        """Return what the disk holds after `cut`."""
        draw = random.Random(f"{cut.at} {cut.kind} {cut.fate} {cut.seed}")  # noqa: S311  (states, not secrets)
        synced: dict[int, int] = {}
        for index, op in self._syncs:
            if index < cut.at:
                synced[op.serial] = max(op.since, synced.get(op.serial, 0))
        inside: dict[int, dict[str, int]] = defaultdict(dict)
        for (folder, name), serial in self._names(cut, synced, draw).items():
            inside[folder][name] = serial
        tree: Tree = {}
        self._walk(0, "", inside, tree, cut, synced, draw)
        return tree

    def content(self, serial: int, at: int) -> bytes:
        """Return what a file held before change `at`, if nothing is lost."""
        return bytes(_apply(bytearray(), [op for index, op in self._writes[serial] if index < at]))

    def _names(self, cut: Cut, synced: dict[int, int], draw: random.Random) -> dict[tuple[int, str], int]:
        until, share = cut.at, {"least": 0.0, "most": 1.0}.get(cut.fate, draw.choice((0.2, 0.5, 0.8)))
        if cut.kind == "ext4":
            least = max(synced.values(), default=0)
            until = {"least": least, "most": cut.at}.get(cut.fate, draw.randint(least, cut.at))
        names: dict[tuple[int, str], int] = {}
        for index, op in self._changes:
            if index >= until:
                break
            if cut.kind == "any" and index >= synced.get(op.folder, 0) and draw.random() >= share:
                continue
            if op.kind == "leave":
                names.pop((op.folder, op.name), None)
                continue
            if op.kind == "move":
                names.pop(op.old, None)
            names[op.folder, op.name] = op.serial
        return names

    def _walk(
        self,
        folder: int,
        path: str,
        inside: dict[int, dict[str, int]],
        tree: Tree,
        cut: Cut,
        synced: dict[int, int],
        draw: random.Random,
    ) -> None:
        for name, serial in sorted(inside[folder].items()):
            if serial in self.folders:
                tree[f"{path}{name}"] = None
                self._walk(serial, f"{path}{name}/", inside, tree, cut, synced, draw)
            else:
                tree[f"{path}{name}"] = self._data(serial, cut, synced.get(serial, 0), draw)

    def _data(self, serial: int, cut: Cut, since: int, draw: random.Random) -> bytes:
        """Return the content of a file of which what came before `since` is synced."""
        writes = [(index, op) for index, op in self._writes[serial] if index < cut.at]
        rest = [op for index, op in writes if index >= since]
        key = serial, len(writes) - len(rest)
        if key not in self._whole:
            self._whole[key] = bytes(_apply(bytearray(), [op for _, op in writes[: key[1]]]))
        if not rest:
            return self._whole[key]
        content = bytearray(self._whole[key])
        how = cut.fate if cut.fate != "random" else draw.choice(("least", "most", "prefix", "holes", "holes"))
        if how == "least":
            return bytes(content)
        if how == "most":
            return bytes(_apply(content, rest))
        if how == "prefix" or cut.kind == "ext4":
            return bytes(_apply(content, _prefix(rest, draw)))
        return _with_holes(content, rest, draw)


def _apply(content: bytearray, writes: Sequence[Op]) -> bytearray:
    for op in writes:
        if op.kind == "cut":
            content[:] = content[: op.offset].ljust(op.offset, b"\0")
            continue
        if len(content) < op.offset:
            content.extend(bytes(op.offset - len(content)))
        content[op.offset : op.offset + len(op.data)] = op.data
    return content


def _prefix(writes: list[Op], draw: random.Random) -> list[Op]:
    """Return the first writes and a part of the next; half of the time up to the end of a block."""
    number = draw.randrange(len(writes))
    torn = writes[number]
    length = draw.randrange(len(torn.data) + 1)
    if draw.random() < 0.5:
        length = max(0, (torn.offset + length) // BLOCK * BLOCK - torn.offset)
    part = [] if torn.kind == "cut" else [Op("write", torn.serial, offset=torn.offset, data=torn.data[:length])]
    return [*writes[:number], *part]


def _with_holes(content: bytearray, writes: list[Op], draw: random.Random) -> bytes:
    """Return the content with zeros for the new bytes of some blocks."""
    share, lost = draw.choice((0.3, 0.7, 1.0)), {}
    fresh = bytearray(_apply(bytearray(content), writes))
    for op in writes:
        for start in range(op.offset // BLOCK * BLOCK, op.offset + len(op.data), BLOCK):
            if lost.setdefault(start, draw.random() < share):
                first, last = max(start, op.offset), min(start + BLOCK, op.offset + len(op.data), len(fresh))
                fresh[first:last] = bytes(max(0, last - first))
    return bytes(fresh)
