"""What this machine is doing: CPU, memory and GPUs, for one line of the dashboard."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GpuLoad:
    """One GPU: utilisation 0 to 1, memory [bytes], temperature [°C], power [W]."""

    index: int
    name: str
    utilisation: float | None
    memory_used: int | None
    memory_total: int | None
    temperature: float | None
    power: float | None
    users: tuple[str, ...] = ()


@dataclass(frozen=True)
class MachineLoad:
    """The whole machine: CPU share 0 to 1, memory [bytes]."""

    cpu: float | None
    ram_used: int | None
    ram_total: int | None
    gpus: tuple[GpuLoad, ...] = ()
    gpu_words: str | None = None


class MachineReader:
    """Reads the load; never raises."""

    def read(self) -> MachineLoad:
        """Return the load now."""
        return MachineLoad(None, None, None)


def machine_words(load: MachineLoad, device: str | None) -> str:
    """Return the load in words."""
    return "" if load.cpu is None else f"CPU {100 * load.cpu:.0f} %"
