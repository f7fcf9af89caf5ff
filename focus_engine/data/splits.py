"""Training, validation and test sets, split by simulation and never by map.

The 15 maps of a simulation show one density field, so a split by map would test the network on structures from its
training maps. Test simulations are used only by `focus evaluate`.
"""

from __future__ import annotations

from dataclasses import dataclass

from focus_engine.data.randomness import keyed_integer
from focus_engine.errors import InputError


@dataclass(frozen=True)
class Split:
    """Simulation ids of the three sets: ascending, disjoint, and together all simulations."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def split_by_simulation(n_simulations: int, train_split: float, seed: int) -> Split:
    """Split simulations at random: a fraction `train_split` for training, the rest half validation, half test.

    Validation and test get at least one simulation each; an odd one goes to validation. The shuffle sorts by a hash
    of (seed, simulation), so the split does not depend on a library's random stream.

    Raises:
        InputError: there are fewer than three simulations, or `train_split` is outside (0, 1).
    """
    if not 0 < train_split < 1:
        raise InputError(f"data.train_split is {train_split}; allowed is a fraction between 0 and 1, such as 0.9")
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
