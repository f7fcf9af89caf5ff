"""The paths of a run folder, the experiments folder, and the names of experiments.

One class holds every path, so that a file is moved by changing one line here. The paths that a list of runs asks for
are cached: joining them took 40 % of the time to read 1,000 rows.
"""

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from focus_engine.errors import InputError

EXPERIMENTS = "experiments"
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f/\\\u2028\u2029\ud800-\udfff]")
"""Also line separators, and what stands for bytes that are no UTF-8: JSON and YAML cannot hold it."""
MAX_NAME_BYTES = 200


@dataclass(frozen=True)
class RunFolder:
    """The folder of one experiment.

    Attributes:
        path: the folder, absolute.
    """

    path: Path

    @property
    def name(self) -> str:
        """The experiment's name, which is its folder's."""
        return self.path.name

    @cached_property
    def config(self) -> Path:
        """The config: the only source for rebuilding the model."""
        return self.path / "config.yaml"

    @cached_property
    def labels(self) -> Path:
        """The labels of the run: tags, note and whether it is archived."""
        return self.path / "labels.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints and the training history figure."""
        return self.path / "checkpoints"

    @property
    def checkpoint_best(self) -> Path:
        """The checkpoint with the lowest validation loss."""
        return self.checkpoints / "checkpoint_best.pt"

    @property
    def checkpoint_last(self) -> Path:
        """The last checkpoint: everything needed to resume."""
        return self.checkpoints / "checkpoint_last.pt"

    @property
    def checkpoint_previous(self) -> Path:
        """The checkpoint before the last, in case the last cannot be read."""
        return self.checkpoints / "checkpoint_previous.pt"

    @property
    def averages(self) -> Path:
        """Folder of the snapshots of averaged weights (`training/snapshots.py`), and of which is best."""
        return self.checkpoints / "averages"

    @property
    def training_history(self) -> Path:
        """The figure of loss and learning rate against epoch."""
        return self.checkpoints / "training_history.png"

    @property
    def figs(self) -> Path:
        """Folder of the figures drawn during training."""
        return self.path / "figs"

    @property
    def samples(self) -> Path:
        """Folder of sampled maps."""
        return self.path / "samples"

    @cached_property
    def logs(self) -> Path:
        """Folder of the logs."""
        return self.path / "logs"

    @cached_property
    def events(self) -> Path:
        """The event log, from which everything else is derived."""
        return self.logs / "events.jsonl"

    @property
    def train_log(self) -> Path:
        """The epoch blocks, for people and scripts."""
        return self.logs / "train.log"

    @property
    def worker_log(self) -> Path:
        """The worker's stdout and stderr."""
        return self.logs / "worker.log"

    @property
    def lock(self) -> Path:
        """The lock that the launcher and then the worker holds; it settles simultaneous starts."""
        return self.logs / "run.lock"

    @cached_property
    def worker(self) -> Path:
        """The identity of the worker process; its modification time is the heartbeat."""
        return self.logs / "worker.json"

    @property
    def progress(self) -> Path:
        """The progress that the worker reports with its heartbeat (`launch/progress_beat.py`)."""
        return self.logs / "progress.json"

    @property
    def stop_request(self) -> Path:
        """The stop file (`launch/stop_request.py`): exists while a stop is requested."""
        return self.logs / "stop"

    @property
    def slurm_script(self) -> Path:
        """The script that `focus start --slurm` submitted."""
        return self.path / "slurm.sbatch"

    @property
    def slurm_job(self) -> Path:
        """The id of the SLURM job."""
        return self.path / "slurm.json"

    @property
    def ranks(self) -> Path:
        """Folder of the rank records, of a training on several devices (`launch/rank_files.py`)."""
        return self.logs / "ranks"

    def sample_maps(self, epoch: int) -> Path:
        """Return the path of the maps drawn during training after `epoch`."""
        return self.samples / f"samples_epoch_{epoch:04d}.npz"

    def sample_figure(self, epoch: int) -> Path:
        """Return the path of the figure of those maps."""
        return self.figs / f"samples_epoch_{epoch:04d}.png"

    def power_figure(self, epoch: int) -> Path:
        """Return the path of the figure of their P(k)."""
        return self.figs / f"power_spectrum_epoch_{epoch:04d}.png"

    def exists(self) -> bool:
        """Whether this is an experiment: a folder with a config, or with the log of an earlier version.

        A folder that may not be opened counts as none, so that it doesn't hide those beside it.
        """
        try:
            return self.config.is_file() or self.events.is_file()
        except PermissionError:
            return False

    def has_checkpoints(self) -> bool:
        """Whether there is a checkpoint."""
        return self.checkpoint_last.is_file() or self.checkpoint_best.is_file()

    def make_folders(self) -> None:
        """Create the folders of a run. Raises OSError when the disk refuses."""
        for folder in (self.checkpoints, self.figs, self.logs, self.samples):
            folder.mkdir(parents=True, exist_ok=True)


def experiments_root(given: Path | None = None, start: Path | None = None) -> Path:
    """Return the experiments folder, which need not exist.

    That is `given`, else `$FOCUS_EXPERIMENTS`, else the nearest `experiments/` in `start` (the current folder) or
    above it, else `./experiments`.
    """
    if given is not None:
        return given.absolute()
    if named := os.environ.get("FOCUS_EXPERIMENTS"):
        return Path(named).absolute()
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if folder.name == EXPERIMENTS and folder.is_dir():
            return folder
        if (folder / EXPERIMENTS).is_dir():
            return folder / EXPERIMENTS
    return here / EXPERIMENTS


def check_name(name: str) -> str:
    """Return `name` if an experiment may have it.

    Raises:
        InputError: empty, absolute, with `/`, `..`, a leading dash or dot, control characters, bytes that are no UTF-8,
            or too long.
    """
    rule = "use letters, digits, '_', '-' and '.', such as experiment_diffusion"
    if not name or not name.strip():
        raise InputError(f"the experiment's name is empty: {rule}")
    if _FORBIDDEN.search(name) or name != name.strip():
        what = "slashes, control characters, bytes that are no UTF-8, outer spaces"
        raise InputError(f"{name!r} cannot name an experiment ({what}): {rule}")
    if name.startswith(("-", ".")):
        raise InputError(f"{name!r} cannot name an experiment (it starts with {name[0]!r}): {rule}")
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        raise InputError(f"the experiment's name has {len(os.fsencode(name))} bytes; at most {MAX_NAME_BYTES}")
    return name


def find_run(name: str, root: Path) -> RunFolder:
    """Return the experiment called `name` under `root`, or at the path `name`.

    Raises:
        InputError: there is no such experiment; the message lists those that exist.
    """
    if not name or "\x00" in name:
        raise InputError("the experiment's name is empty")
    places = [Path(name).expanduser()] if _is_path(name) else [root / name, Path(name)]
    for place in places:
        run = RunFolder(Path(os.path.normpath(place.absolute())))
        if run.exists():
            return run
    if places[0].is_dir():
        raise InputError(f"{places[0]} is a folder without config.yaml: not an experiment")
    known = [run.name for run in list_runs(root)]
    listed = f"there are: {', '.join(known[:12])}{' …' if len(known) > 12 else ''}" if known else "there is none yet"
    where = str(places[0].absolute()) if _is_path(name) else f"under {root}"
    raise InputError(f"no experiment {name!r} {where}; {listed}. Make one: focus new NAME")


def _is_path(name: str) -> bool:
    return "/" in name or name in {".", ".."} or name.startswith("~")


def list_runs(root: Path) -> list[RunFolder]:
    """Return the experiments under `root`, by name; folders removed meanwhile are left out."""
    try:
        entries = sorted(entry.name for entry in os.scandir(root) if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    where = root.absolute()
    runs = (RunFolder(where / name) for name in entries)
    return [run for run in runs if run.exists()]


def default_run(root: Path, here: Path | None = None) -> RunFolder:
    """Return the experiment whose folder holds the current folder, else the most recently active one.

    Raises:
        InputError: there is no experiment.
    """
    here = (here or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        run = RunFolder(folder)
        if folder.parent == root.absolute() and run.exists():
            return run
    runs = list_runs(root)
    if not runs:
        raise InputError(f"there is no experiment under {root}. Make one: focus new experiment_diffusion")
    return max(runs, key=last_activity)


def last_activity(run: RunFolder) -> float:
    """Return the time of the last change in the run [Unix seconds]; 0 when its folder is gone."""
    times = [0.0]
    for path in (run.events, run.config):
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            continue
    return max(times)
