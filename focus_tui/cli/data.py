"""`focus data`: simulates, imports and describes maps."""

import math
import os
from pathlib import Path
from typing import Annotated

import typer

from focus_engine.config.designs import DEFAULT_DESIGN, DESIGNS, design_named, design_sizes, design_words
from focus_engine.errors import InputError
from focus_engine.runs.folder import RunFolder, find_run, list_runs
from focus_tui.cli.choose import chosen_run, root_of
from focus_tui.cli.command import Command, Group

STORED_AS = ("physical", "log10", "standardised", "log10_standardised")
DATA = "data"
"""Name of the folder of map sets, beside the experiments folder."""

BoxSize = Annotated[float, typer.Option("--box-size", metavar="L", help="Side of the periodic box [Mpc/h].")]
MapsPerSimulation = Annotated[
    int, typer.Option("--maps-per-simulation", metavar="N", help="CAMELS: 15, 3 axes x 5 slabs.")
]
ArrayKey = Annotated[
    str | None, typer.Option("--key", metavar="NAME", help="Array of an .npz, HDF5 or Zarr file.", show_default=False)
]
FieldNames = Annotated[
    str | None, typer.Option("--fields", metavar="A,B", help="Names of several fields, in order.", show_default=False)
]
FieldUnits = Annotated[
    str | None, typer.Option("--units", metavar="U,V", help="Unit of each field.", show_default=False)
]
StoredAs = Annotated[
    str,
    typer.Option(
        "--stored-as", metavar="HOW", help="physical, log10, standardised, log10_standardised: how values were made."
    ),
]
Mean = Annotated[float, typer.Option("--mean", help="Subtracted when they were standardised.")]
Std = Annotated[float, typer.Option("--std", help="Divided by when they were standardised.")]


def simulate(
    context: typer.Context,
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="Where the set goes [data/simulated beside experiments/].")
    ] = None,
    simulations: Annotated[
        int | None, typer.Option("-n", "--simulations", metavar="N", help=f"Universes [{design_sizes()}].")
    ] = None,
    design: Annotated[
        str,
        typer.Option(
            "--design", metavar="|".join(DESIGNS), help=f"{design_words()}.", autocompletion=lambda: list(DESIGNS)
        ),
    ] = DEFAULT_DESIGN,
    grid: Annotated[int, typer.Option(help="Particles and mesh cells per side.")] = 32,
    map_size: Annotated[int | None, typer.Option(help="Pixels per side of a map [as grid].")] = None,
    box_size: BoxSize = 25.0,
    maps_per_simulation: MapsPerSimulation = 15,
    seed: Annotated[int, typer.Option(help="Of the whole set; universe i depends on seed and i alone.")] = 0,
    omega_m: Annotated[str | None, typer.Option("--Omega_m", metavar="LOW:HIGH", help="Range, or a value.")] = None,
    sigma_8: Annotated[str | None, typer.Option("--sigma_8", metavar="LOW:HIGH", help="Range, or a value.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")] = "cpu",
) -> None:
    """Make particle-mesh universes.

    In CAMELS layout. May be interrupted: the same command continues. CV and 1P lie about Omega_m 0.3, sigma_8 0.8;
    universes of 1P share one initial field.

    Example: focus data simulate -n 200 --grid 64 --sigma_8 0.7:0.9
    """
    chosen = design_named(design, f"--design {design!r}")
    ranges = {"Omega_m": parse_range("--Omega_m", omega_m), "sigma_8": parse_range("--sigma_8", sigma_8)}
    _positive("--box-size", box_size)
    from focus_tui.compute.data import SimulateOptions
    from focus_tui.compute.data import simulate as run_simulate

    options = SimulateOptions(
        folder=folder or data_root(context) / "simulated",
        simulations=chosen.simulations if simulations is None else simulations,
        design=chosen.name,
        grid=grid,
        map_size=map_size or grid,
        box_size=box_size,
        maps_per_simulation=maps_per_simulation,
        seed=seed,
        device=device,
        params_range={name: bounds for name, bounds in ranges.items() if bounds is not None},
    )
    run_simulate(options)


def import_data(
    context: typer.Context,
    maps: Annotated[
        list[Path],
        typer.Argument(metavar="MAPS...", help=".npy, .npz, HDF5, Zarr or a folder of maps; one a field; float32."),
    ],
    params: Annotated[Path, typer.Argument(metavar="PARAMS", help="Table, one row a simulation, CAMELS order.")],
    name: Annotated[str, typer.Option("--name", metavar="N", help="Name of the set: data/N beside experiments/.")],
    box_size: BoxSize = 25.0,
    maps_per_simulation: MapsPerSimulation = 15,
    link: Annotated[bool, typer.Option("--link", help="A hard link instead of a copy.")] = False,
    key: ArrayKey = None,
    fields: FieldNames = None,
    units: FieldUnits = None,
    stored_as: StoredAs = "physical",
    mean: Mean = 0.0,
    std: Std = 1.0,
) -> None:
    """Import maps into the data folder.

    Every pixel is checked before anything is copied.

    Example: focus data import Maps_Mcdm_IllustrisTNG_LH_z=0.00.npy params_LH_IllustrisTNG.txt --name tng
    """
    _positive("--box-size", box_size)
    _at_least_one("--maps-per-simulation", maps_per_simulation)
    if stored_as not in STORED_AS:
        raise InputError(f"--stored-as {stored_as!r} is unknown; allowed: {', '.join(STORED_AS)}")
    _positive("--std", std)
    from focus_tui.compute.data import FieldOptions
    from focus_tui.compute.data import import_data as run_import

    held = FieldOptions(key, _words("--fields", fields), _words("--units", units))
    options = {"box_size": box_size, "maps_per_simulation": maps_per_simulation, "link": link, "held": held}
    run_import(maps, params, name, data_root(context), **options, stored=(stored_as, mean, std))  # type: ignore[arg-type]


def info(
    context: typer.Context,
    what: Annotated[
        str | None, typer.Argument(metavar="FILE|FOLDER|SET|EXP", help="Maps, a set under data/, or an experiment.")
    ] = None,
    params: Annotated[Path | None, typer.Option("--params", metavar="FILE", help="Parameter table of FILE.")] = None,
    box_size: BoxSize = 25.0,
    maps_per_simulation: MapsPerSimulation = 15,
    key: ArrayKey = None,
    fields: FieldNames = None,
    units: FieldUnits = None,
) -> None:
    """Describe maps.

    Shape, units, ranges, zeros, parameters, a drawn map and P(k) of each field.

    Example: focus data info experiment_diffusion
    """
    _positive("--box-size", box_size)
    _at_least_one("--maps-per-simulation", maps_per_simulation)
    run, files = _find(context, what)
    from focus_tui.compute.data import FieldOptions
    from focus_tui.compute.data import info as run_info

    held = FieldOptions(key, _words("--fields", fields), _words("--units", units))
    run_info(files, run, params, box_size=box_size, maps_per_simulation=maps_per_simulation, held=held)


def _find(context: typer.Context, what: str | None) -> tuple[RunFolder | None, str | None]:
    """Return the experiment that `what` names, else the path of a set of maps."""
    if what is None:
        return chosen_run(context, None), None
    root = root_of(context)
    if any(run.name == what for run in list_runs(root)) or RunFolder(Path(what).absolute()).exists():
        return find_run(what, root), None
    if "/" not in what and not os.path.lexists(what) and (data_root(context) / what).is_dir():
        return None, str(data_root(context) / what)
    return None, what


def data_root(context: typer.Context) -> Path:
    """Return the folder of map sets: `data/` beside the experiments folder."""
    return root_of(context).parent / DATA


def parse_range(option: str, text: str | None) -> tuple[float, float] | None:
    """Parse `0.1:0.5` or `0.3`. Raises InputError."""
    if text is None:
        return None
    low, colon, high = text.partition(":")
    try:
        bounds = float(low), float(high if colon else low)
    except ValueError:
        raise InputError(f"{option} {text}: write LOW:HIGH or a value, such as {option} 0.2:0.4") from None
    if not (math.isfinite(bounds[0]) and math.isfinite(bounds[1]) and 0 < bounds[0] <= bounds[1]):
        raise InputError(f"{option} {text}: give positive numbers, the lower one first")
    return bounds


def _words(option: str, text: str | None) -> tuple[str, ...] | None:
    """Return the words of a list with commas. Raises InputError when one is empty."""
    if text is None:
        return None
    words = tuple(word.strip() for word in text.split(","))
    if not all(words):
        raise InputError(f"{option} {text}: write a word for each field with commas between, such as {option} Mcdm,HI")
    return words


def _positive(option: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{option} {value:g}: give a number above 0")


def _at_least_one(option: str, value: int) -> None:
    if value < 1:
        raise InputError(f"{option} {value}: give at least 1")


COMMANDS = (
    Group(
        "data",
        "Simulate, import and describe maps.",
        (Command(simulate), Command(import_data, name="import"), Command(info)),
    ),
)
