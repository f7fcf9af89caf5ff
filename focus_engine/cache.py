"""The cache folder: data that can be made again, and what concerns this machine only, such as the queue."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return $FOCUS_CACHE, else ~/.cache/focus; it need not exist."""
    given = os.environ.get("FOCUS_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "focus"
