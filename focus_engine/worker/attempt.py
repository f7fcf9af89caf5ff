"""One attempt to train a prepared run: between the events of the loop it saves, samples and requests figures.

A run is one attempt, or several where memory runs out and batches are halved (`focus_engine.worker.session`).
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from focus_engine.config.advice import data_wait_advice
from focus_engine.errors import FocusError, is_out_of_memory
from focus_engine.evaluation.trained_model import model_in_training
from focus_engine.events.history import readings_of
from focus_engine.events.log import read_events
from focus_engine.events.outcome import Outcome
from focus_engine.events.statistics import POWER_ERROR
from focus_engine.events.table import AveragesSaved, EpochFinished, Event, StatisticsMeasured, Warned
from focus_engine.progress import relay
from focus_engine.pulse import PULSE
from focus_engine.runs.folder import RunFolder
from focus_engine.training.loop import train
from focus_engine.training.memory import NotEnoughMemoryError, memory_advice
from focus_engine.training.prepare import PreparedRun
from focus_engine.training.step import DivergedError
from focus_engine.worker.artist import Artist, undrawn
from focus_engine.worker.calibrating import calibrate
from focus_engine.worker.samples import RunSampler
from focus_engine.worker.saving import Saver

if TYPE_CHECKING:
    from focus_engine.worker.recorder import Recorder
    from focus_engine.worker.stop import StopSwitch


@dataclass
class Attempt:
    """A prepared run being trained.

    Attributes:
        run: its folder.
        prepared: data, network and state.
        recorder: writes the log.
        switch: says when to stop.
        artist: draws figures beside training.
        keeps_last: whether checkpoint_last.pt is undamaged, so that it becomes the previous one.
    """

    run: RunFolder
    prepared: PreparedRun
    recorder: "Recorder"
    switch: "StopSwitch"
    artist: Artist
    keeps_last: bool
    advised: bool = field(default=False, init=False)
    refused: bool = field(default=False, init=False)
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
            if outcome.state != "stopped":
                yield from calibrate(self.run, self.prepared, self.recorder, self.switch)
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
        if self.artist.refusal and not self.refused:
            self.refused = True
            message = (
                f"no process can be started for figures ({self.artist.refusal}): they wait for one, or for the end"
            )
            yield self.recorder.record(Warned(code="figures", message=message))
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
