"""Advice to the user, each rule in one place: waiting for data, and guidance that changes the density."""

DATA_WAIT = 0.2
"""Share of the time spent waiting for data above which advice is given."""


def data_wait_advice(share: float | None, workers: int | None, verb: str = "waits") -> str:
    """Return advice about waiting for data, or an empty text if `share` is below `DATA_WAIT`.

    Args:
        share: share of the time spent waiting, 0 to 1; None when unknown.
        workers: `data.num_workers`; None when unknown.
        verb: the first word of the advice.
    """
    if share is None or share < DATA_WAIT:
        return ""
    change = "" if workers is None else f" {workers} -> {max(2, 2 * workers)}"
    return f"{verb} {100 * share:.0f} % of the time for data: raise data.num_workers{change}"


def guidance_warning(weight: float, named: str = "guidance") -> str:
    """Return a warning about a guidance `weight`, called `named` in it; empty for a weight of 1."""
    if weight == 1.0:
        return ""
    return f"{named} {weight:g} changes the density that was trained, and so P(k); 1 does not"
