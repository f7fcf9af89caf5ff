"""The units of map values."""

SURFACE_DENSITY = "(M☉/h)/(Mpc/h)²"
"""Unit of the maps of the CAMELS Multifield Dataset."""
NORMALISED = "normalised field"
"""Used in place of a unit for values that were normalised in an unknown way and so are not physical."""
