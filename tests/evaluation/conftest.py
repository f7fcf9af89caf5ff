"""A tiny flow, trained for 36 steps; tests that use it are of one group, so that it is trained once."""

from pathlib import Path

import pytest
from trained_experiments import trained_experiments

from focus_engine import Experiment

TINY = {
    "data.simulations": 8,
    "data.grid": 8,
    "data.map_size": 8,
    "data.maps_per_simulation": 3,
    "data.train_split": 0.5,
    "data.standardize": "spectrum",
    "model.base_channels": 4,
    "model.channel_mults": [1],
    "model.time_dim": 8,
    "training.num_epochs": 3,
    "training.batch_size": 1,
    "training.sample_every": 0,
    "training.scheduler.name": "trapezoid",
    "training.scheduler.warmup_steps": 5,
    "sampling.num_steps": 2,
    "device": "cpu",
}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory):
    """Yield an experiments folder with `tiny`, trained for 36 steps."""
    folder = tmp_path_factory.mktemp("trained")
    with trained_experiments(folder, tiny=TINY) as root:
        yield root


@pytest.fixture
def tiny(home: Path) -> Experiment:
    return Experiment.open("tiny", root=home)
