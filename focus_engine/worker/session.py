"""One run from its folder to its outcome: prepare, train, save, sample, request figures.

Separate from `work`, which records the first and the last event, because this module loads torch.
"""

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import torch

from focus_engine.atomic import write_atomically
from focus_engine.config.advice import data_wait_advice
from focus_engine.config.edit import set_keys
from focus_engine.config.load import ConfigFile, load_config
from focus_engine.config.methods import METHODS
from focus_engine.config.schema import Config, plain_config
from focus_engine.data.maps import MapSet
from focus_engine.data.opening import open_maps
from focus_engine.errors import FocusError
from focus_engine.evaluation.trained_model import model_in_training
from focus_engine.events.history import readings_of
from focus_engine.events.log import read_events
from focus_engine.events.outcome import Outcome
from focus_engine.events.statistics import POWER_ERROR
from focus_engine.events.table import (
    AveragesSaved,
    DataProgress,
    EpochFinished,
    Event,
    RunStarted,
    StatisticsMeasured,
    Warned,
)
from focus_engine.models.build import count_parameters
from focus_engine.progress import relay
from focus_engine.pulse import PULSE
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.resumable import check_resumable
from focus_engine.training.budget import Clock
from focus_engine.training.checkpoint import Checkpoint
from focus_engine.training.devices import choose_device, device_name
from focus_engine.training.loop import train
from focus_engine.training.memory import (
    NotEnoughMemoryError,
    is_out_of_memory,
    memory_advice,
    release_memory,
    smaller_batches,
)
from focus_engine.training.prepare import PreparedData, PreparedRun, prepare_data, prepare_run, provenance, terminal_snr
from focus_engine.training.ranks import ALONE, Ranks
from focus_engine.training.step import DivergedError
from focus_engine.trust import check_stamp, runs_code
from focus_engine.worker.artist import Artist, undrawn
from focus_engine.worker.beginning import initial_weights
from focus_engine.worker.samples import RunSampler
from focus_engine.worker.saving import Saver, last_good_checkpoint

if TYPE_CHECKING:
    from focus_engine.worker.recorder import Recorder
    from focus_engine.worker.stop import StopSwitch

TERMINAL_SNR_ADVICE = 0.05
"""Signal-to-noise ratio of one mode at t = T above which the run warns."""


class _StopRequestedError(Exception):
    """Raised to leave a generator of progress when a stop is requested."""


def train_run(
    run: RunFolder,
    recorder: "Recorder",
    switch: "StopSwitch",
    closing: ExitStack,
    *,
    resume: bool,
    device: str | None,
    began: float,
    ranks: Ranks = ALONE,
) -> Generator[Event, None, Outcome]:
    """Train `run` from its first or its last checkpoint, yielding recorded events; return how it ended.

    Until training begins, a signal to stop raises `StopNow`. `closing` collects what is to be done after the last
    event. `began` is the `time.monotonic()` from which training.max_minutes counts. All `ranks` run this at the same
    time; only rank 0 writes.

    Raises:
        FocusError: training failed.
    """
    file = load_config(run.config)
    config = file.config
    minutes = config.worker.stall_minutes
    PULSE.given = None if minutes is None else 60 * minutes
    PULSE.enter("preparing the data and the network")
    yield from _warn_of_config(file, recorder)
    place = choose_device(device or config.device)
    saved, keeps_last = (yield from _last_good(run, recorder)) if resume else (None, True)
    if saved is not None:
        recorder.epoch, recorder.checkpoint = saved.epoch, run.checkpoint_last
        check_resumable(config, saved.config)
        check_stamp(run.checkpoint_last, config.model.from_, saved.provenance.get("stamp"))
        _take_thread_count(saved, place)
    initial = initial_weights(run, config) if saved is None else None
    maps = yield from _open_maps(run, config, recorder, switch)
    if maps is None:
        return Outcome("stopped", "asked to stop before training began")
    data = prepare_data(config, maps, saved, initial)
    yield from _warn_of_zeros(data, recorder, saved)
    clock = Clock(0.0 if saved is None else saved.provenance.get("seconds", 0.0), began)
    prepared = prepare_run(config, data, place, saved=saved, clock=clock, ranks=ranks, initial=initial)
    artist = Artist(run)
    closing.callback(lambda: artist.leave() if switch.at_once else artist.finish())
    switch.immediate = False
    snr = terminal_snr(prepared.process, data)
    yield recorder.record(_started(prepared, snr))
    yield from _warn_of_slow_training(prepared, recorder)
    if saved is None:
        yield from _warn_of_terminal_snr(snr, config, recorder)
    session = _Session(run, prepared, recorder, switch, artist, keeps_last=keeps_last)
    if saved is not None:
        yield from session.catch_up()
    while True:
        try:
            outcome = yield from session.train()
            yield from session.finish(outcome)
            return outcome  # noqa: TRY300  (memory runs out in training, not after it)
        except NotEnoughMemoryError as error:
            if ranks.size > 1 or (smaller := _with_smaller_batches(run, config)) is None:
                raise
            config, advice = smaller, str(error)
        del prepared, session  # outside the except block the error and what its frames held are gone too
        release_memory()
        saved, keeps_last = yield from _last_good(run, recorder)
        message = f"{advice}: done (training.on_oom: halve); going on after epoch {0 if saved is None else saved.epoch}"
        yield recorder.record(Warned(code="out_of_memory", message=message))
        prepared = prepare_run(config, data, place, saved=saved, clock=clock, initial=initial)
        yield recorder.record(_started(prepared, snr))
        yield from _warn_of_slow_training(prepared, recorder)
        session = _Session(run, prepared, recorder, switch, artist, keeps_last=keeps_last)


def _last_good(run: RunFolder, recorder: "Recorder") -> Generator[Event, None, tuple[Checkpoint | None, bool]]:
    """Return the newest readable checkpoint, and whether checkpoint_last.pt is not damaged; warn where it is."""
    saved, warning = last_good_checkpoint(run)
    if warning:
        yield recorder.record(Warned(code="checkpoint", message=warning))
    return saved, saved is None or warning is None


def _warn_of_config(file: ConfigFile, recorder: "Recorder") -> Iterator[Event]:
    """Pass on the warnings of the config, and say when code of the user's own is run."""
    for message in file.warnings:
        yield recorder.record(Warned(code="config", message=message))
    own = file.config.model.from_
    if runs_code(own):
        yield recorder.record(Warned(code="own_code", message=f"model.from: the code of {own} is run"))


def _warn_of_slow_training(prepared: PreparedRun, recorder: "Recorder") -> Iterator[Event]:
    """Say why training is slower than it could be: not compiled although asked for, or layer by layer on a GPU."""
    for message in prepared.slower:
        yield recorder.record(Warned(code="compile", message=message))


def _warn_of_terminal_snr(snr: float | None, config: Config, recorder: "Recorder") -> Iterator[Event]:
    """Warn of a path that leaves the largest waves in the noise where sampling starts, and say what sampling does."""
    if snr is None or snr <= TERMINAL_SNR_ADVICE:
        return
    prior = config.sampling.prior
    start = (
        "samples get them wrong: use sampling.prior: spectrum, or"
        if prior == "white"
        else f"sampling starts from their mean and spectrum (sampling.prior: {prior}), which is exact for Gaussian "
        "fields; to start from noise alone use"
    )
    message = (
        "where sampling starts, the largest waves of these maps still stand out of the noise (signal-to-noise "
        f"{snr:.2f}), so {start} {METHODS[config.method].more_noise}"
    )
    yield recorder.record(Warned(code="terminal_snr", message=message))


def _warn_of_zeros(data: PreparedData, recorder: "Recorder", saved: Checkpoint | None) -> Iterator[Event]:
    """Warn of pixels that have no logarithm, unless the run is resumed."""
    if data.normaliser.n_floored and saved is None:
        share = data.normaliser.n_floored / data.normaliser.n_values
        floor = ", ".join(f"{value:g}" for value in data.normaliser.floor)
        message = f"{share:.2%} of the training pixels are exactly 0; log10 reads them as {floor} {data.maps.units}"
        yield recorder.record(Warned(code="zeros", message=message))


def _with_smaller_batches(run: RunFolder, config: Config) -> Config | None:
    """Halve the batches in config.yaml where training.on_oom allows it; return the changed config, else None."""
    smaller = smaller_batches(config.training)
    if config.training.on_oom != "halve" or smaller is None:
        return None
    changes = [f"training.batch_size={smaller[0]}", f"training.accumulate={smaller[1]}"]
    text = set_keys(run.config.read_text(encoding="utf-8"), changes, run.config)
    with write_atomically(run.config) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return load_config(run.config).config


def _take_thread_count(saved: Checkpoint, place: torch.device) -> None:
    """Use as many threads as the run began with: sums, and so the weights' last bits, depend on their number."""
    threads = saved.provenance.get("threads")
    if place.type == "cpu" and isinstance(threads, int) and threads > 0:
        torch.set_num_threads(threads)


def _open_maps(
    run: RunFolder, config: Config, recorder: "Recorder", switch: "StopSwitch"
) -> Generator[Event, None, MapSet | None]:
    """Record each step of progress once; return the maps, or None when a stop was requested meanwhile."""
    shown: DataProgress | None = None

    def record(progress: DataProgress) -> Iterator[Event]:
        nonlocal shown
        if shown is None or (shown.what, shown.done) != (progress.what, progress.done):
            shown = progress
            yield recorder.record(progress)
        if switch.wanted() is not None:
            raise _StopRequestedError

    try:
        return (yield from relay(open_maps(config, run.path), record))
    except _StopRequestedError:
        return None


def _started(prepared: PreparedRun, snr: float | None) -> RunStarted:
    """Return the event that describes the prepared run: network, data, device and versions."""
    config, data = prepared.config, prepared.data
    made = provenance(config, prepared.device, prepared.precision)
    split = (data.split.train, data.split.validation, data.split.test)
    per_simulation = data.maps.maps_per_simulation
    return RunStarted(
        method=config.method,
        epoch=prepared.state.epoch,
        step=prepared.state.step,
        num_epochs=config.training.num_epochs,
        steps_per_epoch=prepared.training.steps_per_epoch,
        warmup_epochs=config.training.scheduler.epochs_of_warmup(prepared.training.steps_per_epoch),
        batch_size=config.training.batch_size,
        accumulate=config.training.accumulate,
        n_parameters=count_parameters(prepared.state.network),
        maps=(len(split[0]) * per_simulation, len(split[1]) * per_simulation, len(split[2]) * per_simulation),
        simulations=(len(split[0]), len(split[1]), len(split[2])),
        map_shape=data.maps.shape,
        box_size=data.maps.box_size,
        param_names=data.maps.param_names,
        resident=prepared.training.batches.resident,
        terminal_snr=snr,
        precision=prepared.precision,
        seed=config.training.seed,
        threads=made["threads"],
        ranks=prepared.training.ranks.size,
        device=made["device"],
        device_name=device_name(prepared.device),
        git_commit=made["git_commit"],
        versions=made["versions"],
        config=plain_config(config),
        config_sha256=made["config_sha256"],
        data_fingerprint=data.fingerprint,
        init_from=prepared.init_from,
    )


@dataclass
class _Session:
    """A prepared run being trained: between the loop's events it saves, samples and requests figures."""

    run: RunFolder
    prepared: PreparedRun
    recorder: "Recorder"
    switch: "StopSwitch"
    artist: Artist
    keeps_last: bool
    advised: bool = field(default=False, init=False)
    epoch_seconds: float | None = field(default=None, init=False)
    sampler: RunSampler = field(init=False)
    saver: Saver = field(init=False)

    def __post_init__(self) -> None:
        self.saver = Saver(self.run, self.prepared, self.recorder, keeps_last=self.keeps_last)
        self.saver.remove_lost_snapshots()
        self.sampler = RunSampler(self.prepared, model_in_training(self.prepared), self.run)

    def catch_up(self) -> Iterator[Event]:
        """Take over from the log what the checkpoint lacks: the readings of the clock, and the scores of samples.

        The samples of the checkpoint's epoch are drawn where they are missing: the checkpoint is written before them.
        """
        state = self.prepared.state
        events = read_events(self.run.events)
        readings = readings_of(events)
        self.prepared.training.clock.replay({at: readings[at] for at in readings if at > state.budget.step})
        known = [one for one in events if isinstance(one, StatisticsMeasured) and one.epoch <= state.epoch]
        self.epoch_seconds = next((one.seconds for one in reversed(events) if isinstance(one, EpochFinished)), None)
        if known:
            state.take_score(known[-1].measure(POWER_ERROR))
        missing = state.running.batch == 0 and not any(one.epoch == state.epoch for one in known)
        for figure in undrawn(self.run, events, state.epoch):
            self._draw(figure)
        if missing and self._samples_due(state.epoch) and not self._stop_now():
            yield from self._sample(state.epoch)

    def finish(self, outcome: Outcome) -> Iterator[Event]:
        """Wait for the figures, because every output of a finished run stands; of one that is stopped they follow."""
        if outcome.state == "stopped" or not self.prepared.training.ranks.lead:
            return
        if not self.artist.finish(outcome.state):
            message = "not every figure could be drawn (worker.log says why)"
            yield self.recorder.record(Warned(code="figures", message=message))

    def train(self) -> Generator[Event, None, Outcome]:
        """Train until training ends and return how. Raises FocusError, OSError or torch's own errors when it fails."""
        PULSE.enter("training", metered=True)
        try:
            outcome = yield from relay(train(self.prepared.training, self.prepared.state, self._wanted), self._recorded)
            yield from self.saver.finish(wanted=outcome.save)
        except DivergedError as error:
            raise FocusError(f"{error}: lower training.lr, or use precision: float32") from error
        except Exception as error:
            if is_out_of_memory(error):
                raise NotEnoughMemoryError(memory_advice(self.prepared.config.training)) from error
            raise
        finally:
            PULSE.enter("ending the training")
            self.saver.abandon()
        if outcome.state == "stopped" and self.switch.interrupted:
            return replace(outcome, why=f"interrupted in epoch {self.prepared.state.epoch + 1}", where="")
        return outcome

    def _wanted(self) -> Literal["epoch", "now"] | None:
        """Return when to stop; report the step, and note what the thread that writes checkpoints did."""
        PULSE.stepped(self.prepared.state.step)
        self.saver.note()
        return self.switch.wanted()

    def _recorded(self, event: Event) -> Iterator[Event]:
        """Record an event of the loop and save, sample or warn as is due after it."""
        yield from self.saver.news()
        if isinstance(event, AveragesSaved):
            yield from self.saver.take_snapshot(event)  # and records it once it is on disk
        else:
            yield self.recorder.record(event)
        if isinstance(event, EpochFinished):
            yield from self._after_epoch(event)
        else:
            yield from self.saver.during_epoch()

    def _after_epoch(self, event: EpochFinished) -> Iterator[Event]:
        samples_due = self._samples_due(event.epoch)
        yield from self.saver.after_epoch(is_best=event.is_best, pause=samples_due)
        self.epoch_seconds = event.seconds
        self._draw("history")
        advice = data_wait_advice(event.data_wait, self.prepared.config.data.num_workers, "training waits")
        if advice and not self.advised:
            self.advised = True
            yield self.recorder.record(Warned(code="data_wait", message=advice))
        if samples_due and not self._stop_now():
            yield from self._sample(event.epoch)

    def _samples_due(self, epoch: int) -> bool:
        settings = self.prepared.config.training
        every = settings.sample_every
        last = epoch == settings.num_epochs or self.prepared.state.budget.is_up(settings)
        return epoch > 0 and every > 0 and (epoch == 1 or epoch % every == 0 or last)

    def _stop_now(self) -> bool:
        return bool(self.prepared.training.ranks.agree(self.switch.now()))

    def _draw(self, what: str) -> None:
        if self.prepared.training.ranks.lead:
            self.artist.draw(what)

    def _sample(self, epoch: int) -> Iterator[Event]:
        """Draw maps and measure P(k); a failure is recorded as a warning and training goes on."""
        every, epoch_seconds = self.prepared.config.training.sample_every, self.epoch_seconds
        try:
            with PULSE.within("sampling"):
                seconds = None if epoch_seconds is None else min(every, epoch) * epoch_seconds
                drawn = self.sampler.draw(seconds, self.switch.now)
        except Exception as error:  # noqa: BLE001  (no failure of the samples ends training)
            first = (str(error).splitlines() or [type(error).__name__])[0]
            yield self.recorder.record(Warned(code="samples", message=f"no samples at epoch {epoch}: {first}"))
            return
        if drawn is None:
            return
        samples, measured = drawn
        yield self.recorder.record(samples)
        self._draw(f"samples {epoch}")
        if measured is not None:
            self.prepared.state.take_score(measured.measure(POWER_ERROR))
            yield self.recorder.record(measured)
            self._draw(f"power {epoch}")
