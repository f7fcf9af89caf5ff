"""The GPUs that torch will see, read from NVML without importing torch, in the order of `nvidia-smi`."""

import contextlib
import importlib
import os
import pwd
from dataclasses import dataclass
from typing import Any

ORDER = "CUDA_DEVICE_ORDER"


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        device: torch's name, such as "cuda:1".
        uuid: NVIDIA's identifier, the same in every process.
        free: free memory [bytes].
        users: owners of the processes on it, as far as this account may see them.
    """

    device: str
    uuid: str
    free: int
    users: tuple[str, ...] = ()


def number_gpus_as_nvidia_smi() -> None:
    """Make CUDA number the GPUs as nvidia-smi does, unless the user chose an order. Call before torch uses a GPU.

    CUDA's own order is fastest first, so that cuda:1 of a mixed machine would not be GPU 1.
    """
    os.environ.setdefault(ORDER, "PCI_BUS_ID")


def visible_gpus(nvml: Any = None) -> tuple[Gpu, ...]:  # noqa: ANN401  (NVML's module, untyped)
    """Return the GPUs that `CUDA_VISIBLE_DEVICES` allows; none without an NVIDIA driver."""
    with contextlib.suppress(Exception):  # drivers fail in many ways; there is no usable GPU then
        library = nvml or importlib.import_module("pynvml")
        library.nvmlInit()
        return tuple(_gpu(library, index, handle) for index, handle in enumerate(_visible(library)))
    return ()


def _gpu(nvml: Any, index: int, handle: object) -> Gpu:  # noqa: ANN401
    free = int(nvml.nvmlDeviceGetMemoryInfo(handle).free)
    return Gpu(f"cuda:{index}", _text(nvml.nvmlDeviceGetUUID(handle)), free, owners(nvml, handle))


def owners(nvml: Any, handle: object) -> tuple[str, ...]:  # noqa: ANN401
    """Return the names of those whose processes compute on a GPU, sorted; of those that this account may see."""
    names = set()
    with contextlib.suppress(Exception):
        for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle):
            with contextlib.suppress(OSError, KeyError):  # it has ended, or its owner has no name
                names.add(pwd.getpwuid(os.stat(f"/proc/{process.pid}").st_uid).pw_name)  # noqa: PTH116
    return tuple(sorted(names))


def _visible(nvml: Any) -> list[object]:  # noqa: ANN401
    """Return NVML's handles of the visible GPUs; as in CUDA, the first entry that names no GPU ends the list."""
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return handles
    chosen: list[object] = []
    for entry in (part.strip() for part in wanted.split(",")):
        if entry.isdigit() and int(entry) < len(handles):
            found = [handles[int(entry)]]
        else:
            found = [handle for handle in handles if entry and _text(nvml.nvmlDeviceGetUUID(handle)).startswith(entry)]
        if len(found) != 1:
            break
        chosen += found
    return chosen


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
