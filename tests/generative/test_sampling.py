"""Drawing maps: the keys of their noise, the progress reports, and invalid plans."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from focus_engine.errors import FocusError, InputError
from focus_engine.generative.diffusion import Diffusion
from focus_engine.generative.flow import Flow
from focus_engine.generative.map_noise import MapNoise
from focus_engine.generative.noise import build_schedule
from focus_engine.generative.process import Network
from focus_engine.generative.sampling import SamplingPlan, filling_batch, sample_steps
from focus_engine.models.unet import SimpleUNet

SHAPE = (1, 8, 8)


@pytest.fixture(scope="module")
def network() -> Tensor:
    torch.manual_seed(0)
    net = SimpleUNet(cond_dim=2, base_channels=8, channel_mults=(1, 2), time_dim=8).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return net


@pytest.fixture
def process():
    return Diffusion(build_schedule("linear", 20, 1e-3, 0.3), "v")


def cond(count: int) -> Tensor:
    return torch.linspace(-1, 1, 2 * count).reshape(count, 2)


@pytest.mark.parametrize(
    "plan",
    [
        SamplingPlan(steps=5),
        SamplingPlan("ddpm", steps=5),
        SamplingPlan(steps=5, eta=0.5),
        SamplingPlan("heun", steps=5, churn=2.0),
        SamplingPlan("abm2", steps=5),
        SamplingPlan("ab2", steps=5, eta=1.0),
    ],
)
def test_a_map_depends_on_seed_and_index_alone(draw_maps, network: Network, process: Diffusion, plan: SamplingPlan):
    everything = cond(7)
    whole = draw_maps(network, process, everything, SHAPE, plan).maps
    for batch_size, count in ((1, 7), (3, 7), (64, 4), (2, 5)):
        changed = replace(plan, batch_size=batch_size)
        maps = draw_maps(network, process, everything[:count], SHAPE, changed).maps
        torch.testing.assert_close(maps, whole[:count], rtol=1e-4, atol=1e-5)
    again = draw_maps(network, process, everything, SHAPE, plan).maps
    assert torch.equal(whole, again)
    other = draw_maps(network, process, everything, SHAPE, replace(plan, seed=1)).maps
    assert (other - whole).abs().mean() > 0.1


def test_steps_that_are_chosen_do_not_depend_on_the_batch(draw_maps, network: Network):
    plan = SamplingPlan("adaptive", steps=200, rtol=1e-2, atol=1e-2)
    whole = draw_maps(network, Flow(), cond(3), SHAPE, plan)
    alone = draw_maps(network, Flow(), cond(3)[2:], SHAPE, replace(plan, first=2, batch_size=1))
    torch.testing.assert_close(whole.maps[2:], alone.maps, rtol=1e-4, atol=1e-5)
    assert 7 <= alone.nfe <= whole.nfe


def test_noise_of_a_map_is_the_same_in_any_batch():
    together = MapNoise(5, 0, 4, SHAPE, torch.device("cpu"))
    alone = MapNoise(5, 2, 1, SHAPE, torch.device("cpu"))
    draws = []
    for _ in range(3):
        both = together()
        assert torch.equal(both[2:3], alone())
        draws.append(both)
    every = torch.cat(draws)
    assert len(torch.unique(every)) > 0.999 * every.numel()
    large = MapNoise(0, 0, 100, (1, 32, 32), torch.device("cpu"))()
    assert abs(large.mean()) < 5 / large.numel() ** 0.5
    assert abs(large.var() - 1) < 5 * (2 / large.numel()) ** 0.5


def test_the_random_state_and_the_gradient_mode_stay_as_they_were(network: Network, process: Diffusion):
    before = torch.random.get_rng_state()
    steps = sample_steps(network, process, cond(2), SHAPE, SamplingPlan(steps=2))
    next(steps)
    assert torch.is_grad_enabled()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not next(steps).x0.requires_grad


def test_progress_tells_steps_maps_and_evaluations(draw_maps, network: Network, process: Diffusion):
    plan = SamplingPlan(steps=3, batch_size=2, guidance=2.0)
    progress = list(sample_steps(network, process, cond(5), SHAPE, plan))
    assert [(p.step, p.maps_done, p.nfe) for p in progress] == [
        (1, 0, 2), (2, 0, 4), (3, 2, 6),
        (1, 2, 2), (2, 2, 4), (3, 4, 6),
        (1, 4, 2), (2, 4, 4), (3, 5, 6),
    ]  # fmt: skip
    assert {(p.steps, p.maps_total) for p in progress} == {(3, 5)}
    assert [len(p.finished) for p in progress if p.finished is not None] == [2, 2, 1]
    drawn = draw_maps(network, process, cond(5), SHAPE, SamplingPlan(steps=3))
    assert (drawn.maps.shape, drawn.maps.dtype, drawn.nfe) == ((5, *SHAPE), torch.float32, 3)


def test_an_untrained_network_returns_finite_maps_in_bf16(draw_maps, process: Diffusion):
    network = SimpleUNet(cond_dim=2, base_channels=8, channel_mults=(1, 2), time_dim=8)
    drawn = draw_maps(
        network,
        process,
        cond(2),
        SHAPE,
        SamplingPlan("ddpm", steps=20),
        precision=lambda: torch.autocast("cpu", torch.bfloat16),
    )
    assert drawn.maps.isfinite().all()


NO_ROOM = (
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried"),
    MemoryError(),
)


@pytest.mark.parametrize("error", NO_ROOM, ids=["device", "host", "python"])
def test_a_batch_that_does_not_fit_is_drawn_in_halves(draw_maps, network: Network, process: Diffusion, error):
    sizes: list[int] = []

    def small(x: Tensor, *rest: Tensor) -> Tensor:
        sizes.append(len(x))
        if len(x) > limit:
            raise error
        return network(x, *rest)

    plan, limit = SamplingPlan("ddpm", steps=2, batch_size=16), 3
    maps = draw_maps(small, process, cond(7), SHAPE, plan).maps
    assert sizes == [7, 4, 2, 2, 2, 2, 2, 2, 1, 1]
    assert torch.equal(maps, draw_maps(network, process, cond(7), SHAPE, replace(plan, batch_size=2)).maps)
    limit = 0
    with pytest.raises(FocusError, match="cpu: out of memory with one map"):
        draw_maps(small, process, cond(2), SHAPE, plan)


def test_modes_without_gradients_are_those_asked_for(network: Network, process: Diffusion):
    seen = []

    def watched(x: Tensor, *rest: Tensor) -> Tensor:
        seen.append((torch.is_grad_enabled(), torch.is_inference_mode_enabled()))
        return network(x, *rest)

    for options in ({}, {"without_gradients": torch.inference_mode}):
        for step in sample_steps(watched, process, cond(2), SHAPE, SamplingPlan(steps=2), **options):
            assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == (True, False)
            if step.finished is not None:
                step.finished.add_(1)  # the caller may change it
    assert seen == [(False, False)] * 2 + [(False, True)] * 2


def test_batches_fill_the_device(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    sizes = [[filling_batch((1, n, n), torch.device(kind)) for n in (32, 64, 256, 4096)] for kind in ("cpu", "meta")]
    assert sizes == [[64, 16, 2, 2], [4096, 1024, 64, 1]]


def test_no_rows_give_no_maps(network: Network, process: Diffusion):
    assert list(sample_steps(network, process, cond(0), SHAPE, SamplingPlan(steps=2))) == []


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (SamplingPlan(steps=0), "0 sampling steps"),
        (SamplingPlan(steps=21), "20 timesteps"),
        (SamplingPlan(steps=5, eta=3.0), "eta 3"),
        (SamplingPlan("rk4", steps=5), "rk4.*ddim, ddpm"),
        (SamplingPlan(steps=5, spacing="even"), "spacing 'even' is unknown; use one of: time, logsnr"),
        (SamplingPlan(steps=5, churn=1.0), "churn 1: sampler ddim has none; only heun"),
        (SamplingPlan("heun", steps=5, churn=-1.0), "churn -1"),
        (SamplingPlan(steps=5, rtol=0.0), "rtol 0: use a number above 0"),
        (SamplingPlan(steps=5, batch_size=0), "batch size 0"),
        (SamplingPlan(steps=5, seed=-1), "seed -1"),
        (SamplingPlan(steps=5, seed=2**64), "seed 18446744073709551616: use at most 18446744073709551615"),
        (SamplingPlan(steps=5, guidance=-1.0), "guidance -1"),
        (SamplingPlan(steps=5, guidance=float("nan")), "guidance nan"),
    ],
)
def test_refuses_before_anything_is_drawn(process: Diffusion, plan: SamplingPlan, message: str):
    def network(*_: object) -> Tensor:
        raise AssertionError("called")

    with pytest.raises(InputError, match=message):
        sample_steps(network, process, cond(1), SHAPE, plan)
