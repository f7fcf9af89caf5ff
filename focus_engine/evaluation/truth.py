"""Real maps that the samples of a run are compared with: its test maps, or held-back universes.

Test simulations are few, and each has parameters of its own. Universes that FOCUS simulates itself can be made in
any number at one cosmology, so that truth there is as exact as one likes.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_engine.config.schema import Config
from focus_engine.data.maps import MapSet, open_map_set
from focus_engine.data.opening import as_event, spread
from focus_engine.errors import InputError
from focus_engine.events.table import DataProgress
from focus_engine.progress import relay
from focus_engine.simulation.held_back import held_back_cosmologies, simulate_held_back
from focus_engine.statistics.design import Design
from focus_engine.statistics.sample import Rows

MAX_TEST_MAPS = 300
"""Default number of generated maps; of test maps too, spread evenly over the test simulations."""

DEFAULT_COSMOLOGIES = 8
"""Default number of held-back cosmologies."""

COSMOLOGY = ("Omega_m", "sigma_8")


@dataclass(frozen=True)
class HeldBack:
    """Truth from held-back universes.

    Attributes:
        universes: number of universes at each cosmology.
        cosmologies: number of cosmologies.

    Raises:
        InputError: one of them is below 1.
    """

    universes: int
    cosmologies: int = DEFAULT_COSMOLOGIES

    def __post_init__(self) -> None:
        for name in ("universes", "cosmologies"):
            if getattr(self, name) < 1:
                raise InputError("give at least 1", where=f"--{name} {getattr(self, name)}")

    @classmethod
    def given(cls, universes: int | None, cosmologies: int | None) -> HeldBack | None:
        """Return the truth that two options ask for; None for the test maps. Raises InputError."""
        if universes is None and cosmologies is not None:
            raise InputError("give --universes too, the number at each cosmology", where=f"--cosmologies {cosmologies}")
        return (
            None if universes is None else cls(universes, DEFAULT_COSMOLOGIES if cosmologies is None else cosmologies)
        )


@dataclass(frozen=True, eq=False)
class Truth:
    """Real maps, and the parameters of the maps to generate.

    Attributes:
        maps: (N, H, W) or (N, C, H, W), physical units; memory-mapped where they are universes.
        design: the parameter point and simulation of the real and of the generated maps.
        params: float32 (M, P) parameters of the maps to generate.
        pairs: (M,) for each of them the row of a real map with the same parameters.
    """

    maps: NDArray[np.float32]
    design: Design
    params: NDArray[np.float32]
    pairs: NDArray[np.int64]

    def paired_maps(self) -> NDArray[np.float32]:
        """Return a real map for each generated one, (M, C, H, W)."""
        chosen = np.asarray(self.maps[self.pairs])
        return chosen if chosen.ndim == 4 else chosen[:, None]


def held_out_truth(maps: MapSet, test: ArrayLike, count: int | None) -> Truth:
    """Return `count` test maps [300], spread over the `test` simulations, for one generated map each."""
    ids = spread(maps.maps_of(test), count or MAX_TEST_MAPS)
    params = maps.params_of(ids)
    design = paired_design(maps, ids)
    return Truth(maps.read(ids), design, params, np.arange(len(ids)))


def paired_design(maps: MapSet, ids: NDArray[np.int64]) -> Design:
    """Return the design of one generated map for each of the maps `ids` of a set."""
    design = Design.paired(maps.simulation_of(ids), maps.params_of(ids))
    return replace(design, shared_field=maps.share_field(ids))


def universe_truth(
    config: Config, maps: MapSet, train: ArrayLike, held_back: HeldBack, count: int | None
) -> Generator[DataProgress, None, Truth]:
    """Simulate held-back universes with the sizes of a run's own, or find them in the cache; return them as truth.

    The arguments must have passed `check_held_back`.
    `count` generated maps [300] are spread evenly over the cosmologies; all maps of all universes are truth.

    Args:
        config: config of the run.
        maps: the universes of the run, whose parameters are avoided.
        train: training simulations, whose range is kept to.
        held_back: number of universes and cosmologies.
        count: number of maps to generate.

    Raises:
        InputError: the training range holds fewer cosmologies.
        FocusError: the universes can't be written.
    """
    own = maps.table[:, : len(COSMOLOGY)]
    trained = own[np.asarray(train, dtype=np.int64)]
    cosmologies = held_back_cosmologies(held_back.cosmologies, trained.min(axis=0), trained.max(axis=0), own)
    made = yield from relay(simulate_held_back(config.data, cosmologies, held_back.universes), as_event)
    per_simulation = maps.maps_per_simulation
    truth = open_map_set(
        made.maps_path,
        made.params_path,
        box_size=maps.box_size,
        maps_per_simulation=per_simulation,
        params=maps.param_names,
    )
    points = truth.params[:: held_back.universes]
    per_point = held_back.universes * per_simulation
    wanted = count or MAX_TEST_MAPS
    drawn_at = np.arange(wanted) * len(points) // wanted
    ids = np.arange(truth.n_maps)
    rows = Rows.of(ids // per_point, truth.simulation_of(ids))
    pairs = drawn_at * per_point + _rank(drawn_at) % per_point
    design = Design(points.astype(np.float64), rows, Rows.of(drawn_at))
    return Truth(np.load(made.maps_path, mmap_mode="r"), design, points[drawn_at], pairs)


def check_held_back(config: Config, names: tuple[str, ...], held_back: HeldBack, count: int | None) -> None:
    """Check that held-back universes can be truth for a run whose network is conditioned on `names`.

    Raises:
        InputError: they can't; the message says what to do instead.
    """
    where = f"--universes {held_back.universes}"
    if config.data.source != "simulated":
        raise InputError(
            "the maps of this run came from files, and FOCUS can simulate no more of their kind; compare samples with "
            "files instead: focus sample -o samples.npz, then focus judge samples.npz --against FILE",
            where=where,
        )
    if missing := [name for name in COSMOLOGY if name not in names]:
        raise InputError(
            f"this network is conditioned on {', '.join(names) or 'nothing'} and not on {' and '.join(missing)}, so "
            "that its maps belong to no single cosmology; evaluate it on its test maps, without --universes",
            where=where,
        )
    if (wanted := count or MAX_TEST_MAPS) < held_back.cosmologies:
        raise InputError(
            f"fewer maps than the {held_back.cosmologies} cosmologies; give more, or fewer --cosmologies",
            where=f"-n {wanted}",
        )


def _rank(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place of each element within its group, for ascending groups."""
    return np.arange(len(groups)) - np.searchsorted(groups, groups)
