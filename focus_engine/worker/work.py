"""The process that trains a run: `python -m focus_engine.worker RUN_DIR`.

It proves its existence before torch is loaded, writes each event to the log, obeys stop requests, and says in its
last line how it ended; only then come figures still being drawn and the user's own command. `focus train` runs the
same code in its own process and watches the events go by.
"""

import argparse
import contextlib
import fcntl
import os
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from focus_engine.atomic import remove_leftovers
from focus_engine.errors import FocusError, InputError
from focus_engine.events.outcome import Outcome
from focus_engine.events.table import Event, Queued, RunEnded, RunStarted, WorkerStarting
from focus_engine.launch.process import ProcessIdentity, boot_id, host_name, process_start
from focus_engine.launch.slots import Place, Slots, devices_for, take_free_slots, wait_for_slots
from focus_engine.launch.start import LOCK_VARIABLE, check_can_start, run_lock
from focus_engine.launch.state import HEARTBEAT_SECONDS, UNREACHABLE_SECONDS, summarise
from focus_engine.launch.summary import LIVE_STATES
from focus_engine.launch.torchrun import StopAsked, launch_command, nodes_of_job, train_on_ranks
from focus_engine.progress import relay
from focus_engine.runs.folder import RunFolder
from focus_engine.version import __version__
from focus_engine.worker.recorder import Recorder, describe_failure, say
from focus_engine.worker.stop import StopNow, StopSwitch

POLL_SECONDS = 0.5
REQUEUE = 75
"""Exit code of a SLURM job that was stopped by the cluster and wants to go on (EX_TEMPFAIL)."""

INTERRUPTED = 130
"""Exit code of a run in the foreground that Ctrl-C stopped (128 + SIGINT)."""


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What whoever starts a worker asks of it.

    Attributes:
        resume: go on from the last checkpoint.
        device: overrides the config's device.
        devices: overrides training.devices.
        queue: wait until the device has a free slot.
        foreground: the worker belongs to a terminal: Ctrl-C and a hangup stop it.
        slurm: the worker is a SLURM job: USR1 says that its time is nearly over.
    """

    resume: bool = False
    device: str | None = None
    devices: int | None = None
    queue: bool = False
    foreground: bool = False
    slurm: bool = False


class Heartbeat:
    """Writes `worker.json` and touches it while the process lives: the proof of life across hosts."""

    def __init__(self, run: RunFolder) -> None:
        self._path = run.worker
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="focus-heartbeat", daemon=True)

    def start(self) -> ProcessIdentity:
        """Write this process's identity and return it, then go on touching it. Raises OSError when the disk refuses."""
        pid = os.getpid()
        identity = ProcessIdentity(pid, host_name(), boot_id(), process_start(pid), time.time())
        temporary = self._path.with_name("worker.json.new")
        temporary.write_text(identity.to_json() + "\n", encoding="utf-8")
        temporary.replace(self._path)
        self._thread.start()
        return identity

    def stop(self) -> None:
        """End the beat."""
        self._stop.set()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(self._path)


def work(run: RunFolder, orders: Orders) -> Generator[Event, None, int]:
    """Train `run`, yielding every event after it is in the log; return the exit code.

    The last event is RunEnded. The caller holds the lock of the run. Failures end as a RunEnded of state `failed`,
    not as an exception.
    """
    switch, recorder = StopSwitch(run), Recorder(run)
    heartbeat = Heartbeat(run)
    with ExitStack() as closing:  # from the last line to the first
        closing.callback(_withdraw_stop_request, run)
        closing.callback(recorder.tell_user)
        closing.callback(heartbeat.stop)
        closing.enter_context(switch.listening(foreground=orders.foreground, slurm=orders.slurm))
        try:
            for folder in (run.checkpoints, run.samples, run.figs):
                remove_leftovers(folder)  # of a worker that was killed while it wrote; the lock is ours
            identity = heartbeat.start()
            yield recorder.record(
                WorkerStarting(
                    pid=identity.pid,
                    host=identity.host,
                    boot_id=identity.boot_id,
                    process_start=identity.process_start,
                    focus_version=__version__,
                    resume=orders.resume,
                    foreground=orders.foreground,
                )
            )
            slots = yield from _take_slots(run, recorder, switch, orders)
            closing.callback(slots.close)
            outcome = yield from _train(run, recorder, switch, closing, slots, orders)
            code, ended = 0, recorder.end(outcome.state, _reason(outcome, switch, orders))
        except GeneratorExit:
            recorder.end("stopped", Outcome("stopped", "whoever watched it went away", recorder.what_is_left()).reason)
            raise
        except BaseException as error:  # noqa: BLE001  (a process border: whatever happened is the run's last word)
            switch.immediate = False
            code, ended = _failure(error, recorder, switch, orders)
        yield ended
    if ended.state != "stopped":
        return code
    return REQUEUE if _wants_requeue(switch, orders) else INTERRUPTED if switch.interrupted else code


def _wants_requeue(switch: StopSwitch, orders: Orders) -> bool:
    """Whether the worker, a SLURM job, was stopped by the cluster and not by its user."""
    if not orders.slurm:
        return False
    from focus_engine.launch.slurm.jobs import JOB_VARIABLE, was_preempted  # noqa: PLC0415  (only in jobs of a cluster)

    return switch.out_of_time or (switch.terminated and was_preempted(os.environ.get(JOB_VARIABLE, "")))


def _reason(outcome: Outcome, switch: StopSwitch, orders: Orders) -> str:
    """Return why the run ended, or why the cluster stopped it and that it will go on."""
    if outcome.state != "stopped" or not _wants_requeue(switch, orders):
        return outcome.reason
    why = "the SLURM job's time is nearly over" if switch.out_of_time else "another SLURM job takes the node"
    return f"{why}; {outcome.where or 'stopped before training began'}; the job asks to be requeued"


def _take_slots(
    run: RunFolder, recorder: "Recorder", switch: StopSwitch, orders: Orders
) -> Generator[Event, None, Slots]:
    """Take a slot of each device, or wait for them in the queue, saying so; a wish to stop ends the wait."""
    wanted, count = _devices_wanted(run, orders)
    if _are_cpu(wanted):
        count = 1  # the processes of a run share the CPU's slot
    if not orders.queue:
        return take_free_slots(run, wanted, count)
    shown: Place | None = None

    def told(place: Place) -> Iterator[Event]:
        nonlocal shown
        if place != shown:
            shown = place
            yield recorder.record(Queued(place=place.number, devices=place.devices, training=place.training))
        if switch.wanted() is not None:
            raise StopNow

    slots = yield from relay(wait_for_slots(run, wanted, count), told)
    if shown is not None:
        yield recorder.record(Queued(place=0, devices=slots.devices))
        recorder.start_clock()
    return slots


def _withdraw_stop_request(run: RunFolder) -> None:
    with contextlib.suppress(OSError):
        run.stop_request.unlink(missing_ok=True)


def _devices_wanted(run: RunFolder, orders: Orders) -> tuple[str, int]:
    """Return the device that the run asks for and how many of them. Raises InputError when the config is wrong."""
    from focus_engine.config.load import load_config  # noqa: PLC0415  (pydantic: not before the first word)

    config = load_config(run.config).config
    return orders.device or config.device, orders.devices or config.training.devices


def _are_cpu(wanted: str) -> bool:
    return [device.name for device in devices_for(wanted)] == ["cpu"]


def _train(
    run: RunFolder, recorder: Recorder, switch: StopSwitch, closing: ExitStack, slots: Slots, orders: Orders
) -> Generator[Event, None, Outcome]:
    if _devices_wanted(run, orders)[1] > 1 or (orders.slurm and nodes_of_job() > 1):
        return (yield from _train_together(run, recorder, switch, slots, orders))
    from focus_engine.worker.session import train_run  # noqa: PLC0415  (torch: 2 s, after the first event)

    device = slots.devices[0] if slots.devices else orders.device
    training = train_run(run, recorder, switch, closing, resume=orders.resume, device=device, began=recorder.began)
    return (yield from training)


def _train_together(
    run: RunFolder, recorder: Recorder, switch: StopSwitch, slots: Slots, orders: Orders
) -> Generator[Event, None, Outcome]:
    """Train on several devices, each with its own process; the events are those that rank 0 writes."""
    from focus_engine.config.load import load_config  # noqa: PLC0415  (pydantic: not before the first word)

    wanted, count = _devices_wanted(run, orders)
    devices = ["cpu"] * count if _are_cpu(wanted) else [device.name for device in devices_for(wanted)][:count]
    if len(slots.devices) == count:
        devices = list(slots.devices)
    restarts = load_config(run.config).config.training.max_restarts
    command = launch_command(run, count, restarts, ["--resume"] if orders.resume else [])
    switch.immediate = False  # the ranks are told, and stop with a checkpoint
    ranks = train_on_ranks(run, command, devices, StopAsked(switch))
    ended = yield from relay(ranks, lambda event: (recorder.follow(event),))
    recorder.peak_memory = ended["peak_memory"]
    return Outcome(*(ended[name] for name in ("state", "why", "where")))


def _failure(error: BaseException, recorder: Recorder, switch: StopSwitch, orders: Orders) -> tuple[int, RunEnded]:
    """Return exit code and last word of a run that was broken off."""
    if isinstance(error, StopNow | KeyboardInterrupt):
        how = "interrupted" if switch.interrupted else "asked to stop"
        when = "" if recorder.training else " before training began"
        outcome = Outcome("stopped", f"{how}{when}", recorder.what_is_left())
        return 0, recorder.end("stopped", _reason(outcome, switch, orders))
    if not isinstance(error, FocusError | OSError):
        with contextlib.suppress(OSError):
            traceback.print_exception(error)
    code = error.exit_code if isinstance(error, FocusError) else FocusError.exit_code
    said = [describe_failure(error), recorder.what_is_left()]
    return code, recorder.end("failed", "; ".join(part for part in said if part))


@contextlib.contextmanager
def _lock(run: RunFolder, *, resume: bool) -> Iterator[None]:
    """Hold the launcher's lock, handed over by descriptor; where there was no launcher, take it and check the run."""
    descriptor = os.environ.pop(LOCK_VARIABLE, "")
    if _is_lock(descriptor, run):
        os.set_inheritable(int(descriptor), False)  # figure processes must not keep the run locked
        yield
        return
    with run_lock(run):
        check_can_start(run, resume=resume)
        run.stop_request.unlink(missing_ok=True)
        yield


def _is_lock(descriptor: str, run: RunFolder) -> bool:
    """Whether the descriptor, a number as text, is the lock of `run` and held."""
    try:
        if not os.path.samestat(os.fstat(int(descriptor)), run.lock.stat()):
            return False
        fcntl.flock(int(descriptor), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (OSError, ValueError):
        return False
    return True


def run_in_foreground(
    run: RunFolder,
    *,
    on_event: Callable[[Event], None],
    resume: bool = False,
    device: str | None = None,
    devices: int | None = None,
) -> RunEnded:
    """Train `run` in this process, showing `on_event` each event; return how it ended.

    Raises:
        RunConflictError: it must not be started now.
        InputError: config, data or checkpoint are wrong (the log has it as the last word too).
    """
    orders = Orders(resume=resume, device=device, devices=devices, foreground=True)
    return train_here(run, orders, on_event)[0]


def train_here(run: RunFolder, orders: Orders, on_event: Callable[[Event], None]) -> tuple[RunEnded, int]:
    """Train `run` in this process as `run_in_foreground` does; return how it ended and its exit code.

    Raises:
        RunConflictError: it must not be started now.
        InputError: config, data or checkpoint are wrong (the log has it as the last word too).
    """
    with _lock(run, resume=orders.resume):
        ended, code = _watch(work(run, orders), on_event)
    if code == InputError.exit_code:
        raise InputError(ended.reason)
    return ended, code


def _watch(events: Generator[Event, None, int], on_event: Callable[[Event], None]) -> tuple[RunEnded, int]:
    """Show each event; return the last and the exit code. A signal that arrives while one is shown is the worker's."""
    ended: RunEnded | None = None
    asked: BaseException | None = None
    with contextlib.closing(events):
        while True:
            try:
                event = next(events) if asked is None else events.throw(asked)
            except StopIteration as done:
                if ended is None:
                    raise FocusError("the worker ended without a last word") from None
                return ended, done.value
            if isinstance(event, RunEnded):
                ended = event
            try:
                on_event(event)
            except (StopNow, KeyboardInterrupt) as error:
                if ended is not None:
                    raise
                asked = error
            else:
                asked = None


def main(arguments: list[str] | None = None) -> int:
    """Train the run that the arguments name; return 1 when it failed, 2 when what the user gave is wrong."""
    parser = argparse.ArgumentParser(prog="python -m focus_engine.worker", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--device")
    parser.add_argument("--devices", type=int)
    parser.add_argument("--queue", action="store_true")
    parser.add_argument("--slurm", action="store_true")
    given = parser.parse_args(arguments)
    run = RunFolder(given.run.absolute())
    resume = given.resume or (given.slurm and _was_requeued(run))
    orders = Orders(resume=resume, device=given.device, devices=given.devices, queue=given.queue, slurm=given.slurm)
    try:
        if not run.exists():
            raise InputError(f"{run.path} is not an experiment: it has no config.yaml")
        if given.slurm and resume:
            _wait_for_silence(run)
        with _lock(run, resume=resume):
            ended, code = _watch(work(run, orders), _narrate)
    except (FocusError, OSError) as error:
        say(describe_failure(error))
        return error.exit_code if isinstance(error, FocusError) else FocusError.exit_code
    say(f"{run.name} {ended.state.replace('_', ' ')}: {ended.reason}")
    return _requeue() if code == REQUEUE else code


def _was_requeued(run: RunFolder) -> bool:
    """Whether SLURM has started this job before, so that it goes on."""
    return os.environ.get("SLURM_RESTART_COUNT", "0") not in {"", "0"} and run.events.is_file()


def _wait_for_silence(run: RunFolder) -> None:
    """Wait until the worker that this job had on another node counts as gone, for as long as that may take.

    A node that fails says no last word, and SLURM may start its job elsewhere while the last heartbeat is still fresh.
    A worker that beats on lives: then the start is refused, because two would write into one folder.
    """
    identity = ProcessIdentity.read(run.worker)
    if identity is None or identity.life() != "elsewhere":
        return
    deadline = time.monotonic() + UNREACHABLE_SECONDS + HEARTBEAT_SECONDS
    waits = False
    while summarise(run).state in LIVE_STATES and time.monotonic() < deadline:
        if not waits:
            say(f"the worker on {identity.host} gave a sign of life not long ago: waiting until it counts as gone")
        waits = True
        time.sleep(POLL_SECONDS)


def _requeue() -> int:
    """Ask SLURM to queue this job again; it ends us."""
    from focus_engine.launch.slurm.jobs import JOB_VARIABLE, requeue  # noqa: PLC0415  (only in jobs of a cluster)

    objection = requeue(os.environ.get(JOB_VARIABLE, ""))
    if objection is not None:
        say(f"SLURM does not requeue the job: {objection}; go on with focus resume --slurm")
    return REQUEUE if objection is not None else 0


def _narrate(event: Event) -> None:
    if isinstance(event, RunStarted):
        say(f"training on {event.device_name}")
