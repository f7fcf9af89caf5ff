"""Reference P(k) of a few maps measured by Pylians: the maps, and how the reference file is written.

`python scripts/power_reference.py` rewrites the file; `make test-references` compares it with the library.
"""

import json
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).resolve().parent.parent / "statistics" / "references" / "pylians_power.json"
BOX = 25.0
SIDES = (8, 32, 33, 64)
SEEDS = (1, 2)
LAW = (
    "x(i+1) = 48271 x(i) mod (2^31 - 1), x(0) = seed; the map holds exp(3 x(i) / (2^31 - 1)) for i = 1 ... side^2, "
    "row by row, in float64"
)


def law_map(side: int, seed: int) -> np.ndarray:
    """Return the map of `LAW`: positive, skewed, and the same with every version of numpy."""
    modulus = 2**31 - 1
    values, x = [], seed
    for _ in range(side * side):
        x = 48271 * x % modulus
        values.append(x / modulus)
    return np.exp(3 * np.array(values)).reshape(side, side)


def pylians_power(one: np.ndarray, box_size: float) -> dict[str, list[float]]:
    """Return k, P(k) and the number of modes of one map, measured by Pylians."""
    from Pk_library import Pk_plane

    spectrum = Pk_plane((one / one.mean() - 1).astype(np.float32), box_size, "None", 1, verbose=False)
    return {"k": spectrum.k.tolist(), "power": spectrum.Pk.tolist(), "modes": spectrum.Nmodes.tolist()}


def read_reference() -> dict[str, Any]:
    """Return the content of the reference file."""
    document: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return document


def write_reference() -> None:
    """Measure every map with the installed Pylians and write the file."""
    measured = [
        {"side": side, "seed": seed, **pylians_power(law_map(side, seed), BOX)} for side in SIDES for seed in SEEDS
    ]
    document = {
        "library": "Pylians (Villaescusa-Navarro 2018), https://github.com/franciscovillaescusa/Pylians3",
        "version": version("Pylians"),
        "function": "Pk_library.Pk_plane",
        "arguments": "delta = (map / mean(map) - 1) as float32, BoxSize = box_size, MAS = 'None', threads = 1",
        "date": datetime.now(UTC).date().isoformat(),
        "made_by": "python scripts/power_reference.py",
        "map_law": LAW,
        "box_size": BOX,
        "units": {"k": "h/Mpc", "power": "(Mpc/h)^2"},
    }
    rows = ",\n".join(f"    {json.dumps(row)}" for row in measured)
    head = json.dumps(document, indent=2).removesuffix("\n}")
    FILE.write_text(f'{head},\n  "maps": [\n{rows}\n  ]\n}}\n', encoding="utf-8")
