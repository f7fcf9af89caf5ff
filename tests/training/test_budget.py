"""Learning rates by step of schedules that run on the budget, the readings of the clock, and exact resuming."""

import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
import torch
from workers import TIMES, same

from focus_engine.config.blocks.training import SchedulerBlock, TrainingBlock
from focus_engine.events.table import BudgetRead, EpochFinished
from focus_engine.training.budget import READINGS, Budget, Clock, Limits, Mark, Place
from focus_engine.training.loop import train
from focus_engine.training.schedule import Plateau, falling

Make = Callable[..., Any]
STEPS = 4
"""Steps per epoch."""


def block(lr: float = 1.0, num_epochs: int = 5, max_minutes: float | None = None, **scheduler: Any) -> TrainingBlock:
    keys = {"warmup_epochs": 0, "name": "linear"} | scheduler
    return TrainingBlock(lr=lr, num_epochs=num_epochs, max_minutes=max_minutes, scheduler=SchedulerBlock(**keys))


def place(step: int) -> Place:
    return Place(step // STEPS + 1, step % STEPS / STEPS, step)


def follow(
    training: TrainingBlock, steps: range, budget: Budget | None = None, clock: Callable[[int], float] | None = None
) -> tuple[list[float], Budget]:
    """Return the rate of each step, and the budget after the last; `clock` gives the seconds before each step."""
    budget, rates = budget or Budget(), []
    for step in steps:
        if clock is not None:
            budget = budget.read(step, clock(step))
        budget = budget.before_step(training, Plateau(training.lr), place(step))
        rates.append(budget.rate)
    return rates, budget


def rate_at(training: TrainingBlock, budget: Budget, step: int) -> float:
    return budget.before_step(training, Plateau(training.lr), place(step)).rate


@pytest.mark.parametrize(
    ("keys", "law"),
    [
        ({"name": "linear"}, lambda u: 1 - u),
        ({"name": "cosine"}, lambda u: (1 + math.cos(math.pi * u)) / 2),
        ({"name": "trapezoid", "decay_share": 0.4}, lambda u: min(1.0, (1 - u) / 0.4)),
        ({"name": "trapezoid", "decay_share": 0.4, "decay": "sqrt"}, lambda u: 1 - math.sqrt(max(0, (u - 0.6) / 0.4))),
    ],
)
def test_the_schedule_runs_by_step_to_its_floor(keys: dict[str, Any], law: Callable[[float], float]):
    training = block(eta_min=0.25, **keys)
    rates, budget = follow(training, range(20))
    assert rates == pytest.approx([0.25 + 0.75 * law(step / 20) for step in range(20)])
    assert rate_at(training, budget, 20) == 0.25


@pytest.mark.parametrize("name", ["linear", "cosine", "trapezoid"])
def test_the_floor_is_reached_whichever_budget_ends_first(name: str):
    training = block(num_epochs=1000, max_minutes=1.0, eta_min=0.125, name=name)
    rates, budget = follow(training, range(60), clock=lambda step: 5.0 + 55 * step / 60)  # 5 s before the first step
    expected = [0.125 + 0.875 * falling(training.scheduler, step / 60) for step in range(60)]
    assert rates == pytest.approx(expected)
    assert rate_at(training, budget.read(60, 60.0), 60) == pytest.approx(0.125)
    slow, after = follow(block(max_minutes=1000, name=name), range(20), clock=lambda step: 0.1 * step)
    plain, _ = follow(block(name=name), range(20))
    assert slow == plain
    assert rate_at(block(max_minutes=1000, name=name), after, 20) == pytest.approx(0, abs=1e-15)


def test_cosine_by_one_step_an_epoch_is_torchs_after_warmup():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=8, eta_min=0.1)
    expected = [0.5, 1.0]
    for _ in range(8):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    training, budget, seen = block(num_epochs=10, name="cosine", eta_min=0.1, warmup_epochs=2), Budget(), []
    for step in range(10):
        budget = budget.before_step(training, Plateau(1.0), Place(step + 1, 0.0, step))
        seen.append(budget.rate)
    assert seen == pytest.approx(expected)


@pytest.mark.parametrize("name", ["linear", "cosine", "trapezoid", "none", "step", "plateau"])
def test_warmup_by_steps_is_linear_and_shorter_than_an_epoch(name: str):
    rates, _ = follow(block(lr=2.0, name=name, warmup_steps=3), range(5))
    assert rates[:3] == pytest.approx([2 / 3, 4 / 3, 2])
    assert rates[3] == 2.0


def test_warmup_takes_at_most_half_of_the_budget_and_the_rate_does_not_jump():
    rates, budget = follow(block(warmup_steps=100), range(20))
    assert rates[:11] == pytest.approx([0.01 * (step + 1) for step in range(10)] + [0.1])
    assert rates[11:] == pytest.approx([0.1 * (20 - step) / 10 for step in range(11, 20)])
    assert rate_at(block(warmup_steps=100), budget, 20) == 0
    assert follow(block(warmup_epochs=9), range(20))[0][8:12] == pytest.approx([3 / 9, 3 / 9, 3 / 9, 0.9 * 3 / 9])


@pytest.mark.parametrize("name", ["linear", "cosine", "trapezoid"])
@pytest.mark.parametrize(("stopped", "epochs"), [(8, 10), (20, 10), (18, 40), (8, 3)])
def test_a_changed_budget_makes_no_jump_and_leads_to_its_floor(name: str, stopped: int, epochs: int):
    rates, budget = follow(block(name=name), range(stopped))
    longer = block(num_epochs=epochs, name=name)
    after, budget = follow(longer, range(stopped, STEPS * epochs), budget)
    left = STEPS * epochs - stopped
    assert after[0] == rates[-1]
    steepest = 1 / (0.1 * left) + 1 / (0.3 * left)  # of the passage, and of the fall
    assert max(abs(b - a) for a, b in itertools.pairwise([*rates[-1:], *after])) <= steepest + 1e-12
    plain = follow(longer, range(STEPS * epochs))[0]
    passage = math.ceil(0.1 * left)
    assert after[passage:] == pytest.approx(plain[stopped + passage :])  # as if it had been this long from the start
    assert rate_at(longer, budget, STEPS * epochs) == pytest.approx(0, abs=1e-15)


def test_between_readings_time_goes_on_at_the_last_pace_but_not_past_the_next_reading():
    training = block(num_epochs=10**6, max_minutes=1.0)
    quantum = 60 / READINGS
    budget = Budget().read(0, 0.0).before_step(training, Plateau(1.0), place(0)).read(10, 1.0)
    assert [budget.at(place(step)).seconds for step in (10, 11, 12)] == pytest.approx([1, 1.1, 1.2])
    assert budget.at(place(1000)).seconds == 1 + quantum


def test_a_clock_is_read_at_the_first_step_and_every_256th_of_the_budget():
    ticks = itertools.count()
    clock, last, taken = Clock(used=10.0, now=lambda: 0.25 * next(ticks)), None, []
    for step in range(400):
        if (seconds := clock.reading(step, last, 128.0)) >= 0:
            taken.append(step)
            last = seconds
    assert taken == list(range(0, 400, 2))


def test_replayed_readings_count_instead_of_the_time_that_repeats_them():
    now = [1000.0]
    clock = Clock(used=3.0, now=lambda: now[0])
    clock.replay({4: 5.0, 6: 5.5})
    assert [clock.reading(step, 3.0, 60.0) for step in range(3, 7)] == [-1, 5.0, -1, 5.5]
    now[0] += 2
    assert clock.seconds() == clock.reading(7, 5.5, 60.0) == 7.5


def test_a_budget_of_epochs_and_seconds_takes_the_larger_share():
    limits = Limits(10, 100.0)
    assert Mark(2, 20).share_to(Mark(6, 30), limits) == 0.5
    assert Mark(2, 20).share_to(Mark(3, 80), limits) == 0.75
    assert Mark(10, 20).share_to(Mark(10, 30), limits) == 1.0  # nothing was left


SCHEDULES = ({"name": "cosine"}, {"name": "linear", "warmup_steps": 4}, {"name": "trapezoid", "warmup_epochs": 1})


def uneven(step: int) -> float:
    """Seconds before a step on a machine that is busy now and then; in 1/64, so that sums of them are exact."""
    return round(64 * (1.2 * step + 0.9 * math.sin(step))) / 64


def events_of(one: Any, stop: Callable[[], Any] = lambda: None) -> tuple[list[Any], Any]:
    loop, events = train(one.training, one.state, stop), []
    try:
        while True:
            events.append(next(loop))
    except StopIteration as ended:
        return events, ended.value


def minutes(bench: Make, scheduler: dict[str, Any], seconds: Callable[[int], float], used: float = 0.0) -> Any:
    """Return a training of half a minute whose clock shows `seconds(steps done)`; former workers had `used` of them."""
    states: list[Any] = []
    clock = Clock(used, used, now=lambda: seconds(states[0].step if states else 0))
    scheduler = {"warmup_epochs": 0, **scheduler}
    one = bench(num_epochs=1000, max_minutes=0.5, scheduler=scheduler, clock=clock)
    states.append(one.state)
    return one


def epochs_in(events: list[Any]) -> list[dict[str, Any]]:
    """Return the epochs of `events` without the times."""
    epochs = [asdict(event) for event in events if isinstance(event, EpochFinished)]
    return [{name: value for name, value in epoch.items() if name not in TIMES} for epoch in epochs]


@pytest.mark.parametrize("scheduler", SCHEDULES, ids=lambda one: one["name"])
@pytest.mark.parametrize(("saved", "killed"), [(5, 5), (5, 13), (12, 24), (24, 25)])
def test_a_killed_run_repeats_its_rates_bit_for_bit(bench: Make, scheduler: dict[str, Any], saved: int, killed: int):
    """The lost steps take much longer the second time, so only the readings in the log can give the same rates."""
    whole = minutes(bench, scheduler, uneven)
    expected, outcome = events_of(whole)
    assert (outcome.state, outcome.where) == ("finished", "")
    first = minutes(bench, scheduler, uneven)
    before, _ = events_of(first, lambda: "now" if first.state.step == saved else None)
    held = copy.deepcopy(first.state.to_dict())
    lost, _ = events_of(first, lambda: "now" if first.state.step == killed else None)
    readings = {one.step: one.seconds for one in before + lost if isinstance(one, BudgetRead)}
    late = max(readings)

    def slow(step: int) -> float:
        return uneven(saved) + 7 * (step - saved) if step < late else uneven(step)

    second = minutes(bench, scheduler, slow, used=uneven(saved))
    second.state.load_dict(held)
    second.training.clock.replay({step: at for step, at in readings.items() if step > second.state.budget.step})
    after, again = events_of(second)
    assert again == outcome
    assert same(second.state.to_dict(), whole.state.to_dict())
    assert epochs_in(before + after) == epochs_in(expected)


def test_without_its_readings_a_slower_repetition_would_change_the_rates(bench: Make):
    """The comparison above can fail."""
    one, other = (minutes(bench, {"name": "cosine"}, pace) for pace in (uneven, lambda step: 1.1 * uneven(step)))
    events_of(one, lambda: "now" if one.state.step == 9 else None)
    events_of(other, lambda: "now" if other.state.step == 9 else None)
    assert one.state.budget.rate != other.state.budget.rate


@pytest.mark.parametrize(("steps", "state"), [(4, "stopped"), (12, "finished")])
def test_a_cosine_by_epoch_is_finished_once_it_is_at_its_floor(bench: Make, steps: int, state: str):
    one = minutes(bench, {"name": "cosine", "T_max": 2, "eta_min": 1e-6}, lambda step: 30 / steps * step)
    _, outcome = events_of(one)
    assert (outcome.state, one.state.step) == (state, steps)


@pytest.mark.parametrize("warmup", [{"warmup_epochs": 9}, {"warmup_steps": 90}])
def test_the_low_rates_of_its_warmup_are_not_the_floor_of_a_cosine(bench: Make, warmup: dict[str, int]):
    keys = {"name": "cosine", "T_max": 2, "eta_min": 5.0e-3} | warmup  # above every rate of the warmup
    one = minutes(bench, keys, lambda step: 30 / 4 * step)
    _, outcome = events_of(one)
    assert 0 < one.state.budget.rate < 5.0e-3
    assert outcome.state == "stopped"


def test_the_last_epoch_is_shorter_validated_and_ends_at_the_floor(bench: Make):
    one = minutes(bench, {"name": "linear"}, lambda step: 30 / 7 * step)
    events, outcome = events_of(one)
    epochs = [event for event in events if isinstance(event, EpochFinished)]
    assert (outcome.state, outcome.reason) == (
        "finished",
        "time limit of 0.5 min: the linear schedule is at its end",
    )
    assert [(epoch.epoch, epoch.step, epoch.next_lr > 0) for epoch in epochs] == [
        (1, 3, True),
        (2, 6, True),
        (3, 7, False),
    ]
    assert 0 < epochs[0].budget_used < epochs[1].budget_used < epochs[2].budget_used == 1
    assert events_of(one) == ([], outcome)


@pytest.mark.parametrize("name", ["plateau", "step", "none"])
def test_a_schedule_by_epoch_is_stopped_by_the_minutes(bench: Make, name: str):
    one = minutes(bench, {"name": name}, lambda step: 30 / 7 * step)
    events, outcome = events_of(one)
    assert (outcome.state, outcome.save) == ("stopped", True)
    assert outcome.reason == "time limit of 0.5 min; stopped in epoch 3"
    assert events[-1].share == 1.0


def test_a_stop_of_the_minutes_at_the_end_of_an_epoch_has_nothing_to_save(bench: Make):
    one = minutes(bench, {"name": "none"}, lambda step: 5.0 * step)
    _, outcome = events_of(one)
    assert (outcome.reason, outcome.save) == ("time limit of 0.5 min; stopped after epoch 2", False)


def test_without_a_step_a_schedule_is_not_at_its_end(bench: Make):
    one = minutes(bench, {"name": "cosine"}, lambda step: 31.0 + step)
    _, outcome = events_of(one)
    assert (outcome.state, outcome.reason) == ("stopped", "time limit of 0.5 min; stopped in epoch 1")


def test_the_time_left_is_that_of_the_budget_that_ends_first(bench: Make):
    one = minutes(bench, {"name": "none"}, lambda step: 4.0 * step)
    events, _ = events_of(one)
    first = next(event for event in events if isinstance(event, EpochFinished))
    assert first.eta_seconds == pytest.approx(min(first.seconds * 999, 30 - 12))


def test_an_earlier_checkpoint_goes_on_from_the_rate_of_its_optimiser(bench: Make):
    """Its schedule ran by epoch, and it holds no budget."""
    keys = {"num_epochs": 8, "scheduler": {"name": "cosine", "T_max": 8, "warmup_epochs": 0}}
    former = bench(**keys)
    events_of(former, lambda: "epoch" if former.state.epoch == 4 else None)
    saved = former.state.to_dict()
    del saved["budget"]
    one = bench(num_epochs=8, scheduler={"name": "cosine", "warmup_epochs": 0})
    one.state.load_dict(saved)
    events, _ = events_of(one)
    rates = [event.lr for event in events if isinstance(event, EpochFinished)]
    assert rates[0] < former.state.budget.rate
    assert rates == sorted(rates, reverse=True)
    assert events[-1].next_lr == pytest.approx(0, abs=1e-12)


def test_a_schedule_by_epoch_does_not_depend_on_a_changed_budget():
    """A resume with more epochs ends in the state of a run that had them from the start."""
    keys: dict[str, Any] = {"lr": 1e-3, "scheduler": {"name": "plateau", "warmup_epochs": 0}}
    plateau, first, second = Plateau(rate=1e-3), Place(1, 0.0, 0), Place(2, 0.0, 4)

    def after(before: int) -> Budget:
        budget = Budget().before_step(TrainingBlock(num_epochs=before, **keys), plateau, first)
        return budget.before_step(TrainingBlock(num_epochs=9, **keys), plateau, second)

    assert after(5) == after(9)
