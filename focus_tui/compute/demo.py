"""`focus demo`: the whole workflow on a CPU in a few minutes, with the commands that a user would type.

Simulates universes (once: they stay in the cache), trains an experiment in the background while printing its epochs,
and evaluates its samples against universes at cosmologies that it never saw.
"""

import time
from pathlib import Path

from focus_engine.config.load import load_config
from focus_engine.data.opening import open_maps
from focus_engine.errors import FocusError
from focus_engine.evaluation.sampling import EvaluationResult, evaluate_run
from focus_engine.evaluation.truth import HeldBack
from focus_engine.events.table import DataProgress
from focus_engine.launch.start import start_run
from focus_engine.launch.state import summarise
from focus_engine.launch.summary import RunSummary
from focus_engine.progress import drain
from focus_engine.runs.create import create_experiment
from focus_engine.runs.folder import RunFolder
from focus_tui.compute.drawing import SamplingReporter, open_model
from focus_tui.compute.evaluating import show_report
from focus_tui.compute.options import EvaluateOptions
from focus_tui.compute.progress import relative
from focus_tui.terminal import out, say
from focus_tui.view.follow import Printer, print_log
from focus_tui.view.words import bar_line, duration

TEMPLATE = "small_flow"
LIMIT = "training.max_minutes=2"
"""What two quiet cores need. Beside other programs the schedule ends here too, after fewer epochs."""
LONGER = "--set training.num_epochs=100 --set training.max_minutes=null"
HELD_BACK = HeldBack(universes=8)
"""Universes at each held-back cosmology: ten seconds on two cores, once."""


def demo(root: Path, settings: tuple[str, ...] = ()) -> None:
    """Create an experiment under `root`, simulate its data, train it, and evaluate its samples.

    Raises:
        FocusError: training did not finish.
    """
    began = time.monotonic()
    run = create_experiment(root, free_name(root), template=TEMPLATE, settings=(LIMIT, *settings))
    step(1, "an experiment", f"focus new {run.name} --template {TEMPLATE} --set {LIMIT}")
    out(f"{relative(run.path)}/config.yaml holds every setting")

    step(2, "universes to learn from", "focus data simulate")
    _simulate(run)
    simulated = time.monotonic()

    step(3, "training in the background", f"focus start {run.name}; focus logs -f {run.name}")
    identity = start_run(run)
    say(f"process {identity.pid} trains; this terminal only follows it (Ctrl-C leaves it running)")
    print_log(run, follow=True, last=None, raw=False)
    summary = summarise(run)
    if summary.state not in {"finished", "early_stopped"}:
        raise FocusError(f"{run.name} is {summary.state}: {summary.reason or 'see focus logs'}")
    trained = time.monotonic()

    step(4, "samples against universes it never saw", f"focus evaluate {run.name} --universes {HELD_BACK.universes}")
    reporter = SamplingReporter()
    model, plan = open_model(run, EvaluateOptions(), reporter)
    evaluated: EvaluationResult = reporter.track(evaluate_run(run, model, plan, None, held_back=HELD_BACK), plan)
    show_report(evaluated)
    _print_summary(run, summary, evaluated, (simulated - began, trained - simulated, time.monotonic() - trained))


def free_name(root: Path) -> str:
    """Return `demo`, or `demo-2` and so on if that name is taken."""
    names = ("demo" if number == 1 else f"demo-{number}" for number in range(1, 100_000))
    return next(name for name in names if not (root / name).exists())


def step(number: int, what: str, command: str) -> None:
    """Print the title of a stage and the equivalent command."""
    out(f"\n[{number}/4] {what}    $ {command}")


def _simulate(run: RunFolder) -> None:
    printer = Printer()
    config = load_config(run.config).config
    began, made = time.monotonic(), False

    def show(step: DataProgress) -> None:
        nonlocal made
        made = True  # universes in the cache yield no progress
        printer.progress(bar_line(step.done, step.total, [step.what]))

    try:
        drain(open_maps(config, run.path), show)
    finally:
        printer.clear()
    block = config.data
    maps = block.simulations * block.maps_per_simulation
    how = f"simulated in {duration(time.monotonic() - began)}" if made else "found in the cache"
    out(f"{block.simulations} universes, {maps} maps of {block.map_size} x {block.map_size} pixels: {how}")


def _print_summary(
    run: RunFolder, summary: RunSummary, evaluated: EvaluationResult, seconds: tuple[float, float, float]
) -> None:
    figures = [
        run.training_history,
        *sorted(run.figs.glob("samples_epoch_*.png"))[-1:],
        *sorted(run.figs.glob("power_spectrum_epoch_*.png"))[-1:],
        evaluated.figure,
    ]
    out("\nfigures")
    for path in figures:
        if path.is_file():
            out(f"  {relative(path)}")
    universes, training, judging = (duration(value) for value in seconds)
    out("\ntime")
    out(f"  universes {universes}, training {training} ({summary.epoch} epochs), sampling and judging {judging}")
    out("\nnext")
    where = "" if run.path.parent == Path.cwd() / "experiments" else f" --root {relative(run.path.parent)}"
    for command, why in (
        (f"focus{where} sample {run.name} --params Omega_m=0.25,sigma_8=0.9", "maps of a universe of your choice"),
        (f"focus{where} new mine --from {run.name} {LONGER}", "train longer"),
        (f"focus{where} new experiment_diffusion", "the full-size experiment, for a GPU"),
        ("focus data import MAPS PARAMS --name camels", "your own maps"),
    ):
        out(f"  # {why}\n  {command}")
