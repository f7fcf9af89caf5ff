"""Export of one set of averaged weights with all that sampling needs (`focus export --weights`)."""

import datetime as dt
from pathlib import Path

from focus_engine.config.schema import plain_config
from focus_engine.errors import InputError
from focus_engine.evaluation.averages import open_averaged
from focus_engine.evaluation.trained_model import find_checkpoint
from focus_engine.runs.folder import RunFolder
from focus_engine.training.checkpoint import Checkpoint
from focus_engine.training.weights_file import SUFFIX, is_weights_file, write_weights


def export_weights(
    run: RunFolder, output: Path, *, checkpoint: str = "best", ema: float | str | None = None, force: bool = False
) -> int:
    """Write the averaged weights of a checkpoint of `run` to the weights file `output`; return its size [bytes].

    `checkpoint` and `ema` are those of `focus sample`. The folder of `output` is made if need be.

    Raises:
        InputError: there is no such checkpoint or average, or `output` is no such name or exists (without `force`).
        OSError: the file can't be written.
    """
    check_weights_path(output, force=force)
    path = find_checkpoint(run, checkpoint)
    model = open_averaged(run, path, ema, device="cpu")
    made = {
        "experiment": run.name,
        "checkpoint": dict(model.source),
        "data_fingerprint": model.data["fingerprint"],
        "exported": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
    saved = Checkpoint(
        config=plain_config(model.config),
        state={"epoch": model.source["epoch"], "ema": {"module": model.network.state_dict()}},
        normaliser=model.normaliser.to_dict(),
        scaler=model.scaler.to_dict(),
        data=dict(model.data),
        provenance={**model.provenance, **made},
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    return write_weights(output, saved)


def check_weights_path(output: Path, *, force: bool) -> None:
    """Raise InputError unless a weights file may be written to `output`."""
    if not is_weights_file(output):
        raise InputError(f"give a file name that ends in {SUFFIX}", where=f"--weights {output}")
    if output.is_dir():
        raise InputError("is a folder; give a file name", where=f"--weights {output}")
    if output.exists() and not force:
        raise InputError("exists; choose another name or pass --force", where=f"--weights {output}")
