"""Commands that draw or measure maps: sample, evaluate, compare, calibrate, power, demo.

Arguments are checked before any file is opened.
"""

from pathlib import Path
from typing import Annotated

import typer

from focus_engine.config.samplers import (
    PRIORS,
    SPACINGS,
    sampler_words,
    samplers_with_churn,
    samplers_with_tolerances,
)
from focus_engine.errors import InputError
from focus_engine.runs.folder import find_run
from focus_tui.cli.choose import Exp, Json, Model, Trust, chosen_model, chosen_run, complete_names, root_of
from focus_tui.cli.command import Command

Steps = Annotated[int | None, typer.Option("--steps", help="Steps of the sampler.", show_default=False)]
Nfe = Annotated[
    int | None,
    typer.Option("--nfe", metavar="N", help="Network evaluations a map: picks sampler and steps.", show_default=False),
]
Spacing = Annotated[
    str | None,
    typer.Option("--spacing", metavar="P", help=f"Where steps are: {', '.join(SPACINGS)}.", show_default=False),
]
Eta = Annotated[float | None, typer.Option("--eta", help="0 is deterministic, 1 is DDPM.", show_default=False)]
Churn = Annotated[
    float | None,
    typer.Option("--churn", metavar="S", help=f"Karras's S_churn of {samplers_with_churn()}.", show_default=False),
]
Rtol = Annotated[
    float | None,
    typer.Option(
        "--rtol", metavar="R", help=f"Relative tolerance of {samplers_with_tolerances()}.", show_default=False
    ),
]
Atol = Annotated[
    float | None,
    typer.Option(
        "--atol", metavar="A", help=f"Absolute tolerance of {samplers_with_tolerances()}.", show_default=False
    ),
]
Sampler = Annotated[str | None, typer.Option("--sampler", metavar="S", help=f"{sampler_words()}.", show_default=False)]
Guidance = Annotated[
    float | None, typer.Option("--guidance", metavar="W", help="1 samples the trained density.", show_default=False)
]
Prior = Annotated[
    str | None,
    typer.Option("--prior", metavar="P", help=f"Where sampling starts: {', '.join(PRIORS)}.", show_default=False),
]
Seed = Annotated[int, typer.Option("--seed", metavar="K", help="The noise of map i depends on seed and i alone.")]
Checkpoint = Annotated[str, typer.Option("--checkpoint", metavar="best|last|PATH", help="Which weights.")]
Ema = Annotated[
    str | None,
    typer.Option(
        "--ema",
        metavar="LENGTH|best",
        help="Average of the weights over this share of the training, such as 0.05. evaluate finds the best length "
        "by the validation loss, and the run folder keeps it. Left out: the moving average of training.",
        show_default=False,
    ),
]
Batch = Annotated[int | None, typer.Option("--batch-size", metavar="N", help="Maps at once.", show_default=False)]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda, cuda:1 … as in the config.")]
Gpus = Annotated[
    int | None,
    typer.Option("--gpus", metavar="N", help="Share the maps among N GPUs; they stay the same.", show_default=False),
]
Progress = Annotated[
    str,
    typer.Option(
        "--progress",
        metavar="bar|json",
        help='json: one object a line on stderr: {"done", "total", "words"}, {"note"} or {"warning"}.',
    ),
]


def sample(
    context: typer.Context,
    exp: Model = None,
    steps: Steps = None,
    nfe: Nfe = None,
    spacing: Spacing = None,
    eta: Eta = None,
    churn: Churn = None,
    rtol: Rtol = None,
    atol: Atol = None,
    sampler: Sampler = None,
    n_maps: Annotated[int | None, typer.Option("-n", metavar="N", help="Number of maps.", show_default=False)] = None,
    params: Annotated[
        str | None,
        typer.Option("--params", metavar="Omega_m=0.3,…", help="Left out: those of the validation maps, in order."),
    ] = None,
    params_file: Annotated[Path | None, typer.Option("--params-file", metavar="F", help="One row a map.")] = None,
    guidance: Guidance = None,
    prior: Prior = None,
    seed: Seed = 0,
    checkpoint: Checkpoint = "best",
    ema: Ema = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE.npz", show_default=False)] = None,
    batch_size: Batch = None,
    device: Device = None,
    gpus: Gpus = None,
    as_json: Json = False,
    progress: Progress = "bar",
    _trust: Trust = False,
) -> None:
    """Draw maps from a trained model.

    In physical units: an .npz, a PNG, and P(k) in the terminal. With --json, stdout holds one object: path,
    figure, n_maps, nfe (network function evaluations per map) and power as in focus power --json.

    From a weights file (focus export --weights) no experiment is needed; the maps go to the current folder.

    Example: focus sample --steps 100 --eta 0 -n 16 --params Omega_m=0.3,sigma_8=0.8 -o maps.npz
    """
    from focus_tui.compute.options import SampleOptions, parse_ema, parse_params

    options = SampleOptions(
        steps=steps,
        nfe=nfe,
        spacing=spacing,
        eta=eta,
        churn=churn,
        rtol=rtol,
        atol=atol,
        sampler=sampler,
        guidance=guidance,
        prior=prior,
        seed=seed,
        checkpoint=checkpoint,
        ema=parse_ema(ema),
        n_maps=n_maps,
        batch_size=batch_size,
        device=device,
        gpus=gpus,
        params=parse_params(params),
        params_file=params_file,
        output=output,
        json=as_json,
        progress=progress,
    )
    source = chosen_model(context, exp)
    from focus_tui.compute.sampling import sample as sample_model

    sample_model(source, options)


def evaluate(
    context: typer.Context,
    exp: Exp = None,
    steps: Steps = None,
    nfe: Nfe = None,
    spacing: Spacing = None,
    eta: Eta = None,
    churn: Churn = None,
    rtol: Rtol = None,
    atol: Atol = None,
    sampler: Sampler = None,
    n_maps: Annotated[
        int | None,
        typer.Option("-n", metavar="N", help="Maps to draw, and test maps to use [300].", show_default=False),
    ] = None,
    universes: Annotated[
        int | None,
        typer.Option(
            "--universes",
            metavar="N",
            help="Truth: N simulated universes at each held-back cosmology.",
            show_default=False,
        ),
    ] = None,
    cosmologies: Annotated[
        int | None, typer.Option("--cosmologies", metavar="M", help="How many of them [8].", show_default=False)
    ] = None,
    guidance: Guidance = None,
    prior: Prior = None,
    seed: Seed = 0,
    checkpoint: Checkpoint = "best",
    ema: Ema = None,
    report: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Report: .html, .png, .pdf or .json.", show_default=False),
    ] = None,
    latex: Annotated[bool, typer.Option("--latex", help="Print the scores as a LaTeX table (booktabs).")] = False,
    batch_size: Batch = None,
    device: Device = None,
    gpus: Gpus = None,
    as_json: Json = False,
    progress: Progress = "bar",
    _trust: Trust = False,
) -> None:
    """Judge samples against held-out maps.

    With --universes, against universes simulated at cosmologies that the training set does not hold: the more, the
    better the truth is known. They stay in the cache.

    Every score (docs/statistics.md) has its error and what a perfect model scores. The run folder keeps the report
    as evaluation.json and a PNG; -o report.html writes one page to share.

    Example: focus evaluate experiment_diffusion --json > report.json
    """
    from focus_tui.compute.options import EvaluateOptions, parse_ema

    options = EvaluateOptions(
        steps=steps,
        nfe=nfe,
        spacing=spacing,
        eta=eta,
        churn=churn,
        rtol=rtol,
        atol=atol,
        sampler=sampler,
        guidance=guidance,
        prior=prior,
        seed=seed,
        checkpoint=checkpoint,
        ema=parse_ema(ema),
        n_maps=n_maps,
        report=report,
        latex=latex,
        universes=universes,
        cosmologies=cosmologies,
        batch_size=batch_size,
        device=device,
        gpus=gpus,
        json=as_json,
        progress=progress,
    )
    run = chosen_run(context, exp)
    from focus_tui.compute.evaluating import evaluate as evaluate_run

    evaluate_run(run, options)


def compare(
    context: typer.Context,
    exps: Annotated[
        list[str],
        typer.Argument(metavar="A B...", help="Names or paths of experiments.", autocompletion=complete_names),
    ],
    steps: Annotated[
        str | None,
        typer.Option("--steps", metavar="5,10,…", help="Numbers of steps to measure [5,10,25,50].", show_default=False),
    ] = None,
    n_maps: Annotated[
        int | None, typer.Option("-n", metavar="N", help="Test maps to use [96].", show_default=False)
    ] = None,
    curves: Annotated[bool, typer.Option("--curves", help="Only losses and configs: draw no samples.")] = False,
    seed: Seed = 0,
    checkpoint: Annotated[str, typer.Option("--checkpoint", metavar="best|last", help="Which weights.")] = "best",
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE.json", show_default=False)] = None,
    batch_size: Batch = None,
    device: Device = None,
    gpus: Gpus = None,
    as_json: Json = False,
    progress: Progress = "bar",
    _trust: Trust = False,
) -> None:
    """Compare experiments.

    Loss curves, configs, and samples at the parameters of the same unseen maps: P(k), PDF and slab mean beside
    true against true; error against number of steps and seconds per map. Experiments that differ in data, box or
    resolution are compared by their curves only.

    Example: focus compare experiment_diffusion experiment_flow
    """
    from focus_tui.compute.options import CompareOptions, parse_ladder

    options = CompareOptions(
        ladder=parse_ladder(steps),
        curves=curves,
        seed=seed,
        checkpoint=checkpoint,
        n_maps=n_maps,
        output=output,
        batch_size=batch_size,
        device=device,
        gpus=gpus,
        json=as_json,
        progress=progress,
    )
    root = root_of(context)
    runs = list(dict.fromkeys(find_run(name, root) for name in exps))
    if len(runs) < 2:
        raise InputError("compare needs at least two different experiments: focus compare A B")
    from focus_tui.compute.comparing import compare as compare_runs

    compare_runs(runs, options)


def calibrate(
    context: typer.Context,
    exp: Exp = None,
    maps: Annotated[
        int | None,
        typer.Option(
            "--maps",
            metavar="N",
            help="Maps to draw [sampling.calibration_maps, else 512]; 0 undoes.",
            show_default=False,
        ),
    ] = None,
    device: Device = None,
    as_json: Json = False,
    progress: Progress = "bar",
    _trust: Trust = False,
) -> None:
    """Calibrate what a trained model draws.

    Brings drawn maps to the spectrum and the distribution of pixels of the training maps. A training with
    sampling.calibration_maps does so when it ends; this is for one that was stopped or had none. Its best and its last
    checkpoint keep the calibration, which sample, evaluate and export apply (docs/samplers.md). With --json, stdout
    holds one object: gain, for each checkpoint the lowest and the highest factor on its Fourier modes.

    Example: focus calibrate experiment_diffusion
    """
    from focus_tui.compute.options import CalibrateOptions

    options = CalibrateOptions(maps=maps, device=device, json=as_json, progress=progress)
    run = chosen_run(context, exp)
    from focus_tui.compute.calibrating import calibrate as calibrate_run

    calibrate_run(run, options)


def power(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Maps: .npy, .npz with `maps`, HDF5, or a folder.")],
    box_size: Annotated[
        float | None, typer.Option("--box-size", metavar="L", help="Side of the box [Mpc/h].", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure P(k) of any maps on disk.

    In (Mpc/h)^2 against k in h/Mpc.

    Example: focus power samples.npz --json
    """
    if box_size is not None and not 0 < box_size < float("inf"):
        raise InputError(f"--box-size {box_size:g}: give the side of the box in Mpc/h, above 0")
    from focus_tui.compute.power import power as measure

    measure(file, box_size, as_json=as_json)


def demo(context: typer.Context) -> None:
    """Run the whole workflow on a CPU, in minutes.

    Simulates universes, trains a small model in the background, draws samples and evaluates them.

    Example: focus demo
    """
    root = root_of(context)
    from focus_tui.compute.demo import demo as run_demo

    run_demo(root)


COMMANDS = tuple(Command(function, "judge") for function in (sample, evaluate, compare, calibrate, power, demo))
