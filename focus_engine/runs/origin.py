"""The file that a run begins from, where `training.init_from` names one."""

from pathlib import Path

from focus_engine.errors import InputError
from focus_engine.runs.folder import RunFolder

WEIGHTS_SUFFIXES = (".safetensors", ".pt")
KEY = "training.init_from"


def file_to_begin_from(run: RunFolder, given: str) -> Path:
    """Return the file that `given`, the value of `training.init_from` of `run`, names.

    That is a weights file or a checkpoint, relative to the config's folder, or the best checkpoint of an experiment,
    given by its name beside `run` or by its path.

    Raises:
        InputError: there is no such file or experiment, or it has no checkpoint.
    """
    path = run.path / Path(given).expanduser()
    if path.suffix in WEIGHTS_SUFFIXES and not path.is_dir():
        if path.is_file():
            return path
        raise InputError(f"there is no such file: {path}", where=f"{KEY}: {given}", keys=(KEY,))
    places = list(dict.fromkeys([run.path.parent / given, path]))
    for place in places:
        source = RunFolder(place)
        if not source.exists():
            continue
        if not source.has_checkpoints():
            raise InputError(f"{source.name} has no checkpoint yet", where=f"{KEY}: {given}", keys=(KEY,))
        return source.checkpoint_best if source.checkpoint_best.is_file() else source.checkpoint_last
    tried = " nor ".join(str(place) for place in places)
    words = f"there is no experiment {tried}; give one, or a file that ends in {' or '.join(WEIGHTS_SUFFIXES)}"
    raise InputError(words, where=f"{KEY}: {given}", keys=(KEY,))
