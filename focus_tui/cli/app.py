"""Builds `focus` from the commands of all modules.

Commands are grouped in modules by noun (`runs`, `train`, `maps`, …). Heavy imports stand inside function bodies,
because `focus ls` must start fast. Help is plain text, because rich's help takes twice as long as all of typer
(measured 2.3 against `import typer` = 1).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from focus_tui.cli import config, data, doctor, export, judge, labels, maps, runs, sweep, train, tui, verify
from focus_tui.cli.command import STAGES, Command, Group
from focus_tui.terminal import out

MODULES = (tui, train, sweep, labels, export, verify, runs, maps, judge, doctor, data, config)
"""The modules of commands; each defines `COMMANDS`."""


def _version(wanted: bool) -> None:
    if wanted:
        from focus_engine.version import __version__

        out(f"focus {__version__}")
        raise typer.Exit


def focus(
    context: typer.Context,
    root: Annotated[
        Path | None,
        typer.Option(
            "--root",
            metavar="FOLDER",
            help="The experiments folder [FOCUS_EXPERIMENTS, else the experiments/ found upwards].",
            show_default=False,
        ),
    ] = None,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Train generative models of cosmological density fields, and judge them by their power spectrum.

    A first run: focus new experiment_diffusion; focus start; focus logs -f
    """
    context.obj = root
    if context.invoked_subcommand is None:
        out(context.get_help())


def build_app(commands: Iterable[Command | Group]) -> typer.Typer:
    """Return the app with these commands, ordered by stage, followed by the groups."""
    given = tuple(commands)
    app = typer.Typer(
        name="focus",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback(invoke_without_command=True)(focus)
    single = (one for one in given if isinstance(one, Command))
    for command in sorted(single, key=lambda one: STAGES.index(one.stage)):
        _add(app, command)
    for group in (one for one in given if isinstance(one, Group)):
        subcommands = typer.Typer(help=group.help, rich_markup_mode=None, no_args_is_help=True)
        for command in group.commands:
            _add(subcommands, command)
        app.add_typer(subcommands, name=group.name)
    return app


def _add(app: typer.Typer, command: Command) -> None:
    app.command(command.name, context_settings=dict(command.context or {}))(command.function)


app = build_app(command for module in MODULES for command in module.COMMANDS)
