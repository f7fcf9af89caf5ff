"""The headless engine of FOCUS: runs, data, models, training, sampling and statistics.

`from focus_engine import Experiment` is the library; the command line and the dashboard stand on the same modules.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from focus_engine.version import __version__

if TYPE_CHECKING:
    from focus_engine.api import Experiment as Experiment

__all__ = ["Experiment", "__version__"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (whatever is asked for)
    """Import the library when it is asked for, because `focus ls` must answer at once."""
    if name == "Experiment":
        return import_module("focus_engine.api").Experiment
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
