"""Measure the response to the parameters, the mean and P(k) of maps more precisely than the judge does.

    python scripts/common_noise.py CHECKPOINT... [--maps 48] [--sampler abm2 --steps 10]

A judge must take the maps of a model as independent draws. A network at hand can be drawn from the same noise at each
cosmology, so that its maps differ by their parameters alone: with 64 maps at each of 8 cosmologies the error of the
slope of ln P(k) falls from 0.12 to 0.03. Pairs of maps are drawn from opposite noise, so that its mean is 0: without
pairs the first 48 maps of seed 0, whose noise has a high mean, told slopes 0.05 too weak. Compare networks by this
script with equal `--maps`: they share the noise, so that their differences are smaller still, and with fewer than 96
maps the errors, from resampling pairs, are too small.

The mean of a map follows the mean of its noise, which is known to be 0: a fit to it as control variate takes two
fifths off the error of the mean. It is measured on as many maps of other noise, different at each cosmology; so is P(k)
of the density and of its logarithm.
Truth is 24 universes at each of 8 held-back cosmologies, which leaves an error that all networks share, and that the
errors below contain only where universes are resampled: `--cosmologies 32` asks for a sharper one. Errors are of one
standard deviation.

The first line of a network is what its training universes tell: ln P(k) by a quadratic fit in
the logarithms of the parameters. With data.standardize: spectrum the next is what it is given: training maps of all
parameters brought to the mean and the spectrum at each cosmology.
"""

import argparse
from collections.abc import Iterator
from functools import partial
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from focus_engine.data.maps import MapSet
from focus_engine.data.opening import open_maps
from focus_engine.evaluation.trained_model import TrainedModel, open_trained
from focus_engine.evaluation.truth import HeldBack, universe_truth
from focus_engine.generative.map_noise import MapNoise
from focus_engine.progress import drain
from focus_engine.statistics.bands import BANDS, band_weights
from focus_engine.statistics.power import SCORED_FRACTION, PowerSpectrum, log_power_spectrum, power_spectrum
from focus_engine.statistics.response import followed_variance, response_slope

RESAMPLINGS, SEED = 100, 0
GIVEN = 100
"""Training universes whose maps are brought to each cosmology."""
Array = NDArray[np.float64]


def main() -> None:
    """Print the scores of each checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--maps", type=int, default=64, help="maps at each cosmology")
    parser.add_argument("--cosmologies", type=int, default=8, help="held-back cosmologies")
    parser.add_argument("--universes", type=int, default=24, help="true universes at each")
    parser.add_argument("--seed", type=int, default=SEED, help="of the noise")
    parser.add_argument("--sampler", help="left out: that of the config")
    parser.add_argument("--steps", type=int, help="of the sampler")
    wanted = parser.parse_args()
    by = {"sampler": wanted.sampler, "steps": wanted.steps, "seed": wanted.seed}
    held_back = HeldBack(universes=wanted.universes, cosmologies=wanted.cosmologies)
    torch.set_num_threads(1)
    for path in wanted.checkpoints:
        model = open_trained(path, device="cpu")
        maps = drain(open_maps(model.config, path.parent))
        truth = drain(universe_truth(model.config, maps, model.data["split"]["train"], held_back, None))
        points = truth.design.params.astype(np.float32)
        real = by_universe(power_of(np.asarray(truth.maps), maps).power, held_back)
        print(f"{path}: training universes {told_words(real, maps, model.data['split']['train'], points)}")
        if model.own_spectrum is not None:
            given = [masked(power_of(one, maps)) for one in brought(model, maps, points)]
            given = [one.reshape(-1, maps.maps_per_simulation, one.shape[-1]).mean(axis=1) for one in given]
            weights = weights_of(power_of(np.asarray(truth.maps)[:1], maps))
            print(f"    without a network {response_words(real, np.stack(given), weights)}", flush=True)
        means = np.asarray(truth.maps).mean(axis=(-2, -1), dtype=np.float64).reshape(len(points), -1).mean(axis=1)
        drawn = [draw(model, point, wanted.maps, 0, by | {"paired": True}) for point in points]
        starts = (wanted.maps * (1 + place) for place in range(len(points)))
        others = [draw(model, point, wanted.maps, start, by) for start, point in zip(starts, points, strict=True)]
        spectra = np.stack([of_pairs(masked(power_of(one, maps))) for one in drawn])
        response = response_words(real, spectra, weights_of(power_of(drawn[0], maps)))
        ratios = np.concatenate([one.mean(axis=(-2, -1)) / mean for one, mean in zip(others, means, strict=True)])
        print(f"    response {response}; mean {mean_words(ratios, wanted, model)}", flush=True)
        floor = 0.5 * min(float(truth.maps.min()), *(float(one.min()) for one in others))
        for words, power in (("P(k)", power_of), ("P(k) of log", partial(log_power_of, floor=floor))):
            true = by_universe(power(np.asarray(truth.maps), maps).power, held_back)
            found = np.stack([masked(power(one, maps)) for one in others])
            print(f"    {words} {power_words(true, found, weights_of(power(others[0], maps)))}", flush=True)


def draw(
    model: TrainedModel, point: NDArray[np.float32], count: int, first: int, by: dict[str, Any]
) -> NDArray[np.float32]:
    """Return maps (count, H, W) at one parameter point `by` a sampler, from the noise of maps `first` and on."""
    plan = model.plan(first=first, **by)
    steps = model.draw(np.repeat(point[None], count, axis=0), plan)
    return model.physical(torch.cat([step.finished for step in steps if step.finished is not None]))[:, 0]


def brought(model: TrainedModel, maps: MapSet, points: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield the maps of `GIVEN` training universes, brought to mean and spectrum at each of `points` (n, P)."""
    if model.own_spectrum is None:
        return
    ids = maps.maps_of(model.data["split"]["train"][:GIVEN])
    cond = model.scaler.standardise(torch.from_numpy(maps.params_of(ids)))
    seen = model.own_spectrum.standardise(model.normaliser.normalise(torch.from_numpy(maps.read(ids))), cond)
    for point in model.scaler.standardise(torch.from_numpy(points)):
        yield model.physical(model.own_spectrum.restore(seen, point.expand(len(seen), -1)))[:, 0]


def power_of(maps: NDArray[np.float32], of: MapSet) -> PowerSpectrum:
    """Return P(k) of maps (n, H, W)."""
    return power_spectrum(maps.reshape(-1, *maps.shape[-2:]), of.box_size)


def log_power_of(maps: NDArray[np.float32], of: MapSet, *, floor: float) -> PowerSpectrum:
    """Return P(k) of log10 of maps (n, H, W)."""
    return log_power_spectrum(maps.reshape(-1, *maps.shape[-2:]), of.box_size, floor)


def masked(spectrum: PowerSpectrum) -> Array:
    """Return P(k) below the Nyquist wavenumber, (n, V)."""
    return spectrum.power[:, spectrum.below(1.0)]


def of_pairs(power: Array) -> Array:
    """Return the mean of each pair, (n / 2, V), of P(k) (n, V); of an odd number the last map is left out."""
    return power[: len(power) // 2 * 2].reshape(-1, 2, power.shape[-1]).mean(axis=1)


def weights_of(spectrum: PowerSpectrum) -> Array:
    """Return the weights of the bins in each band, (3, V)."""
    shown = int(spectrum.below(1.0).sum())
    return band_weights(spectrum.k_edges[: shown + 1], SCORED_FRACTION * spectrum.k_nyquist)[0]


def by_universe(power: Array, held_back: HeldBack) -> Array:
    """Return the mean P(k) of each universe, (points, universes, V), from that of each map."""
    return power.reshape(held_back.cosmologies, held_back.universes, -1, power.shape[-1]).mean(axis=2)


def told_words(real: Array, maps: MapSet, universes: NDArray[np.intp], points: NDArray[np.float32]) -> str:
    """Return the scores of `response_words` of P(k) at `points` by a quadratic fit to the training universes."""
    ids = maps.maps_of(universes)
    spectrum = power_of(maps.read(ids), maps)
    power = masked(spectrum).reshape(len(universes), maps.maps_per_simulation, -1).mean(axis=1)
    params = maps.params_of(ids)[:: maps.maps_per_simulation]
    wanted, weights = quadratic(points), weights_of(spectrum)
    truth = real.mean(axis=1)[:, : power.shape[-1]]

    def scores(some: NDArray[np.intp]) -> list[float]:
        terms, logs = quadratic(params[some]), np.log(power[some])
        fit, *_ = np.linalg.lstsq(terms, logs, rcond=None)
        return response_scores(truth, np.exp(wanted @ fit + (logs - terms @ fit).var(axis=0) / 2), weights)

    whole = np.arange(len(power))
    return score_words(
        scores(whole), [scores(np.random.default_rng(n).choice(whole, whole.size)) for n in range(RESAMPLINGS)]
    )


def quadratic(params: NDArray[np.float32]) -> Array:
    """Return the terms of a quadratic form in ln(params), (n, terms)."""
    x = np.log(params.astype(np.float64))
    pairs = combinations_with_replacement(range(x.shape[1]), 2)
    return np.column_stack([np.ones(len(x)), x, *(x[:, one] * x[:, two] for one, two in pairs)])


def response_scores(truth: Array, own: Array, weights: Array) -> list[float]:
    """Return the slope of ln P(k) in each band, and R² over all, from mean P(k) (points, V)."""
    reference, apart = np.log(truth) @ weights.T, np.log((own / truth) @ weights.T)
    slopes = [response_slope(reference[:, band], apart[:, band]) for band in range(len(BANDS))]
    return [*slopes, followed_variance(reference, reference + apart)]


def score_words(found: list[float], again: list[list[float]]) -> str:
    """Return the scores with their errors, from resampled ones."""
    named = zip((*BANDS, "R²"), found, np.std(again, axis=0), strict=True)
    return ", ".join(f"{name.replace('_', ' ')} {value:.2f} ± {error:.2f}" for name, value, error in named)


def response_words(real: Array, drawn: Array, weights: Array) -> str:
    """Return the scores of the response in words, from P(k) (points, universes or independent draws, V)."""
    real = real[..., : drawn.shape[-1]]
    rng, whole = np.random.default_rng(SEED), (np.arange(real.shape[1]), np.arange(drawn.shape[1]))

    def scores(universes: NDArray[Any], maps: NDArray[Any]) -> list[float]:
        return response_scores(real[:, universes].mean(axis=1), drawn[:, maps].mean(axis=1), weights)

    return score_words(
        scores(*whole), [scores(*(rng.choice(one, one.size) for one in whole)) for _ in range(RESAMPLINGS)]
    )


def power_words(real: Array, drawn: Array, weights: Array) -> str:
    """Return how far P(k), mean over cosmologies, is from the true one in each band; see `response_words`."""
    real = real[..., : drawn.shape[-1]]
    rng, whole = np.random.default_rng(SEED), (np.arange(real.shape[1]), np.arange(drawn.shape[1]))

    def scores(universes: NDArray[Any], maps: NDArray[Any]) -> Array:
        truth, own = real[:, universes].mean(axis=1), drawn[:, maps].mean(axis=1)
        return (own / truth).mean(axis=0) @ weights.T - 1

    again = [scores(*(rng.choice(one, one.size) for one in whole)) for _ in range(RESAMPLINGS)]
    found = zip(BANDS, scores(*whole), np.std(again, axis=0), strict=True)
    return ", ".join(
        f"{name.replace('_', ' ')} {100 * value:+.1f} ± {100 * error:.1f} %" for name, value, error in found
    )


def mean_words(ratios: Array, wanted: argparse.Namespace, model: TrainedModel) -> str:
    """Return the bias of means relative to the true ones (n,), with the mean of their noise as control variate."""
    noise = MapNoise(wanted.seed, wanted.maps, len(ratios), model.map_shape, model.device)()
    z = noise.sum(dim=(1, 2, 3)).double().numpy() / np.sqrt(noise[0].numel())
    terms = np.stack([np.ones_like(z), z, z**2 - 1], axis=1)
    fit, *_ = np.linalg.lstsq(terms, ratios, rcond=None)
    error = (ratios - terms @ fit).std(ddof=3) / np.sqrt(len(z))
    return f"{100 * (fit[0] - 1):+.1f} ± {100 * error:.1f} %"


if __name__ == "__main__":
    main()
