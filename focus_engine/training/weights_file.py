"""Weights files: the averaged weights of a checkpoint and all that sampling needs, in the safetensors format.

Such a file holds tensors and text, and reading it runs no code. Its header holds JSON strings: `focus_config`,
`focus_normaliser`, `focus_params` (names, scaling and range of the parameters), `focus_data` (map shape, box size,
units, split, the spectra that sampling starts from and that maps are drawn in units of) and `focus_provenance`;
`focus_crc32` is the CRC-32 of the file (`focus_engine/weights_seal.py`).
"""

import json
import math
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, TypeAdapter

from focus_engine.atomic import write_atomically
from focus_engine.data.gaussian_curve import GaussianCurve
from focus_engine.data.normalise import Normaliser
from focus_engine.data.parameter_scaler import ParameterScaler
from focus_engine.errors import InputError
from focus_engine.generative.calibration import Calibration
from focus_engine.generative.prior import SpectralPrior
from focus_engine.training.checkpoint import Checkpoint, load_checkpoint
from focus_engine.weights_seal import KEY, REMEDY, UNKNOWN, inspect_weights, sealed

SUFFIX = ".safetensors"
FORMAT = "1"
HEADERS = {
    "config": "focus_config",
    "normaliser": "focus_normaliser",
    "scaler": "focus_params",
    "data": "focus_data",
    "provenance": "focus_provenance",
}
"""Field of `Checkpoint`, and the header that holds it."""


class _OwnSpectrum(BaseModel):
    """The fit of `data.standardize: spectrum` and its units, which files of earlier versions lack."""

    model_config = ConfigDict(allow_inf_nan=False)

    fit: SpectralPrior
    levels: tuple[GaussianCurve, ...]


class _Shape(BaseModel):
    """What `focus_data` must hold; other keys are allowed."""

    model_config = ConfigDict(allow_inf_nan=False)

    fingerprint: str
    training_digests: str = ""
    box_size: float = Field(gt=0)
    map_shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    maps_per_simulation: PositiveInt
    split: dict[str, tuple[int, ...]]
    validation_params: tuple[tuple[float, ...], ...] = Field(min_length=1)
    units: str
    fields: tuple[str, ...] = ()
    field_units: tuple[str, ...] = ()
    prior: SpectralPrior | None = None
    own_spectrum: _OwnSpectrum | SpectralPrior | None = None
    calibration: Calibration | None = None


class _Origin(BaseModel):
    """What `focus_provenance` must hold; other keys are allowed."""

    checkpoint: dict[str, Any]
    device: str | None = None
    precision: str | None = None
    stamp: str | None = None


_KINDS: dict[str, TypeAdapter[Any]] = {
    "config": TypeAdapter(dict[str, Any]),
    "normaliser": TypeAdapter(Normaliser),
    "scaler": TypeAdapter(ParameterScaler),
    "data": TypeAdapter(_Shape),
    "provenance": TypeAdapter(_Origin),
}


def is_weights_file(path: Path) -> bool:
    """Whether the name of `path` is that of a weights file."""
    return path.suffix == SUFFIX


def write_weights(path: Path, saved: Checkpoint) -> int:
    """Write the EMA weights of `saved` to `path` atomically; return the size [bytes].

    `saved.provenance["checkpoint"]` holds file, epoch and SHA-256 of the checkpoint, and `ema`, the length of the
    average if it is not the moving average of training.

    Raises:
        InputError: the network keeps something other than tensors.
        OSError: the file can't be written.
    """
    weights: dict[str, Any] = saved.state["ema"]["module"]
    if odd := [name for name, value in weights.items() if not isinstance(value, torch.Tensor)]:
        raise InputError(f"the network keeps {', '.join(odd)}, which is no tensor: a weights file cannot hold it")
    tensors = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in weights.items()
    }
    headers = {header: json.dumps(getattr(saved, name), allow_nan=False) for name, header in HEADERS.items()}
    content = safetensors.torch.save(tensors, {"format": "pt", "focus_format": FORMAT, KEY: UNKNOWN, **headers})
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        file.writelines(sealed(content))  # not safetensors' own writing, which hides the OSError
    return len(content)


def read_weights(path: Path) -> Checkpoint:
    """Return the weights file at `path` as a checkpoint whose state holds `epoch` and the EMA weights only.

    Every byte is checked by its CRC-32; files of earlier versions hold none and are taken as they are.

    Raises:
        InputError: the file is missing, damaged, not a weights file of FOCUS, or holds values that make no sense.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such weights file")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            headers = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dictionary)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # noqa: BLE001  (a damaged file can raise any exception)
        raise InputError(f"{path}: not a whole safetensors file (damaged?): {_brief(error)}") from None
    found = inspect_weights(path)
    if found.problem.startswith("damaged"):
        raise InputError(f"{path}: {found.problem}: {REMEDY}")
    if headers.get("focus_format") != FORMAT:
        named = headers.get("focus_format")
        what = "was not written by focus export" if named is None else f"has format {named[:20]!r}"
        raise InputError(f"{path}: {what}; this FOCUS reads weights files of format {FORMAT}")
    parts = {name: _parsed(path, headers, name) for name in HEADERS}
    epoch = parts["provenance"]["checkpoint"].get("epoch")
    if not isinstance(epoch, int):
        raise InputError(f"{path}: {HEADERS['provenance']} lacks the epoch of the checkpoint")
    return Checkpoint(**parts, state={"epoch": epoch, "ema": {"module": weights}})


def load_model(path: Path) -> Checkpoint:
    """Return the checkpoint at `path`, or what its weights file holds of one. Raises InputError as their readers."""
    return read_weights(path) if is_weights_file(path) else load_checkpoint(path)


def _parsed(path: Path, headers: dict[str, str], name: str) -> dict[str, Any]:
    """Return a header as plain values. Raises InputError if it is missing or its values are of other types."""
    header = HEADERS[name]
    if header not in headers:
        raise InputError(f"{path}: lacks {header} in its header")
    try:
        values = json.loads(headers[header], parse_float=_finite, parse_constant=_finite)
        _KINDS[name].validate_python(values)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: {header} in its header cannot be used: {_brief(error)}") from None
    return dict(values)


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is not a finite number")
    return number


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
