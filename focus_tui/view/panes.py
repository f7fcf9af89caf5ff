"""The panes of the Watch screen, one line each; the screen, its keys, its help and the exports read this table.

Pictures and figures are named as `module:function` and loaded when one is drawn, for `focus --help` reads the table
and must load neither numpy nor matplotlib. For its sake these are named tuples too: a dataclass costs 0.8 ms to make.
"""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from focus_tui.view.pictures.picture import Picture, PictureOptions
    from focus_tui.view.run_view import RunView

FIGURE_FORMATS = ("png", "pdf", "svg")


class Requirement(NamedTuple):
    """What a run must have before there is something to draw.

    Attributes:
        words: what, in words.
        met: whether a run has it.
    """

    words: str
    met: Callable[["RunView"], bool]


EPOCHS = Requirement("epochs", lambda view: bool(view.epochs))
SPECTRA = Requirement("P(k) of samples", lambda view: bool(view.spectra))
SAMPLES = Requirement("maps of samples", lambda view: bool(view.samples))


class PaperFigure(NamedTuple):
    """A figure for papers.

    Attributes:
        words: what it is of, in the list of exports.
        drawn_by: `module:function` that makes it: (RunView, RunFolder) ▶ Figure.
    """

    words: str
    drawn_by: str


class Pane(NamedTuple):
    """One pane.

    Attributes:
        name: its id on the screen, and the word for `focus export --figure`.
        key: enlarges it.
        label: a word or two.
        subject: what it shows, as part of a sentence.
        needs: what there must be to draw.
        priority: 1 is shown on the smallest screens, the others where there is room.
        picture: `module:function` that makes it: (RunView, PictureOptions) ▶ Picture; None for the log, which is none.
        printed: rows of its picture in `focus logs --plot`; 0 leaves it out.
        figure: its figure for papers; None where it has none.
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
        """Return the picture of a run, ready to be drawn at any size."""
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
"""In the order of the screen."""


def panes_with_picture() -> tuple[Pane, ...]:
    """Return the panes that are pictures."""
    return tuple(pane for pane in PANES if pane.picture is not None)


def panes_with_figure() -> tuple[tuple[Pane, PaperFigure], ...]:
    """Return the panes that have a figure for papers, each with it."""
    return tuple((pane, pane.figure) for pane in PANES if pane.figure is not None)


def pane_number(name: str) -> int:
    """Return the place of a pane on the screen, from 1 on."""
    return [pane.name for pane in PANES].index(name) + 1


def load(reference: str) -> Any:  # noqa: ANN401  (a function of any kind)
    """Return what `module:name` stands for."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
