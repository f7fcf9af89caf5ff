"""Device slots and the queue for them on this machine, without a daemon.

A slot is a file that a worker keeps locked while it trains; the lock ends with the worker (`file_lock`). A
worker that finds no free slot draws a ticket, which is a locked file too, and gets a slot when no older ticket could
use the same device. Slots and tickets belong to one user on one host: `FOCUS_CACHE/queue/HOST`.
"""

import contextlib
import json
import os
import re
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from focus_engine.cache import cache_folder
from focus_engine.errors import FocusError, InputError
from focus_engine.gpus import visible_gpus
from focus_engine.launch.file_lock import FileLock, is_locked
from focus_engine.launch.process import host_name
from focus_engine.runs.folder import RunFolder
from focus_engine.small_files import read_json, read_text

SLOTS_VARIABLE = "FOCUS_SLOTS"
POLL_SECONDS = 0.2
MAX_POLL_SECONDS = 5.0
"""A waiting worker polls every POLL_SECONDS x its place in the queue, but at least this often."""


@dataclass(frozen=True)
class Device:
    """A device with slots: torch's name, and the key in the names of its slot files."""

    name: str
    key: str


@dataclass(frozen=True)
class QueuePlace:
    """The place of a waiting worker in the queue.

    Attributes:
        number: 1 is next.
        devices: torch's names of the devices that it waits for.
        training: names of the runs that train on them.
    """

    number: int
    devices: tuple[str, ...]
    training: tuple[str, ...]


@dataclass
class Slots:
    """The slots a worker holds until it closes them or ends; `devices` are torch's names."""

    devices: tuple[str, ...] = ()
    _locks: list[FileLock] = field(default_factory=list)

    def add(self, device: Device, lock: FileLock) -> None:
        """Hold one more slot by the lock of its file."""
        self.devices = (*self.devices, device.name)
        self._locks.append(lock)

    def close(self) -> None:
        """Release the slots."""
        while self._locks:
            self._locks.pop().release()
        self.devices = ()


def slots_per_device() -> int:
    """Return how many runs may train on a device at once: `$FOCUS_SLOTS`, else 1.

    Raises:
        InputError: the variable is not a whole number from 1 on.
    """
    given = os.environ.get(SLOTS_VARIABLE, "1").strip()
    if not given.isdecimal() or int(given) < 1:
        raise InputError(f"{SLOTS_VARIABLE}={given!r}: the number of runs that may share a device, 1 or more")
    return int(given)


def devices_for(wanted: str) -> tuple[Device, ...]:
    """Return the devices that `wanted` (the config's `device`) allows, the one with most free memory first.

    `auto` and `cuda` allow any GPU, and the CPU where there is none.
    """
    gpus = visible_gpus()
    if wanted in {"auto", "cuda"}:
        best = sorted(gpus, key=lambda gpu: -gpu.free)
        return tuple(Device(gpu.device, gpu.uuid) for gpu in best) or (Device("cpu", "cpu"),)
    return (Device(wanted, next((gpu.uuid for gpu in gpus if gpu.device == wanted), wanted.replace(":", "-"))),)


def take_free_slots(run: RunFolder, wanted: str, count: int = 1) -> Slots:
    """Take up to `count` free slots for a run that starts at once, whether or not it gets them all.

    Raises:
        InputError: FOCUS_SLOTS is not a number, or there are fewer than `count` devices.
        FocusError: the queue's folder cannot be written.
    """
    held, devices, per_device = Slots(), devices_for(wanted), slots_per_device()
    _check_count(wanted, devices, count)
    _take(_folder(), run, held, devices, per_device, count)
    return held


def wait_for_slots(run: RunFolder, wanted: str, count: int = 1) -> Generator[QueuePlace, None, Slots]:
    """Yield the place in the queue at every poll; return the slots, which the caller closes.

    Closing the generator leaves the queue.

    Raises:
        InputError: FOCUS_SLOTS is not a number, or there are fewer than `count` devices.
        FocusError: the queue's folder cannot be written.
    """
    devices, per_device = devices_for(wanted), slots_per_device()
    _check_count(wanted, devices, count)
    folder, held = _folder(), Slots()
    with _Ticket(folder, run, [device.key for device in devices]) as ticket:
        try:
            while True:
                older = ticket.older()
                reserved = {key for other in older for key in other}
                _take(folder, run, held, [one for one in devices if one.key not in reserved], per_device, count)
                if len(held.devices) == count:
                    break
                number = 1 + sum(any(device.key in other for device in devices) for other in older)
                yield QueuePlace(number, tuple(one.name for one in devices), _training(folder, devices, per_device))
                time.sleep(min(POLL_SECONDS * number, MAX_POLL_SECONDS))
        except BaseException:
            held.close()
            raise
    return held


def _check_count(wanted: str, devices: Sequence[Device], count: int) -> None:
    if count > len(devices):
        have = ", ".join(device.name for device in devices)
        raise InputError(f"training.devices: {count}, but device: {wanted} has {len(devices)} here ({have})")


def _folder() -> Path:
    """Return the queue's folder, made if need be. Raises FocusError."""
    folder = cache_folder() / "queue" / host_name()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None
    return folder


def _unwritable(folder: Path, error: OSError) -> FocusError:
    return FocusError(f"the queue in {folder} cannot be used: {error.strerror}; set FOCUS_CACHE to a folder of yours")


def _take(folder: Path, run: RunFolder, held: Slots, devices: Sequence[Device], per_device: int, count: int) -> None:
    """Add free slots to `held`, one per device, until it has `count`."""
    for device in devices:
        if len(held.devices) >= count:
            return
        if device.name in held.devices:
            continue
        for number in range(per_device):
            if (lock := _locked_file(_slot(folder, device, number), run.name)) is not None:
                held.add(device, lock)
                break


def _slot(folder: Path, device: Device, number: int) -> Path:
    return folder / f"slot-{device.key}-{number}"


def _locked_file(path: Path, content: str, *, named: Path | None = None) -> FileLock | None:
    """Lock the file at `path`, to be `named` so, and write `content`; None when another holds it. Raises FocusError."""
    try:
        if (lock := FileLock.take(path, named=named)) is not None:
            lock.write(content)
    except OSError as error:
        raise _unwritable(path.parent, error) from None
    return lock


def _training(folder: Path, devices: Sequence[Device], per_device: int) -> tuple[str, ...]:
    """Return the names of the runs that hold slots of `devices`."""
    names = []
    for device in devices:
        for number in range(per_device):
            path = _slot(folder, device, number)
            if is_locked(path):
                with contextlib.suppress(OSError):
                    names.append(read_text(path, errors="replace"))
    return tuple(names)


class _Ticket:
    """A locked file that keeps a worker's place in the queue while the `with` block lasts and the process lives.

    Its name holds the time at which it was drawn, or the next number where a clock was set back; its content is the
    keys of the devices that it waits for. It is locked before it gets its name, so that a ticket without a lock is
    one whose owner is gone.
    """

    def __init__(self, folder: Path, run: RunFolder, keys: Sequence[str]) -> None:
        self._name = f"ticket-{_next_number(folder):020d}-{os.getpid()}"
        self._path = folder / self._name
        draft = folder / f"new-{self._name}"
        lock = _locked_file(draft, json.dumps({"run": str(run.path), "devices": list(keys)}), named=self._path)
        if lock is None:  # cannot happen: the name holds this process's pid
            raise FocusError(f"{draft} is held by another process")
        self._lock = lock
        try:
            draft.rename(self._path)
        except OSError as error:
            lock.release()
            raise _unwritable(folder, error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        self._lock.release(gone=True)

    def older(self) -> list[set[str]]:
        """Return the device keys that each older ticket waits for; tickets whose owner is gone are removed."""
        tickets = []
        for path in sorted(self._path.parent.glob("ticket-*")):
            if path.name >= self._name:
                break
            if not is_locked(path):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
                continue
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                tickets.append(set(map(str, read_json(path)["devices"])))
        return tickets


def _next_number(folder: Path) -> int:
    """Return the time [ns], or one more than the number of the newest ticket where that is later."""
    numbers = (path.name.split("-")[1] for path in folder.glob("ticket-*-*"))
    return max([time.time_ns(), *(1 + int(one) for one in numbers if re.fullmatch("[0-9]{20}", one))])
