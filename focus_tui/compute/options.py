"""Options of the commands that draw maps, parsed and checked before any file is opened.

A wrong option is wrong whether or not there is a checkpoint, so these classes refuse it on construction.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from focus_engine.config.blocks.data import PARAMETER_NAMES
from focus_engine.config.samplers import PRIORS, SAMPLERS, SPACINGS, check_eta_range, sampler_words
from focus_engine.errors import InputError

MAX_SEED = 2**63 - 1
PROGRESS = ("bar", "json")
LONGEST_AVERAGE = 0.288
"""Length of the plain mean of the weights of all steps: the standard deviation of a uniform density on (0, 1)."""
REPORT_SUFFIXES = (".html", ".png", ".pdf", ".json")
"""Formats of a report."""

Params = tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class DrawOptions:
    """Options of drawing maps; None takes the value of the config.

    Attributes:
        steps: number of sampler steps.
        nfe: evaluations of the network per map, in place of `steps`; guidance counts twice.
        spacing: a name in `SPACINGS`.
        eta: 0 is deterministic, 1 is DDPM.
        churn: Karras's S_churn, of samplers that take it.
        rtol, atol: tolerances of a sampler that chooses its steps.
        sampler: a name in `SAMPLERS`.
        guidance: 1.0 samples the trained density.
        prior: where sampling starts, a word of `sampling.prior`.
        seed: the noise of map i depends on the seed and i only.
        checkpoint: best, last, or a path.
        ema: length of the average of the weights, or `best`; None takes the moving average of training.
        n_maps: number of maps.
        batch_size: maps drawn at once.
        device: as in the config.
        gpus: number of GPUs that share the maps.
        progress: form of the progress on stderr: `bar`, or `json` for one object per line.

    Raises:
        InputError: naming the option, the value and what is allowed.
    """

    steps: int | None = None
    nfe: int | None = None
    spacing: str | None = None
    eta: float | None = None
    churn: float | None = None
    rtol: float | None = None
    atol: float | None = None
    sampler: str | None = None
    guidance: float | None = None
    prior: str | None = None
    seed: int = 0
    checkpoint: str = "best"
    ema: float | str | None = None
    n_maps: int | None = None
    batch_size: int | None = None
    device: str | None = None
    gpus: int | None = None
    progress: str = "bar"

    def __post_init__(self) -> None:
        check_progress(self.progress)
        _at_least(self.steps, 1, "--steps")
        _at_least(self.nfe, 1, "--nfe")
        if self.nfe is not None and self.steps is not None:
            raise InputError("--nfe and --steps are both given: keep one of them")
        _known(self.spacing, SPACINGS, "--spacing")
        if self.sampler is not None and self.sampler not in SAMPLERS:
            raise InputError(f"--sampler {self.sampler!r} is unknown; allowed: {sampler_words()}")
        _known(self.prior, PRIORS, "--prior")
        _at_least(self.n_maps, 1, "-n")
        _at_least(self.batch_size, 1, "--batch-size")
        _at_least(self.gpus, 1, "--gpus")
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError(f"give a whole number from 0 to {MAX_SEED}", where=f"--seed {self.seed}")
        if self.guidance is not None and not (math.isfinite(self.guidance) and self.guidance >= 0):
            raise InputError("give a number >= 0; 1 samples the trained density", where=f"--guidance {self.guidance:g}")
        _tolerance(self.rtol, "--rtol")
        _tolerance(self.atol, "--atol")
        if self.churn is not None and not 0 <= self.churn < math.inf:
            raise InputError("give a number >= 0; 0 adds no noise", where=f"--churn {self.churn:g}")
        if not self.checkpoint.strip():
            raise InputError("--checkpoint is empty; give best, last or a path")
        check_eta(self.eta, self.sampler)


@dataclass(frozen=True, kw_only=True)
class SampleOptions(DrawOptions):
    """The options of `focus sample`.

    Attributes:
        params: parameters by name, the same for every map; None takes `params_file`, else those of the
            validation maps in order.
        params_file: a table with one row a map.
        output: the .npz file; None for a name under the experiment's samples/.
        json: print the result as JSON instead of drawing it.
    """

    params: Params | None = None
    params_file: Path | None = None
    output: Path | None = None
    json: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.params is not None and self.params_file is not None:
            raise InputError("--params and --params-file are both given: keep one of them")
        if self.params_file is not None and not self.params_file.is_file():
            raise InputError("no such file", where=f"--params-file {self.params_file}")
        if self.output is not None:
            check_output(self.output, ".npz")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(DrawOptions):
    """The options of `focus evaluate`.

    Attributes:
        universes: universes to simulate at each held-back cosmology; None compares with the test maps.
        cosmologies: held-back cosmologies; None for the default.
        output: folder of the report (JSON and PNG); None for the experiment's own.
        report: further file of the report; None for none.
        latex: print a LaTeX table instead of drawing the report.
        json: print the document instead of drawing it.
    """

    universes: int | None = None
    cosmologies: int | None = None
    output: Path | None = None
    report: Path | None = None
    latex: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latex and self.json:
            raise InputError("--latex and --json are both given: keep one of them")
        if self.report is not None:
            check_report(self.report)
        if self.output is not None and self.output.exists() and not self.output.is_dir():
            raise InputError("is not a folder", where=f"-o {self.output}")


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions:
    """The options of `focus calibrate`.

    Attributes:
        maps: maps to draw; None for the config's number, 0 to take the calibration away.
        device: as in the config; None for its own.
        json: print an object instead of words.
        progress: as in `DrawOptions`.

    Raises:
        InputError: an option is not allowed.
    """

    maps: int | None = None
    device: str | None = None
    json: bool = False
    progress: str = "bar"

    def __post_init__(self) -> None:
        check_progress(self.progress)
        if self.maps is not None and self.maps < 0:
            raise InputError("give a number of maps, or 0 to take the calibration away", where=f"--maps {self.maps}")


@dataclass(frozen=True, kw_only=True)
class CompareOptions(DrawOptions):
    """The options of `focus compare`.

    Attributes:
        ladder: numbers of steps at which error and cost are measured; None for the default `STEP_COUNTS`.
        curves: compare only the logs; draw no samples.
        output: the report (.json); None for one under the first experiment's figs/.
        json: print the document instead of drawing it.
    """

    ladder: tuple[int, ...] | None = None
    curves: bool = False
    output: Path | None = None
    json: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.checkpoint not in {"best", "last"}:
            raise InputError(
                "compare takes best or last, of every experiment", where=f"--checkpoint {self.checkpoint!r}"
            )
        for steps in self.ladder or ():
            _at_least(steps, 1, "--steps")
        if self.output is not None:
            check_output(self.output, ".json")


def parse_ladder(text: str | None) -> tuple[int, ...] | None:
    """Parse `5,10,50`. Raises InputError unless it is a list of whole numbers."""
    if text is None:
        return None
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise InputError("give whole numbers separated by commas, such as 5,10,50", where=f"--steps {text!r}") from None


def parse_params(text: str | None) -> Params | None:
    """Parse `Omega_m=0.3,sigma_8=0.8`. Raises InputError for an unknown or repeated name or a wrong value."""
    if text is None:
        return None
    pairs: dict[str, float] = {}
    for entry in text.split(","):
        name, equals, value = (part.strip() for part in entry.partition("="))
        if not equals or not name:
            raise InputError("write NAME=VALUE pairs, such as Omega_m=0.3,sigma_8=0.8", where=f"--params {text!r}")
        if name not in PARAMETER_NAMES:
            raise InputError(f"unknown parameter {name!r}; allowed: {', '.join(PARAMETER_NAMES)}", where="--params")
        if name in pairs:
            raise InputError(f"{name} is given twice", where="--params")
        pairs[name] = _number(value, name)
    return tuple(pairs.items())


def parse_ema(text: str | None) -> float | str | None:
    """Parse a length of the average of the weights, or `best`. Raises InputError."""
    if text is None or text == "best":
        return text
    try:
        length = float(text)
    except ValueError:
        length = math.nan
    if not 0 < length <= LONGEST_AVERAGE:
        raise InputError(
            f"give best, or the length of an average as a share of the training, above 0 and at most {LONGEST_AVERAGE}",
            where=f"--ema {text!r}",
        )
    return length


def check_output(path: Path, suffix: str) -> Path:
    """Return `path` if a file with that suffix can be written there. Raises InputError."""
    if path.suffix != suffix:
        raise InputError(f"give a file name that ends in {suffix}", where=f"-o {path}")
    if path.is_dir():
        raise InputError("is a folder; give a file name", where=f"-o {path}")
    if not path.absolute().parent.is_dir():
        raise InputError(f"the folder {path.absolute().parent} does not exist", where=f"-o {path}")
    return path


def check_report(path: Path) -> Path:
    """Return `path` if a report can be written there. Raises InputError."""
    if path.suffix not in REPORT_SUFFIXES:
        raise InputError(f"give a file name that ends in {', '.join(REPORT_SUFFIXES)}", where=f"-o {path}")
    return check_output(path, path.suffix)


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{name}={text!r} is not a number", where="--params") from None
    if not math.isfinite(value):
        raise InputError(f"{name}={text} is not a finite number", where="--params")
    return value


def _at_least(value: int | None, low: int, option: str) -> None:
    if value is not None and value < low:
        raise InputError(f"give a whole number >= {low}", where=f"{option} {value}")


def _tolerance(value: float | None, option: str) -> None:
    if value is not None and not 0 < value < math.inf:
        raise InputError("give a number > 0, such as 1e-3", where=f"{option} {value:g}")


def _known(value: str | None, allowed: Collection[str], option: str) -> None:
    if value is not None and value not in allowed:
        raise InputError(f"{option} {value!r} is unknown; allowed: {', '.join(allowed)}")


def check_progress(progress: str) -> None:
    """Raise InputError unless `progress` is a form of progress."""
    if progress not in PROGRESS:
        raise InputError(f"--progress {progress!r} is unknown; allowed: {', '.join(PROGRESS)}")


def check_eta(eta: float | None, sampler: str | None) -> None:
    """Check eta against its sampler (None: not chosen yet). Raises InputError."""
    if eta is None:
        return
    if sampler is None:
        check_eta_range(eta, f"--eta {eta:g}")
    else:
        SAMPLERS[sampler].check_eta(eta, f"--eta {eta:g}")
