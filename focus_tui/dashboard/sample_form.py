"""The form of the Sample screen without its widgets: options, arguments of `focus sample` and problems. Pure.

The checks are those of the command line: each field is passed to `SampleOptions` on its own.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from focus_engine.config.advice import guidance_warning
from focus_engine.config.methods import DEFAULT_METHOD, METHODS
from focus_engine.config.samplers import SAMPLERS, fitting_samplers
from focus_engine.errors import InputError
from focus_engine.runs.folder import RunFolder
from focus_tui.view.run_view import RunView

FLAGS = {
    "checkpoint": "--checkpoint",
    "sampler": "--sampler",
    "steps": "--steps",
    "nfe": "--nfe",
    "eta": "--eta",
    "guidance": "--guidance",
    "prior": "--prior",
    "maps": "-n",
    "seed": "--seed",
    "gpus": "--gpus",
}
"""Option of `focus sample` for each field."""
DEFAULTS = {"checkpoint": "best", "seed": "0"}
GIVEN = "given"
"""Value of the field `params` if parameters are typed; empty for those of the validation maps."""


@dataclass(frozen=True)
class ModelFacts:
    """Facts about a model that are known without loading it.

    Attributes:
        method: one of `METHODS`.
        sampler: of the config.
        fitting: samplers that support the method.
        steps: of the config, by sampler.
        eta: of the config.
        guidance: of the config.
        prior: of the config.
        names: parameters that the network is conditioned on.
        seen: known parameters of validation maps, (n, P).
    """

    method: str = DEFAULT_METHOD
    sampler: str = METHODS[DEFAULT_METHOD].sampler
    fitting: tuple[str, ...] = ()
    steps: Mapping[str, int] = field(default_factory=dict)
    eta: float = 0.0
    guidance: float = 1.0
    prior: str = "auto"
    names: tuple[str, ...] = ()
    seen: tuple[tuple[float, ...], ...] = ()

    def default_eta(self, sampler: str) -> float:
        """Return the eta of a sampler if the field is empty."""
        spec = SAMPLERS.get(sampler)
        return self.eta if spec is None or spec.takes_eta else spec.eta[0]


@dataclass(frozen=True)
class SampleRequest:
    """The request that a form describes.

    Attributes:
        arguments: of `focus sample`, without the run.
        problems: messages by field.
        warnings: warnings by field.
    """

    arguments: tuple[str, ...]
    problems: Mapping[str, str]
    warnings: Mapping[str, str]


def facts_of(config: Mapping[str, Any], names: tuple[str, ...], seen: Sequence[Sequence[float]] = ()) -> ModelFacts:
    """Return the facts of a complete config, with keys as in the file."""
    sampling = config.get("sampling") or {}
    known = ModelFacts()
    steps = {name: spec.steps_in(config) for name, spec in SAMPLERS.items()}
    return ModelFacts(
        method=config.get("method", known.method),
        sampler=sampling.get("method", known.sampler),
        steps={name: number for name, number in steps.items() if number is not None},
        eta=sampling.get("eta", known.eta),
        guidance=sampling.get("cfg_scale", known.guidance),
        prior=sampling.get("prior", known.prior),
        names=names,
        seen=tuple(tuple(row) for row in seen),
    )


def facts_of_run(run: RunFolder, view: RunView | None) -> ModelFacts:
    """Return the facts of a run from its `run_started` event, else from its config.yaml.

    The first call takes 0.1 s for the schema, which `sample_request` needs too. Raises FocusError.
    """
    from focus_engine.config.blocks.data import PARAMETER_NAMES
    from focus_engine.config.load import load_config

    if view is not None and view.started is not None and view.started.config.get("sampling"):
        seen = view.samples[-1].params if view.samples else ()
        facts = facts_of(view.started.config, view.started.param_names, seen)
    else:
        config = load_config(run.config).config
        names = config.data.params or PARAMETER_NAMES[: config.model.cond_dim]
        facts = facts_of(config.model_dump(by_alias=True), tuple(names))
    return replace(facts, fitting=fitting_samplers(facts.method))


def param_key(name: str) -> str:
    """Return the key of the field of a parameter."""
    return f"param.{name}"


def range_words(facts: ModelFacts, place: int) -> str:
    """Return the range of the parameter at `place` over the known validation maps, as text."""
    values = [row[place] for row in facts.seen if len(row) > place]
    return f"val {min(values):.3g} to {max(values):.3g}" if values else ""


def sample_request(values: Mapping[str, str], facts: ModelFacts) -> SampleRequest:
    """Return the request of the fields, each checked as the command line would."""
    from focus_tui.compute.options import SampleOptions, parse_params

    problems: dict[str, str] = {}
    sampler = values.get("sampler") or facts.sampler

    def check(key: str, make: Callable[[], object]) -> None:
        try:
            make()
        except InputError as error:
            problems[key] = error.problems[0].words  # without the option, which the field label names

    check("checkpoint", lambda: SampleOptions(checkpoint=values["checkpoint"] or "best"))
    check("sampler", lambda: SampleOptions(sampler=sampler))
    check("steps", lambda: SampleOptions(steps=_whole(values["steps"])))
    check(
        "nfe",
        lambda: SampleOptions(nfe=_whole(values["nfe"]), steps=_whole(values["steps"]) if values["nfe"] else None),
    )
    check("eta", lambda: SampleOptions(eta=_real(values["eta"]), sampler=sampler))
    check("guidance", lambda: SampleOptions(guidance=_real(values["guidance"])))
    check("prior", lambda: SampleOptions(prior=values["prior"] or None))
    check("maps", lambda: SampleOptions(n_maps=_whole(values["maps"])))
    check("seed", lambda: SampleOptions(seed=_whole(values["seed"]) or 0))
    check("gpus", lambda: SampleOptions(gpus=_whole(values["gpus"])))
    typed = [(name, values[param_key(name)]) for name in facts.names] if values.get("params") == GIVEN else []
    for name, text in typed:
        check(param_key(name), partial(parse_params, f"{name}={text}"))
    return SampleRequest(_arguments(values, typed), problems, _warnings(values, facts, problems))


def command_of(name: str, arguments: Sequence[str]) -> str:
    """Return the `focus sample` command, to be pasted into a shell."""
    return shlex.join(["focus", "sample", name, *arguments])


def _arguments(values: Mapping[str, str], typed: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    given = [(FLAGS[key], values[key]) for key in FLAGS if values[key] and values[key] != DEFAULTS.get(key)]
    params = [("--params", ",".join(f"{name}={value}" for name, value in typed))] if typed else []
    return tuple(part for pair in (*given, *params) for part in pair)


def _warnings(values: Mapping[str, str], facts: ModelFacts, problems: Mapping[str, str]) -> dict[str, str]:
    warnings = {}
    if "guidance" not in problems:
        guidance = _real(values["guidance"])
        used = facts.guidance if guidance is None else guidance
        if warning := guidance_warning(used, "guidance (the config's)" if guidance is None else "guidance"):
            warnings["guidance"] = warning
    return warnings


def _whole(text: str) -> int | None:
    try:
        return int(text) if text else None
    except ValueError:
        raise InputError(f"{text!r} is not a whole number") from None


def _real(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise InputError(f"{text!r} is not a number") from None
