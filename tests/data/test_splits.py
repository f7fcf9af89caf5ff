import pytest

from focus_engine.data.splits import split_by_simulation
from focus_engine.errors import InputError


@pytest.mark.parametrize("n_simulations", [3, 4, 5, 9, 10, 27, 100, 1000])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.8, 0.9, 0.99])
def test_the_three_sets_are_disjoint_whole_and_never_empty(n_simulations: int, share: float):
    split = split_by_simulation(n_simulations, share, seed=1)
    assert sorted(split.train + split.validation + split.test) == list(range(n_simulations))
    assert min(len(split.train), len(split.validation), len(split.test)) >= 1
    assert 0 <= len(split.validation) - len(split.test) <= 1
    assert len(split.train) <= max(1, round(share * n_simulations) + 1)


@pytest.mark.parametrize(
    ("n_simulations", "share", "sizes"),
    [
        (1000, 0.9, (900, 50, 50)),
        (100, 0.9, (90, 5, 5)),
        (10, 0.9, (8, 1, 1)),
        (3, 0.9, (1, 1, 1)),
        (25, 0.8, (20, 3, 2)),
    ],
)
def test_half_of_the_others_validate_and_half_test(n_simulations: int, share: float, sizes: tuple[int, ...]):
    split = split_by_simulation(n_simulations, share, seed=0)
    assert (len(split.train), len(split.validation), len(split.test)) == sizes


def test_the_split_depends_only_on_the_seed():
    assert split_by_simulation(50, 0.8, 3) == split_by_simulation(50, 0.8, 3)
    assert split_by_simulation(50, 0.8, 3) != split_by_simulation(50, 0.8, 4)
    assert split_by_simulation(10, 0.8, 0).test == (1,)  # pinned: a checkpoint's test set must stay untouched


def test_every_simulation_is_tested_about_as_often():
    counts = [0] * 10
    for seed in range(400):
        for simulation in split_by_simulation(10, 0.8, seed).test:
            counts[simulation] += 1
    assert min(counts) > 15
    assert max(counts) < 75  # expected 40, binomial scatter 6


@pytest.mark.parametrize(("n_simulations", "share"), [(0, 0.9), (1, 0.9), (2, 0.9), (10, 0.0), (10, 1.0), (10, 1.5)])
def test_too_few_simulations_or_no_share_is_refused(n_simulations: int, share: float):
    with pytest.raises(InputError, match="train"):
        split_by_simulation(n_simulations, share, 0)
