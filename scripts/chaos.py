"""Inject faults into runs and print the damage: `make chaos`. All counts except "inflicted" should be 0.

python scripts/chaos.py [--quick] [--seed N] [--json FILE]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from chaos import Chaos, Score
from chaos_faults import FAULTS

COLUMNS = ("fault", "inflicted", "runs lost", "checkpoints corrupted", "states that lied", "seconds")


def main() -> int:
    """Inject every fault; return 1 if a run was lost, a checkpoint corrupted or a state wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="repeat each fault as often as the tests do")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6, help="seed of the random times")
    parser.add_argument("--json", type=Path, help="also write the table to this file")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    print("{:<44}{:>10}{:>11}{:>23}{:>18}{:>9}".format(*COLUMNS), flush=True)
    scores: list[Score] = []
    rows: list[dict[str, object]] = []
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="focus-chaos-") as name:
        os.environ["FOCUS_CACHE"] = f"{name}/cache"
        chaos = Chaos(Path(name) / "runs", given.seed)
        for fault, times, quick in FAULTS:
            count, began = quick if given.quick else times, time.monotonic()
            if not count:
                continue
            try:
                score = fault(chaos, count)
            except PermissionError as error:
                print(f"{fault.__name__.replace('_', ' '):<44}not possible here: {error}", flush=True)
                continue
            scores.append(score)
            seconds = time.monotonic() - began
            rows.append(asdict(score) | {"seconds": round(seconds, 1)})
            print(
                f"{score.fault:<44}{score.inflicted:>10}{score.runs_lost:>11}{score.checkpoints_corrupted:>23}"
                f"{score.states_that_lied:>18}{seconds:>9.0f}",
                flush=True,
            )
    harm = sum(score.harm for score in scores)
    took = time.monotonic() - start
    print(f"{sum(score.inflicted for score in scores)} faults, {harm} harms, {took / 60:.1f} minutes")
    if given.json:
        table = {"seed": given.seed, "quick": given.quick, "seconds": round(took, 1), "faults": rows}
        given.json.write_text(json.dumps(table, indent=2) + "\n")
    return 1 if harm else 0


if __name__ == "__main__":
    sys.exit(main())
