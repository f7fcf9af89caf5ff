"""One run from its folder to its last word: prepare, train, save, sample, draw, notify.

Apart from `worker` because it loads torch; the worker proves its existence before that.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from focus_engine.artist import Artist
from focus_engine.config import Config
from focus_engine.config_file import load_config
from focus_engine.data.maps import MapSet
from focus_engine.devices import choose_device, device_name
from focus_engine.errors import FocusError, InputError
from focus_engine.events import CheckpointSaved, EpochFinished, Event, RunEnded, RunStarted, Warned
from focus_engine.generative.diffusion import Diffusion
from focus_engine.models.build import count_parameters
from focus_engine.prepare import (
    PreparedRun,
    check_resumable,
    open_maps,
    prepare_data,
    prepare_run,
    provenance,
)
from focus_engine.run_samples import draw_run_samples
from focus_engine.runs.folder import RunFolder
from focus_engine.trained import TrainedModel, model_in_training
from focus_engine.training.checkpoint import Checkpoint, keep_as_best, load_checkpoint, save_checkpoint
from focus_engine.training.loop import DivergedError, Outcome, train

if TYPE_CHECKING:
    from focus_engine.worker import Recorder, StopSwitch

NOTIFY_SECONDS = 60.0
DATA_WAIT_ADVICE = 0.2
"""Share of an epoch spent waiting for data above which advice is given."""


def train_run(
    run: RunFolder,
    recorder: "Recorder",
    switch: "StopSwitch",
    *,
    resume: bool,
    device: str | None,
    began: float,
) -> Iterator[Event]:
    """Train `run` from its first or its last checkpoint, yielding recorded events up to RunEnded.

    Raises:
        FocusError: it failed; the caller writes the last word.
    """
    file = load_config(run.config)
    config = file.config
    for message in file.warnings:
        yield recorder.record(Warned(code="config", message=message))
    place = choose_device(device or config.device)
    saved = None
    if resume:
        saved, warning = last_good_checkpoint(run)
        if warning:
            yield recorder.record(Warned(code="checkpoint", message=warning))
    if saved is not None:
        check_resumable(config, saved)
        recorder.epoch, recorder.checkpoint = saved.epoch, run.checkpoint_last
    maps: MapSet | None = None
    for progress in open_maps(config, run.path):
        if isinstance(progress, MapSet):
            maps = progress
            continue
        yield recorder.record(progress)
        if switch.wanted() is not None:
            yield from _end(run, config, recorder, Outcome("stopped", "asked to stop before training began"), began)
            return
    if maps is None:
        raise FocusError("the data set could not be opened")
    data = prepare_data(config, maps, saved)
    if data.normaliser.n_floored:
        share = data.normaliser.n_floored / data.normaliser.n_values
        floor = ", ".join(f"{value:g}" for value in data.normaliser.floor)
        message = f"{share:.2%} of the training pixels are exactly 0; log10 reads them as {floor} {maps.units}"
        yield recorder.record(Warned(code="zeros", message=message))
    prepared = prepare_run(config, data, place, saved=saved)
    yield recorder.record(_started(prepared))
    yield from _Session(run, prepared, recorder, switch).train(began)


def last_good_checkpoint(run: RunFolder) -> tuple[Checkpoint | None, str | None]:
    """Return the newest checkpoint that can be read, and a warning when that is not the last one.

    Raises:
        InputError: there are checkpoints, but none can be read.
    """
    if not run.has_checkpoints():
        return None, "there is no checkpoint yet: training starts again from epoch 1"
    problems = []
    for path in (run.checkpoint_last, run.checkpoint_best):
        try:
            saved = load_checkpoint(path)
        except InputError as error:
            problems.append(str(error))
            continue
        if not problems:
            return saved, None
        return saved, f"{problems[0]}; going on from {path.name}, epoch {saved.epoch}"
    raise InputError("; ".join(problems))


def _started(prepared: PreparedRun) -> RunStarted:
    """The run's first event after torch is there: with what, on what, from where."""
    config, data, process = prepared.config, prepared.data, prepared.process
    made = provenance(config, prepared.device, prepared.precision)
    split = (data.split.train, data.split.validation, data.split.test)
    per_simulation = data.maps.maps_per_simulation
    return RunStarted(
        method=config.method,
        epoch=prepared.state.epoch,
        num_epochs=config.training.num_epochs,
        steps_per_epoch=prepared.training.steps_per_epoch,
        warmup_epochs=config.training.scheduler.warmup_epochs,
        batch_size=config.training.batch_size,
        accumulate=config.training.accumulate,
        n_parameters=count_parameters(prepared.state.network),
        maps=(len(split[0]) * per_simulation, len(split[1]) * per_simulation, len(split[2]) * per_simulation),
        simulations=(len(split[0]), len(split[1]), len(split[2])),
        map_shape=data.maps.shape,
        box_size=data.maps.box_size,
        param_names=data.maps.param_names,
        resident=prepared.training.batches.resident,
        terminal_snr=process.schedule.terminal_snr if isinstance(process, Diffusion) else None,
        precision=prepared.precision,
        seed=config.training.seed,
        threads=made["threads"],
        device=made["device"],
        device_name=device_name(prepared.device),
        git_commit=made["git_commit"],
        versions=made["versions"],
        config_sha256=made["config_sha256"],
        data_fingerprint=data.fingerprint,
    )


@dataclass
class _Session:
    """A prepared run being trained: between the loop's events it saves, samples and asks for figures."""

    run: RunFolder
    prepared: PreparedRun
    recorder: "Recorder"
    switch: "StopSwitch"

    def train(self, began: float) -> Iterator[Event]:
        artist = Artist(self.run)
        model = model_in_training(self.prepared)
        loop = train(self.prepared.training, self.prepared.state, self.switch.wanted)
        try:
            while True:
                try:
                    event = next(loop)
                except StopIteration as stopped:
                    outcome: Outcome = stopped.value
                    break
                yield self.recorder.record(event)
                if isinstance(event, EpochFinished):
                    yield from self._after_epoch(event, model, artist)
            if outcome.save:
                yield from self._save(is_best=False)
            yield from _end(self.run, self.prepared.config, self.recorder, outcome, began)
            artist.draw("history")
        except DivergedError as error:
            remedy = "lower training.lr, or use precision: float32"
            raise FocusError(f"{error}: {remedy}") from error
        finally:
            loop.close()
            artist.finish()

    def _after_epoch(self, event: EpochFinished, model: TrainedModel, artist: Artist) -> Iterator[Event]:
        yield from self._save(is_best=event.is_best)
        artist.draw("history")
        if (event.data_wait or 0.0) > DATA_WAIT_ADVICE:
            workers = self.prepared.config.data.num_workers
            yield self.recorder.record(
                Warned(
                    code="data_wait",
                    message=f"training waits {event.data_wait:.0%} of the time for data: raise data.num_workers "
                    f"{workers} -> {max(1, 2 * workers)}",
                )
            )
        every = self.prepared.config.training.sample_every
        if every and (event.epoch % every == 0 or event.epoch == event.num_epochs) and not self.switch.now():
            yield from self._sample(event.epoch, model, artist)

    def _save(self, *, is_best: bool) -> Iterator[Event]:
        """Write checkpoint_last.pt; a best one is the same file under another name."""
        began = time.monotonic()
        size = save_checkpoint(self.run.checkpoint_last, self.prepared.checkpoint())
        self.recorder.epoch, self.recorder.checkpoint = self.prepared.state.epoch, self.run.checkpoint_last
        if is_best:
            keep_as_best(self.run.checkpoint_last, self.run.checkpoint_best)
        seconds = time.monotonic() - began
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

    def _sample(self, epoch: int, model: TrainedModel, artist: Artist) -> Iterator[Event]:
        """Draw maps and measure P(k); a failure costs the samples, not the run."""
        try:
            drawn = draw_run_samples(self.prepared, model, self.run, self.switch.now)
        except (FocusError, OSError, RuntimeError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            yield self.recorder.record(Warned(code="samples", message=f"no samples at epoch {epoch}: {first}"))
            return
        if drawn is None:
            return
        samples, power = drawn
        yield self.recorder.record(samples)
        artist.draw(f"samples {epoch}")
        if power is not None:
            self.prepared.state.pk_error = power.median_abs_error
            yield self.recorder.record(power)
            artist.draw(f"power {epoch}")


def _end(run: RunFolder, config: Config, recorder: "Recorder", outcome: Outcome, began: float) -> Iterator[Event]:
    """The last word, and whoever wants to hear it."""
    ended = RunEnded(
        state=outcome.state,
        reason=outcome.reason,
        epoch=recorder.epoch,
        seconds=time.monotonic() - began,
        peak_memory=_peak_memory(),
    )
    yield recorder.record(ended)
    notify(run, config.notify.command, ended)


def _peak_memory() -> int:
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def notify(run: RunFolder, command: str | None, ended: RunEnded) -> None:
    """Run the user's command with the outcome in its environment; what becomes of it harms nothing."""
    if command is None:
        return
    told = {"FOCUS_NAME": run.name, "FOCUS_PATH": str(run.path), "FOCUS_STATE": ended.state}
    told |= {"FOCUS_REASON": ended.reason, "FOCUS_EPOCH": str(ended.epoch)}
    try:
        subprocess.run(  # noqa: S602  (the user's own shell command, from their own config)
            command,
            shell=True,
            env={**os.environ, **told},
            timeout=NOTIFY_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"notify.command: {error}\n")
