"""The embedded simulator: particle-mesh universes and their maps."""
