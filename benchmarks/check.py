"""`focus check`: seconds to its first words and to its answer, and the answer beside the training that it is about.

Each case is an experiment whose maps are random numbers. `focus check` answers in a terminal of its own, and where the
training is affordable, `focus train` makes some epochs; the two alternate, and the ratios are of medians. The time
of an epoch is the median without the first, which also chooses kernels, and without samples. Short trainings make ten
epochs, because snapshots of the averages, 32 in any training, would take a part of each of two, and three times as many
rounds. The memory is the peak
of the worker. The seed's case is answered only: an epoch would take hours on a CPU.
Goals: an answer within 30 s, within 20 % of the time of an epoch and 15 % of the memory. Prints a table and writes
benchmarks/results/check.json, where other cases keep what was measured of them.
Run: python benchmarks/check.py [--rounds 2] [--device cpu] [--cases small part seed] [--quick]; about ten minutes
"""

import argparse
import json
import os
import pty
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from alternation import machine

from focus_engine.api import Experiment
from focus_engine.events.log import read_events
from focus_engine.events.table import EpochFinished, RunEnded
from focus_engine.runs.folder import RunFolder

RESULTS = Path(__file__).parent / "results" / "check.json"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PART = {"training.batch_size": 96}
CASES: dict[str, tuple[str, int, int, dict[str, Any]]] = {
    "small": ("small", 32, 480, {}),
    "part": ("small", 128, 320, PART),
    "part, float32": ("small", 128, 320, {**PART, "training.precision": "float32"}),
    "attention": ("small", 128, 320, {**PART, "model.unet.attention_levels": 1}),
    "seed": ("diffusion", 256, 200, {}),
}
"""Template, pixels a side, maps and settings."""
EPOCHS = {"small": 10}
"""Of a training; else 2."""
UNAFFORDABLE = ("seed",)
QUICK = {"small": ("small", 16, 40, {"model.base_channels": 8, "model.channel_mults": [1, 2]})}
CAMELS = np.array([(0.1, 0.5), (0.6, 1.0), (0.25, 4), (0.25, 4), (0.5, 2), (0.5, 2)])
"""Ranges of the parameters; the small templates have the first two."""
PARAMETERS = {"small": 2, "diffusion": 6}


def experiment(root: Path, name: str, case: tuple[str, int, int, dict[str, Any]], device: str) -> Experiment:
    """Return the experiment of a case, with its maps."""
    template, side, count, settings = case
    draw, folder = np.random.default_rng(0), root / "maps"
    folder.mkdir(exist_ok=True)
    maps, params = folder / f"{name}.npy", folder / f"{name}.txt"
    np.save(maps, (10 ** draw.normal(10.9, 0.3, (count, side, side))).astype(np.float32))
    np.savetxt(params, draw.uniform(*CAMELS[: PARAMETERS[template]].T, (count, PARAMETERS[template])))
    files = {"data.source": "files", "data.maps_path": str(maps), "data.params_path": str(params)}
    budget = {
        "device": device,
        "training.num_epochs": EPOCHS.get(name, 2),
        "training.sample_every": 0,
        "data.maps_per_simulation": 1,
    }
    return Experiment.create(name.replace(", ", "_"), root=root, template=template, settings=files | budget | settings)


def answer(run: RunFolder) -> dict[str, Any]:
    """Return what `focus check` answers, and the seconds that it took to the first words and in all."""
    command = [sys.executable, "-m", "focus_tui", "--root", str(run.path.parent), "check", run.name, "--json"]
    began, first, output = time.perf_counter(), 0.0, b""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(command[0], command)  # noqa: S606  (our own program)
    while True:
        try:
            chunk = os.read(terminal, 1 << 16)
        except OSError:  # the program has ended
            break
        first = first or (time.perf_counter() - began if chunk.strip() else 0.0)
        output += chunk
    _, status, usage = os.wait4(pid, 0)
    os.close(terminal)
    text = ESCAPES.sub("", output.decode(errors="replace"))
    if status:
        raise SystemExit(f"focus check failed: {text[-400:]}")
    took = {"first_words_s": first, "answer_s": time.perf_counter() - began}
    return {**json.loads(text[text.index("{") :]), **took, "answer_cpu_s": usage.ru_utime + usage.ru_stime}


def truth(run: RunFolder) -> dict[str, float]:
    """Return seconds of an epoch, and peak memory [bytes], of a training that begins anew."""
    program = [sys.executable, "-m", "focus_tui", "--root", str(run.path.parent), "train", run.name]
    run.events.unlink(missing_ok=True)
    for checkpoint in (run.checkpoint_last, run.checkpoint_best, run.checkpoint_previous):
        checkpoint.unlink(missing_ok=True)
    if os.waitstatus_to_exitcode(os.system(" ".join(program) + " > /dev/null 2>&1")):  # noqa: S605  (paths of our own)
        raise SystemExit(f"training of {run.name} failed")
    events = list(read_events(run.events))
    epochs = [event.seconds for event in events if isinstance(event, EpochFinished)][1:]
    ended = next(event for event in events if isinstance(event, RunEnded))
    return {"seconds_per_epoch": statistics.median(epochs), "peak_memory": float(ended.peak_memory or 0)}


def row(answers: list[Mapping[str, Any]], truths: list[dict[str, float]]) -> dict[str, Any]:
    """Return the medians of a case, and the answer over the truth where that is known."""

    def middle(key: str, of: list[Any]) -> float:
        return statistics.median(one[key] for one in of)

    times = ("first_words_s", "answer_s", "answer_cpu_s")
    found: dict[str, Any] = {key: middle(key, list(answers)) for key in times}
    found["measured"] = answers[-1]["measured"] or "whole steps"
    for key in ("seconds_per_epoch", "peak_memory"):
        found[key] = {"answer": middle(key, list(answers))}
        if truths:
            true = middle(key, truths)
            found[key] |= {"truth": true, "ratio": found[key]["answer"] / true}
    slowdowns = [one["slowdown"] for one in answers if one["slowdown"] is not None]
    return found | {"slowdown": statistics.median(slowdowns) if slowdowns else None}


def shown(name: str, found: dict[str, Any]) -> str:
    """Return the line of a case."""
    epoch, memory = (found[key].get("ratio") for key in ("seconds_per_epoch", "peak_memory"))
    ratios = "".join(f"{'–' if one is None else f'{one:.2f}':>9}" for one in (epoch, memory))
    times = f"{found['first_words_s']:>7.1f}{found['answer_s']:>9.1f}{found['answer_cpu_s']:>8.1f}"
    return f"{name:<16}{times}{ratios}   {found['measured']}"


def main() -> None:
    """Measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--quick", action="store_true", help="one tiny case: shows that it works")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    cases = QUICK if given.quick else {name: CASES[name] for name in given.cases}
    kept = json.loads(given.output.read_text(encoding="utf-8"))["cases"] if given.output.is_file() else {}
    rows = {name: one for name, one in kept.items() if name in CASES and not given.quick}
    load = machine()
    print(f"{'case':<16}{'first':>7}{'answer s':>9}{'CPU s':>8}{'epoch':>9}{'memory':>9}   measured")
    for name, case in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            run = experiment(Path(folder), name, case, given.device).run
            answers, truths = [], []
            rounds = 1 if given.quick else given.rounds * (3 if name in EPOCHS else 1)
            for _ in range(rounds):
                answers.append(answer(run))
                truths += [] if name in UNAFFORDABLE else [truth(run)]
        rows[name] = row(answers, truths) | {"rounds": rounds}
        print(shown(name, rows[name]), flush=True)
    document = {
        **load,
        "device": given.device,
        "cases": {name: rows[name] for name in [*CASES, *QUICK] if name in rows},
    }
    given.output.parent.mkdir(exist_ok=True)
    given.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
