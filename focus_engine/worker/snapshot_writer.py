"""Writing the snapshots of the averaged weights in a thread, beside the one that writes checkpoints."""

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from focus_engine.events.table import AveragesSaved, Event, Warned
from focus_engine.runs.folder import RunFolder
from focus_engine.training.prepare import PreparedRun
from focus_engine.training.snapshots import Snapshot, SnapshotFolder
from focus_engine.worker.background import BackgroundJob

if TYPE_CHECKING:
    from focus_engine.worker.recorder import Recorder


class SnapshotWriter:
    """Writes the snapshots of a run from copies in half precision, one at a time: the next waits for the one before.

    A failure is recorded when it is noticed, once in a run; training goes on, and the next snapshot is tried again.
    """

    def __init__(
        self,
        run: RunFolder,
        prepared: PreparedRun,
        recorder: "Recorder",
        *,
        room: int,
        waiting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Write the snapshots of `prepared` in `run`.

        `room` is the free space that checkpoints need [bytes]; `waiting` is the phase in which training waits.
        """
        self._run, self._prepared, self._recorder = run, prepared, recorder
        self._room, self._waiting = room, waiting
        self._folder = SnapshotFolder(run.averages)
        self._gigabytes = prepared.config.training.averages_gb
        self._taken: AveragesSaved | None = None
        self._warned = False
        self.job: BackgroundJob[AveragesSaved] | None = None

    def take(self, event: AveragesSaved) -> Iterator[Event]:
        """Copy the averages and write them; `event` is recorded once they are on disk."""
        yield from self.collect()
        averages = self._prepared.state.averages
        if averages is not None:
            self._taken = event
            self.job = BackgroundJob(partial(self._write, event, Snapshot.of(averages)), name="focus-snapshot")

    def note(self) -> Iterator[Event]:
        """Record how the write in flight ended, if it has. Cheap enough for every step."""
        if self.job is not None and self.job.done:
            yield from self.collect()

    def collect(self) -> Iterator[Event]:
        """Wait for the write in flight and record how it ended."""
        if self.job is None or self._taken is None:
            return
        job, self.job = self.job, None
        event = self._taken
        try:
            with self._waiting():
                event = job.result()
        except Exception as error:  # noqa: BLE001  (whatever the thread met costs the snapshot only)
            if not self._warned:
                yield self._recorder.record(_not_written(event, error))
            self._warned = True
        yield self._recorder.record(event)

    def _write(self, event: AveragesSaved, snapshot: Snapshot) -> AveragesSaved:
        """Write a snapshot and return its event. Runs in the thread. Raises OSError."""
        if shutil.disk_usage(self._run.path).free < self._room:
            raise OSError(errno.ENOSPC, "the disk has room for fewer than three more checkpoints")
        size = self._folder.write(snapshot, self._gigabytes)
        return replace(event, path=str(self._folder.file(event.step).relative_to(self._run.path)), bytes=size)


def _not_written(event: AveragesSaved, error: Exception) -> Warned:
    cause = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
    return Warned(code="averages", message=f"no snapshots of the averaged weights from step {event.step} on: {cause}")
