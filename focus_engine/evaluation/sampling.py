"""Sampling and evaluation of a trained run (`focus sample`, `focus evaluate`).

Both are generators that yield progress, for a terminal, the dashboard or a script to show.
"""

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from focus_engine.atomic import write_atomically
from focus_engine.data.maps import MapSet
from focus_engine.data.opening import open_maps, spread
from focus_engine.data.parameters import read_parameter_table, select_parameters
from focus_engine.errors import FocusError, InputError
from focus_engine.evaluation.samples_file import write_samples
from focus_engine.evaluation.trained_model import TrainedModel
from focus_engine.evaluation.truth import HeldBack, check_held_back, held_out_truth, universe_truth
from focus_engine.events.table import DataProgress
from focus_engine.figures.pages import draw_evaluation, draw_samples
from focus_engine.generative.sampling import DrawnBatches, SamplingPlan, SamplingProgress
from focus_engine.runs.folder import RunFolder
from focus_engine.spooling import spooled
from focus_engine.statistics.compare import Evaluation, judging
from focus_engine.statistics.power import PowerSpectrum, measured_power
from focus_engine.units import NORMALISED

Source = RunFolder | Path
"""Where a model comes from: a run, or a weights file."""


@dataclass(frozen=True, eq=False)
class SamplingResult:
    """Maps drawn from a checkpoint.

    Attributes:
        maps: float32 (N, C, H, W), physical units.
        params: their parameters, float32 (N, P).
        fields: names of the channels, (C,).
        units: their units, (C,).
        spectra: P(k) of each channel, (C,); None where it is not physical.
        path: path of the .npz file.
        figure: path of the PNG figure.
        nfe: NFE (network function evaluations) per map.
    """

    maps: NDArray[np.float32]
    params: NDArray[np.float32]
    fields: tuple[str, ...]
    units: tuple[str, ...]
    spectra: tuple[PowerSpectrum | None, ...]
    path: Path
    figure: Path
    nfe: int

    @property
    def power(self) -> PowerSpectrum | None:
        """P(k) of the first channel; None when it is not physical."""
        return self.spectra[0]


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """Samples of a run compared with its test maps, or with held-back universes.

    Attributes:
        evaluation: every statistic, of all maps.
        real: a real map at the parameters of each sample, float32 (N, C, H, W), physical units.
        generated: the samples, of the same shape.
        params: the parameters, float32 (N, P).
        report: path of the JSON report.
        figure: path of the PNG figure.
    """

    evaluation: Evaluation
    real: NDArray[np.float32]
    generated: NDArray[np.float32]
    params: NDArray[np.float32]
    report: Path
    figure: Path


def choose_params(
    model: TrainedModel, count: int | None, given: Mapping[str, float] | None, file: Path | None
) -> NDArray[np.float32]:
    """Return the parameters (N, P) to sample at.

    Values `given` by name apply to all maps; those that did not vary in training may be omitted. A `file` holds one
    row per map. Without either, the parameters of the validation maps are taken in order, repeatedly.

    Raises:
        InputError: an unknown, missing or non-finite parameter, or a file that does not fit.
    """
    names = model.scaler.names
    if file is not None:
        rows, _ = select_parameters(read_parameter_table(file), names or None, len(names), where=str(file))
        table = np.asarray(rows, dtype=np.float32)
        return np.resize(table, (count, table.shape[1])) if count else table
    if given is not None:
        return np.tile(_row(model, given), (count or 16, 1))
    per_simulation = model.data["maps_per_simulation"]
    known = np.repeat(np.array(model.data["validation_params"], dtype=np.float32), per_simulation, axis=0)
    wanted = np.arange(count or 16) % len(known)
    return known[wanted].reshape(len(wanted), len(names))


def _row(model: TrainedModel, given: Mapping[str, float]) -> NDArray[np.float32]:
    scaler = model.scaler
    unknown = [name for name in given if name not in scaler.names]
    if unknown:
        raise InputError(
            f"--params: {', '.join(unknown)}: this model is conditioned on {', '.join(scaler.names) or 'nothing'}"
        )
    constant = {name: low for name, low, high in zip(scaler.names, scaler.low, scaler.high, strict=True) if low == high}
    values = {**constant, **given}
    missing = [name for name in scaler.names if name not in values]
    if missing:
        example = ",".join(f"{name}={value:.3g}" for name, value in zip(scaler.names, scaler.centre, strict=True))
        raise InputError(f"--params: {', '.join(missing)} missing; give all of them, such as --params {example}")
    row = np.array([values[name] for name in scaler.names], dtype=np.float32)
    if not np.isfinite(row).all():
        raise InputError(f"--params: every value must be a finite number, not {dict(given)}")
    return row


def sample_run(
    source: Source, model: TrainedModel, params: NDArray[np.float32], plan: SamplingPlan, output: Path | None
) -> Generator[SamplingProgress, None, SamplingResult]:
    """Draw a map for each row of `params` and write .npz and PNG; yield progress and return the result.

    `source` is the run or the weights file of the model.

    Raises:
        InputError: `output` exists or is not a .npz file.
        FocusError: the maps are not finite.
        OSError: a file can't be written.
    """
    path = output_path(source, plan, output)
    maps, nfe = yield from _draw(model, params, plan)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_samples(path, maps, params, model, plan)
    box_size, fields, units = model.data["box_size"], model.field_names, model.field_units
    spectra = tuple(_power(maps[:, channel], box_size, unit) for channel, unit in enumerate(units))
    figure = path.with_suffix(".png")
    names, title = model.scaler.names, source.stem if isinstance(source, Path) else source.name
    draw_samples(figure, None, maps, params, names, box_size=box_size, units=units, fields=fields, title=title)
    return SamplingResult(maps, params, fields, units, spectra, path, figure, nfe)


def _power(maps: NDArray[np.float32], box_size: float, units: str) -> PowerSpectrum | None:
    unphysical = units != NORMALISED and not (maps >= 0).all()
    return None if unphysical else measured_power(maps, box_size, units)


def output_path(source: Source, plan: SamplingPlan, output: Path | None) -> Path:
    """Return the path of the samples: `output`, which must not exist, or a free name.

    That is in the samples folder of the run; for a weights file in the current folder, with the name of the file.

    Raises:
        InputError: `output` exists, is not a .npz file, or its folder does not exist.
    """
    if output is not None:
        if output.suffix != ".npz":
            raise InputError(f"-o {output}: samples are written as .npz; name the file so")
        if output.exists():
            raise InputError(f"-o {output}: exists already; nothing is overwritten, choose another name")
        if not output.absolute().parent.is_dir():
            raise InputError(f"-o {output}: there is no folder {output.absolute().parent}")
        return output
    folder, name = (Path(), source.stem) if isinstance(source, Path) else (source.samples, "samples")
    stem = f"{name}_{plan.sampler}{plan.steps}_seed{plan.seed}"
    free = (folder / f"{stem}{f'-{n}' if n > 1 else ''}.npz" for n in range(1, 100_000))
    return next(path for path in free if not path.exists())


def _draw(
    model: TrainedModel, params: NDArray[np.float32], plan: SamplingPlan
) -> Generator[SamplingProgress, None, tuple[NDArray[np.float32], int]]:
    maps, nfe = yield from draw_physical(model, params, plan)
    if not np.isfinite(maps).all():
        raise FocusError("the network gave maps that are not finite: it was not trained far enough, or diverged")
    return maps, nfe


def draw_physical(
    model: TrainedModel, params: NDArray[np.float32], plan: SamplingPlan
) -> Generator[SamplingProgress, None, tuple[NDArray[np.float32], int]]:
    """Yield the sampler's progress; return the maps (N, C, H, W) in physical units and the NFE per map.

    The maps of a barely trained network may be infinite.
    """
    drawn = DrawnBatches()
    for progress in model.draw(params, plan):
        drawn.add(progress)
        yield progress
    return model.physical(drawn.maps), drawn.nfe


def evaluate_run(
    run: RunFolder,
    model: TrainedModel,
    plan: SamplingPlan,
    count: int | None,
    output: Path | None = None,
    held_back: HeldBack | None = None,
) -> Generator[DataProgress | SamplingProgress, None, EvaluationResult]:
    """Draw maps at the parameters of real ones and compare; yield progress and return the result.

    Real maps are the test maps, with one generated map each, or those of held-back universes. The report is written
    to the folder `output`, or to the run folder, replacing an older one; that of held-back universes has its own name.

    Raises:
        InputError: the data are missing or have changed, or there can be no held-back universes.
        FocusError: the generated maps are not physical.
        OSError: a file can't be written.
    """
    if held_back is not None:  # before universes are simulated anew
        check_held_back(model.config, model.scaler.names, held_back, count)
    maps = yield from open_maps(model.config, run.path)
    if maps.fingerprint != model.data["fingerprint"]:
        raise InputError(f"{run.name}: its data have changed since it was trained; bring the old files back")
    split = model.data["split"]
    if held_back is None:
        truth = held_out_truth(maps, split["test"], count)
    else:
        truth = yield from universe_truth(model.config, maps, split["train"], held_back, count)
    generated, _ = yield from _draw(model, truth.params, plan)
    evaluation = yield from judging(
        truth.maps,
        generated,
        truth.design,
        maps.box_size,
        physical=maps.physical,
        fields=maps.field_names,
        units=maps.field_units,
        training=_training_maps(maps, split["train"]),
    )
    stem = "evaluation" if held_back is None else "evaluation_universes"
    report, figure = (output or run.path) / f"{stem}.json", (output or run.figs) / f"{stem}.png"
    result = EvaluationResult(evaluation, truth.paired_maps(), generated, truth.params, report, figure)
    _write_report(run, model, plan, result, maps)
    return result


def _training_maps(maps: MapSet, train: Sequence[int]) -> NDArray[np.generic]:
    """Return the maps of the training simulations (N, C, H, W): in memory, or mapped from an unnamed file if large."""
    ids = maps.maps_of(train)
    return spooled((len(ids), *maps.shape), np.dtype(np.float32), lambda first, last: maps.read(ids[first:last]))


def _write_report(
    run: RunFolder, model: TrainedModel, plan: SamplingPlan, result: EvaluationResult, maps: MapSet
) -> None:
    """Write the JSON report and its figure."""
    report, evaluation = result.report, result.evaluation
    report.parent.mkdir(parents=True, exist_ok=True)
    result.figure.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(report) as temporary:
        temporary.write_text(json.dumps(report_document(evaluation, model, plan), indent=1) + "\n", encoding="utf-8")
    shown = spread(np.arange(len(result.params)), 6)  # of different simulations
    draw_evaluation(
        result.figure,
        evaluation,
        real=result.real[shown],
        generated=result.generated[shown],
        params=result.params[shown],
        param_names=model.scaler.names,
        units=maps.field_units,
        fields=maps.field_names,
        title=f"{run.name}, {model.source.get('file', '')} (epoch {model.source.get('epoch', '?')})",
    )


def report_document(evaluation: Evaluation, model: TrainedModel, plan: SamplingPlan) -> dict[str, object]:
    """Return the document of `focus evaluate --json`."""
    keys = ("sampler", "steps", "spacing", "eta", "churn", "rtol", "atol", "guidance", "prior", "seed")
    sampling = {name: getattr(plan, name) for name in keys} | {"calibrated": model.calibrates(plan)}
    return {**evaluation.to_dict(), "checkpoint": dict(model.source), "sampling": sampling}
