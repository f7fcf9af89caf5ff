"""The table of sampler functions.

A sampler is one function of a `SamplerTask` and the starting noise. The caller handles progress bars, batches and
devices. `focus_engine.config.samplers` has the methods and settings that each accepts, under the same names.
"""

from focus_engine.generative.samplers.adaptive import adaptive
from focus_engine.generative.samplers.ancestral import ddim, ddpm, euler
from focus_engine.generative.samplers.circle import midpoint, rk4
from focus_engine.generative.samplers.heun import heun
from focus_engine.generative.samplers.multistep import ab2, abm2, dpmpp_2m
from focus_engine.generative.samplers.task import SamplerFunction

FUNCTIONS: dict[str, SamplerFunction] = {
    "ab2": ab2,
    "abm2": abm2,
    "adaptive": adaptive,
    "ddim": ddim,
    "ddpm": ddpm,
    "dpmpp_2m": dpmpp_2m,
    "euler": euler,
    "heun": heun,
    "midpoint": midpoint,
    "rk4": rk4,
    "sde": ddim,
}
"""Sampler functions by the names of `focus_engine.config.samplers.SAMPLERS`."""
