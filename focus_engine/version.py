"""The version of FOCUS, without the package's public face."""

__version__ = "0.1.0"
