"""Events of the event table about files that a run writes: checkpoints, averages of the weights and samples."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from focus_engine.events.event import Event


@dataclass(frozen=True, kw_only=True)
class CheckpointSaved(Event):
    """A checkpoint is completely on disk. Written by a thread, it may be of an earlier epoch than the last event.

    Attributes:
        epoch: finished epochs that it holds; of the best, the best epoch.
        path: relative to the run folder.
        kind: best or last.
        bytes: its size.
        seconds: how long saving took.
    """

    type: ClassVar[str] = "checkpoint_saved"
    epoch: int
    path: str
    kind: Literal["best", "last"]
    bytes: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class AveragesSaved(Event):
    """A snapshot of the power-function averages of the weights is on disk.

    Attributes:
        step: optimiser steps done.
        used: used share of the budget, 0 to 1.
        path: relative to the run folder; empty if it could not be written.
        bytes: its size.
    """

    type: ClassVar[str] = "averages_saved"
    step: int
    used: float
    path: str = ""
    bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class SamplesDrawn(Event):
    """Thumbnails of samples during training: real beside generated maps at the same parameters.

    The noise is the same at every epoch.

    Attributes:
        epoch: epoch of the weights.
        path: the maps themselves (.npz), relative to the run folder.
        height: pixels of a thumbnail.
        width: pixels of a thumbnail.
        low: log10 of the physical value [(Msun/h)/(Mpc/h)^2] shown as byte 0.
        high: log10 of the value shown as byte 255.
        params: parameters of each pair.
        real: base64 of height x width bytes, one text per map.
        generated: the same for the samples.
        seconds: how long sampling took.
        nfe: network function evaluations per sample.
        normalised: whether the maps are a normalised field; low and high are then its values, not log10.
        fields: names of the channels; empty if the only one has none. low to generated are those of the first.
        units: units of the channels.
        other_ranges: low and high of each further channel.
        other_real: real of each further channel.
        other_generated: generated of each further channel.
    """

    type: ClassVar[str] = "samples"
    epoch: int
    path: str
    height: int
    width: int
    low: float
    high: float
    params: tuple[tuple[float, ...], ...]
    real: tuple[str, ...]
    generated: tuple[str, ...]
    seconds: float
    nfe: int
    normalised: bool = False
    fields: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    other_ranges: tuple[tuple[float, float], ...] = ()
    other_real: tuple[tuple[str, ...], ...] = ()
    other_generated: tuple[tuple[str, ...], ...] = ()

    @property
    def channels(self) -> int:
        """Number of channels that all have their range and maps."""
        return 1 + min(len(self.other_ranges), len(self.other_real), len(self.other_generated))


@dataclass(frozen=True, kw_only=True)
class Calibrated(Event):
    """A checkpoint of a run that is trained holds its calibration (sampling.calibration_maps).

    Attributes:
        epoch: finished epochs that the checkpoint holds.
        path: relative to the run folder.
        gain_low: lowest factor on the Fourier modes of drawn maps, over |k|.
        gain_high: highest factor.
        seconds: from the end of training until it was written.
    """

    type: ClassVar[str] = "calibrated"
    epoch: int
    path: str
    gain_low: float
    gain_high: float
    seconds: float
