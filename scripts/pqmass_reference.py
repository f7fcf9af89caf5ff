"""Write tests/statistics/references/pqm_counts.json: numbers of samples in Voronoi cells and χ², by the library pqm.

Usage: python scripts/pqmass_reference.py, with pqm 0.6.3 installed (pip install --no-deps pqm; it needs torch, scipy
and tqdm). Counts and χ² are of given centres; the mean χ² is that of `pqm_chi2`, which draws its own.
"""

import json
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pqm import pqm_chi2
from pqm.utils import _compute_counts_numpy
from scipy.stats import chi2_contingency

OUTPUT = Path(__file__).resolve().parents[1] / "tests" / "statistics" / "references" / "pqm_counts.json"
SEED, SAMPLES, DIMENSIONS, CELLS, TESSELLATIONS = 7, 400, 5, 20, 200


def samples(shift: float) -> list[np.ndarray]:
    """Return two sets of normal vectors, the second shifted in each coordinate, and centres."""
    rng = np.random.default_rng(SEED)
    real, drawn = rng.normal(size=(2, SAMPLES, DIMENSIONS))
    return [real, drawn + shift, rng.normal(size=(CELLS, DIMENSIONS))]


def main() -> None:
    """Measure and write."""
    cases = []
    for shift in (0.0, 0.2):
        real, drawn, centres = samples(shift)
        counts = _compute_counts_numpy(real, drawn, centres, CELLS, "euclidean")
        np.random.seed(SEED)  # noqa: NPY002  (pqm draws from the legacy generator)
        means = pqm_chi2(real, drawn, num_refs=CELLS, re_tessellation=TESSELLATIONS)
        cases.append(
            {
                "shift": shift,
                "counts": [one.astype(int).tolist() for one in counts],
                "chi_square": float(chi2_contingency(np.stack(counts), correction=False).statistic),
                "mean_chi_square": float(np.mean(means)),
                "mean_chi_square_error": float(np.std(means, ddof=1) / np.sqrt(TESSELLATIONS)),
            }
        )
    setting = {"seed": SEED, "samples": SAMPLES, "dimensions": DIMENSIONS, "cells": CELLS}
    about = {"pqm": version("pqm"), "numpy": np.__version__, "date": datetime.now(UTC).date().isoformat()}
    OUTPUT.write_text(json.dumps({**about, **setting, "cases": cases}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
