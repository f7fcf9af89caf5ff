"""What a run says when it begins to train: the event that describes it, and its warnings."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from focus_engine.config.load import ConfigFile
from focus_engine.config.methods import METHODS
from focus_engine.config.schema import Config, plain_config
from focus_engine.events.table import Event, RunStarted, Warned
from focus_engine.models.build import count_parameters
from focus_engine.training.checkpoint import Checkpoint
from focus_engine.training.devices import device_name
from focus_engine.training.prepare import PreparedRun, provenance
from focus_engine.training.prepared_data import PreparedData
from focus_engine.trust import runs_code

if TYPE_CHECKING:
    from focus_engine.worker.recorder import Recorder

TERMINAL_SNR_ADVICE = 0.05
"""Signal-to-noise ratio of one mode at t = T above which the run warns."""


def started(prepared: PreparedRun, snr: float | None) -> RunStarted:
    """Return the event that describes the prepared run: network, data, device and versions."""
    config, data = prepared.config, prepared.data
    made = provenance(config, prepared.device, prepared.precision)
    split = (data.split.train, data.split.validation, data.split.test)
    per_simulation = data.maps.maps_per_simulation
    return RunStarted(
        method=config.method,
        epoch=prepared.state.epoch,
        step=prepared.state.step,
        num_epochs=config.training.num_epochs,
        steps_per_epoch=prepared.training.steps_per_epoch,
        warmup_epochs=config.training.scheduler.epochs_of_warmup(prepared.training.steps_per_epoch),
        batch_size=config.training.batch_size,
        accumulate=config.training.accumulate,
        n_parameters=count_parameters(prepared.state.network),
        maps=(len(split[0]) * per_simulation, len(split[1]) * per_simulation, len(split[2]) * per_simulation),
        simulations=(len(split[0]), len(split[1]), len(split[2])),
        map_shape=data.maps.shape,
        box_size=data.maps.box_size,
        param_names=data.maps.param_names,
        resident=prepared.training.batches.resident,
        terminal_snr=snr,
        precision=prepared.precision,
        seed=config.training.seed,
        threads=made["threads"],
        ranks=prepared.training.ranks.size,
        device=made["device"],
        device_name=device_name(prepared.device),
        git_commit=made["git_commit"],
        versions=made["versions"],
        config=plain_config(config),
        config_sha256=made["config_sha256"],
        data_fingerprint=data.fingerprint,
        init_from=prepared.init_from,
    )


def warn_of_config(file: ConfigFile, recorder: "Recorder") -> Iterator[Event]:
    """Pass on the warnings of the config, and say when code of the user's own is run."""
    for message in file.warnings:
        yield recorder.record(Warned(code="config", message=message))
    own = file.config.model.from_
    if runs_code(own):
        yield recorder.record(Warned(code="own_code", message=f"model.from: the code of {own} is run"))


def warn_of_slow_training(prepared: PreparedRun, recorder: "Recorder") -> Iterator[Event]:
    """Say why training is slower than it could be: not compiled although asked for, or layer by layer on a GPU."""
    for message in prepared.slower:
        yield recorder.record(Warned(code="compile", message=message))


def warn_of_terminal_snr(snr: float | None, config: Config, recorder: "Recorder") -> Iterator[Event]:
    """Warn of a path that leaves the largest waves in the noise where sampling starts, and say what sampling does."""
    if snr is None or snr <= TERMINAL_SNR_ADVICE:
        return
    prior = config.sampling.prior
    start = (
        "samples get them wrong: use sampling.prior: spectrum, or"
        if prior == "white"
        else f"sampling starts from their mean and spectrum (sampling.prior: {prior}), which is exact for Gaussian "
        "fields; to start from noise alone use"
    )
    message = (
        "where sampling starts, the largest waves of these maps still stand out of the noise (signal-to-noise "
        f"{snr:.2f}), so {start} {METHODS[config.method].more_noise}"
    )
    yield recorder.record(Warned(code="terminal_snr", message=message))


def warn_of_zeros(data: PreparedData, recorder: "Recorder", saved: Checkpoint | None) -> Iterator[Event]:
    """Warn of pixels that have no logarithm, unless the run is resumed."""
    if data.normaliser.n_floored and saved is None:
        share = data.normaliser.n_floored / data.normaliser.n_values
        floor = ", ".join(f"{value:g}" for value in data.normaliser.floor)
        message = f"{share:.2%} of the training pixels are exactly 0; log10 reads them as {floor} {data.maps.units}"
        yield recorder.record(Warned(code="zeros", message=message))
