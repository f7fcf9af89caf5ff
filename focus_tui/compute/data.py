"""`focus data`: simulates universes, imports maps, and describes a set of maps."""

import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from focus_engine.config.yaml_edit import yaml_value
from focus_engine.data.bring_in import import_maps
from focus_engine.data.maps import MapSet, StoredAs, StoredValues, open_map_set
from focus_engine.data.summary import ChannelSummary, DataSummary, describe
from focus_engine.errors import InputError
from focus_engine.progress import drain
from focus_engine.runs.folder import RunFolder
from focus_engine.units import NORMALISED
from focus_tui.charts.curves import DENSITY_POWER, FIELD_POWER, draw_single_power
from focus_tui.charts.half_blocks import draw_map
from focus_tui.terminal import ColorDepth, colours, out, say, visible
from focus_tui.view.follow import Printer
from focus_tui.view.words import bar_line, duration, size


@dataclass(frozen=True)
class FieldOptions:
    """The options that say which array and which fields map files hold; None for the default.

    Attributes:
        key: name of the array in an .npz, HDF5 or Zarr file.
        fields: names of the channels.
        units: their units.
    """

    key: str | None = None
    fields: tuple[str, ...] | None = None
    units: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class SimulateOptions:
    """The options of `focus data simulate`; sizes as in the `data` block of a config."""

    folder: Path
    simulations: int
    design: str
    grid: int
    map_size: int
    box_size: float
    maps_per_simulation: int
    seed: int
    device: str
    params_range: dict[str, tuple[float, float]]


def simulate(options: SimulateOptions) -> None:
    """Create or continue a set of universes with a progress bar, and print its folder.

    Raises:
        InputError: an option is wrong, or the folder holds another set.
        FocusError: the files cannot be written.
    """
    from focus_engine.simulation.simulate import UniverseLayout
    from focus_engine.simulation.universes import simulate_universes

    layout = UniverseLayout(options.grid, options.map_size, options.box_size, options.maps_per_simulation)
    universes = simulate_universes(
        options.folder,
        simulations=options.simulations,
        layout=layout,
        seed=options.seed,
        params_range=options.params_range or None,
        design=options.design,
        device=options.device,
    )
    bar = _Bar("universes")
    made = drain(
        universes, lambda step: bar.show(step.done, step.total, "waiting for another process" if step.waiting else "")
    )
    bar.clear()
    out(str(options.folder))
    count = made.simulations
    say(f"{count * layout.maps_per_simulation} maps of {count} universes. In a config:\n  data:")
    say(f"    maps_path: {made.maps_path.absolute()}\n    params_path: {made.params_path.absolute()}")
    say(f"    box_size: {layout.box_size}\n    maps_per_simulation: {layout.maps_per_simulation}")


def import_data(
    maps: list[Path],
    params: Path,
    name: str,
    root: Path,
    *,
    box_size: float,
    maps_per_simulation: int,
    link: bool,
    held: FieldOptions,
    stored: tuple[StoredAs, float, float],
) -> None:
    """Check maps and parameters, copy them to `root`/`name`, and print the folder.

    Raises:
        InputError: the data are wrong, or the name is taken.
        FocusError: the files cannot be written.
    """
    bars = {"check": _Bar("maps checked"), "copy": _Bar("copied", size)}
    steps = import_maps(
        maps,
        params,
        name,
        root,
        box_size=box_size,
        maps_per_simulation=maps_per_simulation,
        link=link,
        maps_key=held.key,
        fields=held.fields,
        units=held.units,
        stored=StoredValues(*stored),
    )
    imported = drain(steps, lambda step: bars[step.stage].show(step.done, step.total))
    bars["copy"].clear()
    out(str(imported.folder))
    say("in a config:\n  data:")
    found = imported.map_set
    files = [str(path.absolute()) for path in dict.fromkeys(field.path for field in found.fields)]
    say(f"    maps_path: {files[0] if len(files) == 1 else yaml_value(files)}")
    say(f"    params_path: {found.params_path.absolute()}")
    if (channels := len(found.fields)) > 1:
        say(f"    fields: {yaml_value(list(found.field_names))}\n    units: {yaml_value(list(found.field_units))}")
        say(f"  model:\n    in_channels: {channels}\n    out_channels: {channels}")


def info(
    what: str | None,
    run: RunFolder | None,
    params: Path | None,
    *,
    box_size: float,
    maps_per_simulation: int,
    held: FieldOptions,
) -> None:
    """Print shape, units, ranges, zeros, parameters, a map and P(k) of a set of maps.

    Args:
        what: a maps file or a folder with maps and parameters; None to take those of `run`.
        run: an experiment; None to use `what`.
        params: the parameter table of a maps file.
        box_size: side of the box [Mpc/h] of a file.
        maps_per_simulation: maps per simulation of a file.
        held: array and fields of a file.

    Raises:
        InputError: these are no maps.
    """
    _show(
        describe(
            _open_run(run) if run is not None else _open_files(what or ".", params, box_size, maps_per_simulation, held)
        )
    )


def _open_run(run: RunFolder) -> MapSet:
    from focus_engine.config.load import load_config
    from focus_engine.data.opening import open_maps

    bar = _Bar("universes")
    maps = drain(open_maps(load_config(run.config).config, run.path), lambda step: bar.show(step.done, step.total))
    bar.clear()
    return maps


def _open_files(
    what: str, params: Path | None, box_size: float, maps_per_simulation: int, held: FieldOptions
) -> MapSet:
    from focus_engine.config.blocks.data import DataBlock
    from focus_engine.data.locate import files_of_fields, resolve_map_paths

    path = Path(what).expanduser().absolute()
    if not os.path.lexists(path):
        raise InputError(f"{what}: no such file, folder or experiment")
    one_map_per_file = path.is_dir() and params is not None
    is_set = path.is_dir() and not one_map_per_file
    folder = path if is_set else path.parent
    block = DataBlock(
        source="files",
        data_dir=str(folder),
        maps_path=tuple(map(str, files_of_fields(path))) or None if is_set else str(path),
        params_path=None if params is None else str(params.absolute()),
    )
    maps_path, params_path = resolve_map_paths(block, folder)
    return open_map_set(
        maps_path,
        params_path,
        box_size=box_size,
        maps_per_simulation=maps_per_simulation,
        maps_key=held.key,
        fields=held.fields,
        units=held.units,
    )


def _show(summary: DataSummary) -> None:
    s = summary
    channels, height, width = s.shape
    several = channels > 1
    out(f"{s.n_maps} maps of {s.n_simulations} simulations ({s.maps_per_simulation} each): {s.layout}")
    out(f"  shape       ({channels}, {height}, {width}) {s.dtype}, {size(s.n_bytes)}")
    out(f"  units       {', '.join(dict.fromkeys(one.units for one in s.channels))}, box {s.box_size:g} Mpc/h")
    for channel in s.channels:
        label = visible(channel.name) if several else "values"
        zeros = f"{channel.zeros:,} zeros of {channel.pixels:,} pixels"
        unit = f" {visible(channel.units)}" if several else ""
        out(f"  {label:<11} {channel.low:.4g} to {channel.high:.4g}{unit}, mean {channel.mean:.4g}, {zeros}")
    if s.read_maps < s.n_maps:
        out(f"  (values of {s.read_maps} maps spread over the set)")
    for parameter in s.parameters:
        out(f"  {parameter.name:<11} {parameter.low:.4g} to {parameter.high:.4g}, mean {parameter.mean:.4g}")
    for channel in s.channels:
        _draw_channel(channel, f"{visible(channel.name)}, " if several else "", s.example_id)


def _draw_channel(channel: ChannelSummary, name: str, example_id: int) -> None:
    """Draw a map and P(k) of a channel; `name` comes before their titles."""
    columns = min(100, shutil.get_terminal_size().columns)
    depth: ColorDepth = "truecolor" if colours() else None
    units, wide = visible(channel.units), min(64, columns)
    out()
    out(
        draw_map(
            np.asarray(channel.example),
            width=wide,
            height=26,
            color_depth=depth,
            title=f"{name}map {example_id}",
            units=units,
        )
    )
    out()
    spectrum = channel.spectrum
    chart = draw_single_power(
        spectrum.k,
        spectrum.mean,
        None if spectrum.n_maps < 2 else spectrum.std,
        width=columns,
        height=18,
        color=colours(),
        title=f"{name}{spectrum.n_maps} maps",
        k_nyquist=spectrum.k_nyquist,
        y_label=FIELD_POWER if units == NORMALISED else DENSITY_POWER,
    )
    out(chart)


class _Bar:
    """A progress bar on stderr with the remaining time."""

    def __init__(self, unit: str, number: Callable[[float], str] = lambda n: f"{n:.0f}") -> None:
        self._unit, self._number = unit, number
        self._printer = Printer()
        self._first: tuple[int, float] | None = None

    def show(self, done: int, total: int, *words: str) -> None:
        now = time.monotonic()
        self._first = self._first or (done, now)
        made, since = done - self._first[0], now - self._first[1]
        left = f"{duration(since / made * (total - done))} left" if made > 0 and done < total else ""
        parts: Iterable[str] = (f"{self._number(done)}/{self._number(total)} {self._unit}", left, *words)
        columns = shutil.get_terminal_size().columns - 1
        self._printer.progress(bar_line(done, total, [part for part in parts if part], columns))

    def clear(self) -> None:
        self._printer.clear()
