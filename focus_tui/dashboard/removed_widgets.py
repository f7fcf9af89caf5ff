"""Letting go of removed widgets, of which textual keeps what they last drew."""

from textual._styles_cache import StylesCache


def forget_removed_widgets() -> None:
    """Drop what textual remembers of widgets that are no longer on any screen.

    `StylesCache.get_inner_outer` of textual 8.2 is a method with an `lru_cache` of 1,024 calls, whose first argument is
    the cache of a widget with its drawn lines. Each visit to a screen so kept about 3 MB, up to about 90 MB.
    The two colours that the cache saves are computed again for the widgets that are still there.
    """
    clear = getattr(getattr(StylesCache, "get_inner_outer", None), "cache_clear", None)
    if clear is not None:
        clear()
