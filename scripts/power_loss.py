"""Cut the power of a recorded run at thousands of moments: `make nightly`.

python scripts/power_loss.py [--states N] [--resumes N] [--seed N] [--json FILE]
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from power_cuts import Report, campaign
from power_loss import Recording, prepare
from preload import folder_in_memory, leave_figures_undrawn, load_optimiser

HOME = Path(__file__).resolve().parent.parent


def main() -> int:
    """Record a run, judge its states and print the table; return 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--states", type=int, default=2100, help="distinct states to open and judge")
    parser.add_argument("--resumes", type=int, help="states from which the run goes on to its end [all]")
    parser.add_argument("--seed", type=int, default=0, help="seed of the cuts")
    parser.add_argument("--json", type=Path, default=HOME / "benchmarks" / "results" / "power_loss.json")
    given = parser.parse_args()
    prepare()
    load_optimiser()
    leave_figures_undrawn()
    with folder_in_memory("focus-power-") as folder:
        began = time.process_time()
        recording = Recording(folder / "recorded", minutes=1e-5, averages=True, figures=True)
        recorded = time.process_time() - began
        resumes = given.states if given.resumes is None else given.resumes
        report = campaign(recording, folder / "state", states=given.states, resumes=resumes, seed=given.seed)
    _show(recording, report, recorded)
    about = {"seed": given.seed, "changes": len(recording.disk.ops), "recording_seconds": round(recorded, 1)}
    given.json.write_text(json.dumps(about | report.to_dict(), indent=2) + "\n", encoding="utf-8")
    return 1 if report.harm else 0


def _show(recording: Recording, report: Report, recorded: float) -> None:
    print(f"recorded {len(recording.disk.ops)} changes in {recorded:.0f} s of CPU time")
    for kind, count in sorted(report.states.items()):
        print(f"{'distinct states, ' + kind:<32}{count:>8}")
    print(f"{'distinct states':<32}{sum(report.states.values()):>8}")
    for words in ("resumed", "lost", "lies", "tracebacks"):
        print(f"{words:<32}{getattr(report, words):>8}")
    print(f"{'CPU time [s]':<32}{report.seconds:>8.0f}")
    for example in report.examples:
        print(f"  {example['cut']}: {'; '.join(example['harm'])}")


if __name__ == "__main__":
    sys.exit(main())
