"""A trained network and all that its samples need: drawing maps in physical units from a checkpoint.

Used by `focus sample`, by `focus evaluate` and, during training, for the samples of an epoch: one way to draw.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from focus_engine.atomic import write_atomically
from focus_engine.config.samplers import choose_sampler
from focus_engine.config.schema import Config
from focus_engine.data.normalise import Normaliser, ParameterScaler
from focus_engine.errors import InputError
from focus_engine.generative.build import build_process
from focus_engine.generative.process import Process
from focus_engine.generative.sampling import Precision, SamplingPlan, SamplingProgress, sample_steps
from focus_engine.models.build import build_network
from focus_engine.runs.folder import RunFolder
from focus_engine.training.checkpoint import Checkpoint, load_checkpoint, sha256_of
from focus_engine.training.devices import choose_device, choose_precision, precision_context
from focus_engine.training.prepare import PreparedRun
from focus_engine.trust import check_stamp
from focus_engine.version import __version__


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A network ready to sample.

    Attributes:
        network: EMA weights, in evaluation mode, on `device`.
        process: its generative process.
        normaliser: from standardised to physical maps.
        scaler: from physical to standardised parameters, with the trained range.
        config: the config that it was trained with.
        data: what the checkpoint says of the data (`PreparedData.describe`).
        device: where it samples.
        context: context of a network evaluation, which sets its precision.
        source: file name, epoch and SHA-256 of the checkpoint; empty during training.
    """

    network: nn.Module
    process: Process
    normaliser: Normaliser
    scaler: ParameterScaler
    config: Config
    data: Mapping[str, Any]
    device: torch.device
    context: Precision
    source: Mapping[str, Any]

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        channels, height, width = self.data["map_shape"]
        return int(channels), int(height), int(width)

    def plan(self, **changes: Any) -> SamplingPlan:  # noqa: ANN401  (the fields of SamplingPlan)
        """Return the config's sampling plan, changed where a value is not None; checked against the process.

        Raises:
            InputError: the plan does not fit the model.
        """
        block = self.config.sampling
        wanted = {name: value for name, value in changes.items() if value is not None}
        spec = choose_sampler(wanted.get("sampler", block.method), self.config.method)
        own = {"sampler": spec.name, "steps": spec.steps_in(self.config), "guidance": block.cfg_scale}
        eta = block.eta if spec.takes_eta else None
        return SamplingPlan(**{**own, "eta": eta, **wanted}).checked(self.process)

    def draw(self, params: NDArray[np.float32], plan: SamplingPlan) -> Iterator[SamplingProgress]:
        """Draw one map for each row of physical parameters `params` (N, P), step by step."""
        cond = self.scaler.standardise(torch.from_numpy(np.asarray(params, dtype=np.float32)))
        return sample_steps(
            self.network, self.process, cond, self.map_shape, plan, device=self.device, precision=self.context
        )

    def physical(self, maps: torch.Tensor) -> NDArray[np.float32]:
        """Return standardised maps (N, C, H, W) in physical units, float32."""
        physical: NDArray[np.float32] = self.normaliser.physical(maps).numpy()
        return physical


def model_in_training(run: PreparedRun) -> TrainedModel:
    """Return the model as its EMA weights stand now; it goes on changing with them."""
    return TrainedModel(
        network=run.state.ema.module,
        process=run.process,
        normaliser=run.data.normaliser,
        scaler=run.data.scaler,
        config=run.config,
        data=run.data.describe(),
        device=run.device,
        context=run.context,
        source={},
    )


def find_checkpoint(run: RunFolder, which: str) -> Path:
    """Return the file of `best`, `last` or a path.

    Raises:
        InputError: it is not there; the message says what is.
    """
    path = {"best": run.checkpoint_best, "last": run.checkpoint_last}.get(which, Path(which).expanduser())
    if path.is_file():
        return path
    if which in {"best", "last"} and not run.has_checkpoints():
        raise InputError(f"{run.name} has no checkpoint yet: start it with focus start {run.name}, or wait for epoch 1")
    have = [file.name for file in (run.checkpoint_best, run.checkpoint_last) if file.is_file()]
    raise InputError(
        f"{path}: no such checkpoint; give best, last or a file" + (f" (there: {', '.join(have)})" if have else "")
    )


def open_trained(path: Path, *, device: str | None = None) -> TrainedModel:
    """Rebuild the model of the checkpoint at `path`; its own config says how.

    Raises:
        InputError: not a readable checkpoint, or one that names somebody else's code, or there is no such device.
    """
    saved = load_checkpoint(path)
    try:
        config = Config.model_validate(saved.config)
        normaliser, scaler = Normaliser.from_dict(saved.normaliser), ParameterScaler.from_dict(saved.scaler)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: what it says of its model cannot be read by this FOCUS: {_brief(error)}") from None
    check_stamp(path, config.model.from_, saved.provenance.get("stamp"))
    place = choose_device(device or config.device)
    network = build_network(config.model)
    try:
        network.load_state_dict(saved.state["ema"]["module"])
    except (RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: the weights do not fit the network that its config names: {_brief(error)}") from None
    return TrainedModel(
        network=network.requires_grad_(requires_grad=False).eval().to(place),
        process=build_process(config),
        normaliser=normaliser,
        scaler=scaler,
        config=config,
        data=saved.data,
        device=place,
        context=precision_context(choose_precision(config.training.precision, place), place),
        source=_source(path, saved),
    )


def _brief(error: Exception) -> str:
    """One line of what may be many."""
    return " ".join(str(error).split())[:200]


def _source(path: Path, saved: Checkpoint) -> dict[str, Any]:
    return {"file": path.name, "epoch": saved.epoch, "sha256": sha256_of(path)}


def write_samples(
    path: Path,
    maps: NDArray[np.float32],
    params: NDArray[np.float32],
    model: TrainedModel,
    plan: SamplingPlan,
    *,
    epoch: int | None = None,
    real: NDArray[np.float32] | None = None,
    real_ids: Sequence[int] = (),
) -> None:
    """Write the documented .npz of `focus sample`; during training with the real maps beside the drawn ones.

    `maps` is float32 (N, H, W), or (N, C, H, W) where C > 1, in physical units. Raises OSError.
    """
    single = model.map_shape[0] == 1
    source = dict(model.source) or {"file": "", "epoch": epoch, "sha256": ""}
    content: dict[str, Any] = {
        "maps": maps[:, 0] if single else maps,
        "params": params,
        "param_names": np.array(model.scaler.names, dtype=str),
        "box_size": model.data["box_size"],
        "units": model.data["units"],
        "seed": plan.seed,
        "sampler": plan.sampler,
        "steps": plan.steps,
        "eta": plan.eta,
        "guidance": plan.guidance,
        "checkpoint": np.array([source["file"], str(source["epoch"]), source["sha256"]]),
        "focus_version": __version__,
    }
    if real is not None:
        content |= {"real": real[:, 0] if single else real, "real_ids": np.array(real_ids, dtype=np.int64)}
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **content)
