"""Loads what the processes of a run load late, before such processes are forked from this one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from matplotlib.figure import Figure

import focus_engine.worker.session  # noqa: F401
from focus_engine.figures.pages import draw_training_history
from focus_engine.training import validation

FEW_DRAWS = 8
"""Least (map, time, noise) triples of a validation loss, 128 else: in batches of one map these are most of a run."""


@contextmanager
def folder_in_memory(prefix: str) -> Iterator[Path]:
    """Yield a folder for files that are written again thousands of times, with the cache of universes in it."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix=prefix, dir=shared if shared.is_dir() else None) as name:
        os.environ["FOCUS_CACHE"] = f"{name}/cache"
        yield Path(name)


def load_optimiser() -> None:
    """Import what torch imports at the first step of an optimiser: torch._dynamo, over a second of CPU."""
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))]).step()


def load_figures() -> None:
    """Import what matplotlib imports at the first figure, and let it read its fonts."""
    with tempfile.TemporaryDirectory() as folder:
        draw_training_history(Path(folder) / "history.png", [])


def validate_on_few(*, unless: bool = False) -> None:
    """Measure validation losses on `FEW_DRAWS`."""
    if not unless:
        validation.DRAWS = FEW_DRAWS


def leave_figures_undrawn() -> None:
    """Leave figures white: arranging and drawing what a page holds takes nine tenths of its time."""
    Figure.draw = lambda *_: None  # type: ignore[method-assign]
