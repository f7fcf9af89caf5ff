"""Whether the user passed `--trust`, which `focus_engine/trust.py` describes."""

import os

TRUST_VARIABLE = "FOCUS_TRUST"
"""Set to 1 by `--trust`: code that another user's checkpoint names may run, and links are followed."""


def trusted() -> bool:
    """Whether the user passed `--trust`."""
    return os.environ.get(TRUST_VARIABLE) == "1"
