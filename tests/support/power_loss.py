"""A recorded run, and the criteria by which what a power cut leaves of it is judged.

The run is created, trained, stopped, resumed and finished under `FileCalls`. A state that the disk may hold afterwards
lies when it claims what is not there, is lost when it does not go on to the end bit for bit as undisturbed, or when
something that was reported as saved is gone.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from chaos import TIMES
from disk_states import Disk, Tree
from file_calls import FileCalls
from workers import same

from focus_engine.errors import FocusError
from focus_engine.events.history import history_of
from focus_engine.events.line import parse_event
from focus_engine.events.log import read_events
from focus_engine.events.table import CheckpointSaved, EpochFinished, Event, RunEnded, SamplesDrawn
from focus_engine.launch.start import check_can_start
from focus_engine.launch.state import summarise
from focus_engine.launch.stop_request import write_stop_request
from focus_engine.launch.summary import LIVE_STATES
from focus_engine.runs.create import create_experiment
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.proofs import checkpoint_files
from focus_engine.seal import inspect_path
from focus_engine.training import pace, validation
from focus_engine.training.checkpoint import load_checkpoint
from focus_engine.worker import stop
from focus_engine.worker.artist import Artist, _FigureWriter
from focus_engine.worker.foreground import run_in_foreground
from focus_engine.worker.saving import last_good_checkpoint

EPOCHS = 4
NAME = "run"
CONFIG = """\
data: {simulations: 8, grid: 8, map_size: 8, maps_per_simulation: 15, train_split: 0.6}
model: {from: DiT, cond_dim: 2, time_dim: 8, dit: {patch: 8, width: 8, depth: 1, heads: 1}}
diffusion: {timesteps: 20, schedule: cosine, prediction: v}
sampling: {ddim_timesteps: 2}
training:
  batch_size: 16
  lr: 1.0e-3
  num_epochs: 4
  sample_every: 2
  ema_decay: 0.9
  checkpoint_minutes: MINUTES
  averages: AVERAGES
  scheduler: {warmup_epochs: 1}
device: cpu
"""
UNSEEN = ("worker.json", "worker.json.new", "progress.json", "progress.json.new", "run.lock")
"""Files in which no two states are counted as distinct."""


@dataclass(frozen=True)
class Place:
    """Where the training of a checkpoint stands."""

    epoch: int
    step: int
    best_epoch: int | None


@dataclass
class Verdict:
    """What is wrong with a state; nothing should be."""

    lies: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)

    @property
    def harm(self) -> list[str]:
        """All of it."""
        return [*self.lies, *self.lost, *self.tracebacks]


def _draw_here(artist: Artist, what: str) -> None:
    _FigureWriter(artist._run).draw(what)


def _finish_here(artist: Artist, state: str = "") -> bool:
    if state:
        _draw_here(artist, f"history {state}")
    return True


@contextmanager
def one_process(*, figures: bool) -> Iterator[None]:
    """Draw figures in this process, or not at all, report each step, and look for a stop request at each."""
    draw = _draw_here if figures else lambda _artist, _what: None
    finish = _finish_here if figures else lambda _artist, _state="": True
    with (
        mock.patch.object(pace, "PROGRESS_SECONDS", 0.0),
        mock.patch.object(validation, "DRAWS", 4),
        mock.patch.object(stop, "STOP_POLL_SECONDS", 0.0),
        mock.patch.object(Artist, "draw", draw),
        mock.patch.object(Artist, "finish", finish),
    ):
        yield


@contextmanager
def after_the_reboot() -> Iterator[None]:
    """Let no process of before live: the machine has another boot id."""
    with (
        mock.patch("focus_engine.launch.process.boot_id", return_value="after"),
        mock.patch("focus_engine.launch.progress_beat.boot_id", return_value="after"),
    ):
        yield


class Recording:
    """A run created, trained, stopped in its second epoch, resumed and finished, with each change to its folder.

    Attributes:
        disk: what its disk may hold.
        source: the experiment from which its config is copied.
        created: number of changes after which `focus new` had returned.
        wanted: the state at its end, which is that of any run of its config and seed.
    """

    def __init__(self, folder: Path, *, minutes: float = 5.0, averages: bool = False, figures: bool = False) -> None:
        """Record in `folder`, with a checkpoint every so many minutes, snapshots of averages and figures."""
        folder.mkdir()
        self.source = source = RunFolder(folder / "source")
        source.path.mkdir()
        source.config.write_text(CONFIG.replace("MINUTES", str(minutes)).replace("AVERAGES", str(averages).lower()))
        calls = FileCalls(folder)
        self.figures = figures
        with calls.installed(), one_process(figures=figures):
            run = create_experiment(folder, NAME, source=source)
            self.created = len(calls.ops)
            run_in_foreground(run, on_event=lambda event: _stop_at(run, event, 2))
            run_in_foreground(run, on_event=lambda _: None, resume=True)
        self.disk = Disk(calls.ops, calls.folders)
        self.config = run.config.read_bytes()
        self.wanted = load_checkpoint(run.checkpoint_last).state
        self.history = epochs_of(read_events(run.events))
        self._places: dict[bytes, Place | None] = {}
        self._scratch = folder / "scratch.pt"
        self.events = list(self._events())
        self.saved = dict(self._saved())

    def _events(self) -> Iterator[tuple[int, Event]]:
        """Yield each recorded event with the number of changes after which it was in the log."""
        for index, op in enumerate(self.disk.ops):
            if op.kind == "write" and op.data.startswith(b'{"type":') and (event := parse_event(op.data.strip())):
                yield index + 1, event

    def _saved(self) -> Iterator[tuple[int, Place]]:
        """Yield where the last checkpoint stood when it was reported."""
        serials = [
            (index, op.serial)
            for index, op in enumerate(self.disk.ops)
            if op.kind == "move" and op.name == "checkpoint_last.pt"
        ]
        for at, event in self.events:
            if isinstance(event, CheckpointSaved) and event.kind == "last":
                serial = [serial for index, serial in serials if index < at][-1]
                place = self.place(self.disk.content(serial, at))
                assert place is not None
                assert place.epoch == event.epoch
                yield at, place

    def place(self, content: bytes | None) -> Place | None:
        """Return where the checkpoint of some content stands; None if it is not whole."""
        if content is None:
            return None
        key = _key(content)
        if key not in self._places:
            self._scratch.write_bytes(content)
            try:
                state = load_checkpoint(self._scratch).state
                self._places[key] = Place(state["epoch"], state["step"], state["best_epoch"])
            except FocusError:
                self._places[key] = None
        return self._places[key]

    def reported(self, at: int) -> Place | None:
        """Return the last checkpoint that had been reported after `at` changes."""
        return next((place for when, place in reversed(self.saved.items()) if when <= at), None)

    def ended(self, at: int) -> RunEnded | None:
        """Return the end that had been recorded, and synced, after `at` changes and before another start."""
        last = None
        for when, event in self.events:
            if when <= at:
                last = (when, event)
        if last is None or not isinstance(last[1], RunEnded):
            return None
        log = self.disk.ops[last[0] - 1].serial
        after = self.disk.ops[last[0] : at]
        synced = any(op.kind == "sync" and op.serial == log and op.since >= last[0] for op in after)
        return last[1] if synced else None


def _stop_at(run: RunFolder, event: Event, epoch: int) -> None:
    if isinstance(event, EpochFinished) and event.epoch == epoch:
        write_stop_request(run, "epoch")


def epochs_of(events: list[Event]) -> list[dict[str, Any]]:
    """Return the results of each epoch that is not superseded, without times."""
    epochs = history_of(events).epochs
    skip = TIMES | {"pk_error", "pk_error_std", "pk_error_null", "type"}
    return [{key: value for key, value in vars(event).items() if key not in skip} for event in epochs]


@lru_cache(maxsize=512)
def _key(content: bytes) -> bytes:
    return hashlib.sha1(content).digest()  # noqa: S324  (a key)


def digest(tree: Tree) -> str:
    """Return a key of what a state holds, without the files of the worker process."""
    seen = hashlib.sha1()  # noqa: S324  (a key)
    for path, content in sorted(tree.items()):
        if Path(path).name not in UNSEEN:
            seen.update(path.encode() + b"\0" + (b"folder" if content is None else _key(content)))
    return seen.hexdigest()


def build(tree: Tree, folder: Path) -> RunFolder:
    """Write a state to `folder`, which is made anew; return its run."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path, content in tree.items():
        if content is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(content)
    return RunFolder(folder / NAME)


def judge(recording: Recording, run: RunFolder, at: int) -> Verdict:
    """Open a state that a cut after `at` changes has left, and return what is wrong with it."""
    verdict = Verdict()
    try:
        _judge(recording, run, at, verdict)
    except Exception as error:  # noqa: BLE001  (any is a failure of what is judged)
        verdict.tracebacks.append(f"{type(error).__name__}: {error}")
    return verdict


def _judge(recording: Recording, run: RunFolder, at: int, verdict: Verdict) -> None:
    summary, events = summarise(run), read_events(run.events)
    files = checkpoint_files(run)  # what `focus verify` reads, and how; it also remembers each file, which takes longer
    damaged = [path.name for path in files if inspect_path(path).condition == "damaged"]
    verdict.lost += [f"damaged: {name}" for name in damaged]
    if summary.state in {*LIVE_STATES, "unreachable"}:
        verdict.lies.append(f"is {summary.state} after the reboot")
    if at >= recording.created and (not run.config.is_file() or run.config.read_bytes() != recording.config):
        verdict.lost.append(f"config.yaml is not what was written, after {at} of {len(recording.disk.ops)} changes")
    last = recording.place(_content(run.checkpoint_last))
    reported = recording.reported(at)
    if reported is not None and (last is None or last.step < reported.step):
        verdict.lost.append(f"{reported} was reported, {last} is there")
    _judge_log(recording, run, last, events, verdict)
    _judge_end(recording, run, summary.state, last, at, verdict)
    if last is None and run.has_checkpoints():
        saved, _ = last_good_checkpoint(run)
        if saved is None:
            verdict.lost.append("no checkpoint can be read")


def _judge_log(recording: Recording, run: RunFolder, last: Place | None, events: list[Event], verdict: Verdict) -> None:
    """The log holds every epoch of the checkpoint, as it was; what it names is there."""
    known = epochs_of(events)
    if last is not None and known[: last.epoch] != recording.history[: last.epoch]:
        verdict.lies.append(f"the log lacks epochs of the checkpoint, which has {last.epoch}")
    reported = max((one.epoch for one in events if isinstance(one, CheckpointSaved) and one.kind == "last"), default=0)
    if reported > (0 if last is None else last.epoch):
        verdict.lost.append(f"a checkpoint of epoch {reported} was reported, {last} is there")
    best = recording.place(_content(run.checkpoint_best))
    if last is not None and last.best_epoch is not None and (best is None or best.epoch < last.best_epoch):
        verdict.lies.append(f"the best epoch is {last.best_epoch}, checkpoint_best.pt has {best}")
    for event in events:
        if isinstance(event, SamplesDrawn) and not whole_maps(run.path / event.path):
            verdict.lies.append(f"{event.path} was recorded and is not whole")


def _judge_end(recording: Recording, run: RunFolder, state: str, last: Place | None, at: int, verdict: Verdict) -> None:
    """An end that is recorded has its checkpoint and figures; one that was on disk stays."""
    ended = recording.ended(at)
    if ended is not None and state != ended.state:
        verdict.lies.append(f"was {ended.state}, is {state}")
    if state == "finished" and (last is None or last.epoch < EPOCHS):
        verdict.lies.append(f"is finished, the last checkpoint has {last}")
    if state == "finished" and recording.figures:
        figures = [run.training_history, *(run.sample_figure(epoch) for epoch in (2, EPOCHS))]
        verdict.lies += [f"is finished without {path.name}" for path in figures if not _whole_figure(path)]
    if state == "stopped" and last is None:
        verdict.lies.append("is stopped without its checkpoint")


def go_on(recording: Recording, run: RunFolder) -> Verdict:
    """Resume a state, if it is not at its end, and return what differs from the undisturbed run."""
    verdict = Verdict()
    try:
        if summarise(run).state != "finished":
            check_can_start(run, resume=True)
            with one_process(figures=False):
                run_in_foreground(run, on_event=lambda _: None, resume=True)
        state = summarise(run).state
        if state != "finished":
            verdict.lost.append(f"is {state} after the resume: {summarise(run).reason}")
        elif not same(load_checkpoint(run.checkpoint_last).state, recording.wanted):
            verdict.lost.append("ends with other weights")
        elif epochs_of(read_events(run.events)) != recording.history:
            verdict.lost.append("ends with another history")
    except FocusError as error:
        verdict.lost.append(str(error))
    except Exception as error:  # noqa: BLE001  (any is a failure of what is judged)
        verdict.tracebacks.append(f"{type(error).__name__}: {error}")
    return verdict


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def whole_maps(path: Path) -> bool:
    try:
        with np.load(path, allow_pickle=False) as drawn:
            return all(np.isfinite(drawn["maps"]).ravel())
    except Exception:  # noqa: BLE001  (a damaged file can raise any)
        return False


def _whole_figure(path: Path) -> bool:
    return path.is_file() and b"IEND" in path.read_bytes()[-12:]


def prepare() -> None:
    """Use one thread, as the recorded run does."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
