"""The GPUs that torch will see, found without torch: by NVML, in the order of `nvidia-smi`."""

import contextlib
import importlib
import os
from dataclasses import dataclass
from typing import Any

ORDER = "CUDA_DEVICE_ORDER"


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        device: torch's name of it, such as "cuda:1".
        uuid: its own name, the same in every process of the machine.
        free: memory that nobody uses [bytes].
    """

    device: str
    uuid: str
    free: int


def number_gpus_as_nvidia_smi() -> None:
    """Let CUDA number the GPUs as nvidia-smi does, unless the user decided otherwise; before torch first uses one.

    CUDA's own order is fastest first, so that on a mixed machine cuda:1 would not be GPU 1.
    """
    os.environ.setdefault(ORDER, "PCI_BUS_ID")


def visible_gpus(nvml: Any = None) -> tuple[Gpu, ...]:  # noqa: ANN401  (NVML's module, untyped)
    """Return the GPUs of this machine that `CUDA_VISIBLE_DEVICES` leaves; none where there is no NVIDIA driver."""
    with contextlib.suppress(Exception):  # a driver fails in many ways, and then there is no GPU to give
        library = nvml or importlib.import_module("pynvml")
        library.nvmlInit()
        return tuple(_gpu(library, index, handle) for index, handle in enumerate(_visible(library)))
    return ()


def _gpu(nvml: Any, index: int, handle: object) -> Gpu:  # noqa: ANN401
    return Gpu(f"cuda:{index}", _text(nvml.nvmlDeviceGetUUID(handle)), int(nvml.nvmlDeviceGetMemoryInfo(handle).free))


def _visible(nvml: Any) -> list[object]:  # noqa: ANN401
    """NVML's handles of the GPUs, as CUDA reads its variable: an entry that names none ends the list."""
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
