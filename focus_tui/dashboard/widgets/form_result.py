"""The result of sampling: progress, then maps on a common colour scale, their P(k), and the file names."""

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

from focus_engine.events.statistics import LivePower
from focus_engine.units import NORMALISED, SURFACE_DENSITY
from focus_tui.charts.half_blocks import draw_maps
from focus_tui.dashboard.jobs import JobProgress, SampledPower, SampleResult
from focus_tui.dashboard.widgets.chart import Chart
from focus_tui.terminal import ColorDepth, visible
from focus_tui.view.arrays import floats
from focus_tui.view.pictures.maps import SYMBOLS
from focus_tui.view.pictures.power import band_words
from focus_tui.view.words import bar_line

MAX_MAPS = 64
"""Most maps of a file that are kept for display."""
GAP = 2
HIGH = 30
"""Least height at which maps and P(k) are stacked; below it they are side by side."""


@dataclass(frozen=True, eq=False)
class DrawnMaps:
    """Maps from a .npz file of `focus sample`.

    Attributes:
        maps: the first `MAX_MAPS`, of the first field, (n, H, W).
        params: their parameters, (n, P).
        names: of the parameters.
        total: number of maps in the file.
        low: lower end of the common colour scale.
        high: upper end of the common colour scale.
        units: of the maps.
        field: name of the field and the number of fields, if they are several.
    """

    maps: NDArray[np.float32]
    params: NDArray[np.float32]
    names: tuple[str, ...]
    total: int
    low: float
    high: float
    units: str = SURFACE_DENSITY
    field: str = ""


def read_maps(path: Path) -> DrawnMaps:
    """Return the maps in `path`. Raises OSError or ValueError if it holds none."""
    try:
        return _read_maps(path)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001  (a damaged archive can raise any exception)
        raise ValueError(f"not a file of focus sample: {error}") from None


def _read_maps(path: Path) -> DrawnMaps:
    with np.errstate(over="ignore"), path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        whole = file["maps"]
        maps = np.array(whole[:MAX_MAPS] if whole.ndim == 3 else whole[:MAX_MAPS, 0], dtype=np.float32)
        params = np.array(file["params"][:MAX_MAPS], dtype=np.float32)
        names = tuple(str(name) for name in file["param_names"])
        units = str(file["units"].flat[0]) if "units" in file else SURFACE_DENSITY
        several = whole.ndim == 4 and whole.shape[1] > 1
        first = f"{file['fields'].flat[0]}, " if "fields" in file else ""
        field = f"{first}the first of {whole.shape[1]} fields; " if several else ""
    seen = maps[np.isfinite(maps) & ((maps > 0) | (units == NORMALISED))]
    low, high = np.percentile(seen, [0.5, 99.9]) if seen.size else (1.0, 10.0)
    return DrawnMaps(maps, params, names, len(whole), float(low), float(high), units, field)


def fitting(width: int, height: int, shape: tuple[int, int], count: int) -> int:
    """Return how many maps of `shape` (H, W), scaled to the height, fit in `width` × `height` characters."""
    rows = 2 * (height - 2)
    scale = min(rows / shape[0], width / shape[1])
    scale = int(scale) if scale >= 1 else scale
    return max(1, min(count, (width + GAP) // (max(2, int(shape[1] * scale)) + GAP)))


def caption(drawn: DrawnMaps, place: int) -> str:
    """Return the parameters of a map as text."""
    pairs = zip(drawn.names, drawn.params[place], strict=False)
    return " ".join(f"{SYMBOLS.get(name, name)} {value:.2f}" for name, value in pairs)


class ResultPane(Vertical, can_focus=True):
    """Shows the progress of a job and its result."""

    DEFAULT_CSS = """
    ResultPane #told { height: auto; padding: 0 1; }
    ResultPane #pictures { height: 1fr; layout: horizontal; }
    ResultPane.high #pictures { layout: vertical; }
    ResultPane #pictures Chart { padding: 0 1; }
    ResultPane #files { height: auto; padding: 0 1; color: $text-muted; }
    ResultPane:focus #told { background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "screen.turn(-1)", "previous maps", tooltip="previous maps"),
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
        """Hide the pictures until there is a result."""
        self.query_one("#pictures").display = False

    def on_resize(self) -> None:
        """Stack the pictures if there is height, else put them side by side."""
        self.set_class(self.size.height >= HIGH, "high")
        if self._progress is not None:
            self.show_progress(self._progress)

    def say(self, words: Text) -> None:
        """Show a text in place of the progress."""
        self.query_one("#told", Static).update(words)

    def show_progress(self, progress: JobProgress[SampleResult]) -> None:
        """Show the progress of a job."""
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
        self._show_progress_text()

    def _show_progress_text(self) -> None:
        """Show the progress text and, if not all maps fit, which are visible."""
        (first, more), drawn = self._words, self._drawn
        text = first.copy()
        if drawn is not None and self.has_more and self._progress is not None and self._progress.finished is not None:
            last = min(self._first + self._across, len(drawn.maps))
            here = f"{self._first + 1}" if self._across == 1 else f"{self._first + 1}–{last}"
            text.append(f"   shown {here}, pgdn pgup for others", style="dim")
        self.say(text + more)

    def show(self, drawn: DrawnMaps, progress: JobProgress[SampleResult], real: LivePower | None, files: str) -> None:
        """Show maps, P(k) and file names."""
        self.show_progress(progress)
        self._drawn, self._first = drawn, 0
        self.query_one("#pictures").display = True
        self.query_one("#files", Static).update(Text(visible(drawn.field + files)))
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
            self.call_after_refresh(self._show_progress_text)
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
        """Whether more maps exist than fit."""
        return self._drawn is not None and 0 < self._across < len(self._drawn.maps)

    def turn(self, by: int) -> None:
        """Show the next or previous maps."""
        if self._drawn is not None and self._across:
            last = (len(self._drawn.maps) - 1) // self._across * self._across
            self._first = max(0, min(self._first + by * self._across, last))
            self._show_maps()


def power_text(power: SampledPower | None, real: LivePower | None, width: int, height: int, color: bool) -> str:
    """Return the chart of P(k) of the samples, with that of real maps if both have the same bins."""
    from focus_tui.charts.curves import DENSITY_POWER, FIELD_POWER, draw_power, draw_single_power

    if power is None:
        return "no P(k): the maps contain values below zero"
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
            title="P(k), real: at the parameters of validation maps",
            band_label=band_words(real, width),
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
