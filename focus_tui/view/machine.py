"""The load of this machine: CPU, memory and GPUs, for one line of the dashboard.

The feed's thread reads it with psutil and NVML. A value that cannot be read is None and never an error: many machines
have no GPU, and a driver may be unloaded at any time.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from focus_engine.gpus import owners
from focus_tui.terminal import visible


@dataclass(frozen=True)
class GpuLoad:
    """The load of one GPU.

    Attributes:
        index: its number.
        name: product name.
        utilisation: fraction of the time it was computing, 0 to 1.
        memory_used: [bytes].
        memory_total: [bytes].
        temperature: [°C].
        power: [W].
        users: owners of the processes on it.
    """

    index: int
    name: str
    utilisation: float | None = None
    memory_used: int | None = None
    memory_total: int | None = None
    temperature: float | None = None
    power: float | None = None
    users: tuple[str, ...] = ()


@dataclass(frozen=True)
class MachineLoad:
    """The load of the machine.

    Attributes:
        cpu: mean utilisation of all cores since the previous reading, 0 to 1.
        ram_used: [bytes].
        ram_total: [bytes].
        gpus: by index.
        gpu_words: why there are no GPUs; None where NVML works.
    """

    cpu: float | None
    ram_used: int | None
    ram_total: int | None
    gpus: tuple[GpuLoad, ...] = ()
    gpu_words: str | None = None


class MachineReader:
    """Reads the load repeatedly; psutil and NVML are loaded at the first reading."""

    def __init__(self, nvml: Any = None) -> None:  # noqa: ANN401  (NVML's module, untyped)
        self._nvml = nvml
        self._gpu_words: str | None = None
        self._ready = False

    def read(self) -> MachineLoad:
        """Return the current load; a value that cannot be read is None."""
        if not self._ready:
            self._ready = True
            self._find_gpus()
        import psutil

        cpu, memory = _or_none(psutil.cpu_percent), _or_none(psutil.virtual_memory)
        return MachineLoad(
            None if cpu is None else cpu / 100,
            None if memory is None else memory.total - memory.available,
            None if memory is None else memory.total,
            self._gpus(),
            self._gpu_words,
        )

    def _find_gpus(self) -> None:
        """Load NVML, or keep the reason why it cannot be loaded."""
        try:
            if self._nvml is None:
                import pynvml

                self._nvml = pynvml
            self._nvml.nvmlInit()
        except Exception as error:  # noqa: BLE001  (drivers raise many types; the dashboard works without NVML)
            self._nvml = None
            missing = "Not Found" in str(error) or isinstance(error, ImportError)
            self._gpu_words = "no NVIDIA GPU" if missing else f"no NVIDIA GPU: {visible(str(error))}"

    def _gpus(self) -> tuple[GpuLoad, ...]:
        if self._nvml is None:
            return ()
        count = _or_none(self._nvml.nvmlDeviceGetCount) or 0
        loads = [_or_none(partial(self._gpu, index)) for index in range(count)]
        return tuple(load for load in loads if load is not None)

    def _gpu(self, index: int) -> GpuLoad:
        nvml = self._nvml
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        name = nvml.nvmlDeviceGetName(handle)
        rates = _or_none(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
        memory = _or_none(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        power = _or_none(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        return GpuLoad(
            index,
            name.decode() if isinstance(name, bytes) else str(name),
            None if rates is None else rates.gpu / 100,
            None if memory is None else int(memory.used),
            None if memory is None else int(memory.total),
            _or_none(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
            None if power is None else power / 1000,
            owners(nvml, handle),
        )


def _or_none(ask: Callable[[], Any]) -> Any:  # noqa: ANN401  (whatever type the library returns)
    """Return `ask()`, or None if it raises."""
    with contextlib.suppress(Exception):
        return ask()
    return None


def machine_words(load: MachineLoad, device: str | None) -> str:
    """Return the load in one line: of the GPU a run trains on, of all GPUs, or of CPU and memory.

    `device` is torch's name of the run's device, such as cuda:1; None if no run is selected.
    """
    gpus = load.gpus
    if device is not None and device.startswith("cuda"):
        number = int(device.partition(":")[2] or 0) if device.partition(":")[2].isdigit() or ":" not in device else 0
        gpus = tuple(gpu for gpu in gpus if gpu.index == number)
    if gpus and device != "cpu":
        return "   ".join(_gpu_words(gpu) for gpu in gpus[:4]) + ("   …" if len(gpus) > 4 else "")
    words = [] if load.cpu is None else [f"CPU {100 * load.cpu:.0f} %"]
    if load.ram_used is not None and load.ram_total is not None:
        words.append(f"RAM {load.ram_used / 1e9:.1f}/{load.ram_total / 1e9:.0f} GB")
    if load.gpu_words is not None:
        words.append(f"({load.gpu_words})")
    return "  ".join(words)


def _gpu_words(gpu: GpuLoad) -> str:
    words = [f"GPU {gpu.index} {_short(gpu.name)}"]
    if gpu.utilisation is not None:
        words.append(f"{100 * gpu.utilisation:.0f} %")
    if gpu.memory_used is not None and gpu.memory_total is not None:
        words.append(f"{gpu.memory_used / 1e9:.0f}/{gpu.memory_total / 1e9:.0f} GB")
    if gpu.temperature is not None:
        words.append(f"{gpu.temperature:.0f} °C")
    if gpu.power is not None:
        words.append(f"{gpu.power:.0f} W")
    return "  ".join(words)


def _short(name: str) -> str:
    return visible(name.removeprefix("NVIDIA ").removeprefix("GeForce "))
