"""The worker: trains a run from its first event to its last.

It records that it exists before torch is loaded, writes each event to the log, obeys stop requests, and records how
it ended in its last event. Where training came to its end every output stands by then; where it was stopped or failed,
figures may still be drawn after it. The user's own command comes last.
"""

import contextlib
import traceback
from collections.abc import Generator
from contextlib import ExitStack

from focus_engine.allocator import share_one_heap
from focus_engine.atomic import remove_leftovers
from focus_engine.errors import FocusError
from focus_engine.events.outcome import Outcome
from focus_engine.events.table import Event, RunEnded, WorkerStarting
from focus_engine.launch.slots import Slots
from focus_engine.launch.torchrun import launch_command, nodes_of_job, train_on_ranks
from focus_engine.progress import relay
from focus_engine.runs.folder import RunFolder
from focus_engine.version import __version__
from focus_engine.worker.devices import devices_wanted, rank_devices, take_slots
from focus_engine.worker.heartbeat import Heartbeat
from focus_engine.worker.options import WorkerOptions
from focus_engine.worker.recorder import Recorder, describe_failure
from focus_engine.worker.recover import watchdog_of
from focus_engine.worker.requeue import REQUEUE, end_reason, wants_requeue
from focus_engine.worker.stop import StopNow, StopSwitch

INTERRUPTED = 130
"""Exit code of a run in the foreground that Ctrl-C stopped (128 + SIGINT)."""


def work(run: RunFolder, options: WorkerOptions) -> Generator[Event, None, int]:
    """Train `run`, yielding every event after it is in the log; return the exit code.

    The last event is RunEnded. The caller holds the lock of the run. Failures end as a RunEnded of state `failed`,
    not as an exception.
    """
    recorder = Recorder(run)
    switch = StopSwitch(run, recorder.record)
    heartbeat = Heartbeat(run, watchdog_of(run, recorder, options))
    with ExitStack() as closing:  # callbacks run in reverse order
        closing.callback(_remove_stop_request, run)
        closing.callback(recorder.notify_user)
        closing.callback(heartbeat.stop)
        closing.enter_context(switch.listening(foreground=options.foreground, slurm=options.slurm))
        try:
            for folder in (run.checkpoints, run.averages, run.samples, run.figs):
                remove_leftovers(folder)  # of a worker that was killed while it wrote; this worker holds the lock
            yield _starting(heartbeat, recorder, options)
            _choose_heap(run)
            heartbeat.beat()
            slots = yield from take_slots(run, recorder, switch, options)
            closing.callback(slots.close)
            outcome = yield from _train(run, recorder, switch, closing, slots, options, heartbeat)
            switch.look()
            code, ended = 0, recorder.end(outcome.state, end_reason(outcome, switch, options))
        except GeneratorExit:
            gone = Outcome("stopped", "the program that watched it ended", recorder.checkpoint_note())
            recorder.end("stopped", gone.reason)
            raise
        except BaseException as error:  # noqa: BLE001  (a process border: whatever happened is the run's outcome)
            switch.immediate = False
            code, ended = _failure(error, recorder, switch, options)
        yield ended
    if ended.state != "stopped":
        return code
    return REQUEUE if wants_requeue(switch, options) else INTERRUPTED if switch.interrupted else code


def _starting(heartbeat: Heartbeat, recorder: Recorder, options: WorkerOptions) -> Event:
    """Start the heartbeat and record that the worker exists. Raises OSError when the disk refuses."""
    identity = heartbeat.start()
    return recorder.record(
        WorkerStarting(
            pid=identity.pid,
            host=identity.host,
            boot_id=identity.boot_id,
            process_start=identity.process_start,
            focus_version=__version__,
            resume=options.resume,
            foreground=options.foreground,
        )
    )


def _choose_heap(run: RunFolder) -> None:
    """Let threads share one heap if the run needs it, before there is any; a config that is wrong fails later."""
    from focus_engine.config.heap import needs_one_heap  # noqa: PLC0415  (pydantic: not before the first event)
    from focus_engine.config.load import load_config  # noqa: PLC0415

    with contextlib.suppress(FocusError, OSError):
        if needs_one_heap(load_config(run.config).config):
            share_one_heap()


def _remove_stop_request(run: RunFolder) -> None:
    with contextlib.suppress(OSError):
        run.stop_request.unlink(missing_ok=True)


def _train(
    run: RunFolder,
    recorder: Recorder,
    switch: StopSwitch,
    closing: ExitStack,
    slots: Slots,
    options: WorkerOptions,
    heartbeat: Heartbeat,
) -> Generator[Event, None, Outcome]:
    """Train in this process on one device, or by ranks on several."""
    if devices_wanted(run, options)[1] > 1 or (options.slurm and nodes_of_job() > 1):
        heartbeat.leave_progress()
        return (yield from _train_on_ranks(run, recorder, switch, slots, options))
    from focus_engine.worker.session import train_run  # noqa: PLC0415  (torch: 2 s, after the first event)

    device = slots.devices[0] if slots.devices else options.device
    training = train_run(run, recorder, switch, closing, resume=options.resume, device=device, began=recorder.began)
    return (yield from training)


def _train_on_ranks(
    run: RunFolder, recorder: Recorder, switch: StopSwitch, slots: Slots, options: WorkerOptions
) -> Generator[Event, None, Outcome]:
    """Train on several devices, one rank each; yield the events that rank 0 writes."""
    from focus_engine.config.load import load_config  # noqa: PLC0415  (pydantic: not before the first event)

    restarts = load_config(run.config).config.training.max_restarts
    arguments = ["--resume"] if options.resume else []
    command = launch_command(run, devices_wanted(run, options)[1], restarts, arguments)
    switch.records = False  # rank 0 does
    switch.immediate = False  # a signal is passed on to the ranks, which stop with a checkpoint
    ranks = train_on_ranks(run, command, rank_devices(run, options, slots), lambda: switch.signalled)
    ended = yield from relay(ranks, lambda event: (recorder.follow(event),))
    recorder.peak_memory = ended["peak_memory"]
    return Outcome(*(ended[name] for name in ("state", "why", "where")))


def _failure(
    error: BaseException, recorder: Recorder, switch: StopSwitch, options: WorkerOptions
) -> tuple[int, RunEnded]:
    """Return the exit code and the last event of a run that an exception ended."""
    if isinstance(error, StopNow | KeyboardInterrupt):
        with contextlib.suppress(OSError):
            switch.look()
        how = "interrupted" if switch.interrupted else "asked to stop"
        when = "" if recorder.training else " before training began"
        outcome = Outcome("stopped", f"{how}{when}", recorder.checkpoint_note())
        return 0, recorder.end("stopped", end_reason(outcome, switch, options))
    if not isinstance(error, FocusError | OSError):
        with contextlib.suppress(OSError):
            traceback.print_exception(error)
    code = error.exit_code if isinstance(error, FocusError) else FocusError.exit_code
    parts = [describe_failure(error), recorder.checkpoint_note()]
    return code, recorder.end("failed", "; ".join(part for part in parts if part))
