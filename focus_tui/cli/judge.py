"""`focus judge`: compares two files of maps, of any origin. Arguments are checked before any file is opened."""

from pathlib import Path
from typing import Annotated

import typer

from focus_tui.cli.choose import Json
from focus_tui.cli.command import Command
from focus_tui.cli.maps import Progress

MapsFile = "Maps: .npz, HDF5 or Zarr with `maps`, .npy, or a folder."


def judge(
    generated: Annotated[Path, typer.Argument(metavar="GENERATED", help=MapsFile, show_default=False)],
    against: Annotated[
        Path, typer.Option("--against", metavar="REAL", help=f"The real maps. {MapsFile}", show_default=False)
    ],
    params: Annotated[
        Path | None,
        typer.Option("--params", metavar="FILE", help="Parameters of GENERATED: a text table or .npy."),
    ] = None,
    against_params: Annotated[
        Path | None, typer.Option("--against-params", metavar="FILE", help="Parameters of REAL, likewise.")
    ] = None,
    maps_per_simulation: Annotated[
        int | None,
        typer.Option(
            "--maps-per-simulation",
            metavar="N",
            help="Every N maps of REAL in a row are one simulation, and so is a row of --params "
            "[maps of equal parameters in a row].",
            show_default=False,
        ),
    ] = None,
    box_size: Annotated[
        float | None, typer.Option("--box-size", metavar="L", help="Side of the box [Mpc/h].", show_default=False)
    ] = None,
    training: Annotated[
        Path | None, typer.Option("--training", metavar="FILE", help="Maps that the generator was trained on.")
    ] = None,
    common: Annotated[
        bool, typer.Option("--common", help="Leave out maps at parameters that only one side has.")
    ] = False,
    even_if_trained_on: Annotated[
        bool, typer.Option("--even-if-trained-on", help="Accept real maps that the generator was trained on.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Report: .html, .png, .pdf or .json.", show_default=False),
    ] = None,
    latex: Annotated[bool, typer.Option("--latex", help="Print the scores as a LaTeX table (booktabs).")] = False,
    seed: Annotated[int, typer.Option("--seed", metavar="K", help="Of the bootstrap and the nulls.")] = 0,
    as_json: Json = False,
    progress: Progress = "bar",
) -> None:
    """Judge maps of any origin against real ones.

    Every score has its error and what a perfect generator scores at this number of maps. Maps are matched by their
    parameters; they need not be paired. No model of FOCUS is needed: see docs/judging.md.

    Example: focus judge samples.npz --against test.npz -o report.html
    """
    from focus_tui.compute.judge_options import JudgeOptions

    options = JudgeOptions(
        generated=generated,
        real=against,
        params=params,
        real_params=against_params,
        maps_per_simulation=maps_per_simulation,
        box_size=box_size,
        training=training,
        common=common,
        even_if_trained_on=even_if_trained_on,
        output=output,
        latex=latex,
        seed=seed,
        json=as_json,
        progress=progress,
    )
    from focus_tui.compute.judging import judge as judge_files

    judge_files(options)


COMMANDS = (Command(judge, "judge"),)
