"""A training step makes the host wait for nothing, and what is read late is exact."""

import math
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from focus_engine.config.optimisers import OPTIMISERS
from focus_engine.events.table import EpochFinished, StepProgress
from focus_engine.training import pace
from focus_engine.training.loop import train
from tests.training.test_loop import Make, without_times

SCHEDULE_FREE = {"scheduler": {"name": "none", "warmup_epochs": 0}}
WAITS = {"aten::_local_scalar_dense", "aten::is_nonzero", "aten::nonzero", "aten::equal", "aten::masked_select"}
"""Operations whose result the host needs before it can go on: item(), float(), bool(), masks as indices."""


class CountWaits(TorchDispatchMode):
    """Counts operations that would make the host wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function._schema.name
        if name in WAITS:
            self.found.append(name)
        return function(*args, **(kwargs or {}))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the copies to the host that no dispatch mode sees."""
    sizes: list[int] = []
    original = torch.Tensor.tolist

    def tolist(tensor: torch.Tensor) -> Any:
        sizes.append(tensor.numel())
        return original(tensor)

    monkeypatch.setattr(torch.Tensor, "tolist", tolist)
    return sizes


@pytest.mark.parametrize("optimizer", OPTIMISERS)
def test_an_epoch_of_steps_reads_once(bench: Make, monkeypatch: pytest.MonkeyPatch, reads: list[int], optimizer: str):
    monkeypatch.setattr(pace, "PROGRESS_SECONDS", math.inf)
    one = bench(optimizer=optimizer, num_epochs=2, batch_size=4, accumulate=2, averages=False)
    with CountWaits() as waits:
        events = list(train(one.training, one.state, lambda: None))
    assert [type(event).__name__ for event in events].count("EpochFinished") == 2
    assert waits.found == []
    # 5 losses and 3 norms of an epoch, then the losses of two networks in two batches of validation
    assert reads == [5 + 3, 4] * 2


def test_reading_late_changes_no_number(bench: Make, monkeypatch: pytest.MonkeyPatch):
    found = []
    for seconds in (0.0, math.inf):
        monkeypatch.setattr(pace, "PROGRESS_SECONDS", seconds)
        one = bench(num_epochs=3, accumulate=2)
        events = list(train(one.training, one.state, lambda: None))
        assert any(isinstance(event, StepProgress) for event in events) == (seconds == 0)
        found.append(without_times([event for event in events if isinstance(event, EpochFinished)]))
    assert found[0] == found[1]
