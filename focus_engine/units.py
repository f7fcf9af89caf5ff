"""What the numbers of a map are called."""

SURFACE_DENSITY = "(M☉/h)/(Mpc/h)²"
"""Unit of the maps of the CAMELS Multifield Dataset."""
NORMALISED = "normalised field"
"""In place of a unit: the values were normalised in a way that nobody knows, so nothing about them is physical."""
