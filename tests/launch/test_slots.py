"""Slots and the queue: which worker trains, which waits, and what changes when either dies."""

import errno
import fcntl
import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from focus_engine import gpus
from focus_engine.errors import FocusError, InputError
from focus_engine.gpus import Gpu, visible_gpus
from focus_engine.launch import slots
from focus_engine.launch.slots import QueuePlace, devices_for, slots_per_device, take_free_slots, wait_for_slots
from focus_engine.progress import drain
from focus_engine.runs.folder import RunFolder

WAITER = """
import sys
from pathlib import Path
from focus_engine.progress import drain
from focus_engine.runs.folder import RunFolder
from focus_engine.launch.slots import wait_for_slots
from focus_engine.progress import drain
slots = drain(wait_for_slots(RunFolder(Path(sys.argv[1])), "cpu"), lambda place: print(place.number, flush=True))
print("in", flush=True)
sys.stdin.read()
"""


def refuse_flock(*_given: object) -> None:
    raise OSError(errno.ENOSYS, "Function not implemented")


@pytest.fixture(autouse=True, params=["flock", "no flock"])
def queue(request, tmp_path, monkeypatch):
    if request.param == "no flock":
        monkeypatch.setattr(fcntl, "flock", refuse_flock)
    monkeypatch.setenv("FOCUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FOCUS_SLOTS", raising=False)
    monkeypatch.setattr(slots, "visible_gpus", tuple)
    monkeypatch.setattr(slots, "POLL_SECONDS", 0.0)
    return tmp_path


def run(name: str) -> RunFolder:
    return RunFolder(Path("/experiments") / name)


def two_gpus(monkeypatch):
    found = (Gpu("cuda:0", "GPU-aa", 10), Gpu("cuda:1", "GPU-bb", 20))
    monkeypatch.setattr(slots, "visible_gpus", lambda: found)


def test_oldest_first_and_each_knows_its_place():
    first = take_free_slots(run("a"), "cpu")
    assert first.devices == ("cpu",)
    second, third = wait_for_slots(run("b"), "auto"), wait_for_slots(run("c"), "cpu")
    assert next(second) == QueuePlace(1, ("cpu",), ("a",))
    assert next(third) == QueuePlace(2, ("cpu",), ("a",))
    first.close()
    assert next(third) == QueuePlace(2, ("cpu",), ())  # a slot is free, but an older ticket waits for it
    got = drain(second)
    assert got.devices == ("cpu",)
    assert next(third) == QueuePlace(1, ("cpu",), ("b",))
    got.close()
    assert drain(third).devices == ("cpu",)


def test_who_leaves_the_queue_frees_its_place():
    training = take_free_slots(run("a"), "cpu")
    second, third = wait_for_slots(run("b"), "cpu"), wait_for_slots(run("c"), "cpu")
    assert [next(second).number, next(third).number] == [1, 2]
    second.close()
    assert next(third).number == 1
    training.close()


def test_a_start_at_once_takes_a_slot_if_there_is_one_and_waits_for_none():
    first, second = take_free_slots(run("a"), "cpu"), take_free_slots(run("b"), "cpu")
    assert (first.devices, second.devices) == (("cpu",), ())


def test_slots_of_each_device(monkeypatch):
    monkeypatch.setenv("FOCUS_SLOTS", "2")
    two_gpus(monkeypatch)
    held = [take_free_slots(run(name), "auto") for name in "abcde"]
    assert [one.devices for one in held] == [("cuda:1",), ("cuda:1",), ("cuda:0",), ("cuda:0",), ()]
    assert next(wait_for_slots(run("f"), "cuda:0")) == QueuePlace(1, ("cuda:0",), ("c", "d"))


def test_those_who_want_another_device_do_not_wait_for_each_other(monkeypatch):
    two_gpus(monkeypatch)
    busy = take_free_slots(run("a"), "cuda:0")
    waiting = wait_for_slots(run("b"), "cuda:0")
    assert next(waiting).number == 1
    for wanted in ("cuda:1", "cpu"):
        drain(wait_for_slots(run("c"), wanted)).close()
    whichever = wait_for_slots(run("d"), "auto")
    taken = take_free_slots(run("e"), "cuda:1")
    assert next(whichever) == QueuePlace(2, ("cuda:1", "cuda:0"), ("e", "a"))
    taken.close()
    assert drain(whichever).devices == ("cuda:1",)  # no older ticket could have used it
    busy.close()


def test_several_gpus_at_once(monkeypatch):
    two_gpus(monkeypatch)
    busy = take_free_slots(run("a"), "cuda:0")
    both, later = wait_for_slots(run("b"), "auto", count=2), wait_for_slots(run("c"), "auto")
    assert (next(both).number, next(later).number) == (1, 2)  # the free slot is kept for the older ticket
    busy.close()
    got = drain(both)
    assert set(got.devices) == {"cuda:0", "cuda:1"}
    assert next(later).number == 1
    with pytest.raises(InputError, match=r"training.devices: 3, but device: auto has 2 here \(cuda:1, cuda:0\)"):
        next(wait_for_slots(run("d"), "auto", count=3))


@pytest.mark.parametrize("queue", ["flock"], indirect=True)  # the other processes have it
def test_processes_that_die_free_slot_and_place(tmp_path):
    def waiter(name: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", WAITER, name]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    mine = take_free_slots(run("mine"), "cpu")
    second = waiter("b")
    assert second.stdout.readline() == "1\n"
    third = waiter("c")
    assert third.stdout.readline() == "2\n"
    second.send_signal(signal.SIGKILL)
    second.wait()
    while third.stdout.readline() != "1\n":
        pass
    mine.close()
    while third.stdout.readline() != "in\n":
        pass
    assert take_free_slots(run("d"), "cpu").devices == ()
    third.send_signal(signal.SIGKILL)
    third.wait()
    last = take_free_slots(run("d"), "cpu")
    assert last.devices == ("cpu",)
    assert not list((tmp_path / "cache").rglob("ticket-*"))
    for process in (second, third):
        process.stdin.close()
        process.stdout.close()


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5", ""])
def test_a_number_of_slots_that_is_none(monkeypatch, given):
    monkeypatch.setenv("FOCUS_SLOTS", given)
    with pytest.raises(InputError, match=r"FOCUS_SLOTS=.* the number of runs that may share a device"):
        slots_per_device()


def test_a_queue_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FOCUS_CACHE", str(tmp_path / "file"))
    with pytest.raises(FocusError, match=r"the queue in .* cannot be used: .*; set FOCUS_CACHE"):
        take_free_slots(run("a"), "cpu")


def fake_nvml(*uuids: str) -> SimpleNamespace:
    return SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(uuids),
        nvmlDeviceGetHandleByIndex=lambda index: uuids[index],
        nvmlDeviceGetUUID=lambda handle: handle.encode(),
        nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(free=1),
        nvmlDeviceGetComputeRunningProcesses=lambda _: [SimpleNamespace(pid=os.getpid()), SimpleNamespace(pid=-1)],
    )


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        (None, ["GPU-aa", "GPU-ab", "GPU-bb"]),
        ("2,0", ["GPU-bb", "GPU-aa"]),
        ("GPU-b", ["GPU-bb"]),
        ("GPU-a", []),  # matches two GPUs
        ("1,7,0", ["GPU-ab"]),  # an entry that matches no GPU ends the list
        ("", []),
        ("-1", []),
    ],
)
def test_gpus_are_those_that_cuda_will_see(monkeypatch, variable, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    found = visible_gpus(fake_nvml("GPU-aa", "GPU-ab", "GPU-bb"))
    assert [gpu.uuid for gpu in found] == expected
    assert [gpu.device for gpu in found] == [f"cuda:{index}" for index in range(len(expected))]
    assert {gpu.users for gpu in found} <= {(pwd.getpwuid(os.getuid()).pw_name,)}


def test_a_driver_that_fails_has_no_gpus():
    def fail() -> None:
        raise RuntimeError("driver/library version mismatch")

    assert visible_gpus(SimpleNamespace(nvmlInit=fail)) == ()


def test_gpus_are_numbered_as_nvidia_smi_does_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.delenv(gpus.ORDER, raising=False)
    gpus.number_gpus_as_nvidia_smi()
    assert os.environ[gpus.ORDER] == "PCI_BUS_ID"
    monkeypatch.setenv(gpus.ORDER, "FASTEST_FIRST")
    gpus.number_gpus_as_nvidia_smi()
    assert os.environ[gpus.ORDER] == "FASTEST_FIRST"


def test_a_device_by_name(monkeypatch):
    two_gpus(monkeypatch)
    assert [(one.name, one.key) for one in devices_for("cuda:1")] == [("cuda:1", "GPU-bb")]
    assert [(one.name, one.key) for one in devices_for("cuda:7")] == [("cuda:7", "cuda-7")]
