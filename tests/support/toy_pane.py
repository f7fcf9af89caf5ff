"""An example pane in its own module, as a contributor would add one: the gradient norm."""

from matplotlib.figure import Figure

from focus_engine.runs.folder import RunFolder
from focus_tui.view.panes import EPOCHS, Pane, PaperFigure
from focus_tui.view.pictures.picture import Picture, PictureOptions
from focus_tui.view.run_view import RunView

TOY = Pane(
    name="gradient",
    key="6",
    label="gradient",
    subject="the gradient norm",
    needs=EPOCHS,
    priority=6,
    picture="toy_pane:gradient_picture",
    printed=2,
    figure=PaperFigure("gradient norm", "toy_pane:gradient_figure"),
)


def gradient_picture(view: RunView, _: PictureOptions) -> Picture:
    """Return a picture of one number."""
    return Picture("Gradient norm", lambda width, height: f"{len(view.epochs)} norms in {width} x {height}", view)


def gradient_figure(view: RunView, _: RunFolder) -> Figure:
    """Return a figure of one line."""
    figure = Figure()
    figure.subplots().plot([event.epoch for event in view.epochs], [1.0] * len(view.epochs))
    return figure
