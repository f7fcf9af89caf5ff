"""Experiments that are trained before tests use them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from focus_engine import Experiment
from focus_engine.worker.foreground import run_in_foreground


@contextmanager
def trained_experiments(folder: Path, **settings: Mapping[str, object]) -> Iterator[Path]:
    """Yield a folder with a trained flow for each name and settings; universes go to `cache` beside it meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOCUS_CACHE", str(folder / "cache"))
        for name, changes in settings.items():
            made = Experiment.create(name, root=folder / "experiments", template="small_flow", settings=dict(changes))
            assert run_in_foreground(made.run, resume=False, device=None, on_event=lambda _: None).state == "finished"
        yield folder / "experiments"
