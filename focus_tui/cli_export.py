"""`focus export`: a run's curves and figures for other tools and for papers."""

from pathlib import Path
from typing import Annotated

import typer

from focus_engine.errors import InputError
from focus_tui.choose import NamedExp, root_of
from focus_tui.terminal import out

FIGURES = ("loss", "lr", "power", "maps")
FORMATS = ("png", "pdf", "svg")


def export(
    context: typer.Context,
    exp: NamedExp,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="DIR", help="Tables of epochs, P(k) and steps.", show_default=False)
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option("--tensorboard", metavar="DIR", help="A TensorBoard event file.", show_default=False)
    ] = None,
    figure: Annotated[
        str | None,
        typer.Option("--figure", metavar="|".join((*FIGURES, "all")), help="In paper style.", show_default=False),
    ] = None,
    file_format: Annotated[str, typer.Option("--format", metavar="|".join(FORMATS), help="Of the figures.")] = "pdf",
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of the figures.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Write a run's curves and figures.

    Prints the paths that were written, one a line.

    Example: focus export my_run --csv . --figure power --format pdf
    """
    wanted = _wanted(figure, file_format)
    if csv is None and tensorboard is None and not wanted:
        raise InputError("say what to write: --csv DIR, --tensorboard DIR or --figure loss|lr|power|maps|all")
    from focus_engine.runs.folder import find_run

    run = find_run(exp, root_of(context))
    from focus_tui.export import check_free, tables, write_csv, write_tensorboard
    from focus_tui.log_plot import read_view

    view = read_view(run)
    if not view.epochs:
        raise InputError(f"{run.name} has finished no epoch yet: there is nothing to write")
    shown = [what for what in wanted if what in {"loss", "lr"} or getattr(view, _NEEDS[what])]
    if wanted and figure != "all" and not shown:
        raise InputError(f"{run.name} has no samples yet, so no {figure}: see training.sample_every")
    tabulated = [] if csv is None else [(csv / f"{run.name}_{table.name}.csv", table) for table in tables(view)]
    pictures = [(output / f"{run.name}_{what}.{file_format}", what) for what in shown]
    check_free([path for path, _ in (*tabulated, *pictures)], force=force)
    for path, table in tabulated:
        write_csv(path, table.header, table.rows)
        out(str(path))
    if tensorboard is not None:
        out(str(write_tensorboard(view, tensorboard)))
    if pictures:
        from focus_tui.heavy.paper import draw_figure

        for path, what in pictures:
            draw_figure(path, what, view)
            out(str(path))


_NEEDS = {"power": "spectra", "maps": "samples"}


def _wanted(figure: str | None, file_format: str) -> tuple[str, ...]:
    """The figures that were asked for. Raises InputError for unknown ones."""
    if file_format not in FORMATS:
        raise InputError(f"--format {file_format!r} is unknown; allowed: {', '.join(FORMATS)}")
    if figure is None:
        return ()
    if figure not in (*FIGURES, "all"):
        raise InputError(f"--figure {figure!r} is unknown; allowed: {', '.join(FIGURES)}, all")
    return FIGURES if figure == "all" else (figure,)
