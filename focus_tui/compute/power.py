"""`focus power`: measures P(k) of any maps on disk. Imports numpy only, to start fast."""

import json
import shutil
from pathlib import Path

import numpy as np

from focus_engine.data.map_files import HDF5_SUFFIXES, open_maps_file
from focus_engine.errors import InputError
from focus_engine.statistics.map_stack import as_channels
from focus_engine.statistics.maps_file import MapsFile, load_maps_file
from focus_engine.statistics.power import PowerSpectrum, power_spectrum
from focus_tui.terminal import colours, out, say, visible

DEFAULT_BOX = 25.0
"""Side of the box if neither the file nor the user gives it [Mpc/h]."""


def power(file: Path, box_size: float | None, *, as_json: bool) -> None:
    """Measure P(k) of the maps in `file`, of each field by itself, and draw or print it.

    Raises:
        InputError: the file holds no maps, or `--box-size` contradicts it.
    """
    if file.is_dir() or file.suffix in HDF5_SUFFIXES:
        opened = open_maps_file(file)
        held = MapsFile(as_channels(np.stack([opened[index] for index in range(opened.shape[0])]), str(file)))
    else:
        held = load_maps_file(file)
    stored_box = held.box_size
    if box_size is not None and stored_box is not None and abs(box_size - stored_box) > 1e-6 * stored_box:
        raise InputError(f"--box-size {box_size:g}: {file} has a box of {stored_box:g} Mpc/h")
    box = box_size or stored_box
    if box is None:
        box = DEFAULT_BOX
        say(f"{file} does not hold its box size: {box:g} Mpc/h is assumed (--box-size)")
    channels = held.maps.shape[1]
    spectra = [power_spectrum(held.maps[:, channel], box) for channel in range(channels)]
    names = held.fields or tuple(f"channel {channel}" for channel in range(channels))
    if as_json:
        of_fields = zip(names, spectra, strict=True)
        fields = [{"name": name, "power": json.loads(power_json(spectrum))} for name, spectrum in of_fields]
        out(power_json(spectra[0]) if channels == 1 else json.dumps({"fields": fields}))
        return
    for name, spectrum in zip(names, spectra, strict=True):
        draw(spectrum, file.name if channels == 1 else f"{file.name}, {visible(name)}")


def power_json(spectrum: PowerSpectrum) -> str:
    """Return the JSON of `focus power`: k [h/Mpc], power [(Mpc/h)²], modes, edges; null if unknown."""
    single = spectrum.n_maps < 2
    return json.dumps(
        {
            "k": spectrum.k.tolist(),
            "power_mean": spectrum.mean.tolist(),
            "power_std": [None] * len(spectrum.k) if single else spectrum.std.tolist(),
            "modes": spectrum.modes.tolist(),
            "k_edges": spectrum.k_edges.tolist(),
            "n_maps": spectrum.n_maps,
            "box_size": spectrum.box_size,
            "k_nyquist": spectrum.k_nyquist,
            "of": spectrum.label,
        },
        allow_nan=False,
    )


def draw(spectrum: PowerSpectrum, title: str) -> None:
    """Draw P(k) in the terminal."""
    from focus_tui.charts.curves import draw_single_power

    columns = shutil.get_terminal_size().columns
    out(
        draw_single_power(
            spectrum.k,
            spectrum.mean,
            None if spectrum.n_maps < 2 else spectrum.std,
            width=min(100, columns),
            height=20,
            color=colours(),
            title=f"{title}: {spectrum.n_maps} maps",
            k_nyquist=spectrum.k_nyquist,
        )
    )
