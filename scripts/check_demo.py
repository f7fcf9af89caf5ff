"""Check a demo's samples: each score may differ from what a perfect model scores by its limit, and by chance.

A score fails if it lies beyond its limit by 3.3 standard deviations (of its error and of its null together), which by
chance happens to fewer than 1 of 1,000 models that are at the limit.

Run: python scripts/check_demo.py experiments/demo/evaluation_universes.json
"""

import json
import math
import sys
from pathlib import Path

LIMITS = {
    ("power_spectrum", "large_scales"): 0.1,
    ("power_spectrum", "middle_scales"): 0.1,
    ("power_spectrum", "small_scales"): 0.1,
    ("log_power", "middle_scales"): 0.05,
    ("log_power", "small_scales"): 0.05,
    ("pdf", "w1"): 0.02,
    ("slab_mean", "bias"): 0.03,
    ("slab_mean", "slope"): 0.15,
    ("response", "slope_middle_scales"): 0.15,
}
"""How far a score may be from that of a perfect model."""

DEVIATIONS = 3.3
"""One-sided p = 5e-4 of a normal distribution."""


def main() -> None:
    """Print each score with its limit; exit with 1 if one exceeds it, or can't be judged."""
    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    scores = {(one["statistic"], one["name"]): one for one in report["scores"]}
    failed = []
    for name, limit in LIMITS.items():
        score = scores[name]
        words = f"{'.'.join(name):<30}"
        if score["value"] is None or score["null"] is None or score["error"] is None:
            print(f"{words}unknown: too few test simulations")
            failed.append(name)
            continue
        apart = abs(score["value"] - score["null"])
        chance = DEVIATIONS * math.hypot(score["error"], score["null_spread"])
        print(f"{words}{apart:.3f} from a perfect model, limit {limit:g}, by chance {chance:.3f}")
        if apart > limit + chance:
            failed.append(name)
    print(report["verdict"]["text"])
    if failed:
        sys.exit(f"the demo's samples are not good enough: {', '.join('.'.join(name) for name in failed)}")


if __name__ == "__main__":
    main()
