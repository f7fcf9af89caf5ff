"""CPU, memory and GPUs: real ones where this machine has them, and a stand-in for NVML."""

from types import SimpleNamespace

from focus_tui.view.machine import GpuLoad, MachineLoad, MachineReader, machine_words


class Nvml:
    """Stands in for pynvml on a machine with two GPUs, the second of which does not report its power."""

    NVML_TEMPERATURE_GPU = 0

    def nvmlInit(self):  # noqa: N802
        pass

    def nvmlDeviceGetCount(self):  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return index

    def nvmlDeviceGetName(self, handle):  # noqa: N802
        return b"NVIDIA H200" if handle == 0 else "NVIDIA A100"

    def nvmlDeviceGetUtilizationRates(self, handle):  # noqa: N802
        return SimpleNamespace(gpu=87 - handle)

    def nvmlDeviceGetMemoryInfo(self, _):  # noqa: N802
        return SimpleNamespace(used=61e9, total=141e9)

    def nvmlDeviceGetTemperature(self, _, __):  # noqa: N802
        return 64

    def nvmlDeviceGetPowerUsage(self, handle):  # noqa: N802
        if handle == 1:
            raise RuntimeError("Not Supported")
        return 512_000

    def nvmlDeviceGetComputeRunningProcesses(self, _):  # noqa: N802
        raise RuntimeError("Insufficient Permissions")


class NoDriver(Nvml):
    def nvmlInit(self):  # noqa: N802
        raise RuntimeError("NVML Shared Library Not Found")


def test_reads_this_machine():
    load = MachineReader(NoDriver()).read()
    assert 0 <= load.cpu <= 1
    assert 0 < load.ram_used < load.ram_total
    assert load.gpus == ()
    assert "no NVIDIA GPU" in machine_words(load, "cpu")


def test_reading_this_machine_never_raises():
    reader = MachineReader()
    assert machine_words(reader.read(), None)
    assert machine_words(reader.read(), "cuda:0")


def test_every_gpu_is_read_and_unreported_values_are_none():
    first, second = MachineReader(Nvml()).read().gpus
    assert first == GpuLoad(0, "NVIDIA H200", 0.87, 61_000_000_000, 141_000_000_000, 64, 512.0, ())
    assert (second.name, second.power, second.utilisation) == ("NVIDIA A100", None, 0.86)


def test_words_are_about_the_gpu_of_the_run():
    load = MachineReader(Nvml()).read()
    assert machine_words(load, "cuda:0") == "GPU 0 H200  87 %  61/141 GB  64 °C  512 W"
    assert machine_words(load, "cuda:1") == "GPU 1 A100  86 %  61/141 GB  64 °C"
    assert machine_words(load, "cpu").startswith("CPU")
    assert machine_words(load, None).count("GPU") == 2


def test_an_unreadable_machine_has_no_words():
    assert machine_words(MachineLoad(None, None, None), None) == ""
