"""Learning rates as tables of expected values, and the plateau rule against torch's own."""

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from focus_engine.config.blocks.training import SchedulerBlock, TrainingBlock
from focus_engine.training.schedule import Plateau, learning_rate

Rates = Callable[..., list[float]]


@pytest.fixture
def rates() -> Rates:
    """Return the learning rates of the first epochs for the given validation losses."""

    def follow(losses: Sequence[float], *, lr: float = 1e-4, num_epochs: int = 200, **keys: object) -> list[float]:
        block = TrainingBlock(lr=lr, num_epochs=num_epochs, scheduler=SchedulerBlock.model_validate(keys))
        plateau, seen = Plateau(rate=lr), []
        for epoch, loss in enumerate(losses, 1):
            seen.append(learning_rate(epoch, block, plateau))
            warming_up = epoch <= block.scheduler.warmup_epochs
            plateau = plateau.after(loss, warming_up=warming_up).cut(block.scheduler)
        return seen

    return follow


@pytest.mark.parametrize("name", ["plateau", "cosine", "step", "none"])
def test_warmup_is_linear_and_reaches_the_full_rate_in_its_last_epoch(rates: Rates, name: str):
    assert rates([1.0] * 5, name=name) == pytest.approx([2e-5, 4e-5, 6e-5, 8e-5, 1e-4])


@pytest.mark.parametrize("name", ["plateau", "cosine", "step", "none"])
def test_without_warmup_the_first_epoch_has_the_full_rate(rates: Rates, name: str):
    assert rates([1.0], name=name, warmup_epochs=0) == [1e-4]


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([5, 4, 3, 2, 1], [1, 1, 1, 1, 1]),
        ([5, 5, 5, 5, 5, 5], [1, 1, 1, 0.3, 0.3, 0.09]),  # two bad epochs cut, and the count starts again
        ([5, 5, 4, 4, 4, 4], [1, 1, 1, 1, 1, 0.3]),  # an improvement starts the count again
        ([5, 6, 5 * (1 - 1e-4), 6, 6], [1, 1, 1, 0.3, 0.3]),  # a change of exactly the threshold is no improvement
        ([5, 6, 5 * (1 - 1.1e-4), 6, 6], [1, 1, 1, 1, 1]),
        ([5, math.nan, math.nan, 4], [1, 1, 1, 0.3]),  # NaN never improves
    ],
)
def test_plateau_cuts_at_two_bad_epochs(rates: Rates, losses: list[float], expected: list[float]):
    assert rates(losses, lr=1.0, warmup_epochs=0) == pytest.approx(expected)


def test_epochs_in_warmup_never_count_as_bad(rates: Rates):
    losses = [1.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    assert rates(losses, lr=1.0, warmup_epochs=3) == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 0.3])


def test_the_best_of_the_warmup_is_the_one_to_beat():
    plateau = Plateau(1.0).after(0.5, warming_up=True).after(0.6, warming_up=False)
    assert (plateau.best, plateau.bad_epochs) == (0.5, 1)


def test_the_rate_falls_to_min_lr_and_no_further(rates: Rates):
    seen = rates([1.0] * 8, lr=1.0, warmup_epochs=0, patience=1, factor=0.1, min_lr=0.05)
    assert seen == pytest.approx([1, 1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.05])


def test_only_the_plateau_scheduler_cuts(rates: Rates):
    assert rates([1.0] * 9, lr=1.0, warmup_epochs=0, name="none") == [1.0] * 9


@settings(max_examples=60, deadline=None)
@given(
    losses=st.lists(st.sampled_from([3.0, 2.0, 1.0, 0.9999, 0.99985, 0.5, math.nan]) | st.floats(0.1, 5), max_size=40),
    patience=st.integers(1, 4),
    factor=st.sampled_from([0.1, 0.3, 0.5]),
)
def test_plateau_agrees_with_torch_at_patience_minus_one(losses: list[float], patience: int, factor: float):
    block = SchedulerBlock(factor=factor, patience=patience, min_lr=1e-3)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=factor, patience=patience - 1, threshold=1e-4, threshold_mode="rel", min_lr=1e-3, eps=0
    )
    ours = Plateau(1.0)
    for loss in losses:
        theirs.step(loss)
        ours = ours.after(loss, warming_up=False).cut(block)
        assert ours.rate == optimizer.param_groups[0]["lr"]


def test_cosine_with_t_max_agrees_with_torch(rates: Rates):
    t_max = 4
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=t_max, eta_min=0.1)
    expected = []
    for _ in range(t_max):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    keys = {"name": "cosine", "T_max": t_max, "eta_min": 0.1}
    seen = rates([1.0] * 10, lr=1.0, num_epochs=10, warmup_epochs=2, **keys)[2:]
    assert seen[: len(expected)] == pytest.approx(expected)
    assert seen[len(expected) :] == pytest.approx([0.1] * (8 - len(expected)))  # and it does not rise again


def test_step_cuts_every_step_size_epochs_after_warmup(rates: Rates):
    seen = rates([1.0] * 8, lr=1.0, name="step", step_size=3, gamma=0.5, warmup_epochs=1)
    assert seen == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25]
