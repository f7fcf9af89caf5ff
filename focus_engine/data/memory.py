"""Free memory of a device, used to decide whether a set of maps is held there."""

from __future__ import annotations

import os
from pathlib import Path

import torch

_CGROUPS = (  # (limit, usage) files of a container or SLURM job, cgroup v2 and v1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def free_memory(device: torch.device) -> int:
    """Return the free memory of `device` [bytes]: of the GPU, or of the host for the CPU and shared-memory devices."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min(_free_of_host(), *(_free_of_cgroup(*files) for files in _CGROUPS))


def _free_of_host() -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2  # macOS has no MemAvailable: half of the total


def _free_of_cgroup(limit: str, use: str) -> int:
    try:
        return max(0, int(Path(limit).read_text(encoding="ascii")) - int(Path(use).read_text(encoding="ascii")))
    except (OSError, ValueError):  # no such group, or "max"
        return 2**63 - 1
