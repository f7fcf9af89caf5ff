"""Where FOCUS keeps what it can make again, and what concerns this machine only."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return $FOCUS_CACHE, else ~/.cache/focus; it need not exist."""
    given = os.environ.get("FOCUS_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "focus"
