"""What deserves a word to the user, each law once: waiting for data, and guidance that changes the density."""

DATA_WAIT = 0.2
"""Share of the time spent waiting for data from which it is worth a word."""


def data_wait_advice(share: float | None, workers: int | None, verb: str = "waits") -> str:
    """Return what to do about waiting `share` of the time for data; empty when that is little.

    Args:
        share: of the time, 0 to 1; None when unknown.
        workers: `data.num_workers`; None when unknown.
        verb: what training does.
    """
    if share is None or share < DATA_WAIT:
        return ""
    change = "" if workers is None else f" {workers} -> {max(2, 2 * workers)}"
    return f"{verb} {100 * share:.0f} % of the time for data: raise data.num_workers{change}"


def guidance_warning(weight: float, named: str = "guidance") -> str:
    """Return what is wrong with guidance of that `weight`, called `named`; empty when it is 1."""
    if weight == 1.0:
        return ""
    return f"{named} {weight:g} changes the density that was trained, and so P(k); 1 does not"
