"""What a run keeps on disk to go on from: its checkpoints, and the snapshots of the averaged weights."""

import errno
import shutil
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from focus_engine.errors import InputError
from focus_engine.events.table import AveragesSaved, CheckpointSaved, Event, Warned
from focus_engine.pulse import PULSE
from focus_engine.runs.folder import RunFolder
from focus_engine.training.checkpoint import Checkpoint, keep_as_best, keep_previous, load_checkpoint, save_checkpoint
from focus_engine.training.prepare import PreparedRun
from focus_engine.training.snapshots import SnapshotFolder

if TYPE_CHECKING:
    from focus_engine.worker.recorder import Recorder


def last_good_checkpoint(run: RunFolder) -> tuple[Checkpoint | None, str | None]:
    """Return the newest readable checkpoint, and a warning when it is not checkpoint_last.pt.

    Raises:
        InputError: there are checkpoints, but none can be read.
    """
    if not run.has_checkpoints():
        return None, "there is no checkpoint yet: training starts again from epoch 1"
    problems = []
    for path in (run.checkpoint_last, run.checkpoint_previous, run.checkpoint_best):
        if path == run.checkpoint_previous and not path.is_file():
            continue
        try:
            saved = load_checkpoint(path)
        except InputError as error:
            problems.append(str(error))
            continue
        if not problems:
            return saved, None
        return saved, f"{problems[0]}; going on from {path.name}, epoch {saved.epoch}"
    raise InputError("; ".join(problems))


COPIES = 6
"""Copies of the weights in a checkpoint: themselves, three averages, two moments of the optimiser."""

SLOW_DISK = 5e6
"""Bytes per second that a disk writes at least; a slower one stalls the run."""


@dataclass
class Saver:
    """Writes the checkpoints and snapshots of a run; of several ranks only rank 0 does.

    Attributes:
        run: where to.
        prepared: the run in training.
        recorder: records what is written.
        saved: `time.monotonic()` of the last checkpoint.
        warned: whether a snapshot could not be written.
    """

    run: RunFolder
    prepared: PreparedRun
    recorder: "Recorder"
    saved: float = field(default_factory=time.monotonic, init=False)
    warned: bool = field(default=False, init=False)

    @property
    def _leads(self) -> bool:
        return self.prepared.training.ranks.lead

    def save(self, *, is_best: bool) -> Iterator[Event]:
        """Write checkpoint_last.pt, keeping the one before; the best checkpoint is the same file under another name."""
        if not self._leads:
            return
        began = time.monotonic()
        allowed = self._copies_bytes() / SLOW_DISK
        with (
            PULSE.within("writing a checkpoint", allowed=allowed),
            keep_previous(self.run.checkpoint_last, self.run.checkpoint_previous),
        ):
            size = save_checkpoint(self.run.checkpoint_last, self.prepared.checkpoint())
        self.recorder.epoch, self.recorder.checkpoint = self.prepared.state.epoch, self.run.checkpoint_last
        if is_best:
            keep_as_best(self.run.checkpoint_last, self.run.checkpoint_best)
        self.saved = time.monotonic()
        seconds = self.saved - began
        for kind, path in (("last", self.run.checkpoint_last), ("best", self.run.checkpoint_best)):
            if kind == "last" or is_best:
                yield self.recorder.record(
                    CheckpointSaved(
                        epoch=self.prepared.state.epoch,
                        path=str(path.relative_to(self.run.path)),
                        kind="best" if kind == "best" else "last",
                        bytes=size,
                        seconds=seconds,
                    )
                )

    def with_snapshot(self, event: AveragesSaved) -> Generator[Event, None, AveragesSaved]:
        """Write the snapshot that is due and return its event; a failure is recorded as a warning."""
        averages, folder = self.prepared.state.averages, SnapshotFolder(self.run.averages)
        if averages is None or not self._leads:
            return event
        try:
            self._check_space()
            size = folder.write(averages, self.prepared.config.training.averages_gb)
        except OSError as error:
            if not self.warned:
                message = f"no snapshots of the averaged weights from step {event.step} on: {error.strerror or error}"
                yield self.recorder.record(Warned(code="averages", message=message))
            self.warned = True
            return event
        return replace(event, path=str(folder.file(event.step).relative_to(self.run.path)), bytes=size)

    def _check_space(self) -> None:
        """Raise OSError when a snapshot would take the disk that the next checkpoints need."""
        if shutil.disk_usage(self.run.path).free < 2 * self._copies_bytes():
            raise OSError(errno.ENOSPC, "the disk has room for fewer than two more checkpoints")

    def _copies_bytes(self) -> int:
        """Return about the size of a checkpoint [bytes]."""
        return COPIES * 4 * sum(one.numel() for one in self.prepared.state.network.parameters())

    def remove_lost_snapshots(self) -> None:
        """Remove the snapshots of steps that are to be repeated."""
        if self._leads:
            SnapshotFolder(self.run.averages).remove_after(self.prepared.state.step)
