"""A trained network with everything that is needed to draw maps in physical units from it.

Used by `focus sample`, by `focus evaluate` and for the samples during training.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from focus_engine.allocator import keep_freed_memory
from focus_engine.config.blocks.model import ModelBlock
from focus_engine.config.budgets import sampler_within
from focus_engine.config.methods import METHODS
from focus_engine.config.networks import NETWORKS
from focus_engine.config.samplers import SamplerSpec, choose_sampler, number_at
from focus_engine.config.schema import Config
from focus_engine.data.channels import ONE_FIELD
from focus_engine.data.digests import from_text
from focus_engine.data.normalise import Normaliser
from focus_engine.data.parameter_scaler import ParameterScaler
from focus_engine.errors import InputError
from focus_engine.generative.build import build_process
from focus_engine.generative.calibration import Calibration
from focus_engine.generative.guidance import nfe_per_call
from focus_engine.generative.own_spectrum import OwnSpectrum
from focus_engine.generative.prior import SpectralPrior
from focus_engine.generative.process import Process
from focus_engine.generative.sampling import Precision, SamplingPlan, SamplingProgress, filling_batch, sample_steps
from focus_engine.generative.shared_sampling import Copy, SharedJob, share_steps
from focus_engine.models.batch_parts import BatchParts, PartedNetwork
from focus_engine.models.build import build_network, check_weights
from focus_engine.models.fused import placed
from focus_engine.models.graphed import GraphedEvaluation
from focus_engine.models.inference import for_inference
from focus_engine.runs.folder import RunFolder
from focus_engine.training.checkpoint import Checkpoint, sha256_of
from focus_engine.training.devices import choose_device, other_devices, precision_context
from focus_engine.training.prepare import PreparedRun, precision_of_run
from focus_engine.training.prepared_data import CALIBRATION, saved_calibration, saved_own_spectrum, saved_prior
from focus_engine.training.weights_file import is_weights_file, load_model
from focus_engine.trust import check_stamp

LARGEST_SIDE = 2**14
"""Pixels of a side of the maps that a weights file may describe."""


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A network ready to sample.

    Attributes:
        network: averaged weights, in evaluation mode, on `device`.
        process: its generative process.
        normaliser: converts standardised to physical maps.
        scaler: converts physical to standardised parameters; holds the trained range.
        config: the config that it was trained with.
        data: the description of the data in the checkpoint (`PreparedData.describe`).
        device: the device of sampling.
        context: the context of a network evaluation, which sets its precision.
        source: file name, epoch and SHA-256 of the checkpoint, and `ema`, the length of the average of the weights if
            it is not the moving average of training; empty during training.
        prior: mean and spectrum of the training maps as the network sees them; None in checkpoints of earlier versions.
        own_spectrum: the spectrum in whose units the network draws maps; None without data.standardize: spectrum.
        calibration: of what these weights draw; None where they were not calibrated, and for other averages.
        provenance: that of the checkpoint; empty during training.
        copies: the network on each device that draws maps; empty where only `device` does.
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
    prior: SpectralPrior | None = None
    own_spectrum: OwnSpectrum | None = None
    calibration: Calibration | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    copies: tuple[Copy, ...] = ()

    def shared(self, count: int) -> "TrainedModel":
        """Return the model with copies of its network on `count` devices of one kind, which share the maps to draw.

        On a CPU the copies are threads of the same cores. Raises InputError if there are fewer devices.
        """
        places = [self.device, *other_devices(self.device, count - 1)]
        copies = tuple(Copy(deepcopy(self.network).to(place), place) for place in places[1:])
        return replace(self, copies=(Copy(self.network, self.device), *copies) if copies else ())

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a map."""
        channels, height, width = self.data["map_shape"]
        return int(channels), int(height), int(width)

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of the channels, (C,); checkpoints of earlier versions hold none."""
        channels = self.map_shape[0]
        default = [ONE_FIELD] if channels == 1 else [f"channel {number}" for number in range(channels)]
        return tuple(self.data.get("fields", default))

    @property
    def field_units(self) -> tuple[str, ...]:
        """Units of the channels, (C,)."""
        return tuple(self.data.get("field_units", [self.data["units"]] * self.map_shape[0]))

    def plan(self, **changes: Any) -> SamplingPlan:  # noqa: ANN401  (the fields of SamplingPlan)
        """Return the config's sampling plan with the `changes` that are not None, checked against the process.

        `nfe` stands for a sampler and a number of steps: those of `sampler_within`. A sampler that it picks has its own
        spacing and no noise, as it was measured; the config's are for the config's sampler. The batch size is
        `filling_batch`.

        Raises:
            InputError: the plan does not suit the model.
        """
        block = self.config.sampling
        wanted = {name: value for name, value in changes.items() if value is not None}
        picked = "nfe" in wanted and "sampler" not in wanted
        spec, steps = self._solver(wanted)
        spec.check_tolerances(wanted)
        own = {
            "sampler": spec.name,
            "steps": steps,
            "batch_size": filling_batch(self.map_shape, self.device),
            "guidance": block.cfg_scale,
            "eta": block.eta if spec.takes_eta and spec.accepts_eta(block.eta) and not picked else None,
            "spacing": None if picked else block.spacing,
            "churn": block.churn if spec.churns and not picked else 0.0,
            "rtol": block.rtol,
            "atol": block.atol,
        }
        start = str(wanted.pop("prior", block.prior))
        plan = SamplingPlan(**{**own, **wanted}).checked(self.process)
        self._check_guidance(plan.guidance)
        return replace(plan, prior=self._start_of(start, plan.steps)).checked(self.process)

    def _check_guidance(self, guidance: float) -> None:
        """Raise InputError for guidance other than 1 of a network whose empty condition was never trained."""
        if guidance != 1 and self.config.model.cond_dim and self.config.training.cfg_prob == 0:
            raise InputError(
                f"guidance {guidance:g}: the network was trained with training.cfg_prob 0 and knows no maps without "
                "parameters; use guidance 1, or train with cfg_prob 0.1",
                keys=("guidance",),
            )

    def _solver(self, wanted: dict[str, Any]) -> tuple[SamplerSpec, int | None]:
        """Return the sampler and its steps; takes `nfe` out of `wanted`. Raises InputError."""
        method, nfe = self.config.method, wanted.pop("nfe", None)
        if nfe is None:
            spec = choose_sampler(wanted.get("sampler", self.config.sampling.method), method)
            return spec, spec.steps_in(self.config)
        if "steps" in wanted:
            raise InputError("nfe and steps are both given: keep one of them", keys=("nfe", "steps"))
        per_call = nfe_per_call(wanted.get("guidance", self.config.sampling.cfg_scale))
        most = number_at(self.config, METHODS[method].most_steps)
        return sampler_within(nfe, method, name=wanted.get("sampler"), per_call=per_call, most=most)

    def _start_of(self, wanted: str, steps: int) -> str:
        """Return where sampling starts (`sampling.prior`). Raises InputError if the checkpoint lacks the spectrum."""
        if wanted == "spectrum" and self.prior is None:
            raise InputError(
                "sampling.prior: spectrum: the checkpoint is of a version of FOCUS that kept no spectrum of the "
                "training maps; train it for another epoch (raise training.num_epochs and resume), or use prior white"
            )
        if wanted == "auto":
            holds_signal = self.process.scales(self.process.times(steps)[0])[0] > 0
            return "spectrum" if holds_signal and self.prior is not None else "white"
        return wanted

    def draw(self, params: NDArray[np.float32], plan: SamplingPlan) -> Iterator[SamplingProgress]:
        """Yield the sampling steps of one map for each row of physical parameters `params` (N, P)."""
        return self.draw_at(self.scaler.standardise(torch.from_numpy(np.asarray(params, dtype=np.float32))), plan)

    def draw_at(self, cond: torch.Tensor, plan: SamplingPlan) -> Iterator[SamplingProgress]:
        """Yield the sampling steps of one map for each row of standardised parameters `cond` (N, P)."""
        # A network of the user's own may take gradients of its output, which inference mode forbids.
        without = torch.inference_mode if self._of_focus else torch.no_grad
        calibrated = self.calibrates(plan)
        restore = partial(self._restored, calibrated=calibrated) if self.own_spectrum or calibrated else None
        if self.copies:
            copies = [Copy(self._evaluated(one), one.device) for one in self.copies]
            job = SharedJob(self.process, cond, self.map_shape, plan, self.context, without, self.prior, restore)
            return share_steps(copies, job)
        return sample_steps(
            self._evaluated(Copy(self.network, self.device)),
            self.process,
            cond,
            self.map_shape,
            plan,
            device=self.device,
            precision=self.context,
            without_gradients=without,
            prior=self.prior,
            restore=restore,
        )

    def calibrates(self, plan: SamplingPlan) -> bool:
        """Return whether maps of `plan` are calibrated: not with another guidance, meant to change the density."""
        return self.calibration is not None and plan.guidance == self.config.sampling.cfg_scale

    def in_units_of_network(self) -> "TrainedModel":
        """Return the model that draws maps in the units of its network, as it draws them."""
        return replace(self, own_spectrum=None, calibration=None)

    def with_average(self, length: float) -> "TrainedModel":
        """Return the model whose network holds an average of another `length`, which nothing is calibrated for."""
        data = {name: value for name, value in self.data.items() if name != CALIBRATION}
        return replace(self, source={**self.source, "ema": length}, calibration=None, data=data)

    def _restored(self, maps: torch.Tensor, cond: torch.Tensor, *, calibrated: bool) -> torch.Tensor:
        """Return normalised maps (n, C, H, W) from what the network draws at `cond` (n, P)."""
        if calibrated and self.calibration is not None:
            maps = self.calibration.apply(maps)
        return maps if self.own_spectrum is None else self.own_spectrum.restore(maps, cond)

    @property
    def _of_focus(self) -> bool:
        return self.config.model.from_ in NETWORKS

    def _evaluated(self, copy: Copy) -> nn.Module:
        """Return the module that is evaluated in sampling in place of the network of `copy`."""
        network = copy.network
        if copy.device.type == "cpu" and self._of_focus:
            with self.context():
                network = for_inference(network)
        if copy.device.type == "cuda" and self._of_focus:
            network = GraphedEvaluation(network)
        return PartedNetwork(network, BatchParts.of(network, copy.device, trains=False))

    def physical(self, maps: torch.Tensor) -> NDArray[np.float32]:
        """Return standardised maps (N, C, H, W) in physical units, float32."""
        physical: NDArray[np.float32] = self.normaliser.physical(maps).numpy()
        return physical


def model_in_training(run: PreparedRun) -> TrainedModel:
    """Return the model with the EMA weights of a training; it shares them, so it changes as training continues."""
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
        prior=run.data.prior,
        own_spectrum=run.data.own_spectrum,
    )


def find_checkpoint(run: RunFolder, which: str) -> Path:
    """Return the checkpoint file for `best`, `last` or a path.

    Raises:
        InputError: there is no such file; the message names the checkpoints that exist.
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
    """Return the model of the checkpoint or weights file at `path`, rebuilt from the config that it holds.

    A weights file may come from a machine with other devices: where its config names one that is not here, `auto` is
    used.

    Raises:
        InputError: the file is not readable or names untrusted code, or there is no such device.
    """
    saved = load_model(path)
    try:
        config = Config.model_validate(saved.config)
        normaliser, scaler = Normaliser.from_dict(saved.normaliser), ParameterScaler.from_dict(saved.scaler)
        prior, own_spectrum = saved_prior(saved), saved_own_spectrum(saved)
        calibration = saved_calibration(saved)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: its description of the model cannot be read by this FOCUS: {_brief(error)}"
        ) from None
    check_stamp(path, config.model.from_, saved.provenance.get("stamp"))
    exported = is_weights_file(path)
    place = _device_here(config.device) if exported and device is None else choose_device(device or config.device)
    if place.type == "cpu":
        keep_freed_memory()
    model = TrainedModel(
        network=placed(_network(path, saved, config.model), place),
        process=build_process(config),
        normaliser=normaliser,
        scaler=scaler,
        config=config,
        data=saved.data,
        device=place,
        context=precision_context(precision_of_run(config, place, saved), place),
        source=_source(path, saved),
        prior=prior,
        own_spectrum=own_spectrum,
        calibration=calibration,
        provenance=saved.provenance,
    )
    _check_usable(path, model)
    return model


def _network(path: Path, saved: Checkpoint, block: ModelBlock) -> nn.Module:
    """Return the network with the EMA weights, in evaluation mode. Raises InputError where they do not fit."""
    weights = saved.state["ema"]["module"]
    check_weights(block, weights, str(path))
    network = build_network(block)
    try:
        network.load_state_dict(weights)
    except (RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: the weights do not fit the network that its config names: {_brief(error)}") from None
    return network.requires_grad_(requires_grad=False).eval()


def _device_here(wanted: str) -> torch.device:
    try:
        return choose_device(wanted)
    except InputError:
        return choose_device("auto")


def _check_usable(path: Path, model: TrainedModel) -> None:
    """Raise InputError unless the parts of a file fit each other, before anything is drawn from it."""
    try:
        channels, height, width = model.map_shape
        told = {len(model.field_names), len(model.field_units)}
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"{path}: its description of the maps is incomplete: {_brief(error)}") from None
    stride, names = getattr(model.network, "stride", 1), model.scaler.names
    block, problem = model.config.model, ""
    if channels != block.in_channels or len(names) != block.cond_dim:
        problem = (
            f"{channels} fields and {len(names)} parameters, the network has {block.in_channels} and {block.cond_dim}"
        )
    elif height % stride or width % stride or max(height, width) > LARGEST_SIDE:
        problem = f"maps of {height} x {width} pixels, which the network does not draw"
    elif told != {channels}:
        problem = f"{len(model.field_names)} names and {len(model.field_units)} units of {channels} fields"
    if problem:
        raise InputError(f"{path}: its header describes {problem}")
    try:
        cond = model.scaler.standardise(torch.tensor([model.scaler.centre]))
        if model.normaliser.physical(torch.zeros(1, channels, 1, 1)).shape != (1, channels, 1, 1):
            raise ValueError(f"the normalisation is not of {channels} fields")  # noqa: TRY301  (words below)
        np.array(model.data["validation_params"], dtype=np.float32).reshape(-1, len(names))
        from_text(model.data.get("training_digests", ""))
        _check_spectra(model, torch.zeros(1, channels, height, width), cond)
    except Exception as error:  # noqa: BLE001  (values of the right types that do not fit each other fail anywhere)
        raise InputError(f"{path}: the values in its header do not fit each other: {_brief(error)}") from None


def _check_spectra(model: TrainedModel, maps: torch.Tensor, cond: torch.Tensor) -> None:
    """Use prior, spectrum and calibration once, on `maps` at `cond`. Raises any error where they do not fit."""
    if model.prior is not None:
        with suppress(InputError):  # a prior of other maps is refused where it is used
            model.prior.check_size(model.map_shape)
            model.prior.start(maps, cond, 1.0, 1.0)
    if model.own_spectrum is not None:
        model.own_spectrum.check_size(model.map_shape)
        model.own_spectrum.restore(maps, cond)
    if model.calibration is not None:
        model.calibration.check_size(model.map_shape)
        model.calibration.apply(maps)


def _brief(error: Exception) -> str:
    """Return the message of an error on one line of at most 200 characters."""
    return " ".join(str(error).split())[:200]


def _source(path: Path, saved: Checkpoint) -> dict[str, Any]:
    held = saved.provenance.get("checkpoint", {})  # of a weights file: what it was exported from
    average = {"ema": held["ema"]} if held.get("ema") is not None else {}
    return {"file": path.name, "epoch": saved.epoch, "sha256": sha256_of(path), **average}
