"""Check a demo's samples: each error may be at most twice its true-against-true value.

Run: python scripts/check_demo.py experiments/demo/evaluation.json
"""

import json
import sys
from pathlib import Path

LIMIT = 2.0


def main() -> None:
    """Print each score with its limit; exit with 1 if one exceeds it."""
    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    power, pdf = report["power_spectrum"], report["pdf"]
    scores = {
        "P(k)": (power["median_abs_error"], power["true_vs_true_median_abs_error"]),
        "PDF": (pdf["w1"], pdf["true_vs_true_w1"]),
    }
    for name, (error, true) in scores.items():
        print(f"{name:<5} error {error:.3f}, true against true {true:.3f}: {error / true:.2f} times, limit {LIMIT:g}")
    if any(error > LIMIT * true for error, true in scores.values()):
        sys.exit("the demo's samples are not good enough")


if __name__ == "__main__":
    main()
