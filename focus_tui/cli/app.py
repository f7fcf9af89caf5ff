"""The commands of `focus`, put together.

What a command does stands in a module of its noun (`runs`, `train`, `maps`, …). Everything heavy is
imported inside function bodies, because `focus ls` must answer at once; help is plain, because rich's help costs
twice as much as all of typer (measured 2.3 against `import typer` = 1).
"""

from pathlib import Path
from typing import Annotated

import typer

from focus_tui.cli import config as cli_config
from focus_tui.cli import data as cli_data
from focus_tui.cli import doctor as cli_doctor
from focus_tui.cli import export as cli_export
from focus_tui.cli import labels as cli_labels
from focus_tui.cli import maps as cli_maps
from focus_tui.cli import runs as cli_runs
from focus_tui.cli import sweep as cli_sweep
from focus_tui.cli import train as cli_train
from focus_tui.cli import tui as cli_tui
from focus_tui.terminal import out

app = typer.Typer(
    name="focus",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        from focus_engine.version import __version__

        out(f"focus {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
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


for command in (
    cli_tui.tui,
    cli_runs.new,
    cli_train.check,
    cli_train.train,
    cli_train.start,
    cli_train.stop,
    cli_train.resume,
    cli_sweep.sweep,
    cli_runs.ls,
    cli_runs.status,
    cli_runs.logs,
    cli_labels.tag,
    cli_labels.note,
    cli_labels.archive,
    cli_export.export,
    cli_runs.rm,
    cli_maps.sample,
    cli_maps.evaluate,
    cli_maps.compare,
    cli_maps.power,
    cli_maps.demo,
    cli_doctor.doctor,
):
    app.command(context_settings=cli_labels.TAG_CONTEXT if command is cli_labels.tag else None)(command)
app.add_typer(cli_data.app, name="data")
app.add_typer(cli_config.app, name="config")
