"""The table of samplers: the methods that each fits and the settings that it accepts.

Config, options, forms, help texts and references read it; `focus_engine.generative.samplers` has the functions under
the same names. A new sampler is a line here and a function there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from focus_engine.errors import InputError


@dataclass(frozen=True, slots=True)
class SamplerSpec:
    """A sampler.

    Attributes:
        name: as it is written in the config and after `--sampler`.
        methods: the methods of `METHODS` whose networks it fits.
        steps_key: dotted key of the config that holds its number of steps.
        eta: lowest and highest η that it accepts; the lowest is its default.
        nfe_per_step: network function evaluations per step.
    """

    name: str
    methods: tuple[str, ...]
    steps_key: str
    eta: tuple[float, float] = (0.0, 0.0)
    nfe_per_step: int = 1

    @property
    def takes_eta(self) -> bool:
        """Whether η is free; otherwise it is always `eta[0]`."""
        return self.eta[0] < self.eta[1]

    @property
    def deterministic(self) -> bool:
        """Whether the starting noise alone decides the map (at the default η)."""
        return self.eta[0] == 0

    def check_eta(self, eta: float | None, where: str = "") -> float:
        """Return the η to use; None asks for the default.

        Raises:
            InputError: η is out of range; the message calls it `where` ["eta" and its value].
        """
        if eta is None:
            return self.eta[0]
        check_eta_range(eta, where)
        if self.eta[0] <= eta <= self.eta[1]:
            return float(eta)
        low, high = self.eta
        law = f"takes eta {low:g} to {high:g}" if self.takes_eta else f"always has eta {low:g}"
        raise InputError(
            f"sampler {self.name} {law}; samplers with a free eta: {samplers_with_eta()}",
            where=where or f"eta {eta:g}",
            keys=("eta",),
        )

    def steps_in(self, config: object) -> int | None:
        """Return the number of steps in a config, whole or as plain data; None where plain data lack the key."""
        return number_at(config, self.steps_key)


SAMPLERS = {
    spec.name: spec
    for spec in (
        SamplerSpec("ddim", ("diffusion",), "sampling.ddim_timesteps", eta=(0.0, 1.0)),
        SamplerSpec("ddpm", ("diffusion",), "diffusion.timesteps", eta=(1.0, 1.0)),
        SamplerSpec("euler", ("flow", "edm"), "sampling.num_steps"),
        SamplerSpec("heun", ("flow", "edm"), "sampling.num_steps", nfe_per_step=2),
    )
}

PRIORS = ("auto", "white", "spectrum")
"""Where sampling starts (`sampling.prior`)."""


def number_at(config: object, dotted: str) -> int | None:
    """Return the whole number at a key of a config, whole or as plain data; None where there is none."""
    value: object = config
    for key in dotted.split("."):
        value = value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)
    return value if isinstance(value, int) else None


def check_eta_range(eta: float, where: str = "") -> None:
    """Check η against what any sampler takes. Raises InputError."""
    if not 0 <= eta <= 1:
        raise InputError(
            "use a number from 0 (deterministic) to 1 (as noisy as DDPM)", where=where or f"eta {eta:g}", keys=("eta",)
        )


def fitting_samplers(method: str) -> tuple[str, ...]:
    """Return the names of the samplers that fit a method."""
    return tuple(spec.name for spec in SAMPLERS.values() if method in spec.methods)


def samplers_by_steps(steps_key: str) -> str:
    """Return, in words, the samplers whose number of steps is read from a config key: `euler and heun`."""
    return _listed([spec.name for spec in SAMPLERS.values() if spec.steps_key == steps_key], "and")


def samplers_with_eta() -> str:
    """Return, in words, the samplers whose η is free."""
    return _listed([spec.name for spec in SAMPLERS.values() if spec.takes_eta], "and")


def sampler_words() -> str:
    """Return, in words, the samplers of each method: `ddim or ddpm for diffusion; euler or heun for flow and edm`."""
    methods: dict[tuple[str, ...], list[str]] = {}
    for method in dict.fromkeys(method for spec in SAMPLERS.values() for method in spec.methods):
        methods.setdefault(fitting_samplers(method), []).append(method)
    return "; ".join(f"{_listed(names, 'or')} for {_listed(fitted, 'and')}" for names, fitted in methods.items())


def choose_sampler(name: str, method: str) -> SamplerSpec:
    """Return the sampler `name` for a network of `method`.

    Raises:
        InputError: there is no such sampler, or it does not fit the method.
    """
    fitting = ", ".join(fitting_samplers(method))
    if name not in SAMPLERS:
        raise InputError(f"sampler {name!r} is unknown; samplers for method {method}: {fitting}", keys=("sampler",))
    if method not in SAMPLERS[name].methods:
        raise InputError(f"sampler {name} does not fit method {method}; use one of: {fitting}", keys=("sampler",))
    return SAMPLERS[name]


def _listed(names: list[str] | tuple[str, ...], joint: str) -> str:
    return f" {joint} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
