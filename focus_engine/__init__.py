"""The headless engine of FOCUS: runs, data, models, training, sampling and statistics."""

__version__ = "0.1.0"
