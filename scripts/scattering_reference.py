"""Write tests/statistics/references/kymatio_scattering.json: scattering coefficients measured by kymatio.

Usage: python scripts/scattering_reference.py, with kymatio 0.3.0 installed (pip install --no-deps kymatio appdirs
configparser packaging; its three-dimensional part does not import with scipy ≥ 1.15 and is not needed).
"""

import json
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from kymatio.scattering2d.backend.numpy_backend import NumpyBackend2D
from kymatio.scattering2d.core.scattering2d import scattering2d
from kymatio.scattering2d.filter_bank import filter_bank

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS / "support"))

from power_reference import LAW, law_map  # noqa: E402

SIDE, SCALES, ANGLES = 32, 4, 4


def by_order(coefficients: dict[tuple[tuple[int, int], ...], float]) -> dict[str, list[float]]:
    """Return the means over angles of coefficients by their path ((j1, θ1), (j2, θ2))."""
    pairs = [(j1, j2) for j1 in range(SCALES) for j2 in range(j1 + 1, SCALES)]
    turns = range(ANGLES)
    found = {"first": [np.mean([coefficients[((j, t),)] for t in turns]) for j in range(SCALES)]}
    for name, turn in (("parallel", 0), ("perpendicular", ANGLES // 2)):
        found[name] = [np.mean([coefficients[(j1, t), (j2, (t + turn) % ANGLES)] for t in turns]) for j1, j2 in pairs]
    return {name: [float(f"{value:.8g}") for value in values] for name, values in found.items()}


def kymatio(field: np.ndarray) -> dict[str, list[float]]:
    """Return the coefficients of kymatio's own transform, periodic, with the mean over the map as its low-pass filter.

    It samples the transform at scale j at every 2^j pixels, which costs up to 2 % at the largest scales.
    """
    bank = filter_bank(SIDE, SIDE, SCALES, ANGLES)
    for level in bank["phi"]["levels"]:
        level[...] = 0
        level[0, 0] = 1
    paths = scattering2d(
        field[None], lambda x: x, lambda x: x, NumpyBackend2D, SCALES, ANGLES, bank["phi"], bank["psi"], 2, "list"
    )
    return by_order({tuple(zip(p["j"], p["theta"], strict=True)): float(p["coef"].mean()) for p in paths})


def filters(field: np.ndarray) -> dict[str, list[float]]:
    """Return the coefficients by kymatio's wavelets at full resolution."""
    wavelets = {(p["j"], p["theta"]): p["levels"][0] for p in filter_bank(SIDE, SIDE, SCALES, ANGLES)["psi"]}
    found = {}
    for one, wave in wavelets.items():
        modulus = np.abs(np.fft.ifft2(np.fft.fft2(field) * wave))
        found[(one,)] = modulus.mean()
        for two, wider in wavelets.items():
            found[one, two] = np.abs(np.fft.ifft2(np.fft.fft2(modulus) * wider)).mean()
    return by_order(found)


if __name__ == "__main__":
    document = {
        "library": "kymatio (Andreux et al. 2020), https://github.com/kymatio/kymatio",
        "version": version("kymatio"),
        "date": datetime.now(UTC).date().isoformat(),
        "made_by": "python scripts/scattering_reference.py",
        "map_law": LAW,
        "field": "log10 of the map, less its mean",
        "side": SIDE,
        "maps": [],
    }
    for seed in (1, 2):
        logs = np.log10(law_map(SIDE, seed))
        field = logs - logs.mean()
        document["maps"].append({"seed": seed, "filters": filters(field), "transform": kymatio(field)})
    path = TESTS / "statistics" / "references" / "kymatio_scattering.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
