"""Choice of device and precision, and the names of devices."""

import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial

import torch

from focus_engine.errors import InputError
from focus_engine.generative.sampling import Precision
from focus_engine.gpus import number_gpus_as_nvidia_smi, visible_gpus

number_gpus_as_nvidia_smi()

LEAST_FREE = 0.1
"""Share of its memory that a GPU must have free for `auto` to take it."""


def choose_device(wanted: str) -> torch.device:
    """Return the device of the config key `device`; `auto` is the GPU with most free memory, else the CPU.

    Raises:
        InputError: this machine has no such device, or, with `auto`, all its GPUs are filled.
    """
    if wanted == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", freest([_memory(index) for index in range(torch.cuda.device_count())]))
    if wanted.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = int(wanted.partition(":")[2] or 0)
        if index >= count:
            have = f"this machine has cuda:0 to cuda:{count - 1}" if count else "torch sees no GPU on this machine"
            raise InputError(f"device: {wanted}: {have}; use device: auto or cpu")
        return torch.device("cuda", index)
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise InputError("device: mps: torch sees no Apple GPU on this machine; use device: auto or cpu")
    return torch.device(wanted)


def other_devices(device: torch.device, count: int) -> list[torch.device]:
    """Return `count` devices of the kind of `device` beside it: the GPUs with most free memory, or the CPU again.

    Raises:
        InputError: this machine has fewer.
    """
    if device.type == "cpu":
        return [device] * count
    number = torch.cuda.device_count() if device.type == "cuda" else 1
    others = [torch.device(device.type, index) for index in range(number) if index != (device.index or 0)]
    if len(others) < count:
        raise InputError(f"{count + 1} devices: this machine has {number} of kind {device.type}")
    return sorted(others, key=lambda one: -_memory(one.index)[0])[:count]


def freest(memory: Sequence[tuple[int, int]]) -> int:
    """Return the index of the GPU with most free memory, of (free, all) of each [bytes].

    Raises:
        InputError: none has `LEAST_FREE` of its memory free: others compute there.
    """
    best = max(range(len(memory)), key=lambda index: memory[index][0])
    free, whole = memory[best]
    if free >= LEAST_FREE * whole:
        return best
    users = {gpu.device: gpu.users for gpu in visible_gpus()}
    filled = "; ".join(
        f"cuda:{index}: {free / 1e9:.1f} of {whole / 1e9:.1f} GB free"
        + (f", used by {', '.join(names)}" if (names := users.get(f"cuda:{index}")) else "")
        for index, (free, whole) in enumerate(memory)
    )
    raise InputError(
        f"device: auto: other programs fill every GPU of this machine ({filled}); wait, name one (device: cuda:{best}) "
        "or use device: cpu"
    )


def _memory(index: int) -> tuple[int, int]:
    """Return the free memory of a GPU, with what this process keeps in reserve, and all of it [bytes]."""
    free, whole = torch.cuda.mem_get_info(index)
    return free + torch.cuda.memory_reserved(index), whole


def device_name(device: torch.device) -> str:
    """Return the product name of `device`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return _cpu_name() if device.type == "cpu" else device.type


def _cpu_name() -> str:
    return _cpu_info("model name") or "CPU"


def _cpu_info(key: str) -> str:
    """Return what Linux says of the first core; empty where it says nothing."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:  # noqa: PTH123  (a kernel interface, not a file)
            return next(line.partition(":")[2].strip() for line in info if line.startswith(key))
    except (OSError, StopIteration):
        return ""


def choose_precision(wanted: str, device: torch.device) -> str:
    """Return `float32` or `bf16`; `auto` is bf16 where the device multiplies it in hardware, else float32."""
    if wanted != "auto":
        return wanted
    if device.type == "cpu":
        return "bf16" if _cpu_multiplies_bf16() else "float32"
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"


@cache
def _cpu_multiplies_bf16() -> bool:
    """Return whether the CPU has instructions for bf16, with which a UNet trains 1.3 to 2.1 times as fast."""
    flags = _cpu_info("flags").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def precision_context(precision: str, device: torch.device) -> Precision:
    """Return the factory of contexts in which the network is evaluated in this precision."""
    if precision == "float32":
        return nullcontext
    return partial(_autocast, device.type)


def _autocast(device_type: str) -> AbstractContextManager[object]:
    return torch.autocast(device_type, torch.bfloat16)


@cache  # needed for each checkpoint; constant in a run
def git_commit() -> str | None:
    """Return the git commit of the working directory, or None if there is none."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607  (git is found on PATH)
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
