"""Drawing maps from a checkpoint: what `focus sample`, `focus evaluate` and `focus demo` share."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from focus_engine.events import DataProgress
from focus_engine.generative.sampling import SamplingPlan, SamplingProgress
from focus_engine.runs.folder import RunFolder
from focus_engine.trained import TrainedModel, find_checkpoint, open_trained
from focus_tui.follow import Printer
from focus_tui.options import DrawOptions
from focus_tui.terminal import say, visible
from focus_tui.words import bar_line

Result = TypeVar("Result")


def opened(run: RunFolder, options: DrawOptions) -> tuple[TrainedModel, SamplingPlan]:
    """Open the checkpoint that was asked for and the plan to draw with.

    Raises:
        InputError: no such checkpoint, or the options do not fit its model.
    """
    path = find_checkpoint(run, options.checkpoint)
    model = open_trained(path, device=options.device)
    plan = model.plan(
        sampler=options.sampler,
        steps=options.steps,
        eta=options.eta,
        guidance=options.guidance,
        seed=options.seed,
        batch_size=options.batch_size,
    )
    if plan.guidance != 1.0:
        say(f"warning: guidance {plan.guidance:g} changes the density that was trained, and so P(k); 1.0 does not")
    say(
        f"{visible(run.name)}: {path.name} (epoch {model.source['epoch']}), {plan.sampler}, {plan.steps} steps, "
        f"eta {plan.eta:g}, seed {plan.seed}"
    )
    return model, plan


def shown(steps: Iterator[SamplingProgress | DataProgress | Result], plan: SamplingPlan) -> Result:
    """Pull `steps` to their end with a progress bar on stderr; return the result, which comes last."""
    printer = Printer()
    result: Result | None = None
    try:
        for step in steps:
            if isinstance(step, SamplingProgress):
                total = step.maps_total * plan.steps
                batch = min(plan.batch_size, step.maps_total - step.maps_done) if step.finished is None else 0
                done = step.maps_done * plan.steps + batch * step.step
                printer.progress(bar_line(done, total, [f"sampling {step.maps_total} maps", f"step {step.step}"]))
            elif isinstance(step, DataProgress):
                printer.progress(bar_line(step.done, step.total, [step.what]))
            else:
                result = step
    finally:
        printer.clear()
    assert result is not None  # noqa: S101  (the engine's generators end with their result)
    return result


def relative(path: Path) -> str:
    """Return `path` as short as it can be named from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
