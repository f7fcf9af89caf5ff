"""Where the steps are placed."""

import math
from itertools import pairwise

import pytest

from focus_engine.errors import InputError
from focus_engine.generative.diffusion import Diffusion
from focus_engine.generative.edm import Edm
from focus_engine.generative.flow import Flow
from focus_engine.generative.noise import build_schedule
from focus_engine.generative.samplers.spacing import log_snr, soft_log_snr, spaced_times

PROCESSES = [
    Diffusion(build_schedule("cosine", 1000, zero_terminal_snr=True), "v"),
    Diffusion(build_schedule("linear", 1000)),
    Flow(),
    Flow(0.05, 2.0),
    Edm(),
]


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("spacing", ["time", "logsnr"])
@pytest.mark.parametrize("steps", [1, 2, 7, 90])
def test_times_run_from_the_start_to_the_data_with_ever_less_noise(process, spacing, steps):
    times = spaced_times(process, steps, spacing)
    assert len(times) == steps + 1
    assert (times[0], times[-1]) == (process.times(1)[0], process.times(1)[-1])
    noise = [math.atan2(s, a) for a, s in map(process.scales, times)]
    assert all(before > after for before, after in pairwise(noise))


@pytest.mark.parametrize("process", PROCESSES)
def test_a_time_has_the_noise_that_was_asked_for(process):
    for noise in (10.0, 1.0, 0.3, 0.11):
        a, s = process.scales(process.time_at(noise))
        assert s / a == pytest.approx(noise, rel=1e-9)
    last = process.time_at(0.0)
    assert last == (1 if isinstance(process, Flow) else 0)
    assert process.time_at(1e9) == pytest.approx(process.times(1)[0], abs=1e-5)


@pytest.mark.parametrize("process", [PROCESSES[0], PROCESSES[2]])
def test_steps_by_log_snr_are_even_in_its_clock(process):
    clock = [soft_log_snr(*process.scales(t)) for t in spaced_times(process, 20, "logsnr")]
    strides = [after - before for before, after in pairwise(clock)]
    assert strides == pytest.approx([strides[0]] * 20, rel=1e-6)


def test_the_clock_is_log_snr_between_its_ends():
    assert soft_log_snr(1, 0.5) - soft_log_snr(1, 1.0) == pytest.approx(log_snr(1, 0.5), rel=0.15)
    assert math.isfinite(soft_log_snr(0, 1))
    assert math.isfinite(soft_log_snr(1, 0))
    assert (log_snr(0, 1), log_snr(1, 0)) == (-math.inf, math.inf)


def test_as_many_steps_as_timesteps_still_differ():
    """The schedule between its timesteps is smooth, so that steps do not fall together."""
    process = Diffusion(build_schedule("cosine", 20, zero_terminal_snr=True), "v")
    assert len(set(spaced_times(process, 20, "logsnr"))) == 21
    with pytest.raises(InputError, match="21 sampling steps: this diffusion model has 20"):
        spaced_times(process, 21, "logsnr")
