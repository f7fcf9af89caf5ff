"""Characters by their Unicode class, and those that a terminal must not get."""

import unicodedata
from functools import cache


@cache
def unicode_classes() -> dict[str, list[str]]:
    """Return all characters by class: 30 of them."""
    by_class: dict[str, list[str]] = {}
    for number in range(0x110000):
        by_class.setdefault(unicodedata.category(chr(number)), []).append(chr(number))
    assert len(by_class) == 30
    return by_class


def hidden(shown: str) -> list[str]:
    """Return the characters of a text that move, hide or reorder others."""
    kinds = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    return [one for one in shown if unicodedata.category(one) in kinds and one not in "\n\t\u200d"]
