"""A training small enough for exact tests: maps of 8 × 8 pixels, a network of two layers."""

from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from focus_engine.config.blocks.training import TrainingBlock
from focus_engine.data.batches import Batches
from focus_engine.data.maps import MapSet, open_map_set
from focus_engine.data.normalise import fit_normaliser
from focus_engine.data.parameter_scaler import ParameterScaler
from focus_engine.data.symmetries import Augmentation
from focus_engine.events.outcome import Outcome
from focus_engine.events.table import EpochFinished, Event
from focus_engine.generative.diffusion import Diffusion
from focus_engine.generative.noise import build_schedule
from focus_engine.generative.process import Process
from focus_engine.training import validation
from focus_engine.training.budget import Clock
from focus_engine.training.loop import train
from focus_engine.training.state import TrainState, new_state
from focus_engine.training.step import Training
from focus_engine.training.validation import Validation

PER_SIMULATION = 4
TRAINING_MAPS = 20


class TinyNetwork(nn.Module):
    """Two convolutions on the torus, shifted by time and parameters; records which conditions were dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1, padding_mode="circular")
        self.shift = nn.Linear(3, 6)
        self.last = nn.Conv2d(6, 1, 3, padding=1, padding_mode="circular")
        self.dropped: list[Tensor] = []

    def forward(self, x: Tensor, time: Tensor, cond: Tensor, unconditional: Tensor | None = None) -> Tensor:
        if unconditional is not None:
            self.dropped.append(unconditional)
            cond = torch.where(unconditional[:, None], 0.0, cond)
        shift = self.shift(torch.cat([time[:, None], cond], dim=1))
        return self.last(F.silu(self.first(x) + shift[:, :, None, None]))


@dataclass
class Bench:
    """A training with its state, and methods to run it."""

    training: Training
    state: TrainState

    def run(self, stop_wanted: Callable[[], Any] = lambda: None) -> tuple[list[EpochFinished], Outcome]:
        """Train to the end; return the epochs and the outcome."""
        events, outcome = drain(train(self.training, self.state, stop_wanted))
        return [event for event in events if isinstance(event, EpochFinished)], outcome


def drain(loop: Generator[Event, None, Outcome]) -> tuple[list[Event], Outcome]:
    events = []
    while True:
        try:
            events.append(next(loop))
        except StopIteration as stopped:
            return events, stopped.value


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Run on one thread: layers this small are slower on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def map_set(tmp_path_factory: pytest.TempPathFactory) -> MapSet:
    """Return six simulations of four lognormal maps whose mean follows Omega_m."""
    folder = tmp_path_factory.mktemp("maps")
    draw = np.random.default_rng(0)
    params = draw.uniform((0.1, 0.6, 0.25, 0.25, 0.5, 0.5), (0.5, 1.0, 4, 4, 2, 2), (6, 6))
    means = np.repeat(params[:, 0], PER_SIMULATION)[:, None, None]
    np.save(folder / "maps.npy", (10 ** draw.normal(10 + 2 * means, 0.05, (24, 8, 8))).astype(np.float32))
    np.savetxt(folder / "params.txt", params, fmt="%.5f")
    return open_map_set(
        folder / "maps.npy",
        folder / "params.txt",
        box_size=25.0,
        maps_per_simulation=PER_SIMULATION,
        params=None,
        cond_dim=2,
        in_channels=1,
    )


@pytest.fixture
def batches(map_set: MapSet) -> Callable[..., Batches]:
    """Return batches of the first five simulations (train) or of the last (held out)."""

    def make(batch_size: int, *, held_out: bool = False, **more: Any) -> Batches:
        ids = np.arange(TRAINING_MAPS)
        normaliser = fit_normaliser(map_set, ids, "log10")
        scaler = ParameterScaler.fit(map_set, range(5))
        chosen = np.arange(TRAINING_MAPS, 24) if held_out else ids
        return Batches(map_set, chosen, normaliser, scaler, batch_size=batch_size, **more)

    return make


@pytest.fixture
def diffusion() -> Diffusion:
    return Diffusion(build_schedule("cosine", 50, 1e-4, 0.02, zero_terminal_snr=False), "v")


@pytest.fixture
def tiny_network() -> type[TinyNetwork]:
    return TinyNetwork


@pytest.fixture
def bench(
    batches: Callable[..., Batches],
    diffusion: Diffusion,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Bench]:
    """Return a function that makes a training from keys of the training block."""
    monkeypatch.setattr(validation, "DRAWS", 8)

    def make(
        *,
        network: nn.Module | None = None,
        process: Process | None = None,
        clock: Clock | None = None,
        shuffle: bool = True,
        **keys: Any,
    ) -> Bench:
        blocks = {"scheduler": {"warmup_epochs": 0, "name": "none"}, "early_stopping": {"patience": 0}} | keys
        settings = TrainingBlock(**({"batch_size": 8, "lr": 1e-2, "num_epochs": 3} | blocks))
        if network is None:
            torch.manual_seed(1)
            network = TinyNetwork()
        process = process or diffusion
        symmetries = Augmentation(1.0, 0.5, shift=True) if settings.use_augmentation else None
        seed = settings.seed
        fit = batches(settings.batch_size, shuffle=shuffle, seed=seed, augmentation=symmetries)
        held_out = Validation(batches(8, held_out=True), process, seed=seed, precision=nullcontext)
        training = Training(settings, process, fit, held_out, nullcontext, clock or Clock())
        return Bench(training, new_state(network, settings))

    return make


@pytest.fixture
def checkpoint_path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint_last.pt"
