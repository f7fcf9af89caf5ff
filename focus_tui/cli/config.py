"""`focus config`: checks a config and prints the JSON Schema of configs."""

import os
from pathlib import Path
from typing import Annotated

import typer

from focus_engine.errors import InputError
from focus_engine.runs.folder import RunFolder, find_run
from focus_tui.cli.choose import root_of
from focus_tui.cli.command import Command, Group
from focus_tui.terminal import out, say


def check(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE|EXP", help="A config file, or an experiment.")],
) -> None:
    """Check a config; opens no data. Errors name file, line, and what is allowed.

    Example: focus config check experiments/experiment_diffusion/config.yaml
    """
    from focus_engine.config.beginning import check_beginning
    from focus_engine.config.load import load_config
    from focus_engine.config.networks import settings_words

    loaded = load_config(_config_path(file, root_of(context)))
    for warning in loaded.warnings:
        say(f"warning: {warning}")
    config = loaded.config
    if not RunFolder(loaded.path.parent).has_checkpoints():
        check_beginning(config, str(loaded.path))
    size = settings_words(config.model)
    out(f"{loaded.path}: ok ({config.method}, {config.model.from_}, {size}, {config.training.num_epochs} epochs)")


def schema() -> None:
    """Print the JSON Schema of config.yaml, for editors.

    Example: focus config schema > config.schema.json
    """
    from focus_engine.config.json_schema import schema_text

    out(schema_text().removesuffix("\n"))


def _config_path(given: str, root: Path) -> Path:
    path = Path(given).expanduser()
    if os.path.lexists(path) and not path.is_dir():
        return path
    if path.suffix in {".yaml", ".yml"} and not path.is_dir():
        raise InputError(f"{path}: no such config file")
    run = find_run(given, root)
    return run.config


COMMANDS = (Group("config", "Check a config; print its JSON Schema.", (Command(check), Command(schema))),)
