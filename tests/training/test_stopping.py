"""Early stopping as tables of expected counts."""

import math

import pytest

from focus_engine.training.stopping import EarlyStopping, improves


@pytest.mark.parametrize(
    ("losses", "warmup", "counts"),
    [
        ([5, 4, 3], 0, [0, 0, 0]),
        ([5, 5, 6, 4, 4], 0, [0, 1, 2, 0, 1]),
        ([5, 5, 6, 7, 7], 3, [0, 0, 0, 1, 2]),  # epochs in warmup never count
        ([5, 4.999, 4.998, 4.9], 0, [0, 1, 2, 0]),  # a change below min_delta is no improvement
        ([5, math.nan, math.nan], 0, [0, 1, 2]),
    ],
)
def test_counts_epochs_that_do_not_improve(losses: list[float], warmup: int, counts: list[int]):
    stopping, seen = EarlyStopping(), []
    for epoch, loss in enumerate(losses, 1):
        stopping = stopping.after(loss, warming_up=epoch <= warmup, min_delta=1e-3)
        seen.append(stopping.count)
    assert seen == counts


@pytest.mark.parametrize(("patience", "stops"), [(4, False), (3, True), (2, True), (0, False)])
def test_stops_at_patience_and_never_at_0(patience: int, stops: bool):
    assert EarlyStopping(best=1.0, count=3).stops(patience) is stops


def test_a_slow_decline_by_small_steps_counts_from_the_last_improvement():
    stopping = EarlyStopping().after(1.0, warming_up=False, min_delta=0.1)
    for loss in (0.95, 0.92):
        stopping = stopping.after(loss, warming_up=False, min_delta=0.1)
    assert (stopping.best, stopping.count) == (1.0, 2)
    assert stopping.after(0.89, warming_up=False, min_delta=0.1) == EarlyStopping(0.89, 0)


@pytest.mark.parametrize(("loss", "best", "better"), [(1, math.inf, True), (math.nan, math.inf, False), (1, 1, False)])
def test_improves(loss: float, best: float, better: bool):
    assert improves(loss, best, 1e-4) is better
