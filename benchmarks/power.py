"""Benchmark of P(k) against `Pk_plane` of Pylians 0.12 and a bare batched FFT: time per map and relative difference.

All get the same float32 maps on one core and transform them in float32. They alternate, and CPU time is counted, so
that other load slows all alike. The bare transform is `scipy.fft.rfft2` of all maps at once, without which P(k) cannot
be. The ratios are medians over rounds. Importing scipy.fft takes a quarter of a second once a process, which P(k) of
less than half a million pixels does without. Prints a table and writes benchmarks/results/power.json. Goals at
256 x 256: at most 1.5 times the transform, a third of Pylians. On a quiet machine it was 1.21 to 1.40 times the
transform and 1 / 3.3 to 1 / 3.4 of Pylians in four runs. Alternated with nothing but the transform it is 1.26 times.
One transform after the other, of maps that stay in the cache, takes 0.77 of the transform of all maps at once, so that
1.6 times that is what P(k) takes. Of 270 us a map 175 are the transform and its call, 25 the check for negative
pixels, the mean and the difference, 50 sorting, squares and sums.
Run: python benchmarks/power.py
"""

import json
import os
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import Pk_library
from scipy import fft

from focus_engine.statistics.power import power_spectrum

BOX_SIZE = 25.0
CASES = ((32, 600), (64, 150), (128, 40), (256, 15))  # pixels per side, maps
ROUNDS = 15


def pylians(maps: np.ndarray) -> np.ndarray:
    """Return P(k) (n_maps, n_bins) by Pylians, called map by map."""
    spectra = []
    for one in maps:
        delta = (one / one.mean(dtype=np.float64) - 1).astype(np.float32)
        spectra.append(Pk_library.Pk_plane(delta, BOX_SIZE, "None", 1, verbose=False).Pk)
    return np.array(spectra)


def measure(side: int, n_maps: int) -> dict[str, float]:
    """Return median times over rounds and the largest relative difference, for maps of one size."""
    noise = np.random.default_rng(side).normal(size=(n_maps, side, side))
    maps = np.exp(noise).astype(np.float32)
    ours = power_spectrum(maps, BOX_SIZE).power
    # Compare means over maps: in single weak modes the float32 rounding of Pylians' transform dominates.
    difference = float(np.abs(ours.mean(axis=0) / pylians(maps).mean(axis=0) - 1).max())
    seconds: dict[str, list[float]] = {"focus": [], "pylians": [], "transform": []}
    for _ in range(ROUNDS):
        for name, work in (
            ("focus", lambda: power_spectrum(maps, BOX_SIZE)),
            ("pylians", lambda: pylians(maps)),
            ("transform", lambda: fft.rfft2(maps)),
        ):
            start = time.process_time()
            work()
            seconds[name].append(time.process_time() - start)
    rounds = {name: 1e6 * np.array(times) / n_maps for name, times in seconds.items()}
    focus, peer, bare = (float(np.median(rounds[name])) for name in ("focus", "pylians", "transform"))
    return {
        "side": side,
        "n_maps": n_maps,
        "focus_us_per_map": round(focus, 1),
        "pylians_us_per_map": round(peer, 1),
        "transform_us_per_map": round(bare, 1),
        "pylians_over_focus": round(float(np.median(rounds["pylians"] / rounds["focus"])), 2),
        "focus_over_transform": round(float(np.median(rounds["focus"] / rounds["transform"])), 2),
        "largest_relative_difference": difference,
    }


def described() -> dict[str, object]:
    """Return the machine, the load, the versions and the date of a result."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "versions": {name: version(name) for name in ("numpy", "scipy", "Pylians")},
    }


def main() -> None:
    """Measure every size, print the table and write the JSON."""
    rows = [measure(side, n_maps) for side, n_maps in CASES]
    print(f"{'map':>9} {'FOCUS':>12} {'Pylians':>12} {'ratio':>7} {'to FFT':>7} {'max |ΔP/P|':>11}")
    for row in rows:
        print(
            f"{row['side']:>4}×{row['side']:<4} {row['focus_us_per_map']:>9.1f} µs "
            f"{row['pylians_us_per_map']:>9.1f} µs {row['pylians_over_focus']:>6.2f}× "
            f"{row['focus_over_transform']:>6.2f}× {row['largest_relative_difference']:>11.1e}"
        )
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "power.json").write_text(
        json.dumps({**described(), "rounds": ROUNDS, "threads": 1, "clock": "CPU", "sizes": rows}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
