"""Density maps: opening, splitting, normalising and batching."""
