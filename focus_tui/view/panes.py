"""The table of panes of the Watch screen, read by the screen, its keys, its help and the exports.

Pictures and figures are named as `module:function` and loaded when one is drawn, because `focus --help` reads the
table and must load neither numpy nor matplotlib. It also needs named tuples: a dataclass takes 0.8 ms to create.
"""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from focus_tui.view.pictures.picture import Picture, PictureOptions
    from focus_tui.view.run_view import RunView

FIGURE_FORMATS = ("png", "pdf", "svg")


class Requirement(NamedTuple):
    """The data a run must have before a pane can be drawn.

    Attributes:
        words: name of the data, for messages.
        met: whether a run has the data.
    """

    words: str
    met: Callable[["RunView"], bool]


EPOCHS = Requirement("epochs", lambda view: bool(view.epochs))
SPECTRA = Requirement("P(k) of samples", lambda view: bool(view.spectra))
SAMPLES = Requirement("maps of samples", lambda view: bool(view.samples))


class PaperFigure(NamedTuple):
    """A figure for papers.

    Attributes:
        words: its subject, for the list of exports.
        drawn_by: `module:function` that draws it: (RunView, RunFolder) ▶ Figure.
    """

    words: str
    drawn_by: str


class Pane(NamedTuple):
    """One pane of the Watch screen.

    Attributes:
        name: its id on the screen, and its value for `focus export --figure`.
        key: the key that enlarges it.
        label: one or two words.
        subject: its content, as part of a sentence.
        needs: the data it requires.
        priority: 1 is shown on the smallest screens; higher numbers need more room.
        picture: `module:function` that makes it: (RunView, PictureOptions) ▶ Picture; None for the log.
        printed: height of its picture in `focus logs --plot` [rows]; 0 leaves it out.
        figure: its figure for papers, if any.
    """

    name: str
    key: str
    label: str
    subject: str
    needs: Requirement
    priority: int
    picture: str | None
    printed: int = 0
    figure: PaperFigure | None = None

    def draw(self, view: "RunView", options: "PictureOptions") -> "Picture":
        """Return the picture of a run, which can be drawn at any size. Raises ValueError for the log."""
        if self.picture is None:
            raise ValueError(f"the pane {self.name} has no picture")
        picture: Picture = load(self.picture)(view, options)
        return picture


LOG = "log"
PANES = (
    Pane(
        name="loss",
        key="1",
        label="loss",
        subject="the loss",
        needs=EPOCHS,
        priority=1,
        picture="focus_tui.view.pictures.curves:loss_picture",
        printed=16,
        figure=PaperFigure("loss curves", "focus_tui.compute.paper:loss_figure"),
    ),
    Pane(
        name="lr",
        key="2",
        label="learning rate",
        subject="the learning rate",
        needs=EPOCHS,
        priority=3,
        picture="focus_tui.view.pictures.curves:lr_picture",
        printed=16,
        figure=PaperFigure("learning rate", "focus_tui.compute.paper:lr_figure"),
    ),
    Pane(
        name="power",
        key="3",
        label="P(k)",
        subject="P(k)",
        needs=SPECTRA,
        priority=2,
        picture="focus_tui.view.pictures.power:power_picture",
        printed=20,
        figure=PaperFigure("power spectrum", "focus_tui.compute.paper:power_figure"),
    ),
    Pane(
        name="maps",
        key="4",
        label="maps",
        subject="maps",
        needs=SAMPLES,
        priority=4,
        picture="focus_tui.view.pictures.maps:maps_picture",
        figure=PaperFigure("maps", "focus_tui.compute.paper:maps_figure"),
    ),
    Pane(name=LOG, key="5", label="log", subject="the log", needs=EPOCHS, priority=5, picture=None),
)
"""All panes, in screen order."""


def panes_with_picture() -> tuple[Pane, ...]:
    """Return the panes that have a picture."""
    return tuple(pane for pane in PANES if pane.picture is not None)


def panes_with_figure() -> tuple[tuple[Pane, PaperFigure], ...]:
    """Return the panes that have a figure for papers, each with its figure."""
    return tuple((pane, pane.figure) for pane in PANES if pane.figure is not None)


def pane_number(name: str) -> int:
    """Return the position of a pane on the screen, counted from 1."""
    return [pane.name for pane in PANES].index(name) + 1


def load(reference: str) -> Any:  # noqa: ANN401  (a function of any kind)
    """Import and return the object named `module:name`."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
