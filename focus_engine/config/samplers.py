"""The table of samplers: the methods that each fits and the settings that it accepts.

Config, options, forms, help texts and references read it; `focus_engine.generative.samplers` has the functions under
the same names. A new sampler is a line here and a function there. `config.budgets` picks one for a number of NFE.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from focus_engine.config.methods import METHODS
from focus_engine.errors import InputError

SPACINGS = ("time", "logsnr")
"""Where the steps are placed: as the process spaces them, or evenly in log-SNR with soft ends."""
EVERY = tuple(METHODS)
TO_DATA = tuple(spec.name for spec in METHODS.values() if spec.network_at_data)
CONTINUOUS = tuple(spec.name for spec in METHODS.values() if not spec.most_steps)


@dataclass(frozen=True, slots=True)
class SamplerSpec:
    """A sampler.

    Attributes:
        name: as it is written in the config and after `--sampler`.
        methods: the methods of `METHODS` whose networks it fits.
        steps_key: dotted key of the config that holds its number of steps.
        eta: lowest and highest η that it accepts; the lowest is its default.
        nfe_per_step: network function evaluations per step; the most, if the sampler chooses its steps.
        spacing: where its steps are placed unless `sampling.spacing` says so.
        noisy: whether η = 0 is refused and the highest η is the default.
        short_end: whether the step to the data takes one evaluation where the network has no output there.
        churns: whether it adds noise by `sampling.churn`.
        chooses_steps: whether it chooses its steps by `sampling.rtol` and `atol`; the number of steps is the most.
    """

    name: str
    methods: tuple[str, ...]
    steps_key: str = "sampling.num_steps"
    eta: tuple[float, float] = (0.0, 0.0)
    nfe_per_step: int = 1
    spacing: str = "time"
    noisy: bool = False
    short_end: bool = False
    churns: bool = False
    chooses_steps: bool = False

    @property
    def takes_eta(self) -> bool:
        """Whether η is free; otherwise it is always `eta[0]`."""
        return self.eta[0] < self.eta[1]

    @property
    def default_eta(self) -> float:
        """The η that None stands for."""
        return self.eta[1] if self.noisy else self.eta[0]

    @property
    def deterministic(self) -> bool:
        """Whether the starting noise alone decides the map (at the default η)."""
        return self.default_eta == 0

    def accepts_eta(self, eta: float) -> bool:
        """Return whether η is in range."""
        return self.eta[0] <= eta <= self.eta[1] and not (self.noisy and eta == 0)

    def check_eta(self, eta: float | None, where: str = "") -> float:
        """Return the η to use; None asks for the default.

        Raises:
            InputError: η is out of range; the message calls it `where` ["eta" and its value].
        """
        if eta is None:
            return self.default_eta
        check_eta_range(eta, where)
        if self.accepts_eta(eta):
            return float(eta)
        low, high = self.eta
        above = "above " if self.noisy else ""
        law = f"takes eta {above}{low:g} to {high:g}" if self.takes_eta else f"always has eta {low:g}"
        raise InputError(
            f"sampler {self.name} {law}; samplers with a free eta: {samplers_with_eta()}",
            where=where or f"eta {eta:g}",
            keys=("eta",),
        )

    def check_tolerances(self, wanted: Mapping[str, object]) -> None:
        """Raise InputError for a tolerance, `rtol` or `atol`, of a sampler that does not choose its steps."""
        for name in ("rtol", "atol"):
            if name in wanted and not self.chooses_steps:
                where, law = f"{name} {wanted[name]:g}", f"has none; only {samplers_with_tolerances()}"
                raise InputError(f"sampler {self.name} {law}", where=where, keys=(name,))

    def steps_in(self, config: object) -> int | None:
        """Return the number of steps in a config, whole or as plain data; None where plain data lack the key."""
        return number_at(config, self.steps_key)

    def nfe(self, steps: int, method: str) -> int:
        """Return the evaluations of the network that `steps` steps take (without guidance)."""
        spared = self.nfe_per_step - 1 if self.short_end and not METHODS[method].network_at_data else 0
        return self.nfe_per_step * steps - spared

    def steps_within(self, nfe: int, method: str) -> int:
        """Return the largest number of steps that take at most `nfe` evaluations; 0 if one step takes more."""
        spared = self.nfe_per_step - self.nfe(1, method)
        return max((nfe + spared) // self.nfe_per_step, 0)


SAMPLERS = {
    spec.name: spec
    for spec in (
        SamplerSpec("ddim", ("diffusion",), "sampling.ddim_timesteps", eta=(0.0, 1.0)),
        SamplerSpec("ddpm", ("diffusion",), "diffusion.timesteps", eta=(1.0, 1.0)),
        SamplerSpec("euler", EVERY),
        SamplerSpec("heun", EVERY, nfe_per_step=2, short_end=True, churns=True),
        SamplerSpec("midpoint", EVERY, nfe_per_step=2, spacing="logsnr"),
        SamplerSpec("rk4", TO_DATA, nfe_per_step=4),
        SamplerSpec("adaptive", TO_DATA, nfe_per_step=3, chooses_steps=True),
        SamplerSpec("dpmpp_2m", EVERY, eta=(0.0, 1.0), spacing="logsnr"),
        SamplerSpec("ab2", EVERY, eta=(0.0, 1.0), spacing="logsnr"),
        SamplerSpec("abm2", EVERY, spacing="logsnr"),
        SamplerSpec("sde", CONTINUOUS, eta=(0.0, 1.0), noisy=True),
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


def samplers_with_churn() -> str:
    """Return, in words, the samplers that add noise by `sampling.churn`."""
    return _listed([spec.name for spec in SAMPLERS.values() if spec.churns], "and")


def samplers_with_tolerances() -> str:
    """Return, in words, the samplers that choose their steps."""
    return _listed([spec.name for spec in SAMPLERS.values() if spec.chooses_steps], "and")


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
