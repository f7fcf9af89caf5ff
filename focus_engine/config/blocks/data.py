"""The block `data`: where the maps come from, how they are split and normalised."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from focus_engine.config.block import FREE, Block, NonNegativeInt, PositiveFloat, PositiveInt, list_to_tuple

PARAMETER_NAMES = ("Omega_m", "sigma_8", "A_SN1", "A_AGN1", "A_SN2", "A_AGN2")
"""Parameters in the column order of every CAMELS table; files are read by position, never by header."""

DEFAULT_POWER = 0.15
"""Power of boxcox; docs/training_well.md has its measurement."""

Name = Annotated[str, Field(min_length=1)]


class DataBlock(Block):
    """Maps, parameters and how they are split."""

    source: Literal["simulated", "files"] = Field(
        "simulated",
        examples=["files"],
        description="'files' reads maps_path and params_path; 'simulated' lets FOCUS make universes itself. "
        "Left out: files when a path is given, else simulated.",
    )
    maps_path: Annotated[str | tuple[str, ...], BeforeValidator(list_to_tuple), Field(min_length=1)] | None = Field(
        None,
        description="Maps in CAMELS Multifield layout, float32 (N, H, W) or (N, C, H, W), in physical units: a .npy, "
        ".npz, HDF5 or Zarr file, a folder with a file a map, or a list of them, one for each field; relative to "
        "this file.",
        json_schema_extra=FREE,
    )
    fields: Annotated[tuple[Name, ...], BeforeValidator(list_to_tuple), Field(min_length=1)] | None = Field(
        None,
        examples=[("Mcdm", "HI", "T")],
        description="Names of the fields (channels) of a map, in order; left out: those in the names of CAMELS files.",
        json_schema_extra=FREE,
    )
    units: Annotated[tuple[Name, ...], BeforeValidator(list_to_tuple), Field(min_length=1)] | None = Field(
        None,
        examples=[("(Msun/h)/(Mpc/h)^2", "(Msun/h)/(Mpc/h)^2", "K")],
        description="Unit of each field; left out: (Msun/h)/(Mpc/h)^2, or by the names of CAMELS fields.",
        json_schema_extra=FREE,
    )
    maps_key: str | None = Field(
        None,
        examples=["maps"],
        min_length=1,
        description="Array of an .npz, HDF5 or Zarr file; left out: maps, or the only one that could be maps.",
        json_schema_extra=FREE,
    )
    stored_as: Literal["physical", "log10", "standardised", "log10_standardised", "unknown"] = Field(
        "physical",
        description="How the values in the file were made from physical f: as they are, log10 f, (f - mean)/std, or "
        "(log10 f - mean)/std with stored_mean and stored_std; unknown: P(k) is that of the normalised field.",
    )
    stored_mean: float = Field(0.0, description="Mean that was subtracted (stored_as).")
    stored_std: PositiveFloat = Field(1.0, description="Standard deviation that was divided by (stored_as).")
    params_path: str | None = Field(
        None,
        description="Parameter table, one row a simulation, columns in CAMELS order; relative to this file.",
        json_schema_extra=FREE,
    )
    data_dir: str | None = Field(
        None,
        description="Folder in which maps_path and params_path are looked up first; relative to this file.",
        json_schema_extra=FREE,
    )
    box_size: PositiveFloat = Field(25.0, description="Side of the periodic box [Mpc/h].")
    maps_per_simulation: PositiveInt = Field(
        15, description="Consecutive maps of one simulation (CAMELS: 3 axes x 5 slabs)."
    )
    params: Annotated[tuple[str, ...], BeforeValidator(list_to_tuple)] | None = Field(
        None,
        examples=[("Omega_m", "sigma_8")],
        description="Parameters the network is conditioned on, by name; left out: the first model.cond_dim of "
        + ", ".join(PARAMETER_NAMES)
        + ".",
    )
    normalize: Literal["log10", "boxcox", "gaussian", "none"] = Field(
        "log10",
        description="Transform before standardising with the mean and std of the training split; boxcox: f to a small "
        "power, between log10 and f itself; gaussian: log10, then the curve that makes its distribution over these "
        "pixels Gaussian.",
    )
    standardize: Literal["pixels", "spectrum"] = Field(
        "pixels",
        description="Units of the maps that the network sees: mean and std over all training pixels; spectrum: "
        "brought to one mean and P(k) by those at their parameters, fitted to the training maps, so that maps drawn "
        "follow the parameters.",
    )
    boxcox_power: Annotated[float, Field(gt=0, le=1)] = Field(
        DEFAULT_POWER, description="The power of boxcox; else not used."
    )
    train_split: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.9,
        description="Share of simulations that train; of the others half validate and half test (at least one each).",
    )
    split_seed: NonNegativeInt = Field(
        0, description="Seed of the split. Runs of equal split_seed share their test simulations."
    )
    num_workers: NonNegativeInt = Field(
        4,
        description="Threads that read ahead, used only when the maps do not fit on the device.",
        json_schema_extra=FREE,
    )
    shuffle: bool = Field(True, description="New order of the training maps in each epoch.")
    simulations: Annotated[int, Field(ge=3)] = Field(100, description="Universes to make (source: simulated).")
    grid: Annotated[int, Field(ge=8, le=1024)] = Field(
        32, description="Particles and mesh cells per side of a simulated universe."
    )
    map_size: Annotated[int, Field(ge=8, le=4096)] = Field(32, description="Pixels per side of a simulated map.")
    simulation_seed: NonNegativeInt = Field(0, description="Seed of the simulated universes.")

    @property
    def map_files(self) -> tuple[str, ...]:
        """The paths of maps_path as a tuple, empty if it is left out."""
        given = self.maps_path
        return () if given is None else (given,) if isinstance(given, str) else given
