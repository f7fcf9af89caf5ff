"""`focus logs --plot`: prints the pictures of the dashboard's Watch screen once, to a terminal or a file."""

import shutil

from focus_engine.events.log import LogReader
from focus_engine.launch.state import summarise
from focus_engine.runs.folder import RunFolder
from focus_tui.terminal import color_depth, colours, out, say, visible
from focus_tui.view.panes import panes_with_picture
from focus_tui.view.pictures.picture import PictureOptions
from focus_tui.view.run_view import RunView, fold, phase_words, plateau_words
from focus_tui.view.thin import thinned_lines

WIDTH = 110
"""The most columns of a chart, which is otherwise as wide as the terminal."""


def read_view(run: RunFolder) -> RunView:
    """Return the view of the log of `run`; from a log of many MB, only an even share of the step events is read."""
    view, reader = RunView(summary=summarise(run)), LogReader(run.events, thin=thinned_lines)
    more = True
    while more:
        chunk = reader.poll()
        view, more = fold(view, chunk.events), chunk.more
    return view


def plot_log(run: RunFolder) -> None:
    """Print loss, learning rate and the latest P(k) of `run`."""
    view = read_view(run)
    if not view.epochs:
        say(f"{visible(run.name)} has finished no epoch yet: nothing to draw")
        return
    options = PictureOptions(color=colours(), color_depth=color_depth())
    width = min(WIDTH, shutil.get_terminal_size((80, 24)).columns)
    summary = view.summary
    out(f"{visible(run.name)}  {phase_words(summary, view.warmup_epochs)}  {plateau_words(view)}")
    for pane in panes_with_picture():
        if pane.printed and pane.needs.met(view):
            drawn = pane.draw(view, options)
            out(f"\n{drawn.title}\n{drawn.draw(width, pane.printed)}")
