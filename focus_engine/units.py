"""The units of map values, and the fields of the CAMELS Multifield Dataset (CMD, arXiv:2109.10915)."""

SURFACE_DENSITY = "(M☉/h)/(Mpc/h)²"
"""Unit of the mass maps of CMD."""
NORMALISED = "normalised field"
"""Used in place of a unit for values that were normalised in an unknown way and so are not physical."""
UNKNOWN_UNIT = "unit not given"
"""Used in place of the unit of a field that is not in `FIELD_UNITS`, where data.units does not give it."""

CMD_FIELDS = ("Mgas", "Vgas", "T", "P", "Z", "HI", "ne", "B", "MgFe", "Mcdm", "Vcdm", "Mstar", "Mtot")
"""Names of the fields of CMD, as in its file names: Maps_<field>_<suite>_<set>_z=0.00.npy."""
FIELD_UNITS = {
    **dict.fromkeys(("Mgas", "HI", "Mcdm", "Mstar", "Mtot"), SURFACE_DENSITY),
    **dict.fromkeys(("Vgas", "Vcdm"), "km/s"),
    "T": "K",
}
"""Units of the fields whose unit needs not be given."""
