"""Reading, checking and matching of the two files of `focus judge`, before anything is measured."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from focus_engine.data.containers import Array
from focus_engine.data.digests import Digests, digests_of, known
from focus_engine.data.judged_files import JudgedFile, read_judged_maps
from focus_engine.data.judged_values import check_judged_values
from focus_engine.data.maps import open_map_set
from focus_engine.errors import InputError
from focus_engine.events.table import DataProgress
from focus_engine.progress import relay
from focus_engine.spooling import chosen_rows
from focus_engine.statistics.judged_maps import JudgedMaps
from focus_engine.statistics.matching import MatchedMaps, match_maps


@dataclass(frozen=True)
class JudgedPair:
    """The two files to compare and what the user allows.

    Attributes:
        generated: the generated maps.
        real: the real maps.
        training: the maps that the generator was trained on; None if they are not at hand.
        common: whether to leave out maps at parameter points that only one side has.
        even_if_trained_on: whether real maps may be training maps.
    """

    generated: JudgedFile
    real: JudgedFile
    training: Path | None = None
    common: bool = False
    even_if_trained_on: bool = False


@dataclass(frozen=True, eq=False)
class ReadPair:
    """Two matched sides.

    Attributes:
        maps: the matched maps.
        training: (T, C, H, W) training maps of the generator; None if unknown.
    """

    maps: MatchedMaps
    training: Array | None


def read_pair(pair: JudgedPair) -> Generator[DataProgress, None, ReadPair]:
    """Read and match the two sides; yield progress and return them.

    Raises:
        InputError: a file, its values or the match of the two is at fault, or the real maps are training maps.
    """
    generated, real = read_judged_maps(pair.generated), read_judged_maps(pair.real)
    training = None if pair.training is None else read_judged_maps(JudgedFile(pair.training, "training")).maps
    notes = [] if generated.training_digests.size or training is not None else [_unchecked(generated)]
    training, digests = _training(generated, training)
    notes += _check_unseen(pair, real, digests, generated)
    notes += _copies(real, generated)
    matched = match_maps(real, generated, common=pair.common)
    if training is not None and training.shape[1:] != real.maps.shape[1:]:
        raise InputError(f"--training {pair.training}: has maps of {training.shape[1:]}, not of {real.maps.shape[1:]}")
    for side in (matched.real, matched.generated):
        yield from _checked(side)
    return ReadPair(matched.noted(*notes), training)


def _checked(side: JudgedMaps) -> Generator[DataProgress, None, None]:
    def handle(done: int) -> tuple[DataProgress]:
        return (DataProgress(what=f"reading the {side.what} maps", done=done, total=side.count),)

    yield from relay(check_judged_values(side), handle)


def _training(generated: JudgedMaps, training: Array | None) -> tuple[Array | None, Digests]:
    """Return the training maps, and their digests as far as they are known.

    Of the file of the user, only maps that the generator names as its training maps count, if it names any there.
    """
    named = generated.training_digests
    if training is None:
        return None, named
    found = digests_of(training)
    seen = known(found, named)
    return (chosen_rows(training, np.flatnonzero(seen)), named) if seen.any() else (training, found)


def _check_unseen(pair: JudgedPair, real: JudgedMaps, digests: Digests, generated: JudgedMaps) -> list[str]:
    """Return notes on real maps that are training maps; raise InputError unless these are allowed."""
    count = int(known(digests_of(real.maps), digests).sum()) if digests.size else 0
    fingerprint = generated.data_fingerprint
    whole = not digests.size and bool(fingerprint) and _fingerprint(pair.real) == fingerprint
    if not count and not whole:
        return []
    what = f"{count} of its {real.count} maps are training maps" if count else "it is the whole data set"
    words = f"{real.path}: {what} of the generator"
    if not pair.even_if_trained_on:
        raise InputError(
            f"{words} (recognised by fingerprint), and a model that only repeats them would score well; compare with "
            "maps that it never saw, such as those of the test simulations, or say --even-if-trained-on"
        )
    return [f"{words}: the scores do not tell what it does at parameters that it never saw"]


def _fingerprint(file: JudgedFile) -> str:
    """Return the fingerprint of a file as a whole data set of a run; empty if it is none."""
    if file.params_path is None or file.maps_per_simulation is None:
        return ""
    try:
        found = open_map_set(
            file.path, file.params_path, box_size=file.box_size or 1.0, maps_per_simulation=file.maps_per_simulation
        )
    except InputError:
        return ""
    return found.fingerprint


def _unchecked(generated: JudgedMaps) -> str:
    return (
        f"{generated.path} does not say what its generator was trained on: whether it repeats training maps is unknown "
        "(--training FILE)"
    )


def _copies(real: JudgedMaps, generated: JudgedMaps) -> list[str]:
    """Return a note if generated maps are among the real ones."""
    count = int(known(digests_of(generated.maps), digests_of(real.maps)).sum())
    return [f"{count} of the {generated.count} generated maps are also among the real ones"] if count else []
