"""Creating an experiment: a folder with a commented config, READMEs and a run script.

Everything is checked before anything is written. The folder is created under a temporary name and renamed, so that it
appears whole or not at all, and one of two simultaneous creations is refused. Separate from `folder`, because this
needs the typed schema, which listing runs does without.
"""

import datetime as dt
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from focus_engine.atomic import naming, sync, sync_names, write_atomically
from focus_engine.config.beginning import check_beginning
from focus_engine.config.edit import set_keys
from focus_engine.config.json_schema import FILE, FOLDER, write_schema
from focus_engine.config.load import load_config, parse_config
from focus_engine.config.schema import Config
from focus_engine.config.templates import check_method, config_text, find_template, schema_line
from focus_engine.config.yaml_edit import yaml_value
from focus_engine.errors import InputError
from focus_engine.runs.folder import RunFolder, check_name
from focus_engine.runs.readme import experiment_file, readmes


@dataclass(frozen=True)
class PlannedExperiment:
    """A checked experiment that is not written yet: its folder, the text of its config, and the config itself."""

    run: RunFolder
    text: str
    config: Config


def plan_experiment(
    root: Path,
    name: str,
    *,
    template: str | None = None,
    method: str | None = None,
    source: RunFolder | None = None,
    settings: Sequence[str] = (),
    created: str | None = None,
) -> PlannedExperiment:
    """Return what `create_experiment` would write for the same arguments, checked alike; write nothing.

    Raises:
        InputError: a bad name, template, method or setting, or a folder that exists already.
    """
    run = RunFolder(root.absolute() / check_name(name))
    if source is not None and (template is not None or method is not None):
        raise InputError("--from copies a whole config: leave --template and --method out (change keys with --set)")
    _refuse_existing(run)
    created = created or today()
    schema = f"../{FOLDER}/{FILE}"
    if source is None:
        text = config_text(find_template(template, method), name=name, created=created, schema=schema)
    else:
        text = _copied_text(source, run, name, created, schema)
    text = set_keys(text, settings, Path("--set"))
    config = parse_config(text, run.config).config
    check_method(config.method)
    check_beginning(config)
    return PlannedExperiment(run, text, config)


def today() -> str:
    """Return the user's local date (ISO)."""
    return dt.date.today().isoformat()  # noqa: DTZ011


def create_experiment(
    root: Path,
    name: str,
    *,
    template: str | None = None,
    method: str | None = None,
    source: RunFolder | None = None,
    settings: Sequence[str] = (),
    created: str | None = None,
    language: str | None = None,
) -> RunFolder:
    """Create the experiment `name` under `root` and return its folder.

    Args:
        root: the experiments folder; made if need be.
        name: of the experiment and its folder.
        template: the template to start from [the first one of `method`].
        method: one of `METHODS`.
        source: copy this experiment's config instead, with its comments; relative data paths are rebased.
        settings: `key=value` with dotted keys and YAML values, applied last.
        created: ISO date [today].
        language: of its README.md, `en` or `ko` [that of the locale].

    Raises:
        InputError: a bad name, template, method, setting or language, or a folder that exists already; nothing was
            written.
        OSError: the disk refuses; nothing is left behind.
    """
    planned = plan_experiment(
        root, name, template=template, method=method, source=source, settings=settings, created=created
    )
    run, text = planned.run, planned.text
    config = planned.config
    files = {
        run.config.name: text,
        **readmes(name, config, language),
        "run_model.sh": experiment_file("run_model.sh"),
    }
    _make_folder(run, files)
    return run


def _refuse_existing(run: RunFolder) -> None:
    if run.exists():
        raise InputError(f"the experiment {run.name} exists already: {run.path}; choose another name")
    if os.path.lexists(run.path):
        raise InputError(f"{run.path} exists already and is not an experiment; choose another name")
    above = next(folder for folder in run.path.parents if os.path.lexists(folder))
    if not above.is_dir():
        raise InputError(f"{above} is not a folder, so no experiment fits under it; give another --root")


def _copied_text(source: RunFolder, run: RunFolder, name: str, created: str, schema: str) -> str:
    text = rebase_paths(load_config(source.config).text, source.path, run.path)
    if text.startswith("# yaml-language-server:"):
        text = f"{schema_line(schema)}\n{text.partition(chr(10))[2]}"
    named = [f"experiment.name={yaml_value(name)}", f"experiment.created={yaml_value(created)}"]
    return set_keys(text, named, source.config)


def rebase_paths(text: str, old: Path, new: Path) -> str:
    """Return the config `text` of the folder `old` with relative paths that mean the same from `new`.

    A path below a data_dir stays as it is; text without relative paths is returned unchanged.
    """
    config = parse_config(text, old / "config.yaml").config
    data, begin = config.data, config.training.init_from
    if _real(old) == _real(new):
        return text
    data_dir = None if data.data_dir is None else old / Path(data.data_dir).expanduser()

    def rebased(given: str, *, below: Path | None = None) -> str:
        if Path(given).expanduser().is_absolute():
            return given
        if below is not None and ((below / given).exists() or not (old / given).exists()):
            return given
        return os.path.relpath(_real(old / given), _real(new))

    maps = [rebased(given, below=data_dir) for given in data.map_files]
    names_a_path = begin is not None and (old / begin).exists()  # else an experiment beside this one
    moved = {
        "data.maps_path": (data.maps_path, maps[0] if isinstance(data.maps_path, str) else tuple(maps) or None),
        "data.params_path": (data.params_path, data.params_path and rebased(data.params_path, below=data_dir)),
        "data.data_dir": (data.data_dir, data.data_dir and rebased(data.data_dir)),
        "training.init_from": (begin, rebased(begin) if begin and names_a_path else begin),
    }
    settings = [
        f"{key}={yaml_value(list(now) if isinstance(now, tuple) else now)}"
        for key, (before, now) in moved.items()
        if now != before
    ]
    return set_keys(text, settings, old / "config.yaml")


def _real(path: Path) -> Path:
    """Return the path without links; its end need not exist yet."""
    return Path(os.path.realpath(path))


def _make_folder(run: RunFolder, files: dict[str, str]) -> None:
    root = run.path.parent
    root.mkdir(parents=True, exist_ok=True)
    write_schema(root)
    temporary = RunFolder(root / f".new-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        temporary.path.mkdir()
        temporary.make_folders()
        for name, text in files.items():
            path = temporary.path / name
            with naming(run.path / name):
                path.write_text(text, encoding="utf-8")
            if path.suffix == ".sh":
                path.chmod(path.stat().st_mode | 0o111)
            sync(path)
        sync_names(temporary.path)
        _refuse_existing(run)
        try:
            temporary.path.rename(run.path)  # fails when another process created the same experiment meanwhile
        except OSError:
            _refuse_existing(run)
            raise
        sync_names(root, root.parent)
    finally:
        shutil.rmtree(temporary.path, ignore_errors=True)


def adopt_config(file: Path, folder: Path) -> RunFolder:
    """Return the run in `folder`, with the config `file` copied to it.

    Relative data paths are rebased. An identical config that is there already stays.

    Raises:
        InputError: the config is wrong, or another one is there already; nothing was written.
        OSError: the disk refuses.
    """
    text = load_config(file).text
    run = RunFolder(Path(os.path.normpath(folder.absolute())))
    if os.path.lexists(run.path) and not run.path.is_dir():
        raise InputError(f"--exp_dir {folder}: is not a folder")
    moved = rebase_paths(text, file.absolute().parent, run.path)
    if os.path.lexists(run.config):
        if run.config.samefile(file) or load_config(run.config).text in {text, moved}:
            return run
        raise InputError(
            f"{run.config} exists already and differs from {file}: give another --exp_dir, "
            f"or train with the config that is there: --config {run.config}"
        )
    run.path.mkdir(parents=True, exist_ok=True)
    with write_atomically(run.config) as temporary:
        temporary.write_text(moved, encoding="utf-8")
    return run
