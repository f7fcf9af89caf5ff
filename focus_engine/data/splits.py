"""Training, validation and test sets, split by simulation and never by map.

The 15 maps of a simulation share one density field: a split by map would judge the network on structures that
it has seen. Test simulations are touched by `focus evaluate` alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from focus_engine.data.randomness import keyed_integer
from focus_engine.errors import InputError


@dataclass(frozen=True)
class Split:
    """Simulation ids of the three sets, each in rising order, disjoint and together all of them."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def split_by_simulation(n_simulations: int, train_split: float, seed: int) -> Split:
    """Split simulations at random: the share `train_split` trains, half of the others validate, half test.

    At least one simulation validates and one tests; an odd one validates. Each simulation's place in the
    shuffle is a hash of (seed, simulation), so the split depends on no library's random stream.

    Raises:
        InputError: when fewer than three simulations are given or the share is outside (0, 1).
    """
    if not 0 < train_split < 1:
        raise InputError(f"data.train_split is {train_split}; allowed is a share between 0 and 1, such as 0.9")
    if n_simulations < 3:
        raise InputError(
            f"the data hold {n_simulations} simulation(s); at least 3 are needed, one each to train, validate and "
            "test (is data.maps_per_simulation right?)"
        )
    n_others = min(max(2, round(n_simulations * (1 - train_split))), n_simulations - 1)
    n_test = n_others // 2
    order = sorted(range(n_simulations), key=lambda simulation: keyed_integer("split", seed, simulation))
    return Split(
        train=tuple(sorted(order[n_others:])),
        validation=tuple(sorted(order[n_test:n_others])),
        test=tuple(sorted(order[:n_test])),
    )
