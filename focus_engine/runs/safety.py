"""Checks of a run folder before it is written to: links that lead out of it, and folders open to every user."""

import stat
from collections.abc import Iterator
from pathlib import Path

from focus_engine.errors import InputError
from focus_engine.runs.folder import RunFolder
from focus_engine.trust_flag import trusted


def check_links(run: RunFolder) -> None:
    """Raise InputError when a file or folder that FOCUS would write is a link that leads out of the run folder.

    The same holds for logs with another name (hard links, which would change with them), and for pipes and devices.
    The run folder itself may be a link. `--trust` allows all this, for checkpoints on another disk.
    """
    if trusted():
        return
    home = run.path.resolve()
    for path in _written(run):
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            raise InputError(
                f"{path} is a link that leads out of the run folder, to {path.resolve()}: FOCUS would write there; "
                "remove the link, or say --trust if it is yours"
            )
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InputError(f"{path} is a pipe or a device, in which FOCUS would write: remove it")
    for path in (run.events, run.train_log, run.worker_log):
        if path.is_file() and path.stat().st_nlink > 1:
            raise InputError(
                f"{path} is a hard link: the file has another name too, and would change there; replace it by a copy "
                "(cp FILE COPY, mv COPY FILE), or say --trust"
            )


def open_to_everybody(run: RunFolder) -> list[Path]:
    """Return the folders of `run` in which every user of the machine may replace files."""
    found = []
    for path in (run.path, run.checkpoints, run.logs, run.samples, run.figs):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            found.append(path)
    return found


def _written(run: RunFolder) -> Iterator[Path]:
    yield from (
        run.checkpoints,
        run.averages,
        run.logs,
        run.samples,
        run.figs,
        run.labels,
        run.slurm_script,
        run.slurm_job,
    )
    yield from (run.events, run.train_log, run.worker_log, run.lock, run.worker, run.progress)
    yield from (run.stop_request, run.ranks)
