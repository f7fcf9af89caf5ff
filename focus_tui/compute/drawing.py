"""Opens checkpoints and reports progress for `focus sample`, `evaluate`, `compare` and `demo`."""

from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

from focus_engine.config.advice import guidance_warning
from focus_engine.errors import InputError
from focus_engine.evaluation.averages import BestAverage, open_averaged
from focus_engine.evaluation.comparison import ComparisonProgress
from focus_engine.evaluation.sampling import Source
from focus_engine.evaluation.trained_model import TrainedModel, find_checkpoint, open_trained
from focus_engine.events.table import DataProgress
from focus_engine.generative.sampling import SamplingPlan, SamplingProgress
from focus_engine.runs.safety import check_links
from focus_engine.training.devices import choose_device
from focus_engine.trust import runs_code
from focus_tui.compute.options import DrawOptions
from focus_tui.compute.progress import ProgressReporter
from focus_tui.terminal import visible

Step = TypeVar("Step", bound=SamplingProgress | DataProgress | ComparisonProgress)
Result = TypeVar("Result")


class SamplingReporter(ProgressReporter):
    """Reports the progress of work that draws maps."""

    def track(self, work: Generator[Step, None, Result], plan: SamplingPlan) -> Result:
        """Run `work` to its end with its progress reported; return its result."""

        def report(step: Step) -> None:
            if isinstance(step, SamplingProgress):
                self.progress(*_sampling_progress(step, plan))
            elif isinstance(step, ComparisonProgress):
                self.progress(step.done, step.total, [visible(step.words)])
            else:
                self.progress(step.done, step.total, [step.what])

        return self.drain(work, report)


def _sampling_progress(step: SamplingProgress, plan: SamplingPlan) -> tuple[int, int, list[str]]:
    """Return progress in sampler steps of single maps: done, total, and words."""
    total, done = step.maps_total * plan.steps, round(step.maps_drawn * plan.steps)
    return done, total, [f"sampling {step.maps_total} maps", f"step {step.step}"]


def open_model(source: Source, options: DrawOptions, reporter: ProgressReporter) -> tuple[TrainedModel, SamplingPlan]:
    """Return the model of the requested checkpoint, or of a weights file, and the plan to sample with.

    Raises:
        InputError: no such checkpoint, or the options do not fit its model.
    """
    name = source.name
    if isinstance(source, Path):
        model = _open_weights(source, options)
    else:
        check_links(source)
        path = find_checkpoint(source, options.checkpoint)
        model = open_averaged(source, path, options.ema, device=_first_device(options))
        name = f"{name}: {path.name}"
    if runs_code(model.config.model.from_):
        reporter.warn(f"the code of {visible(model.config.model.from_)} is run (model.from)")
    model = model.shared(options.gpus or 1)
    plan = model.plan(
        sampler=options.sampler,
        steps=options.steps,
        nfe=options.nfe,
        spacing=options.spacing,
        eta=options.eta,
        churn=options.churn,
        rtol=options.rtol,
        atol=options.atol,
        guidance=options.guidance,
        prior=options.prior,
        seed=options.seed,
        batch_size=options.batch_size,
    )
    if warning := guidance_warning(plan.guidance):
        reporter.warn(warning)
    if len(model.copies) > 1:
        reporter.note(f"maps shared among {', '.join(str(copy.device) for copy in model.copies)}")
    reporter.note(
        f"{visible(name)} (epoch {model.source['epoch']}), {plan.sampler}, {plan.steps} steps, "
        f"eta {plan.eta:g}, seed {plan.seed}{', calibrated' if model.calibrates(plan) else ''}"
        f"{_average_words(source, model)}"
    )
    return model, plan


def _open_weights(file: Path, options: DrawOptions) -> TrainedModel:
    for option, given in (("--ema", options.ema is not None), ("--checkpoint", options.checkpoint != "best")):
        if given:
            raise InputError(f"{file.name} holds one set of weights: {option} chooses them when it is exported")
    return open_trained(file, device=_first_device(options))


def _first_device(options: DrawOptions) -> str | None:
    """Return the device of the first copy of the network; None for the config's. Raises InputError without a GPU."""
    if options.gpus is None:
        return options.device
    place = choose_device(options.device or "auto")
    if place.type == "cpu":
        raise InputError("there is no GPU here; all cores of a CPU draw without it", where=f"--gpus {options.gpus}")
    return str(place)


def _average_words(source: Source, model: TrainedModel) -> str:
    """Return which average of the weights is used, where that is not the usual one or where a better one is known."""
    if (length := model.source.get("ema")) is not None:
        return f", average of length {length:g}"
    known = None if isinstance(source, Path) else BestAverage.read(source)
    better = known is not None and known.checkpoint == model.source["sha256"] and known.length
    if not better:
        return ""
    without = ", not calibrated" if model.calibration is not None else ""
    return f"; --ema best would take the average of length {better:g}{without}"
