"""The averaged weights of another training that a run begins from (`training.init_from`).

Method, prediction, network, parameters and number of fields must be those of the source, because the weights mean
nothing otherwise. All else may differ. Maps are standardised by the run's own data, so that the network meets values
of the size that it knows. Parameters keep the scaling of the source, so that a condition keeps its meaning; those
that were constant there are standardised anew.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from focus_engine.config.methods import METHODS
from focus_engine.config.schema import Config, plain_config
from focus_engine.data.maps import MapSet
from focus_engine.data.parameter_scaler import ParameterScaler
from focus_engine.errors import InputError
from focus_engine.models.build import misfit
from focus_engine.training.checkpoint import Checkpoint, sha256_of
from focus_engine.training.weights_file import load_model

KEY = "training.init_from"
Plain = dict[str, Any]


@dataclass(frozen=True, eq=False)
class InitialWeights:
    """Weights to begin from.

    Attributes:
        path: the checkpoint or weights file that they were read from.
        config: that of the run that begins.
        source: what the file holds.
        source_config: its config, plain.
        sha256: its digest.
    """

    path: Path
    config: Plain
    source: Checkpoint
    source_config: Plain
    sha256: str

    def load_into(self, network: nn.Module) -> None:
        """Copy the averaged weights into `network`. Raises InputError, with the keys that differ, if they don't fit."""
        weights: Mapping[str, Tensor] = self.source.state["ema"]["module"]
        if not (words := misfit(network, weights)):
            network.load_state_dict(weights)
            return
        ours, theirs = self.config["model"], self.source_config["model"]
        for key in ours:
            if ours[key] != theirs.get(key):
                self._refuse(f"model.{key}", ours[key], theirs.get(key))
        raise InputError(f"{self.path}: the weights are of another network: {words}", keys=(KEY,))

    def scaler_for(self, fitted: ParameterScaler) -> ParameterScaler:
        """Return the scaling of the source with the range of `fitted`; that of `fitted` for what was constant there.

        Raises:
            InputError: the parameters are others.
        """
        known = ParameterScaler.from_dict(self.source.scaler)
        if known.names != fitted.names:
            self._refuse("data.params", list(fitted.names), list(known.names))
        columns = [
            (known if low < high else fitted, column)
            for column, (low, high) in enumerate(zip(known.low, known.high, strict=True))
        ]
        return replace(
            fitted,
            mean=tuple(of.mean[column] for of, column in columns),
            std=tuple(of.std[column] for of, column in columns),
            scale=tuple(of.scale[column] for of, column in columns),
        )

    def describe(self, maps: MapSet) -> Plain:
        """Return file, experiment, epoch, SHA-256 and in words what differs, as plain values for the log."""
        held = self.source.provenance
        return {
            "file": str(self.path),
            "experiment": str(held.get("experiment", self.source_config["experiment"]["name"])),
            "epoch": self.source.epoch,
            "sha256": self.sha256,
            "differs": list(self._differences(maps)),
        }

    def _differences(self, maps: MapSet) -> Iterator[str]:
        """Yield what may differ and does: `data.box_size: 25.0 -> 50.0`."""
        data = self.source.data
        if maps.fingerprint != data["fingerprint"]:
            yield "other data"
        facts = [
            ("map shape", list(data["map_shape"]), list(maps.shape)),
            ("box size", data["box_size"], maps.box_size),
            ("fields", list(data.get("fields", maps.field_names)), list(maps.field_names)),
        ]
        process = METHODS[self.config["method"]].block
        for block, key in (
            ("data", "normalize"),
            ("data", "standardize"),
            *((("data", "boxcox_power"),) if self.config["data"]["normalize"] == "boxcox" else ()),
            *((process, key) for key in self.config[process]),
        ):
            facts.append((f"{block}.{key}", self.source_config[block].get(key), self.config[block][key]))
        yield from (f"{what}: {old} -> {new}" for what, old, new in facts if old != new)
        density = self.source.normaliser["transform"] != "none"
        if density and (fit := data.get("own_spectrum")) is not None and "levels" not in fit:
            yield "data.standardize: spectrum in the units of an earlier FOCUS"

    def check_method(self) -> None:
        """Raise InputError unless the method and what its network predicts are those of the source."""
        ours, theirs = self.config["method"], self.source_config["method"]
        if ours != theirs:
            self._refuse("method", ours, theirs)
        block = METHODS[ours].block
        mine, other = (one[block].get("prediction") for one in (self.config, self.source_config))
        if mine != other:
            self._refuse(f"{block}.prediction", mine, other)

    def _refuse(self, key: str, ours: object, theirs: object) -> None:
        raise InputError(
            f"{key} is {ours} here, but {theirs} in {self.path}: to begin from its weights make them agree",
            where=KEY,
            keys=(key, KEY),
        )


def read_initial_weights(path: Path, config: Config) -> InitialWeights:
    """Read the weights that a run with `config` begins from.

    Raises:
        InputError: the file is not readable, or its method or prediction is another.
    """
    source = load_model(path)
    try:
        theirs = plain_config(Config.model_validate(source.config))
    except ValueError as error:
        raise InputError(
            f"{path}: its config cannot be read by this FOCUS: {' '.join(str(error).split())[:200]}"
        ) from None
    initial = InitialWeights(path, plain_config(config), source, theirs, sha256_of(path))
    initial.check_method()
    return initial
