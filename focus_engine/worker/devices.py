"""The devices a worker trains on: which ones the run asks for, and taking or waiting for their slots."""

from collections.abc import Generator, Iterator

from focus_engine.events.table import Event, Queued
from focus_engine.launch.slots import QueuePlace, Slots, devices_for, take_free_slots, wait_for_slots
from focus_engine.progress import relay
from focus_engine.runs.folder import RunFolder
from focus_engine.worker.options import WorkerOptions
from focus_engine.worker.recorder import Recorder
from focus_engine.worker.stop import StopNow, StopSwitch


def devices_wanted(run: RunFolder, options: WorkerOptions) -> tuple[str, int]:
    """Return the device that the run asks for and how many of them. Raises InputError when the config is wrong."""
    from focus_engine.config.load import load_config  # noqa: PLC0415  (pydantic: not before the first event)

    config = load_config(run.config).config
    return options.device or config.device, options.devices or config.training.devices


def rank_devices(run: RunFolder, options: WorkerOptions, slots: Slots) -> list[str]:
    """Return torch's name of the device of each rank on this machine: those of `slots` where they suffice."""
    wanted, count = devices_wanted(run, options)
    if len(slots.devices) == count:
        return list(slots.devices)
    return ["cpu"] * count if _are_cpu(wanted) else [device.name for device in devices_for(wanted)][:count]


def take_slots(
    run: RunFolder, recorder: Recorder, switch: StopSwitch, options: WorkerOptions
) -> Generator[Event, None, Slots]:
    """Take a slot of each device; with `options.queue`, wait for them and yield each change of place.

    Raises:
        StopNow: a stop was requested while waiting.
        InputError, FocusError: as `wait_for_slots`.
    """
    wanted, count = devices_wanted(run, options)
    if _are_cpu(wanted):
        count = 1  # the ranks of a run share the CPU's slot
    if not options.queue:
        return take_free_slots(run, wanted, count)
    shown: QueuePlace | None = None

    def record(place: QueuePlace) -> Iterator[Event]:
        nonlocal shown
        if place != shown:
            shown = place
            yield recorder.record(Queued(place=place.number, devices=place.devices, training=place.training))
        if switch.wanted() is not None:
            raise StopNow

    slots = yield from relay(wait_for_slots(run, wanted, count), record)
    if shown is not None:
        yield recorder.record(Queued(place=0, devices=slots.devices))
        recorder.start_clock()
    return slots


def _are_cpu(wanted: str) -> bool:
    return [device.name for device in devices_for(wanted)] == ["cpu"]
