"""The .npz file of `focus sample`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focus_engine.atomic import write_atomically
from focus_engine.data.digests import from_text
from focus_engine.evaluation.trained_model import TrainedModel
from focus_engine.generative.sampling import SamplingPlan
from focus_engine.version import __version__


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
    """Write the .npz of `focus sample`; during training it also holds the real maps.

    `maps` is float32 (N, C, H, W) in physical units; maps of one channel are written as (N, H, W), and `units` is then
    one text instead of one for each of `fields`. Raises OSError.
    """
    single = model.map_shape[0] == 1
    source = dict(model.source) or {"file": "", "epoch": epoch, "sha256": ""}
    content: dict[str, Any] = {
        "maps": maps[:, 0] if single else maps,
        "params": params,
        "param_names": np.array(model.scaler.names, dtype=str),
        "box_size": model.data["box_size"],
        "fields": np.array(model.field_names, dtype=str),
        "units": model.field_units[0] if single else np.array(model.field_units, dtype=str),
        "data_fingerprint": model.data["fingerprint"],
        "training_digests": from_text(model.data.get("training_digests", "")),
        "seed": plan.seed,
        "sampler": plan.sampler,
        "steps": plan.steps,
        "eta": plan.eta,
        "spacing": plan.spacing,
        "churn": plan.churn,
        "rtol": plan.rtol,
        "atol": plan.atol,
        "guidance": plan.guidance,
        "prior": plan.prior,
        "calibrated": model.calibrates(plan),
        "checkpoint": np.array([source["file"], str(source["epoch"]), source["sha256"]]),
        "ema": np.nan if (length := source.get("ema")) is None else length,
        "focus_version": __version__,
    }
    if real is not None:
        content |= {"real": real[:, 0] if single else real, "real_ids": np.array(real_ids, dtype=np.int64)}
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **content)
