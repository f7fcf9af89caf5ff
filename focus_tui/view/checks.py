"""The checks of `focus doctor`: each is a function that returns its findings and their remedies.

torch is imported in a subprocess with a time limit, so that a broken installation is a finding and not a crash.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from focus_engine.errors import FocusError
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.safety import check_links, open_to_everybody
from focus_tui.terminal import terminal_depth
from focus_tui.view.machine import MachineReader
from focus_tui.view.words import size

Status = Literal["ok", "absent", "warning", "problem"]

NETWORK_DISKS = {"nfs", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "smb3", "fuse.sshfs", "ceph", "afs"}
LOW_DISK_BYTES = 5e9
"""Free space [bytes] below which a disk gets a warning: two checkpoints of the default model."""
ANSWER_SECONDS = 60.0
"""Time limit of a subprocess that imports torch or opens the data [s]."""

TORCH_PROBE = """\
import json, torch
names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
memory = [torch.cuda.mem_get_info(i) for i in range(len(names))]
gpus = [{"name": name, "free": free, "total": total} for name, (free, total) in zip(names, memory)]
print(json.dumps({"torch": str(torch.__version__), "cuda": torch.version.cuda, "gpus": gpus,
                  "bf16": bool(gpus) and torch.cuda.is_bf16_supported(), "threads": torch.get_num_threads()}))
"""


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Attributes:
        name: subject of the check.
        status: ok, absent (not needed), warning, or problem (training can't run).
        found: what the check found.
        remedy: what to do; empty where no action is needed.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the JSON object of `focus doctor --json`."""
        return asdict(self)


def examine(root: Path, run: RunFolder | None) -> list[Finding]:
    """Return all findings about this machine, the experiments folder `root`, and an experiment if one is given."""
    findings = [_python(), *_torch(), *_driver(), *_disk(root), *_terminal(), _slurm()]
    return findings if run is None else [*findings, *_experiment(run)]


def _python() -> Finding:
    found = f"{platform.python_version()} at {sys.executable}, {platform.system()} {platform.machine()}"
    return Finding("python", "ok", found)


def _torch() -> Iterator[Finding]:
    again = "install FOCUS again: pip install --force-reinstall ."
    try:
        done = subprocess.run(
            [sys.executable, "-c", TORCH_PROBE], capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        yield Finding("torch", "problem", f"did not answer within {ANSWER_SECONDS:.0f} s", "is the file system slow?")
        return
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"])[-1]
        yield Finding("torch", "problem", f"can't be imported: {last}", again)
        return
    report = json.loads(done.stdout.strip().splitlines()[-1])
    yield Finding("torch", "ok", f"{report['torch']}, {report['threads']} threads")
    if report["cuda"] is None:
        yield Finding("cuda", "absent", "this torch was built for the CPU", "fine without a GPU; small models only")
    elif not report["gpus"]:
        remedy = "is a GPU there (nvidia-smi), and CUDA_VISIBLE_DEVICES right?"
        yield Finding("cuda", "warning", f"CUDA {report['cuda']}, but torch sees no GPU", remedy)
    else:
        yield Finding("cuda", "ok", f"CUDA {report['cuda']}, bf16 {'yes' if report['bf16'] else 'no'}")
        for index, gpu in enumerate(report["gpus"]):
            yield Finding(f"cuda:{index}", "ok", f"{gpu['name']}, {size(gpu['free'])} of {size(gpu['total'])} free")


def _driver() -> Iterator[Finding]:
    load = MachineReader().read()
    if not load.gpus:
        yield Finding("driver", "absent", load.gpu_words or "no NVIDIA driver answers")
        return
    for gpu in load.gpus:
        memory = f"{size(gpu.memory_used or 0)} of {size(gpu.memory_total or 0)} used"
        who = f", by {', '.join(gpu.users)}" if gpu.users else ""
        full = gpu.memory_total and gpu.memory_used and gpu.memory_used > 0.9 * gpu.memory_total
        remedy = f"take another one: --gpu N, or wait for {', '.join(gpu.users) or 'its users'}" if full else ""
        yield Finding(f"GPU {gpu.index}", "warning" if full else "ok", f"{gpu.name}, {memory}{who}", remedy)


def _disk(root: Path) -> Iterator[Finding]:
    place = next(folder for folder in (root, *root.parents) if folder.is_dir())
    kind = disk_kind(place)
    words = f"{place}: {kind or 'unknown file system'}"
    if kind in NETWORK_DISKS:
        words += (
            " (network disk: runs of other hosts are judged by their heartbeat; FOCUS relies on no lock between hosts)"
        )
    yield Finding("experiments", "ok", words)
    free = shutil.disk_usage(place).free
    scarce = "a checkpoint of a large model is 2 GB, twice: free some space" if free < LOW_DISK_BYTES else ""
    yield Finding("free space", "warning" if scarce else "ok", size(free), scarce)
    if not os.access(place, os.W_OK):
        yield Finding("permissions", "problem", f"{place} can't be written", "give --root another folder")
    elif root.is_dir() and root.stat().st_mode & 0o002:
        yield Finding("permissions", "warning", f"{root} can be written by everybody", f"chmod o-w {root}")


def disk_kind(path: Path) -> str | None:
    """Return the type of the file system that holds `path`, such as ext4 or nfs4; None if unknown."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    place = os.path.realpath(path)
    held = [line.split() for line in mounts if len(line.split()) > 2]
    above = [(len(at), kind) for _, at, kind, *_ in held if place == at or place.startswith(at.rstrip("/") + "/")]
    return max(above)[1] if above else None


def _terminal() -> Iterator[Finding]:
    term = os.environ.get("TERM", "")
    colours = "none (NO_COLOR)" if os.environ.get("NO_COLOR") else terminal_depth()
    columns, lines = shutil.get_terminal_size((0, 0))
    known = columns > 0 and lines > 0
    small = known and (columns < 80 or lines < 24)
    yield Finding(
        "terminal",
        "warning" if small or term in {"", "dumb"} else "ok",
        f"TERM {term or 'is not set'}, colours {colours}, {f'{columns} x {lines}' if known else 'size unknown'}",
        "the dashboard needs 80 x 24" if small else "set TERM, such as xterm-256color" if term in {"", "dumb"} else "",
    )
    own = sys.__stdout__ or sys.stdout  # the dashboard replaces sys.stdout
    encoding = getattr(own, "encoding", None) or "ascii"
    utf8 = encoding.lower().replace("-", "") == "utf8"
    remedy = "" if utf8 else "charts need UTF-8: export LANG=C.UTF-8"
    yield Finding("unicode", "ok" if utf8 else "warning", f"stdout writes {encoding}", remedy)
    if os.environ.get("TMUX"):
        true = "" if os.environ.get("COLORTERM") else "for all colours: set -as terminal-features ',*:RGB' in tmux.conf"
        yield Finding("tmux", "ok", f"inside tmux, passthrough {_tmux_option('allow-passthrough')}", true)
    images = "kitty" if os.environ.get("KITTY_WINDOW_ID") or "kitty" in term else "none known"
    yield Finding("images", "absent", f"terminal graphics: {images}; maps are drawn in half-blocks")


def _tmux_option(name: str) -> str:
    return _answer(["tmux", "show", "-gv", name]) or "unknown"


def _slurm() -> Finding:
    if shutil.which("sbatch") is None:
        return Finding("slurm", "absent", "sbatch is not on PATH")
    version = _answer(["sbatch", "--version"]) or "sbatch does not answer"
    partitions = (_answer(["sinfo", "-h", "-o", "%P %a %l"]) or "").splitlines()
    if not partitions:
        return Finding("slurm", "warning", f"{version}, but sinfo names no partition", "is the controller up?")
    return Finding("slurm", "ok", f"{version}; partitions {', '.join(line.split()[0] for line in partitions)}")


def _answer(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _experiment(run: RunFolder) -> Iterator[Finding]:
    from focus_engine.config.load import load_config

    try:
        config = load_config(run.config).config
    except FocusError as error:
        yield Finding("config", "problem", str(error), "")
        return
    yield Finding("config", "ok", str(run.config))
    for path in open_to_everybody(run):
        yield Finding("permissions", "warning", f"{path} can be written by everybody", f"chmod o-w {path}")
    try:
        check_links(run)
    except FocusError as error:
        yield Finding("links", "problem", str(error), "")
    if config.data.source == "simulated":
        yield Finding("data", "ok", f"{config.data.simulations} universes, simulated by FOCUS")
        return
    done = subprocess.run(
        [sys.executable, "-c", DATA_PROBE, str(run.path)],
        capture_output=True,
        text=True,
        timeout=ANSWER_SECONDS,
        check=False,
    )
    words = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines() or ["no answer"]
    yield Finding("data", "ok" if done.returncode == 0 else "problem", words[-1], "")


DATA_PROBE = """\
import sys
from pathlib import Path
from focus_engine.config.load import load_config
from focus_engine.errors import FocusError
from focus_engine.data.opening import open_maps
from focus_engine.progress import drain
folder = Path(sys.argv[1])
try:
    maps = drain(open_maps(load_config(folder / "config.yaml").config, folder))
except FocusError as error:
    sys.exit(str(error))
print(f"{maps.maps_path}: {maps.n_maps} maps of {maps.n_simulations} simulations, {maps.shape}")
"""
