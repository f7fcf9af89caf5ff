"""Let every kind of file call of the commands fail: `make nightly`. Counts but injections and unreached should be 0.

python scripts/failing_calls.py [--injections N] [--minutes M] [--seed N] [--commands train,resume] [--json FILE]
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from failing_calls import Commands, Report, campaign
from power_loss import Recording, prepare
from preload import folder_in_memory, leave_figures_undrawn, load_figures, load_optimiser

HOME = Path(__file__).resolve().parent.parent
ALL = "new,train,stop,resume,sample,evaluate,judge,verify,status,ls,logs"


def main() -> int:
    """Inject the failures and print the table; return 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--injections", type=int, default=800, help="calls that fail")
    parser.add_argument("--minutes", type=float, default=60.0, help="most of the time that it takes")
    parser.add_argument("--seed", type=int, default=0, help="seed of their order")
    parser.add_argument("--commands", default=ALL, help="commands, separated by commas")
    parser.add_argument("--json", type=Path, default=HOME / "benchmarks" / "results" / "failing_calls.json")
    given = parser.parse_args()
    prepare()
    load_optimiser()
    load_figures()
    leave_figures_undrawn()
    with folder_in_memory("focus-calls-") as folder:
        commands = Commands(Recording(folder / "recorded"), folder / "state")
        names = tuple(given.commands.split(","))
        show = lambda line: print(f"  {line}", flush=True)  # noqa: E731
        report = campaign(
            commands, names, injections=given.injections, minutes=given.minutes, seed=given.seed, show=show
        )
    _show(report)
    _keep(given.json, {"seed": given.seed} | report.to_dict())
    return 1 if report.harm else 0


def _keep(path: Path, run: dict[str, Any]) -> None:
    """Add a run to those in the file at `path`, in place of an earlier one of the same commands."""
    known = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
    others = [one for one in known if set(one["commands"]) != set(run["commands"])]
    path.write_text(json.dumps({"runs": [*others, run]}, indent=2) + "\n", encoding="utf-8")


def _show(report: Report) -> None:
    for kind, count in [*sorted(report.commands.items()), *sorted(report.errors.items())]:
        print(f"{kind:<32}{count:>8}")
    for words in ("unreached", "lost", "lies", "tracebacks", "unclear"):
        print(f"{words:<32}{getattr(report, words):>8}")
    print(f"{'CPU time [s]':<32}{report.seconds:>8.0f}")


if __name__ == "__main__":
    sys.exit(main())
