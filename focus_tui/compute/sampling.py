"""`focus sample`: draws maps from a checkpoint, in physical units."""

import json
import math
import shutil

from focus_engine.evaluation.sampling import SamplingResult, Source, choose_params, output_path, sample_run
from focus_engine.statistics.power import FIELD_LABEL, PowerSpectrum
from focus_tui.charts.curves import DENSITY_POWER, FIELD_POWER, draw_maps, draw_single_power
from focus_tui.compute.drawing import SamplingReporter, open_model
from focus_tui.compute.options import SampleOptions
from focus_tui.compute.power import power_json
from focus_tui.compute.progress import relative
from focus_tui.terminal import color_depth, colours, out, visible


def sample(source: Source, options: SampleOptions) -> None:
    """Draw maps from a checkpoint of a run or from a weights file, write them, and print P(k).

    Raises:
        InputError: no such checkpoint, or the options do not fit its model.
        FocusError: the maps are not finite.
    """
    reporter = SamplingReporter(options.progress)
    model, plan = open_model(source, options, reporter)
    given = None if options.params is None else dict(options.params)
    params = choose_params(model, options.n_maps, given, options.params_file)
    output_path(source, plan, options.output)
    for outside in model.scaler.outside(params):
        reporter.warn(str(outside))
    if words := idle_words(len(params), plan.batch_size, len(model.copies)):
        reporter.note(words)
    drawn: SamplingResult = reporter.track(sample_run(source, model, params, plan, options.output), plan)
    reporter.note(f"{len(drawn.maps)} maps of {drawn.maps.shape[-2]} x {drawn.maps.shape[-1]}, NFE {drawn.nfe}")
    if options.json:
        powers = [None if one is None else json.loads(power_json(one)) for one in drawn.spectra]
        fields = [
            {"name": name, "units": unit, "power": power}
            for name, unit, power in zip(drawn.fields, drawn.units, powers, strict=True)
        ]
        paths = {"path": str(drawn.path), "figure": str(drawn.figure)}
        numbers = {"n_maps": len(drawn.maps), "nfe": drawn.nfe, "power": powers[0], "fields": fields}
        out(json.dumps({**paths, **numbers}))
        return
    show_samples(drawn)


def idle_words(maps: int, batch: int, devices: int) -> str:
    """Return in words that there are fewer batches of maps than `devices`; empty where each has one."""
    batches = math.ceil(maps / batch)
    if batches >= devices:
        return ""
    fitting = math.ceil(maps / devices)
    return (
        f"{maps} maps at {batch} a batch occupy {batches} of {devices} GPUs; --batch-size {fitting} would share them "
        "out, and change them by rounding"
    )


def show_samples(drawn: SamplingResult) -> None:
    """Draw the first maps and P(k) of each field, and print the paths of the files."""
    columns, _ = shutil.get_terminal_size((80, 24))
    width = min(columns, 110)
    for channel, (field, unit) in enumerate(zip(drawn.fields, drawn.units, strict=True)):
        name = f"{visible(field)}, " if len(drawn.fields) > 1 else ""
        titles = (name.removesuffix(", "),) if name else ()
        maps, units = list(drawn.maps[:3, channel]), visible(unit)
        out(draw_maps(maps, width=width, height=20, titles=titles, color_depth=color_depth(), units=units))
        if (spectrum := drawn.spectra[channel]) is not None:
            out(_power_chart(spectrum, f"{name}P(k) of {len(drawn.maps)} samples", width))
    out(f"maps    {relative(drawn.path)}\nfigure  {relative(drawn.figure)}")


def _power_chart(spectrum: PowerSpectrum, title: str, width: int) -> str:
    shown = spectrum.below(1.0)
    return draw_single_power(
        spectrum.k[shown],
        spectrum.mean[shown],
        spectrum.std[shown],
        width=width,
        height=16,
        color=colours(),
        title=title,
        y_label=FIELD_POWER if spectrum.label == FIELD_LABEL else DENSITY_POWER,
        k_nyquist=spectrum.k_nyquist,
    )
