"""`focus export --weights`: writes averaged weights to a file, with all that sampling needs."""

from pathlib import Path

from focus_engine.evaluation.exporting import export_weights
from focus_engine.runs.folder import RunFolder
from focus_tui.terminal import say, visible
from focus_tui.view.words import size as size_words


def write_weights_file(run: RunFolder, path: Path, checkpoint: str, ema: float | str | None, *, force: bool) -> None:
    """Write the weights file of `run` and say its size.

    Raises:
        InputError: there is no such checkpoint or average, or `path` exists (without `force`).
        OSError: the file can't be written.
    """
    size = export_weights(run, path, checkpoint=checkpoint, ema=ema, force=force)
    say(f"{visible(run.name)}: weights of {size_words(size)}; sample from them with focus sample {visible(path.name)}")
