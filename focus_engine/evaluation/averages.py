"""Averages of the weights chosen after training: rebuilt from snapshots, scored on the validation maps, remembered.

`training/snapshots.py` writes the snapshots, `models/power_average.py` has the mathematics.
"""

import json
import math
from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from focus_engine.atomic import write_atomically
from focus_engine.data.batches import Batches
from focus_engine.data.opening import open_maps
from focus_engine.errors import InputError
from focus_engine.evaluation.trained_model import TrainedModel, open_trained
from focus_engine.events.table import DataProgress
from focus_engine.models.power_average import LENGTHS, Reconstruction, reconstruct
from focus_engine.runs.folder import RunFolder
from focus_engine.small_files import read_json
from focus_engine.training.checkpoint import load_checkpoint
from focus_engine.training.snapshots import SnapshotFolder, flat
from focus_engine.training.validation import Validation

LARGEST_ERROR = 0.05
"""Largest error of a rebuilt average's profile (`Reconstruction.error`); longer and shorter ones are refused."""
CANDIDATES = (0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25)
"""Lengths that are scored to find the best."""
BEST = "best.json"


class KeptAverages:
    """The averages that a run keeps up to a checkpoint: its snapshots, and those in the checkpoint itself."""

    def __init__(self, checkpoint: Path, folder: SnapshotFolder) -> None:
        """Read the checkpoint. Raises InputError if it holds no averages."""
        self._path, self._folder = checkpoint, folder
        held = load_checkpoint(checkpoint).state.get("averages")
        if held is None:
            raise InputError(
                f"{checkpoint}: holds no averages of other lengths: it was trained with training.averages: false, "
                "or by an earlier FOCUS; leave --ema out to use its moving average"
            )
        self._step = int(held["updates"])
        self._read: dict[int, list[Tensor]] = {self._step: [flat(weights) for weights in held["weights"]]}
        if self._step < 1:
            raise InputError(f"{checkpoint}: is of a run without a single step, so there is nothing to average")

    @cached_property
    def steps(self) -> list[int]:
        """Steps of the averages, in order; the checkpoint's own is the last."""
        return [step for step in self._folder.steps() if 0 < step < self._step] + [self._step]

    def _combination(self, length: float) -> Reconstruction:
        steps = [step for step in self.steps for _ in LENGTHS]
        return reconstruct(steps, list(LENGTHS) * len(self.steps), self._step, length)

    def allows(self, length: float) -> bool:
        """Whether the average of `length` can be rebuilt. Raises InputError if there is no such average."""
        return self._combination(length).error <= LARGEST_ERROR

    def allowed(self) -> tuple[float, float]:
        """Return the shortest and the longest length that can be rebuilt, in steps of 0.005."""
        shorter = takewhile(self.allows, (0.005 * number for number in range(10, 0, -1)))
        longer = takewhile(self.allows, (0.005 * number for number in range(20, 58)))
        return min(shorter, default=LENGTHS[0]), max(longer, default=LENGTHS[1])

    def weights(self, length: float) -> Tensor:
        """Return the average of `length` as one vector (`snapshots.flat`), float32 on the CPU.

        Raises:
            InputError: the snapshots do not allow this length, or one of them is damaged or of another network.
        """
        combination = self._combination(length)
        if combination.error > LARGEST_ERROR:
            low, high = self.allowed()
            raise InputError(
                f"an average of length {length:g} cannot be rebuilt from the {len(self.steps) - 1} snapshots before "
                f"{self._path.name} (error {combination.error:.0%}); they allow {low:g} to {high:g}",
                where=f"--ema {length:g}",
            )
        factors = combination.coefficients.reshape(-1, len(LENGTHS)).tolist()
        total = torch.zeros(self._read[self._step][0].shape)
        for step, own in zip(self.steps, factors, strict=True):
            for factor, weights in zip(own, self._averages(step), strict=True):
                total.add_(weights.float(), alpha=factor)
        return total

    def _averages(self, step: int) -> list[Tensor]:
        """Return the averages after `step`, read once, because finding the best takes a dozen sums of them."""
        if step not in self._read:
            read = self._folder.read(step)
            if any(one.shape != self._read[self._step][0].shape for one in read):
                raise InputError(f"{self._folder.file(step)}: is of another network than {self._path.name}: remove it")
            self._read[step] = read
        return self._read[step]


def open_averaged(run: RunFolder, path: Path, ema: float | str | None, *, device: str | None = None) -> TrainedModel:
    """Return the model of the checkpoint at `path` with the average `ema`: a length, `best` or None.

    `best` is the one that `find_best` remembered, None the moving average of training, which `best` may be as well.

    Raises:
        InputError: as `open_trained`; or this length cannot be rebuilt; or the best is not known for this checkpoint.
    """
    model = open_trained(path, device=device)
    length = _remembered(run, path, str(model.source["sha256"])) if ema == "best" else ema
    if length is None:
        return model
    _take(model.network, KeptAverages(path, SnapshotFolder(run.averages)).weights(float(length)))
    return model.with_average(float(length))


def _remembered(run: RunFolder, path: Path, checkpoint: str) -> float | None:
    """Return the length of the best average of the checkpoint with this SHA-256. Raises InputError if unknown."""
    known = BestAverage.read(run)
    if known is not None and known.checkpoint == checkpoint:
        return known.length
    why = "is not known" if known is None else "was found for another checkpoint"
    which = "" if path == run.checkpoint_best else f" --checkpoint {path.stem.removeprefix('checkpoint_')}"
    remedy = f"find it with focus evaluate {run.name} --ema best{which}"
    raise InputError(f"the best average of {path.name} {why}: {remedy}", where="--ema best")


@torch.no_grad()
def _take(network: nn.Module, weights: Tensor) -> None:
    """Copy the vector of all weights, `flat`, into the parameters of `network`, which keep their device and layout."""
    parameters = list(network.parameters())
    sizes = [one.numel() for one in parameters]
    for parameter, values in zip(parameters, torch.split(weights, sizes), strict=True):
        parameter.copy_(values.view(parameter.shape))


@dataclass(frozen=True)
class BestAverage:
    """The validation loss of averages of a checkpoint, and which is lowest.

    Attributes:
        checkpoint: SHA-256 of the checkpoint.
        moving: validation loss of the moving average of training.
        losses: validation loss by length.
    """

    checkpoint: str
    moving: float
    losses: dict[float, float]

    @property
    def length(self) -> float | None:
        """The length with the lowest loss; None if that is the moving average."""
        length = min(self.losses, key=self.losses.__getitem__)
        return length if self.losses[length] < self.moving else None

    def words(self) -> str:
        """Return the result in one sentence."""
        length = min(self.losses, key=self.losses.__getitem__)
        best = (
            f"the best of {len(self.losses)} averages has length {length:g}: validation loss {self.losses[length]:.5g}"
        )
        verdict = "" if self.length is not None else ", which is not lower, so that one is used"
        return f"{best}; the moving average of training has {self.moving:.5g}{verdict}"

    def write(self, run: RunFolder) -> None:
        """Remember the result in the run folder. Raises OSError."""
        run.averages.mkdir(parents=True, exist_ok=True)
        losses = [{"length": length, "loss": loss} for length, loss in self.losses.items()]
        found: dict[str, Any] = {"checkpoint": self.checkpoint, "best": self.length, "moving": self.moving}
        with write_atomically(run.averages / BEST) as temporary:
            temporary.write_text(json.dumps({**found, "losses": losses}, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, run: RunFolder) -> "BestAverage | None":
        """Return what is remembered of `run`; None if there is nothing, or nothing that can be read."""
        try:
            found = read_json(run.averages / BEST)
            losses = {float(one["length"]): float(one["loss"]) for one in found["losses"]}
            return cls(str(found["checkpoint"]), float(found["moving"]), losses) if losses else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


def find_best(run: RunFolder, path: Path, *, device: str | None = None) -> Generator[DataProgress, None, BestAverage]:
    """Score the averages of the checkpoint at `path` by the loss on the validation maps; remember and return them.

    All see the same maps, times and noise, those of the validation loss during training. Yields progress.

    Raises:
        InputError: the data are missing or have changed, or the checkpoint holds no averages.
        OSError: the result can't be written.
    """
    kept = KeptAverages(path, SnapshotFolder(run.averages))
    lengths = [length for length in CANDIDATES if kept.allows(length)]
    model = open_trained(path, device=device)
    validation = yield from _validation(run, model)
    losses: dict[float | None, float] = {}
    for number, length in enumerate([None, *lengths]):
        yield DataProgress(what="validation loss of averages", done=number, total=1 + len(lengths))
        if length is not None:
            _take(model.network, kept.weights(length))
        (losses[length],) = validation.losses(model.network) or (math.nan,)
    moving = losses.pop(None)
    found = {length: loss for length, loss in losses.items() if length is not None and math.isfinite(loss)}
    if not found or not math.isfinite(moving):
        raise InputError(f"{path.name}: the validation loss is not finite: the network has diverged")
    best = BestAverage(str(model.source["sha256"]), moving, found)
    best.write(run)
    return best


def _validation(run: RunFolder, model: TrainedModel) -> Generator[DataProgress, None, Validation]:
    """Return the validation of the training, on the maps of its split."""
    maps = yield from open_maps(model.config, run.path)
    if maps.fingerprint != model.data["fingerprint"]:
        raise InputError(f"{run.name}: its data have changed since it was trained; bring the old files back")
    seed, batch_size = model.config.training.seed, model.config.training.batch_size
    ids, workers = maps.maps_of(model.data["split"]["validation"]), model.config.data.num_workers
    held_out = Batches(
        maps,
        ids,
        model.normaliser,
        model.scaler,
        standard=None if model.own_spectrum is None else model.own_spectrum.standardise,
        batch_size=batch_size,
        seed=seed,
        device=model.device,
        num_workers=workers,
    )
    return Validation(held_out, model.process, seed=seed, precision=model.context)
