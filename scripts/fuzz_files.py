"""Mutate every kind of file that FOCUS reads and read it: nothing may be executed, leave the folder, hang or raise.

python scripts/fuzz_files.py [--each 10000] [--seed 0] [--only "event log"] [--json benchmarks/results/fuzz.json]

Each kind is read in a process of its own, with limits on CPU time and memory; one that dies is started again behind the
file that killed it. A line `#N` of the result names the file: the same seed and number make it again.
"""

import argparse
import faulthandler
import json
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from fuzz_guard import Result, fuzz
from fuzz_targets import Target, chosen, targets

from focus_engine import Experiment
from focus_engine.evaluation.exporting import export_weights
from focus_engine.worker.foreground import run_in_foreground

PATIENCE = 60.0
"""Seconds without a word of a process after which it is killed: its file hung in a library."""
GIVE_UP = 100
"""Harms after which a kind is given up."""
TINY = {
    "data.simulations": 8,
    "data.grid": 8,
    "data.map_size": 8,
    "data.maps_per_simulation": 3,
    "data.train_split": 0.5,
    "model.base_channels": 8,
    "model.channel_mults": [1],
    "model.time_dim": 8,
    "training.num_epochs": 2,
    "training.sample_every": 0,
    "sampling.num_steps": 2,
    "device": "cpu",
}


def main() -> int:
    """Fuzz the chosen kinds; return 1 if anything happened that must not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=1000, help="mutated files of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", default=[], help="a kind; may be given again")
    parser.add_argument("--minutes", type=float, default=1e9, help="start no other kind after that")
    parser.add_argument("--json", type=Path, help="also write the table to this file")
    given = parser.parse_args()
    began, table = time.monotonic(), _kept(given.json, given.seed, given.each) if given.only else {}
    print(
        f"{'file':<26}{'read':>7}{'accepted':>10}{'refused':>9}{'executed':>10}{'escaped':>9}{'hung':>6}{'raised':>8}"
    )
    with tempfile.TemporaryDirectory(prefix="focus-fuzz-") as name:
        for target in chosen(_targets(Path(name).resolve()), given.only):
            if time.monotonic() - began > 60 * given.minutes:
                break
            result, seconds = _fuzz_apart(target, given.each, given.seed, Path(name).resolve() / "place")
            table[target.name] = asdict(result) | {"first": dict(result.first), "cpu_seconds": round(seconds, 1)}
            if given.json:  # of a run that is cut short too
                given.json.write_text(
                    json.dumps({"seed": given.seed, "each": given.each, "files": table}, indent=1) + "\n"
                )
            counts = (result.executed, result.escaped, result.hung, result.raised)
            print(
                f"{target.name:<26}{result.read:>7}{result.accepted:>10}{result.refused:>9}{counts[0]:>10}{counts[1]:>9}"
                f"{counts[2]:>6}{counts[3]:>8}",
                *(f"\n    {line}" for line in result.first),
                flush=True,
            )
    harm = sum(sum(one[key] for key in ("executed", "escaped", "hung", "raised")) for one in table.values())
    print(f"{sum(one['read'] for one in table.values())} files of {len(table)} kinds, {harm} harms")
    return 1 if harm else 0


def _kept(path: Path | None, seed: int, each: int) -> dict[str, Any]:
    """Return the kinds in the table at `path`, if it has the same seed and number of files; else none."""
    known = json.loads(path.read_text(encoding="utf-8")) if path is not None and path.exists() else {}
    return known["files"] if (known.get("seed"), known.get("each")) == (seed, each) else {}


def _targets(folder: Path) -> list[Target]:
    os.environ["FOCUS_CACHE"] = str(folder / "cache")
    os.environ["FOCUS_KEY_FILE"] = str(folder / "key")
    made = Experiment.create("tiny", root=folder / "experiments", template="small_flow", settings=TINY)
    run_in_foreground(made.run, resume=False, device=None, on_event=lambda _: None)
    weights = folder / "tiny.safetensors"
    export_weights(made.run, weights, checkpoint="best", ema=None, force=False)
    return targets(folder / "examples", made.run.checkpoint_last, weights)


def _fuzz_apart(target: Target, each: int, seed: int, home: Path) -> tuple[Result, float]:
    """Fuzz one kind in processes of its own; return the result and their CPU seconds."""
    total, begin, stack = Result(), 0, home.with_name("stack")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    while begin < each:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(
            target=_work, args=(theirs, target, begin, each, seed, home, stack)
        )
        process.start()
        theirs.close()
        begin, part = _follow(ours, begin, process.pid or 0, stack)
        process.kill()
        process.join()
        for name in ("read", "accepted", "refused", "executed", "escaped", "hung", "raised"):
            setattr(total, name, getattr(total, name) + getattr(part, name))
        total.first.update(part.first)
        if sum(total.first.values()) > GIVE_UP:
            break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return total, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _follow(pipe: Connection, begin: int, pid: int, stack: Path) -> tuple[int, Result]:
    """Return the number to go on from and the result up to there, of a process that ended, died or hung."""
    number, part = begin, Result()
    while True:
        try:
            if not pipe.poll(PATIENCE):
                where = _innermost(pid, stack)
                part.hung += 1
                part.first[f"#{number}: hung in {where or 'a library'}"] += 1
                break
            number, part = pipe.recv()
            if number < 0:
                return sys.maxsize, part
        except EOFError:
            part.raised += 1
            part.first[f"#{number}: killed the process"] += 1
            break
    part.read += 1
    return number + 1, part


def _innermost(pid: int, stack: Path) -> str:
    """Return file and line of the innermost Python frame of a process that hangs, which `faulthandler` writes."""
    os.kill(pid, signal.SIGUSR1)
    until = time.monotonic() + 5.0
    while time.monotonic() < until:
        time.sleep(0.1)
        frames = [line.split('"') for line in stack.read_text(encoding="utf-8").splitlines() if 'File "' in line]
        if frames:
            path = frames[0][1].split("/site-packages")[-1]
            return f"{path}{frames[0][2].split(' in ')[0].replace(', line ', ':')}"
    return ""


def _work(pipe: Connection, target: Target, begin: int, end: int, seed: int, home: Path, stack: Path) -> None:
    faulthandler.register(signal.SIGUSR1, stack.open("w", encoding="utf-8"), all_threads=False)
    result = Result()
    fuzz(target, range(begin, end), seed, home, result, lambda number: pipe.send((number, result)))
    pipe.send((-1, result))


if __name__ == "__main__":
    sys.exit(main())
