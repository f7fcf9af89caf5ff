"""`focus sample`: draws maps from a checkpoint, in physical units."""

import json
import shutil

from focus_engine.evaluation.sampling import SamplingResult, choose_params, output_path, sample_run
from focus_engine.runs.folder import RunFolder
from focus_engine.statistics.power import FIELD_LABEL
from focus_engine.units import NORMALISED, SURFACE_DENSITY
from focus_tui.charts.curves import DENSITY_POWER, FIELD_POWER, draw_maps, draw_single_power
from focus_tui.compute.drawing import ProgressReporter, open_model, relative
from focus_tui.compute.options import SampleOptions
from focus_tui.compute.power import power_json
from focus_tui.terminal import color_depth, colours, out


def sample(run: RunFolder, options: SampleOptions) -> None:
    """Draw maps from a checkpoint of `run`, write them, and print P(k).

    Raises:
        InputError: no such checkpoint, or the options do not fit its model.
        FocusError: the maps are not finite.
    """
    reporter = ProgressReporter(options.progress)
    model, plan = open_model(run, options, reporter)
    given = None if options.params is None else dict(options.params)
    params = choose_params(model, options.n_maps, given, options.params_file)
    output_path(run, plan, options.output)
    for outside in model.scaler.outside(params):
        reporter.warn(str(outside))
    drawn: SamplingResult = reporter.track(sample_run(run, model, params, plan, options.output), plan)
    reporter.note(f"{len(drawn.maps)} maps of {drawn.maps.shape[-2]} x {drawn.maps.shape[-1]}, NFE {drawn.nfe}")
    if options.json:
        spectrum = None if drawn.power is None else json.loads(power_json(drawn.power))
        paths = {"path": str(drawn.path), "figure": str(drawn.figure)}
        out(json.dumps({**paths, "n_maps": len(drawn.maps), "nfe": drawn.nfe, "power": spectrum}))
        return
    show_samples(drawn)


def show_samples(drawn: SamplingResult) -> None:
    """Draw the first maps and P(k), and print the paths of the files."""
    columns, _ = shutil.get_terminal_size((80, 24))
    depth = color_depth()
    units = NORMALISED if drawn.power is not None and drawn.power.label == FIELD_LABEL else SURFACE_DENSITY
    out(draw_maps(list(drawn.maps[:3, 0]), width=min(columns, 110), height=20, color_depth=depth, units=units))
    if drawn.power is not None:
        spectrum = drawn.power.below(1.0)
        out(
            draw_single_power(
                drawn.power.k[spectrum],
                drawn.power.mean[spectrum],
                drawn.power.std[spectrum],
                width=min(columns, 110),
                height=16,
                color=colours(),
                title=f"P(k) of {len(drawn.maps)} samples",
                y_label=FIELD_POWER if units == NORMALISED else DENSITY_POWER,
                k_nyquist=drawn.power.k_nyquist,
            )
        )
    out(f"maps    {relative(drawn.path)}\nfigure  {relative(drawn.figure)}")
