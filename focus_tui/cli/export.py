"""`focus export`: writes a run's numbers and figures to files for other programs and papers."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from focus_engine.errors import InputError
from focus_engine.runs.folder import RunFolder
from focus_tui.cli.choose import Exp, Trust, chosen_run
from focus_tui.cli.command import Command
from focus_tui.terminal import out, say, visible
from focus_tui.view.panes import FIGURE_FORMATS, panes_with_figure

if TYPE_CHECKING:
    from focus_tui.view.run_view import RunView


def figure_names() -> tuple[str, ...]:
    """Return the names of the figures for papers."""
    return tuple(pane.name for pane, _ in panes_with_figure())


class Output(NamedTuple):
    """A file to write.

    Attributes:
        path: its path.
        check: raises InputError if it must not be written there.
        write: writes the file.
    """

    path: Path
    check: Callable[[], None]
    write: Callable[[], object]


def export(
    context: typer.Context,
    exp: Exp = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Tables of epochs, P(k) and steps.", show_default=False)
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A TensorBoard event file.", show_default=False)
    ] = None,
    figure: Annotated[
        str | None,
        typer.Option(
            metavar="|".join((*figure_names(), "all")), help="For papers: 3.4 inches wide.", show_default=False
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="|".join(FIGURE_FORMATS), help="Of figures [png].", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Where figures go [.].", show_default=False)
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="FILE.safetensors",
            help="Averaged weights and all that focus sample needs, for other machines and training.init_from.",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option("--checkpoint", metavar="best|last|PATH", help="Of the weights [best].", show_default=False),
    ] = None,
    ema: Annotated[
        str | None,
        typer.Option(
            "--ema", metavar="LENGTH|best", help="Of the weights, as in focus sample [moving].", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    _trust: Trust = False,
) -> None:
    """Write curves, tables, figures or weights of an experiment to files.

    Prints the path of each. Epochs superseded by a resume are left out.

    Example: focus export experiment_diffusion --csv tables --figure all --format pdf -o paper
    """
    _check(csv, tensorboard, figure, format_, output, weights=weights)
    if weights is None and (checkpoint, ema) != (None, None):
        raise InputError(f"{'--ema' if checkpoint is None else '--checkpoint'} is about weights: name --weights FILE")
    from focus_tui.compute.options import parse_ema

    length = parse_ema(ema)
    run = chosen_run(context, exp)
    outputs = _tables_and_figures(run, csv, tensorboard, figure, format_, output, force=force)
    if weights is not None:
        outputs.append(_weights(run, weights, checkpoint or "best", length, force=force))
    for one in outputs:  # check all before writing the first
        one.check()
    for one in outputs:
        one.path.parent.mkdir(parents=True, exist_ok=True)
        one.write()
        out(str(one.path))


def _tables_and_figures(
    run: RunFolder,
    csv: Path | None,
    tensorboard: Path | None,
    figure: str | None,
    format_: str | None,
    output: Path | None,
    *,
    force: bool,
) -> list[Output]:
    """Return the outputs that come from the log. Raises InputError if it has none yet."""
    if (csv, tensorboard, figure) == (None, None, None):
        return []
    from focus_tui.view.export import read_whole_view  # numpy: 0.1 s

    view = read_whole_view(run)
    if not view.epochs:
        raise InputError(f"{visible(run.name)} has finished no epoch yet: there is nothing to export")
    return [
        *(_csv(run, view, csv, force=force) if csv else ()),
        *(_tensorboard(view, tensorboard, force=force) if tensorboard else ()),
        *(_figures(run, view, figure, output or Path(), format_ or "png", force=force) if figure else ()),
    ]


def _weights(run: RunFolder, path: Path, checkpoint: str, ema: float | str | None, *, force: bool) -> Output:
    from focus_tui.compute.exporting import write_weights_file
    from focus_tui.view.export import check_absent

    check = partial(check_absent, path, force=force)
    return Output(path, check, partial(write_weights_file, run, path, checkpoint, ema, force=force))


def _check(
    csv: Path | None,
    tensorboard: Path | None,
    figure: str | None,
    format_: str | None,
    output: Path | None,
    *,
    weights: Path | None,
) -> None:
    """Raise InputError if the options name nothing to export, or contain an unknown value."""
    allowed = (*figure_names(), "all")
    if (csv, tensorboard, weights, figure) == (None, None, None, None):
        names = "|".join(allowed)
        raise InputError(f"nothing to export: give --csv DIR, --tensorboard DIR, --weights FILE or --figure {names}")
    if figure is not None and figure not in allowed:
        raise InputError(f"--figure {visible(figure)} is unknown; allowed: {', '.join(allowed)}")
    if weights is not None and weights.suffix != ".safetensors":
        raise InputError(f"--weights {visible(weights.name)}: give a file name that ends in .safetensors")
    if format_ is not None and format_ not in FIGURE_FORMATS:
        raise InputError(f"--format {visible(format_)} is unknown; allowed: {', '.join(FIGURE_FORMATS)}")
    if figure is None and (format_ is not None or output is not None):
        raise InputError(f"{'--format' if output is None else '-o'} is about figures: name one with --figure")
    for folder in (csv, tensorboard, output):
        if folder is not None and folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file: name a folder")


def _csv(run: RunFolder, view: "RunView", folder: Path, *, force: bool) -> list[Output]:
    from focus_tui.view.export import check_absent, tables, write_csv

    outputs = []
    for table in tables(view):
        path = folder / f"{run.name}_{table.name}.csv"
        if not table.rows:
            say(f"{visible(run.name)} has measured no {table.name} yet: no {visible(path.name)}")
            continue
        write = partial(write_csv, path, table.header, table.rows, force=force)
        outputs.append(Output(path, partial(check_absent, path, force=force), write))
    return outputs


def _tensorboard(view: "RunView", folder: Path, *, force: bool) -> list[Output]:
    from focus_tui.view.export import check_tensorboard, tensorboard_file, write_tensorboard

    check = partial(check_tensorboard, view, folder, force=force)
    return [Output(tensorboard_file(view, folder), check, partial(write_tensorboard, view, folder, force=force))]


def _figures(run: RunFolder, view: "RunView", figure: str, folder: Path, suffix: str, *, force: bool) -> list[Output]:
    """Return the figures that `figure` names; for `all`, those whose data exist."""
    from focus_tui.compute.paper import draw_paper_figure
    from focus_tui.view.export import check_absent

    outputs = []
    for pane, drawing in panes_with_figure():
        if figure not in {"all", pane.name}:
            continue
        if not pane.needs.met(view):
            words = f"{visible(run.name)} has no {pane.needs.words} yet"
            if figure != "all":
                raise InputError(f"{words}: nothing to draw (training.sample_every sets when samples are drawn)")
            say(f"{words}: no figure")
            continue
        path = folder / f"{run.name}_{pane.name}.{suffix}"
        write = partial(draw_paper_figure, path, drawing, view, run)
        outputs.append(Output(path, partial(check_absent, path, force=force), write))
    return outputs


COMMANDS = (Command(export, "keep"),)
