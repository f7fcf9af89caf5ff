"""The training loop on maps of 8 × 8 pixels: its objective, its outcomes, and exact resuming."""

import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from focus_engine.config.optimisers import OPTIMISERS
from focus_engine.events.table import EpochFinished
from focus_engine.models.batch_parts import BatchParts
from focus_engine.training import pace
from focus_engine.training.budget import Clock
from focus_engine.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from focus_engine.training.loop import train
from focus_engine.training.step import DivergedError

TIMES = {"time", "seconds", "maps_per_second", "data_wait", "eta_seconds"}
EVERYTHING = {
    "scheduler": {"name": "plateau", "warmup_epochs": 1, "patience": 1},
    "early_stopping": {"patience": 50},
    "num_epochs": 5,
    "lr": 0.05,  # too high, so that the plateau rule makes cuts
}
Make = Callable[..., Any]


def without_times(events: list[EpochFinished]) -> list[dict[str, Any]]:
    return [{name: value for name, value in asdict(one).items() if name not in TIMES} for one in events]


def same(one: Any, other: Any) -> bool:
    """Return whether two states are equal bit for bit."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def through_a_file(state: Any, path: Path) -> dict[str, Any]:
    save_checkpoint(
        path, Checkpoint(config={}, state=state.to_dict(), normaliser={}, scaler={}, data={}, provenance={})
    )
    return load_checkpoint(path).state


def test_the_loss_falls(bench: Make):
    one = bench(num_epochs=12)
    epochs, outcome = one.run()
    assert (outcome.state, outcome.reason) == ("finished", "all 12 epochs are done")
    assert [epoch.epoch for epoch in epochs] == list(range(1, 13))
    assert epochs[-1].train_loss < 0.8 * epochs[0].train_loss
    assert epochs[-1].val_loss < 0.8 * epochs[0].val_loss
    assert epochs[-1].step == one.state.step == 36  # 20 maps in batches of 8


def test_the_validation_loss_is_that_of_the_average(bench: Make):
    one = bench(num_epochs=2)
    epochs, _ = one.run()
    measured = one.training.validation.losses(one.state.ema.module, one.state.network)
    assert (epochs[-1].val_loss, epochs[-1].val_loss_raw) == measured
    assert epochs[-1].val_loss != epochs[-1].val_loss_raw


def test_an_epoch_event_repeats_the_summary(bench: Make):
    one = bench(**EVERYTHING)
    epochs, _ = one.run()
    best, bests = math.inf, []
    for epoch in epochs:
        assert epoch.is_best == (epoch.val_loss < best)
        best = min(best, epoch.val_loss)
        bests.append(epoch.epoch) if epoch.is_best else None
        assert (epoch.best_val_loss, epoch.best_epoch) == (best, bests[-1])
    assert [epoch.phase for epoch in epochs] == ["warmup"] + ["training"] * 4
    assert epochs[0].bad_epochs == epochs[0].early_stop_count == 0
    for epoch, following in itertools.pairwise(epochs):
        assert epoch.next_lr == following.lr
        assert epoch.lr_cut == (epoch.bad_epochs == epoch.plateau_patience == 1)
        assert not epoch.lr_cut or following.lr == pytest.approx(0.3 * epoch.lr)


def test_training_stops_by_itself(bench: Make):
    keys = {"num_epochs": 30, "lr": 1e-12, "early_stopping": {"patience": 3}}
    one = bench(**keys, scheduler={"name": "none", "warmup_epochs": 2})
    epochs, outcome = one.run()
    assert outcome.state == "early_stopped"
    late = epochs[-1].best_epoch > 2  # the best by less than counts
    assert outcome.reason.startswith(f"no improvement{' of 0.01 %' if late else ''} for 3 epochs; best was epoch ")
    assert [epoch.early_stop_count for epoch in epochs] == [0, 0, 1, 2, 3]
    again = bench(**keys, scheduler={"name": "none", "warmup_epochs": 2})  # the worker died before that event
    again.state.load_dict(one.state.to_dict())
    assert again.run() == ([], outcome)


def test_gradients_are_clipped(bench: Make):
    one = bench(gradient_clip=1e-3, optimizer="sgd", lr=1.0, weight_decay=0.0, num_epochs=1, batch_size=20)
    before = torch.nn.utils.parameters_to_vector(one.state.network.parameters()).detach().clone()
    epochs, _ = one.run()
    after = torch.nn.utils.parameters_to_vector(one.state.network.parameters()).detach()
    assert epochs[0].grad_norm > 0.1  # the norm reported is that before clipping
    assert float((after - before).norm()) == pytest.approx(1e-3, rel=1e-3)


def test_clip_0_does_not_clip(bench: Make):
    one = bench(gradient_clip=0.0, optimizer="sgd", lr=1e-3, weight_decay=0.0, num_epochs=1, batch_size=20)
    before = torch.nn.utils.parameters_to_vector(one.state.network.parameters()).detach().clone()
    epochs, _ = one.run()
    after = torch.nn.utils.parameters_to_vector(one.state.network.parameters()).detach()
    assert float((after - before).norm()) == pytest.approx(1e-3 * epochs[0].grad_norm, rel=1e-3)


class Regression:
    """A loss without noise or time, so that a step depends only on its maps."""

    method = "diffusion"

    def loss(self, network: nn.Module, maps: Tensor, cond: Tensor, **more: Any) -> Tensor:  # noqa: ARG002
        return (network(maps, torch.zeros(len(maps)), cond) - maps).square().flatten(1).mean(dim=1)


@pytest.mark.parametrize(("small", "accumulate", "large"), [(5, 2, 10), (6, 2, 12), (3, 10, 20)])
def test_accumulated_batches_make_the_step_of_the_large_one(bench: Make, small: int, accumulate: int, large: int):
    keys = {"process": Regression(), "shuffle": False, "use_augmentation": False, "num_epochs": 2, "gradient_clip": 0.1}
    parts, whole = bench(batch_size=small, accumulate=accumulate, **keys), bench(batch_size=large, **keys)
    (*_, last), (*_, expected) = parts.run()[0], whole.run()[0]
    assert last.step == expected.step == parts.training.steps_per_epoch * 2 == whole.training.steps_per_epoch * 2
    assert last.train_loss == pytest.approx(expected.train_loss, rel=1e-4)
    for one, other in zip(parts.state.network.parameters(), whole.state.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_conditions_are_dropped_with_the_given_probability(bench: Make):
    one = bench(cfg_prob=0.25, num_epochs=40)
    one.run()
    dropped = torch.cat(one.state.network.dropped).double()
    assert len(dropped) == 800
    assert float(dropped.mean()) == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / 800))


def test_cfg_prob_0_never_drops(bench: Make):
    one = bench(cfg_prob=0.0, num_epochs=3)
    one.run()
    assert not torch.cat(one.state.network.dropped).any()


class Breaking(nn.Module):
    """A network that makes NaN, at a chosen training batch or in evaluation, or a NaN gradient."""

    def __init__(self, tiny: nn.Module, how: str, at: int = 5) -> None:
        super().__init__()
        self.tiny, self.how, self.at, self.calls = tiny, how, at, 0

    def forward(self, x: Tensor, *more: Any, **keys: Any) -> Tensor:
        out = self.tiny(x, *more, **keys)
        if not self.training:
            return out * math.nan if self.how == "evaluation" else out
        self.calls += 1
        if self.calls < self.at or self.how == "evaluation":
            return out
        return out * math.nan if self.how == "output" else out + (out * 0).abs().sqrt()  # infinite slope at 0


@pytest.mark.parametrize("progress_seconds", [0.0, math.inf], ids=["read every step", "read at the end"])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("output", "the training loss became nan in epoch 2, batch 2"),
        ("gradient", "the gradient became nan in epoch 2, batch 2"),
        ("evaluation", "the validation loss of epoch 1 became NaN or infinite"),
    ],
)
def test_nan_ends_training_before_an_event_at_which_it_would_be_saved(
    bench: Make, tiny_network: Any, monkeypatch: pytest.MonkeyPatch, how: str, message: str, progress_seconds: float
):
    monkeypatch.setattr(pace, "PROGRESS_SECONDS", progress_seconds)
    one = bench(network=Breaking(tiny_network(), how))

    def train_and_look() -> None:
        for _ in train(one.training, one.state, lambda: None):
            assert all(weights.isfinite().all() for weights in one.state.network.parameters())

    with pytest.raises(DivergedError, match=message):
        train_and_look()


@pytest.mark.parametrize(("asked_at", "steps", "epoch"), [(0, 0, 0), (2, 2, 0), (4, 3, 1)])
def test_stop_now_ends_before_the_next_step(bench: Make, asked_at: int, steps: int, epoch: int):
    one = bench(num_epochs=9)
    _, outcome = one.run(lambda: "now" if one.state.step >= asked_at and one.state.epoch >= epoch else None)
    assert (outcome.state, outcome.save) == ("stopped", one.state.running.batch > 0)
    assert outcome.reason == f"asked to stop now; stopped in epoch {epoch + 1}" or one.state.step == steps
    assert one.state.epoch == epoch


def test_stop_now_ends_within_the_validation(bench: Make):
    one = bench(num_epochs=9)
    epochs, outcome = one.run(lambda: "now" if one.state.running.batch == 3 else None)
    assert (epochs, outcome.state, outcome.save, one.state.epoch) == ([], "stopped", True, 0)


def test_stop_after_the_epoch(bench: Make):
    one = bench(num_epochs=9)
    epochs, outcome = one.run(lambda: "epoch" if one.state.step >= 4 else None)
    assert [epoch.epoch for epoch in epochs] == [1, 2]
    assert (outcome.state, outcome.reason) == ("stopped", "asked to stop; stopped after epoch 2")


def test_a_stop_asked_in_the_last_epoch_finds_a_finished_run(bench: Make):
    one = bench(num_epochs=2)
    assert one.run(lambda: "epoch" if one.state.epoch == 1 and one.state.step > 3 else None)[1].state == "finished"


def test_no_deadline_no_end_and_a_past_one_saves_at_once(bench: Make):
    one = bench(max_minutes=1.0, clock=Clock(used=61))
    epochs, outcome = one.run()
    assert (epochs, outcome.save) == ([], True)
    assert (outcome.state, outcome.reason) == ("stopped", "time limit of 1 min; stopped in epoch 1")


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_resuming_amid_an_epoch_is_exact(bench: Make, checkpoint_path: Path, steps: int, accumulate: int):
    keys = EVERYTHING | {"accumulate": accumulate, "batch_size": 4, "num_epochs": 3}
    whole, first, second = (bench(**keys) for _ in range(3))
    expected, _ = whole.run()
    before, outcome = first.run(lambda: "now" if first.state.step == steps else None)
    assert (outcome.state, outcome.save, first.state.step) == ("stopped", True, steps)
    second.state.load_dict(through_a_file(first.state, checkpoint_path))
    after, _ = second.run()
    assert without_times(before + after) == without_times(expected)
    assert same(second.state.to_dict(), whole.state.to_dict())


@pytest.mark.parametrize("optimizer", OPTIMISERS)
@pytest.mark.parametrize("epochs", [1, 3])
def test_resuming_after_an_epoch_is_exact(bench: Make, checkpoint_path: Path, epochs: int, optimizer: str):
    keys = EVERYTHING | {"optimizer": optimizer}
    whole, first, second = (bench(**keys) for _ in range(3))
    expected, _ = whole.run()
    before, _ = first.run(lambda: "epoch" if first.state.epoch == epochs else None)
    saved = through_a_file(first.state, checkpoint_path)
    first.run(lambda: "now" if first.state.step % 3 == 2 else None)  # steps that a kill would lose
    second.state.load_dict(saved)
    after, _ = second.run()
    assert len(before) == epochs
    assert without_times(before + after) == without_times(expected)
    assert same(second.state.to_dict(), whole.state.to_dict())


def test_the_state_after_one_epoch_is_not_that_after_two(bench: Make):
    """The comparison above can fail."""
    one = bench(**EVERYTHING)
    one.run(lambda: "epoch" if one.state.epoch == 1 else None)
    saved = copy.deepcopy(one.state.to_dict())
    one.run(lambda: "epoch" if one.state.epoch == 2 else None)
    assert not same(saved, one.state.to_dict())


def test_the_same_seed_trains_the_same_and_another_does_not(bench: Make):
    runs = [bench(seed=seed, num_epochs=1) for seed in (0, 0, 1)]
    losses = [one.run()[0][0].train_loss for one in runs]
    assert losses[0] == losses[1] != losses[2]


def test_threads_that_share_the_batches_train_as_one_does(bench: Make):
    """Batches of 8, 8 and 4 in three parts; the sum of the gradients has a fixed order, so it is always the same."""
    runs = [bench(num_epochs=2, accumulate=2, cfg_prob=0.3, gradient_clip=0.1) for _ in range(3)]
    for one in runs[1:]:
        one.training = replace(one.training, parts=BatchParts(3, 8))
    (*_, alone), (*_, together), (*_, again) = (one.run()[0] for one in runs)
    assert together.train_loss == again.train_loss
    assert same(runs[1].state.to_dict(), runs[2].state.to_dict())
    assert together.train_loss == pytest.approx(alone.train_loss, rel=1e-4)
    assert together.grad_norm == pytest.approx(alone.grad_norm, rel=1e-3)
    for one, other in zip(runs[0].state.network.parameters(), runs[1].state.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_a_replica_that_has_no_truth_value_is_called(bench):
    """A module like torch.compile's, whose truth value calls a missing `__len__` of the network."""

    class Replica(torch.nn.Module):
        def __init__(self, network: torch.nn.Module) -> None:
            super().__init__()
            self.network, self.calls = network, 0

        def __len__(self) -> int:
            raise TypeError("does not support len()")

        def forward(self, *inputs: Any) -> torch.Tensor:
            self.calls += 1
            return self.network(*inputs)

    plain = bench(num_epochs=1)
    expected, _ = plain.run()
    one = bench(num_epochs=1)
    replica = Replica(one.state.network)
    one.training = replace(one.training, replica=replica)
    found, _ = one.run()
    assert replica.calls == 3
    assert found[0].val_loss == expected[0].val_loss
