"""What came of sampling: progress, then maps on one colour scale and their P(k), and where the files lie."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.widgets import Static

from focus_engine.events.table import PowerSpectrumMeasured
from focus_engine.units import NORMALISED, SURFACE_DENSITY
from focus_tui.charts.half_blocks import ColorDepth, draw_maps
from focus_tui.dashboard.jobs import JobProgress, SampledPower, SampleResult
from focus_tui.dashboard.widgets.chart import Chart
from focus_tui.terminal import visible
from focus_tui.view.pictures.maps import SYMBOLS
from focus_tui.view.run_view import floats
from focus_tui.view.words import bar_line

MOST_MAPS = 64
"""Maps of a file that are kept to be looked at."""
GAP = 2
HIGH = 30
"""From this height on maps and P(k) stand above each other, else side by side."""


@dataclass(frozen=True, eq=False)
class DrawnMaps:
    """Maps out of a .npz of `focus sample`.

    Attributes:
        maps: the first ones, first channel, (n, H, W), physical units.
        params: their parameters (n, P).
        names: of the parameters.
        total: how many the file has.
        low: lower end of their common colour scale.
        high: upper end.
    """

    maps: NDArray[np.float32]
    params: NDArray[np.float32]
    names: tuple[str, ...]
    total: int
    low: float
    high: float
    units: str = SURFACE_DENSITY


def read_maps(path: Path) -> DrawnMaps:
    """Return the maps in `path`. Raises OSError, ValueError or KeyError when it holds none."""
    with np.load(path, allow_pickle=False) as file:
        whole = file["maps"]
        maps = np.array(whole[:MOST_MAPS] if whole.ndim == 3 else whole[:MOST_MAPS, 0], dtype=np.float32)
        params = np.array(file["params"][:MOST_MAPS], dtype=np.float32)
        names = tuple(str(name) for name in file["param_names"])
        units = str(file["units"]) if "units" in file else SURFACE_DENSITY
    seen = maps[np.isfinite(maps) & ((maps > 0) | (units == NORMALISED))]
    low, high = np.percentile(seen, [0.5, 99.9]) if seen.size else (1.0, 10.0)
    return DrawnMaps(maps, params, names, len(whole), float(low), float(high), units)


def fitting(width: int, height: int, shape: tuple[int, int], count: int) -> int:
    """Return how many maps (H, W) stand side by side in `width` × `height` characters as large as the height lets."""
    rows = 2 * (height - 2)
    scale = min(rows / shape[0], width / shape[1])
    scale = int(scale) if scale >= 1 else scale
    return max(1, min(count, (width + GAP) // (max(2, int(shape[1] * scale)) + GAP)))


def caption(drawn: DrawnMaps, place: int) -> str:
    """Return the parameters of a map, the first ones."""
    pairs = zip(drawn.names, drawn.params[place], strict=False)
    return " ".join(f"{SYMBOLS.get(name, name)} {value:.2f}" for name, value in pairs)


class ResultPane(Vertical, can_focus=True):
    """Shows how a job goes, and what came of it."""

    DEFAULT_CSS = """
    ResultPane #told { height: auto; padding: 0 1; }
    ResultPane #pictures { height: 1fr; layout: horizontal; }
    ResultPane.high #pictures { layout: vertical; }
    ResultPane #pictures Chart { padding: 0 1; }
    ResultPane #files { height: auto; padding: 0 1; color: $text-muted; }
    ResultPane:focus #told { background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "screen.turn(-1)", "maps before", tooltip="the maps before"),
        Binding("right", "screen.turn(1)", "more maps", tooltip="more maps"),
    ]

    def __init__(self, *, color: bool, color_depth: ColorDepth, colormap: str) -> None:
        super().__init__(id="result")
        self._color, self._depth, self._colormap = color, color_depth, colormap
        self._drawn: DrawnMaps | None = None
        self._first = self._across = 0
        self._words = Text(), Text()
        self._progress: JobProgress[SampleResult] | None = None

    def compose(self) -> ComposeResult:
        """Lay out progress, pictures and file names."""
        yield Static(id="told")
        with Container(id="pictures"):
            yield Chart(id="maps")
            yield Chart(id="power")
        yield Static(id="files")

    def on_mount(self) -> None:
        """Begin empty."""
        self.query_one("#pictures").display = False

    def on_resize(self) -> None:
        """Put the pictures side by side where there is no height."""
        self.set_class(self.size.height >= HIGH, "high")
        if self._progress is not None:
            self.tell(self._progress)

    def say(self, words: Text) -> None:
        """Show words where the progress stands."""
        self.query_one("#told", Static).update(words)

    def tell(self, progress: JobProgress[SampleResult]) -> None:
        """Show how far a job is."""
        self._progress, text, more = progress, Text(), Text()
        if progress.failed is not None:
            text.append(f"✗ {visible(progress.failed)}", style="bold red")
        elif progress.finished is not None:
            done = progress.finished
            text.append("✓ ", style="bold green")
            text.append(f"{done.n_maps} maps, NFE {done.nfe}")
        else:
            text.append(
                bar_line(progress.done, progress.total, [visible(progress.words)], max(20, self.size.width - 2))
            )
        if progress.note and not progress.ended:
            more.append(f"\n{visible(progress.note)}", style="dim")
        for warning in progress.warnings:
            more.append(f"\nwarning: {visible(warning)}", style="yellow")
        self._words = text, more
        self._say_which()

    def _say_which(self) -> None:
        """Say which of the maps are on the screen, where not all of them fit."""
        (first, more), drawn = self._words, self._drawn
        text = first.copy()
        if drawn is not None and self.has_more and self._progress is not None and self._progress.finished is not None:
            last = min(self._first + self._across, len(drawn.maps))
            here = f"{self._first + 1}" if self._across == 1 else f"{self._first + 1}–{last}"
            text.append(f"   here {here}, pgdn pgup turn", style="dim")
        self.say(text + more)

    def show(
        self, drawn: DrawnMaps, progress: JobProgress[SampleResult], real: PowerSpectrumMeasured | None, files: str
    ) -> None:
        """Show maps, P(k) and where the files lie."""
        self.tell(progress)
        self._drawn, self._first = drawn, 0
        self.query_one("#pictures").display = True
        self.query_one("#files", Static).update(Text(visible(files)))
        self._show_maps()
        power = None if progress.finished is None else progress.finished.power
        self.query_one("#power", Chart).show(lambda width, height: power_text(power, real, width, height, self._color))

    def _show_maps(self) -> None:
        drawn = self._drawn
        if drawn is None:
            return
        first = self._first

        def draw(width: int, height: int) -> str:
            shape = (drawn.maps.shape[1], drawn.maps.shape[2])
            self._across = fitting(width, height, shape, len(drawn.maps))
            self.call_after_refresh(self._say_which)
            shown = range(first, min(len(drawn.maps), first + self._across))
            return draw_maps(
                [drawn.maps[place] for place in shown],
                width=width,
                height=height,
                titles=[caption(drawn, place) for place in shown],
                colormap=self._colormap,
                vmin=drawn.low,
                vmax=drawn.high,
                color_depth=self._depth,
                units=drawn.units,
            )

        self.query_one("#maps", Chart).show(draw, (id(drawn), first))

    @property
    def has_more(self) -> bool:
        """Whether there are more maps than fit."""
        return self._drawn is not None and 0 < self._across < len(self._drawn.maps)

    def turn(self, by: int) -> None:
        """Show other maps."""
        if self._drawn is not None and self._across:
            last = (len(self._drawn.maps) - 1) // self._across * self._across
            self._first = max(0, min(self._first + by * self._across, last))
            self._show_maps()


def power_text(
    power: SampledPower | None, real: PowerSpectrumMeasured | None, width: int, height: int, color: bool
) -> str:
    """Return P(k) of the samples, over that of real maps where both have the same bins."""
    from focus_tui.charts.curves import DENSITY_POWER, FIELD_POWER, draw_power, draw_single_power

    if power is None:
        return "no P(k): the maps hold values below zero"
    k, mean = floats(power.k), floats(power.mean)
    if real is not None and len(real.k) <= len(k) and np.allclose(real.k, k[: len(real.k)], rtol=1e-3):
        return draw_power(
            real.k,
            floats(real.real_mean),
            floats(real.real_std),
            mean[: len(real.k)],
            width=width,
            height=height,
            color=color,
            title="P(k), real: validation",
            k_nyquist=real.k_nyquist,
            y_label=FIELD_POWER if real.normalised else DENSITY_POWER,
        )
    below = k <= power.k_nyquist
    std = None if power.std is None else floats(power.std)[below]
    return draw_single_power(
        k[below],
        mean[below],
        std,
        width=width,
        height=height,
        color=color,
        title="P(k) of the samples",
        k_nyquist=power.k_nyquist,
        y_label=FIELD_POWER if power.normalised else DENSITY_POWER,
    )
