"""What a run keeps on disk to go on from: its checkpoints, and the snapshots of the averaged weights."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from focus_engine.atomic import sync, sync_names
from focus_engine.errors import InputError
from focus_engine.events.table import AveragesSaved, CheckpointSaved, Event, Warned
from focus_engine.pulse import PULSE
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.proofs import remember
from focus_engine.training.checkpoint import Checkpoint, keep_previous, load_checkpoint, save_checkpoint
from focus_engine.training.host_copy import HostCopy
from focus_engine.training.prepare import PreparedRun
from focus_engine.training.snapshots import SnapshotFolder
from focus_engine.worker.background import BackgroundJob
from focus_engine.worker.snapshot_writer import SnapshotWriter

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
        remember(run, path)
        if not problems:
            return saved, None
        return saved, f"{problems[0]}; going on from {path.name}, epoch {saved.epoch}"
    raise InputError("; ".join(problems))


def _not_written(error: Exception) -> Warned:
    cause = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
    message = f"a checkpoint could not be written in the background ({cause}): the next is written in the loop"
    return Warned(code="checkpoint", message=message)


COPIES = 6
"""Copies of the weights in a checkpoint: themselves, three averages, two moments of the optimiser."""
SHARE = 0.02
"""Ends of epochs are saved where writing takes less than this share of the time."""
SLOW_DISK = 5e6
"""Bytes per second that a disk writes at least; a slower one stalls the run."""


def writing_checkpoints(size: float) -> AbstractContextManager[None]:
    """Return the phase of a worker that waits for `size` bytes of checkpoints to be written, or read and written."""
    return PULSE.within("writing a checkpoint", allowed=size / SLOW_DISK)


@dataclass(frozen=True, eq=False)
class _Held:
    """A checkpoint in host memory that training does not change."""

    checkpoint: Checkpoint
    memory: HostCopy


class Saver:
    """Writes the checkpoints and snapshots of a run; of several ranks only rank 0 does.

    Checkpoints are written by a thread from a copy of the state, one at a time: the next waits for the one before.
    They are due so that a kill loses at most training.checkpoint_minutes of training, at the end of an epoch where
    that is cheap (`SHARE`) or samples follow, and at the end. The best state of epochs that are not saved is kept as a
    copy and written before the next checkpoint, so that no checkpoint names a best epoch that the disk lacks.
    When the thread fails, that is recorded at once, and the next checkpoint is written in the loop.
    """

    def __init__(self, run: RunFolder, prepared: PreparedRun, recorder: "Recorder", *, keeps_last: bool = True) -> None:
        """Save `prepared` in `run`.

        `keeps_last` says whether checkpoint_last.pt may become checkpoint_previous.pt: not if it is damaged.
        """
        self._run, self._prepared, self._recorder, self._keeps_last = run, prepared, recorder, keeps_last
        self._leads = prepared.training.ranks.lead
        self._job: BackgroundJob[list[CheckpointSaved]] | None = None
        self._writing: tuple[_Held, ...] = ()  # held by the job
        self._best: _Held | None = None  # not yet on disk
        self._free = [HostCopy(), HostCopy()]  # one for the last, one for the best
        self._place = self._here  # of the state that was last handed over
        self._taken = self._safe = time.monotonic()  # when that was; when the state on disk was
        self._cost: float | None = None  # seconds of the last write
        self._failed = False
        self._anchored = False  # the names and the config that checkpoints need are on disk
        self._recorded: list[Event] = []
        room = 3 * self._bytes
        self._snapshots = SnapshotWriter(run, prepared, recorder, room=room, waiting=self._waiting)

    @property
    def _here(self) -> tuple[int, int, int]:
        state = self._prepared.state
        return state.epoch, state.step, state.running.batch

    def note(self) -> None:
        """Record that a write in flight has ended, if it has. Cheap enough for every step."""
        self._recorded += self._snapshots.note()
        if self._job is not None and self._job.done:
            self._collect()

    def news(self) -> Iterator[Event]:
        """Yield the events recorded since the last call."""
        self.note()
        events, self._recorded = self._recorded, []
        yield from events

    def during_epoch(self) -> Iterator[Event]:
        """Save where otherwise a kill would lose more than training.checkpoint_minutes."""
        if not self._leads:
            return
        if self._job is not None and time.monotonic() - self._safe >= self._limit:
            self._collect()
        if self._overdue():
            self._save(is_best=False)
        yield from self.news()

    def after_epoch(self, *, is_best: bool, pause: bool) -> Iterator[Event]:
        """Save after an epoch where that is due, or before a `pause` for samples; else keep a copy of the best."""
        if not self._leads:
            return
        self.note()
        if pause or self._worthwhile():
            self._save(is_best=is_best)
        elif is_best:
            self._best = self._copied()
        yield from self.news()

    def finish(self, *, wanted: bool) -> Iterator[Event]:
        """Write what the disk lacks, in the loop; the state itself also if it is `wanted`. Raises OSError."""
        if not self._leads:
            return
        self._recorded += self._snapshots.collect()
        self._collect()
        if wanted or self._failed or self._place != self._here:
            self._write_in_loop()
        yield from self.news()

    def abandon(self) -> None:
        """End the write in flight and write the best state that only memory holds, because training failed."""
        with suppress(Exception):  # the failure itself is what the run reports
            self._recorded += self._snapshots.collect()
            self._collect()
            if self._best is not None:
                self._note_written([self._write_kept_best(self._best)])

    @property
    def _bytes(self) -> int:
        """About the size of a checkpoint."""
        return COPIES * 4 * sum(one.numel() for one in self._prepared.state.network.parameters())

    def _waiting(self) -> AbstractContextManager[None]:
        """Return the phase in which training waits for the disk: of the last and the best checkpoint."""
        return writing_checkpoints(2 * self._bytes)

    @property
    def _limit(self) -> float:
        return 60 * self._prepared.config.training.checkpoint_minutes

    def _overdue(self) -> bool:
        """Whether to save now, so that the write ends before the limit."""
        if self._job is not None:
            return False
        margin = min(self._cost or 0.0, self._limit / 2)
        return self._failed or time.monotonic() - self._safe >= self._limit - margin

    def _worthwhile(self) -> bool:
        if self._cost is None:
            return self._job is None  # nothing is written yet
        return self._overdue() or (self._job is None and time.monotonic() - self._taken >= self._cost / SHARE)

    def _save(self, *, is_best: bool) -> None:
        """Write the state, and the best one that is not yet on disk; in the thread, or in the loop if that failed."""
        self._collect()
        if self._failed:
            self._write_in_loop(is_best=is_best)
            return
        last = self._copied(also_best=is_best)
        best = self._best
        self._writing = (last,) if best is None or best is last else (last, best)
        self._place, self._taken = self._here, time.monotonic()
        self._job = BackgroundJob(partial(self._write, last, best, self._snapshots.job))

    def _copied(self, *, also_best: bool = True) -> _Held:
        """Return a copy of the state, which replaces the best one kept if it is better."""
        if also_best and self._best is not None and self._best not in self._writing:
            self._free.append(self._best.memory)
            self._best = None
        if not self._free:
            self._collect()
        memory, checkpoint = self._free.pop(), self._prepared.checkpoint()
        held = _Held(replace(checkpoint, state=memory.take(checkpoint.state)), memory)
        if also_best:
            self._best = held
        return held

    def _write_in_loop(self, *, is_best: bool = False) -> None:
        """Write the state as it stands, without a copy. Raises OSError."""
        self._recorded += self._snapshots.collect()
        self._place, self._taken = self._here, time.monotonic()
        began, state = time.monotonic(), self._prepared.checkpoint()
        with self._waiting():
            saved = [] if self._best is None or is_best else [self._write_kept_best(self._best)]
            saved += [self._write_best(state)] if is_best else []
            saved.append(self._write_last(state))
        self._cost = time.monotonic() - began
        self._failed = False
        self._release_best()
        self._note_written(saved)

    def _collect(self) -> None:
        """Wait for the write in flight and record how it ended."""
        if self._job is None:
            return
        job, self._job = self._job, None
        held, self._writing = self._writing, ()
        try:
            with self._waiting():
                saved = job.result()
        except Exception as error:  # noqa: BLE001  (whatever the thread met, the loop tries itself and raises it)
            self._failed, self._place = True, (-1, -1, -1)
            self._free += [one.memory for one in held if one is not self._best]
            self._recorded.append(self._recorder.record(_not_written(error)))
            return
        self._cost = job.seconds
        self._free += [one.memory for one in held if one is not self._best]
        if self._best in held:
            self._release_best()
        self._note_written(saved)

    def _release_best(self) -> None:
        if self._best is not None:
            self._free.append(self._best.memory)
            self._best = None

    def _note_written(self, saved: list[CheckpointSaved]) -> None:
        for event in saved:
            if event.kind == "last":
                self._recorder.epoch, self._recorder.checkpoint = event.epoch, self._run.checkpoint_last
                self._safe, self._keeps_last = self._taken, True
            self._recorded.append(self._recorder.record(event))

    def _write(
        self, last: _Held, best: _Held | None, snapshot: BackgroundJob[AveragesSaved] | None
    ) -> list[CheckpointSaved]:
        """Write copies, the best first, after the snapshot that they count. Runs in the thread. Raises OSError."""
        if snapshot is not None:
            snapshot.wait()
        saved = [] if best is None else [self._write_kept_best(best)]
        last.memory.wait()
        return [*saved, self._write_last(last.checkpoint)]

    def _write_kept_best(self, held: _Held) -> CheckpointSaved:
        """Write a copy once it is complete. Raises OSError, and torch's error where the GPU failed before."""
        held.memory.wait()
        return self._write_best(held.checkpoint)

    def _write_best(self, checkpoint: Checkpoint) -> CheckpointSaved:
        return self._written("best", self._run.checkpoint_best, checkpoint)

    def _write_last(self, checkpoint: Checkpoint) -> CheckpointSaved:
        """Write checkpoint_last.pt and keep the one before."""
        last = self._run.checkpoint_last
        with keep_previous(last, self._run.checkpoint_previous) if self._keeps_last else nullcontext():
            return self._written("last", last, checkpoint)

    def _written(self, kind: Literal["best", "last"], path: Path, checkpoint: Checkpoint) -> CheckpointSaved:
        """Write a checkpoint after the events that it relies on are on disk; return its event. Raises OSError."""
        began = time.monotonic()
        self._sync_log()
        size = save_checkpoint(path, checkpoint)
        return CheckpointSaved(
            epoch=checkpoint.epoch,
            path=str(path.relative_to(self._run.path)),
            kind=kind,
            bytes=size,
            seconds=time.monotonic() - began,
        )

    def _sync_log(self) -> None:
        """Sync the log; the first time also the config and the names of the folders on the way. Raises OSError."""
        if not self._anchored:
            sync(self._run.config)
            sync_names(self._run.logs, self._run.path, self._run.path.parent)
            self._anchored = True
        sync(self._run.events)

    def take_snapshot(self, event: AveragesSaved) -> Iterator[Event]:
        """Write the snapshot that is due, in a thread; its event is recorded once it is on disk."""
        if self._leads:
            yield from self._snapshots.take(event)

    def remove_lost_snapshots(self) -> None:
        """Remove the snapshots of steps that are to be repeated."""
        if self._leads:
            SnapshotFolder(self._run.averages).remove_after(self._prepared.state.step)
