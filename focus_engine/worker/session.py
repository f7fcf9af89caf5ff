"""One run from its folder to its outcome: read what it needs, then train, again with smaller batches if memory ends.

Separate from `work`, which records the first and the last event, because this module loads torch.
"""

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from focus_engine.atomic import write_atomically
from focus_engine.config.edit import set_keys
from focus_engine.config.load import load_config
from focus_engine.config.schema import Config
from focus_engine.data.maps import MapSet
from focus_engine.data.opening import open_maps
from focus_engine.events.outcome import Outcome
from focus_engine.events.table import DataProgress, Event, Warned
from focus_engine.progress import relay
from focus_engine.pulse import PULSE
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.resumable import check_resumable
from focus_engine.small_files import read_inside_text
from focus_engine.training.budget import Clock
from focus_engine.training.checkpoint import Checkpoint
from focus_engine.training.devices import choose_device
from focus_engine.training.initial_weights import InitialWeights
from focus_engine.training.memory import NotEnoughMemoryError, release_memory, smaller_batches
from focus_engine.training.prepare import prepare_run
from focus_engine.training.prepared_data import PreparedData, prepare_data, terminal_snr
from focus_engine.training.ranks import ALONE, Ranks
from focus_engine.trust import check_stamp
from focus_engine.worker.announcing import (
    started,
    warn_of_config,
    warn_of_slow_training,
    warn_of_terminal_snr,
    warn_of_zeros,
)
from focus_engine.worker.artist import Artist
from focus_engine.worker.attempt import Attempt
from focus_engine.worker.beginning import initial_weights
from focus_engine.worker.saving import last_good_checkpoint
from focus_engine.worker.stop import StopNow

if TYPE_CHECKING:
    from focus_engine.worker.recorder import Recorder
    from focus_engine.worker.stop import StopSwitch


class _StopRequestedError(Exception):
    """Raised to leave a generator of progress when a stop is requested."""


@dataclass(frozen=True, eq=False)
class _Beginning:
    """What an attempt begins with.

    Attributes:
        config: the checked config.
        place: the device of training.
        data: opened maps with their split and normalisation.
        clock: counts training.max_minutes.
        saved: the checkpoint to go on from; None for a new run.
        keeps_last: whether checkpoint_last.pt is undamaged.
        initial: weights of another run to begin from.
    """

    config: Config
    place: torch.device
    data: PreparedData
    clock: Clock
    saved: Checkpoint | None
    keeps_last: bool
    initial: InitialWeights | None


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
    beginning = yield from _begin(run, recorder, switch, resume=resume, device=device, began=began)
    if beginning is None:
        return Outcome("stopped", "asked to stop before training began")
    artist = Artist(run)
    closing.callback(lambda: artist.leave() if switch.at_once else artist.finish())
    again = False
    while True:
        attempt = yield from _attempt(run, beginning, recorder, switch, artist, ranks=ranks, again=again)
        try:
            outcome = yield from attempt.train()
            yield from attempt.finish(outcome)
            return outcome  # noqa: TRY300  (memory runs out in training, not after it)
        except NotEnoughMemoryError as error:
            if ranks.size > 1 or (smaller := _with_smaller_batches(run, beginning.config)) is None:
                raise
            advice, again = str(error), True
        del attempt  # outside the except block the error and what its frames held are gone too
        release_memory()
        saved, keeps_last = yield from _last_good(run, recorder)
        beginning = replace(beginning, config=smaller, saved=saved, keeps_last=keeps_last)
        message = f"{advice}: done (training.on_oom: halve); going on after epoch {0 if saved is None else saved.epoch}"
        yield recorder.record(Warned(code="out_of_memory", message=message))


def _begin(
    run: RunFolder, recorder: "Recorder", switch: "StopSwitch", *, resume: bool, device: str | None, began: float
) -> Generator[Event, None, _Beginning | None]:
    """Read config, checkpoint and maps, and fit the normalisation; None if asked to stop meanwhile."""
    file = load_config(run.config)
    config = file.config
    minutes = config.worker.stall_minutes
    PULSE.given = None if minutes is None else 60 * minutes
    PULSE.enter("preparing the data and the network")
    yield from warn_of_config(file, recorder)
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
        return None
    data = prepare_data(config, maps, saved, initial)
    yield from warn_of_zeros(data, recorder, saved)
    clock = Clock(0.0 if saved is None else saved.provenance.get("seconds", 0.0), began)
    return _Beginning(config, place, data, clock, saved, keeps_last, initial)


def _attempt(
    run: RunFolder,
    beginning: _Beginning,
    recorder: "Recorder",
    switch: "StopSwitch",
    artist: Artist,
    *,
    ranks: Ranks,
    again: bool,
) -> Generator[Event, None, Attempt]:
    """Build network and batches and record what will be trained; `again`: not the first attempt of this worker."""
    config, saved = beginning.config, beginning.saved
    prepared = prepare_run(
        *(config, beginning.data, beginning.place),
        saved=saved,
        clock=beginning.clock,
        ranks=ranks,
        initial=beginning.initial,
    )
    if switch.signalled:  # and yet here: Python ignored the exception, as it does in a destructor
        raise StopNow
    switch.immediate = False
    snr = terminal_snr(prepared.process, beginning.data)
    yield recorder.record(started(prepared, snr))
    yield from warn_of_slow_training(prepared, recorder)
    if saved is None and not again:
        yield from warn_of_terminal_snr(snr, config, recorder)
    attempt = Attempt(run, prepared, recorder, switch, artist, keeps_last=beginning.keeps_last)
    if saved is not None and not again:
        yield from attempt.catch_up()
    return attempt


def _last_good(run: RunFolder, recorder: "Recorder") -> Generator[Event, None, tuple[Checkpoint | None, bool]]:
    """Return the newest readable checkpoint, and whether checkpoint_last.pt is not damaged; warn where it is."""
    saved, warning = last_good_checkpoint(run)
    if warning:
        yield recorder.record(Warned(code="checkpoint", message=warning))
    return saved, saved is None or warning is None


def _with_smaller_batches(run: RunFolder, config: Config) -> Config | None:
    """Halve the batches in config.yaml where training.on_oom allows it; return the changed config, else None."""
    smaller = smaller_batches(config.training)
    if config.training.on_oom != "halve" or smaller is None:
        return None
    changes = [f"training.batch_size={smaller[0]}", f"training.accumulate={smaller[1]}"]
    text = set_keys(read_inside_text(run.config), changes, run.config)
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
