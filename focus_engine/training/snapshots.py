"""Snapshots of the power-function averages on disk: thin files from which averages are rebuilt after training.

One file for each step at which another 1/32 of the budget is used, in float16 (each weight within 0.05 %).
They take at most training.averages_gb; beyond that, those that stand closest together are removed, which keeps them
evenly spaced. The two averages at the end are in the checkpoint itself, in float32.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from focus_engine.errors import InputError
from focus_engine.models.power_average import LENGTHS, PowerAverages
from focus_engine.training.checkpoint import read_archive, save_archive

SNAPSHOTS = 32
"""Snapshots in a whole budget."""
FEWEST = 3
"""Snapshots that are kept whatever their size: with the checkpoint they give lengths from 0.04 to 0.12."""
FORMAT = "focus-averages"
VERSION = 1


def due(averages: PowerAverages, used: float) -> bool:
    """Return whether another snapshot is to be written when the share `used` of the budget is used; count it.

    The count follows a budget that a resume made longer.
    """
    number = int(SNAPSHOTS * used)
    grown, averages.kept = number > averages.kept, number
    return grown


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A copy of the averages that training does not change.

    Attributes:
        step: optimiser steps that they hold.
        weights: for each of `LENGTHS` all weights, `flat`, in float16 on the CPU.
    """

    step: int
    weights: tuple[Tensor, ...]

    @classmethod
    def of(cls, averages: PowerAverages) -> "Snapshot":
        """Return the copy of `averages` as they are now."""
        return cls(averages.updates, tuple(_halved(flat(weights)) for weights in averages.weights))


@dataclass(frozen=True)
class SnapshotFolder:
    """The snapshots of a run.

    Attributes:
        path: their folder.
    """

    path: Path

    def file(self, step: int) -> Path:
        """Return the path of the snapshot of `step`."""
        return self.path / f"averages_{step:09d}.pt"

    def steps(self) -> list[int]:
        """Return the steps of which there are snapshots, in order."""
        names = (file.stem.removeprefix("averages_") for file in self.path.glob("averages_*.pt"))
        return sorted(int(name) for name in names if name.isdecimal())

    def write(self, snapshot: Snapshot, gigabytes: float) -> int:
        """Write a snapshot, thin them out to `gigabytes` in all, and return its size [bytes]. Raises OSError."""
        self.path.mkdir(parents=True, exist_ok=True)
        content = {"format": FORMAT, "version": VERSION, "step": snapshot.step, "lengths": list(LENGTHS)}
        size = save_archive(self.file(snapshot.step), {**content, "weights": list(snapshot.weights)})
        steps = self.steps()
        for step in set(steps) - set(evenly(steps, most_kept(size, gigabytes))):
            self.file(step).unlink(missing_ok=True)
        return size

    def remove_after(self, step: int) -> None:
        """Remove the snapshots of later steps, which were lost with their worker. Raises no error."""
        for later in self.steps():
            if later > step:
                with suppress(OSError):
                    self.file(later).unlink()

    def read(self, step: int) -> list[Tensor]:
        """Return the averages of each of `LENGTHS` after `step`, `flat`, in float16.

        Raises:
            InputError: the file is missing, damaged, or something else.
        """
        path = self.file(step)
        content = read_archive(path)
        wanted = {"format": FORMAT, "version": VERSION, "step": step}
        if any(type(content.get(key)) is not type(one) or content[key] != one for key, one in wanted.items()):
            raise InputError(f"{path}: is not a snapshot of averages that this FOCUS can read: remove it")
        weights = content.get("weights")
        if not isinstance(weights, list) or not all(isinstance(one, Tensor) and one.ndim == 1 for one in weights):
            raise InputError(f"{path}: its averages are no vectors of weights: remove it")
        return weights


def most_kept(size: int, gigabytes: float) -> int:
    """Return how many snapshots of `size` bytes are kept at most."""
    return max(FEWEST, min(SNAPSHOTS, int(1e9 * gigabytes / max(1, size))))


def evenly(steps: Sequence[int], most: int) -> list[int]:
    """Return at most `most` of the rising `steps`: again and again the one with the closest neighbours is left out.

    The last stays. Of four ways that were compared, even spacing gave the smallest error of rebuilt averages.
    """
    kept = list(steps)
    while len(kept) > most:
        gaps = [after - before for before, after in zip([0, *kept[:-2]], kept[1:], strict=True)]
        del kept[gaps.index(min(gaps))]
    return kept


def flat(weights: Mapping[str, Tensor]) -> Tensor:
    """Return all weights in one vector, in the order of their names in the network."""
    return torch.cat([one.flatten() for one in weights.values()])


def _halved(weights: Tensor) -> Tensor:
    """Return `weights` as float16 on the CPU, or as they are if one is too large for that."""
    half = weights.to("cpu", torch.float16)
    return half if bool(half.isfinite().all()) else weights.cpu()
