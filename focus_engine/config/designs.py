"""The table of designs: how the parameters of a set of universes are chosen.

Named as the sets of CAMELS (arXiv:2010.00619). The options, help, records and references read it;
`focus_engine.simulation.designs` has the functions under the same names. A new design is a line here and a function
there.
"""

from dataclasses import dataclass

from focus_engine.errors import InputError


@dataclass(frozen=True, slots=True)
class DesignSpec:
    """A design.

    Attributes:
        name: as it is written after `--design` and in `simulation.json`.
        words: what it does, for help and summaries.
        simulations: number of universes when none is given; that of CAMELS where two parameters vary.
        shares_field: whether all universes start from one initial field, so that they differ by parameters alone.
    """

    name: str
    words: str
    simulations: int
    shares_field: bool = False


FIDUCIAL = {"Omega_m": 0.3, "sigma_8": 0.8}
"""The fiducial point of CAMELS, in the order of the columns."""

DEFAULT_DESIGN = "LH"

DESIGNS = {
    spec.name: spec
    for spec in (
        DesignSpec("LH", "all parameters vary", 100),
        DesignSpec("CV", "all simulations at one point", 27),
        DesignSpec("1P", "one parameter at a time", 9, shares_field=True),
        DesignSpec("EX", "the extremes: corners of the ranges", 4),
    )
}


def design_named(name: str, where: str = "") -> DesignSpec:
    """Return the design `name`.

    Raises:
        InputError: there is none; the message calls it `where` ["design" and its value].
    """
    if name not in DESIGNS:
        raise InputError(f"unknown design; allowed: {design_words()}", where=where or f"design {name!r}")
    return DESIGNS[name]


def design_words() -> str:
    """Return the designs in words: `LH (all parameters vary), CV (…)`."""
    return ", ".join(f"{spec.name} ({spec.words})" for spec in DESIGNS.values())


def design_sizes() -> str:
    """Return the default numbers of universes in words: `LH 100, CV 27, …`."""
    return ", ".join(f"{spec.name} {spec.simulations}" for spec in DESIGNS.values())
