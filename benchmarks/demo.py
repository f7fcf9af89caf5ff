"""`focus demo`: its minutes alone and beside busy programs, and the scores of its model, for several seeds.

Each demo starts with an empty cache in a folder of its own: it simulates its universes, trains, draws and judges. Its
samples are then judged anew, from noise of its own, against more universes (24 at each of 8 cosmologies that it has not
seen). A neighbour
multiplies matrices on one thread until the demo has ended.
Goals on two cores: under 3 minutes alone, under 4 beside one neighbour; the mean within 3 %, P(k) within 10 % in each
band, W1 of the PDF at most twice that of a perfect model, the response to the parameters within 0.15, for each seed.
Prints a table and writes benchmarks/results/demo.json; rows in the file of `--keep` are not measured again, and the
experiments stay in the folder of `--experiments`.
Run: python benchmarks/demo.py [--seeds 0 1 2] [--neighbours 0 1]; about 25 minutes
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from alternation import machine, noise_seed

RESULTS = Path(__file__).parent / "results" / "demo.json"
DEMO = "from pathlib import Path; from focus_tui.compute.demo import demo; demo(Path({root!r}), {settings!r})"
NEIGHBOUR = "import torch; torch.set_num_threads(1); a = torch.rand(700, 700)\nwhile True: a @ a"
UNIVERSES, MAPS = 24, 300
BARS = {
    "slab_mean.bias": 0.03,
    "power_spectrum.large_scales": 0.1,
    "power_spectrum.middle_scales": 0.1,
    "power_spectrum.small_scales": 0.1,
    "pdf.w1": None,
    "response.slope_middle_scales": 0.15,
}
"""How far a score may be from that of a perfect model; None: as far as that is from zero."""
LIMIT_SECONDS = (180.0, 240.0)
"""Alone, and beside one neighbour or more."""


def main() -> None:
    """Measure what is missing, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--neighbours", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="config keys to change")
    parser.add_argument("--keep", type=Path, help="file of rows, to go on where a measurement was interrupted")
    parser.add_argument("--experiments", type=Path, help="folder that keeps the experiments")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    load, rows = machine(), kept(given.keep)
    print(f"{'seed':>4}{'neighbours':>11}{'seconds':>9}  " + "".join(f"{name.rpartition('.')[2]:>22}" for name in BARS))
    for row in rows:
        print(line(row))
    with tempfile.TemporaryDirectory() as scratch:
        for neighbours in given.neighbours:
            for seed in given.seeds:
                if any((one["seed"], one["neighbours"]) == (seed, neighbours) for one in rows):
                    continue
                root = (given.experiments or Path(scratch)).absolute() / f"seed_{seed}_neighbours_{neighbours}"
                rows.append(measured(root, seed, neighbours, given.set))
                print(line(rows[-1]), flush=True)
                if given.keep:
                    with given.keep.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(rows[-1]) + "\n")
    document = {**load, "bars": BARS, "limit_seconds": LIMIT_SECONDS, "rows": rows}
    given.output.parent.mkdir(exist_ok=True)
    given.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def kept(path: Path | None) -> list[dict[str, Any]]:
    """Return the rows of an earlier, interrupted run."""
    return [json.loads(text) for text in path.read_text().splitlines()] if path and path.is_file() else []


def measured(root: Path, seed: int, neighbours: int, settings: list[str]) -> dict[str, Any]:
    """Run a demo beside some busy programs and return its seconds and, judged afterwards, its scores."""
    root.mkdir(parents=True)
    environment = os.environ | {"FOCUS_CACHE": str(root / "cache")}
    program = DEMO.format(root=str(root), settings=(f"training.seed={seed}", *settings))
    began = time.perf_counter()
    with ExitStack() as stack:
        for _ in range(neighbours):
            stack.enter_context(busy())
        run = subprocess.run(
            [sys.executable, "-c", WAITS + program], env=environment, capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - began
    (root / "demo.txt").write_text(run.stdout + run.stderr, encoding="utf-8")
    if run.returncode:
        raise SystemExit(f"the demo failed: {run.stderr[-2000:]}")
    command = ["-m", "focus_tui", "--root", str(root), "evaluate", "demo", "-n", str(MAPS)]
    command += ["--universes", str(UNIVERSES), "--seed", str(noise_seed(seed)), "--json"]
    report = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=True)
    found = json.loads(report.stdout)
    scores = {f"{one['statistic']}.{one['name']}": one for one in found["scores"]}
    row = {"seed": seed, "neighbours": neighbours, "seconds": seconds, "stages": stages(run.stdout)}
    row |= {"scores": {name: {key: scores[name][key] for key in ("value", "error", "null")} for name in BARS}}
    return {
        **row,
        "missed": [name for name in BARS if misses(row["scores"][name], BARS[name])],
        "verdict": found["verdict"],
    }


@contextmanager
def busy() -> Iterator[None]:
    """Run a program that keeps one core busy."""
    process = subprocess.Popen([sys.executable, "-c", NEIGHBOUR])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def stages(text: str) -> str:
    """Return the demo's own line of its stages."""
    lines = text.splitlines()
    return lines[lines.index("time") + 1].strip() if "time" in lines else ""


def misses(score: dict[str, float], bar: float | None) -> bool:
    """Return whether a score is farther than `bar` from that of a perfect model."""
    return abs(score["value"] - score["null"]) > (score["null"] if bar is None else bar)


def line(row: dict[str, Any]) -> str:
    """Return a row of the table; an asterisk marks what misses its bar."""
    limit = LIMIT_SECONDS[min(row["neighbours"], 1)]
    late = "*" if row["seconds"] > limit else " "
    cells = (
        f"{one['value']:+.3f} ± {one['error']:.3f}" + ("*" if name in row["missed"] else " ")
        for name, one in row["scores"].items()
    )
    return f"{row['seed']:>4}{row['neighbours']:>11}{row['seconds']:>8.0f}{late}  " + "".join(
        f"{one:>22}" for one in cells
    )


WAITS = "from focus_engine.launch.threads import wait_asleep; wait_asleep(); "
"""What the command `focus` does first."""


if __name__ == "__main__":
    main()
