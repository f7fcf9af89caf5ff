"""Maps shared out among devices are those of one device, bit for bit and in order."""

import threading
from contextlib import nullcontext
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from focus_engine.config.schema import Config
from focus_engine.errors import FocusError
from focus_engine.generative.build import build_process
from focus_engine.generative.process import Process
from focus_engine.generative.sampling import DrawnBatches, SamplingPlan, sample_steps
from focus_engine.generative.shared_sampling import Copy, SharedJob, share_steps
from focus_engine.models.unet import SimpleUNet

CPU = torch.device("cpu")
SHAPE = (1, 8, 8)
STEPS = {"ddpm": 4, "heun": 2, "adaptive": 20}
COND = torch.randn(7, 2, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    network = SimpleUNet(cond_dim=2, base_channels=4, channel_mults=(1, 2), time_dim=8)
    nn.init.normal_(network.head.weight, std=0.1)
    return network.eval().requires_grad_(requires_grad=False)


class Failing(nn.Module):
    """A network that raises `error` for batches of more than `most` maps."""

    def __init__(self, network: nn.Module, error: Exception, most: int) -> None:
        super().__init__()
        self.network, self.error, self.most = network, error, most
        self.sizes: list[int] = []

    def forward(self, x: Tensor, *more: Tensor) -> Any:
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise self.error
        return self.network(x, *more)


def drawn(networks: list[nn.Module], process: Process, plan: SamplingPlan) -> tuple[Tensor, list[float]]:
    job = SharedJob(process, COND, SHAPE, plan, nullcontext, torch.inference_mode)
    batches, progress = DrawnBatches(), []
    for step in share_steps([Copy(one, CPU) for one in networks], job):
        batches.add(step)
        progress.append((step.maps_drawn, step.maps_done))
    assert progress[-1] == (pytest.approx(len(COND)), len(COND))
    assert progress == sorted(progress)
    return batches.maps, [maps for maps, _ in progress]


@pytest.mark.parametrize(("method", "sampler"), [("diffusion", "ddpm"), ("flow", "heun"), ("flow", "adaptive")])
def test_three_devices_draw_what_one_draws(network: nn.Module, method: str, sampler: str):
    blocks = {"method": method, "diffusion": {"timesteps": 4}, "sampling": {"ddim_timesteps": 4}}
    process = build_process(Config.model_validate(blocks))
    plan = SamplingPlan(sampler, steps=STEPS[sampler], seed=5, batch_size=2, first=11, rtol=0.1, atol=0.1)
    alone = DrawnBatches()
    for step in sample_steps(network, process, COND, SHAPE, plan):
        alone.add(step)
    maps, _ = drawn([deepcopy(network) for _ in range(3)], process, plan)
    assert torch.equal(maps, alone.maps)


@pytest.fixture
def flow() -> Process:
    return build_process(Config.model_validate({"method": "flow"}))


def test_a_device_with_less_memory_draws_smaller_batches_from_then_on(network: nn.Module, flow: Process):
    plan = SamplingPlan("euler", steps=2, batch_size=4)
    small = Failing(deepcopy(network), torch.OutOfMemoryError("full"), most=2)
    maps, _ = drawn([small], flow, plan)
    assert small.sizes == [4, 2, 2, 2, 2, 2, 2, 1, 1]
    torch.testing.assert_close(maps, drawn([network, network], flow, plan)[0])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("full"), "^cpu: out of memory with one map"),
        (RuntimeError("CUDA error: unspecified launch failure\nmore"), "^cpu: sampling failed: CUDA error: unspec"),
    ],
)
def test_a_device_that_fails_ends_the_work_with_its_name(
    network: nn.Module, flow: Process, error: Exception, words: str
):
    with pytest.raises(FocusError, match=words):
        drawn([network, Failing(network, error, most=0)], flow, SamplingPlan("euler", steps=2, batch_size=2))


def test_work_that_is_dropped_ends_its_threads(network: nn.Module, flow: Process):
    job = SharedJob(flow, COND, SHAPE, SamplingPlan("euler", steps=50, batch_size=2), nullcontext, torch.no_grad)
    steps = share_steps([Copy(network, CPU)] * 2, job)
    next(steps)
    steps.close()

    assert not any(one.name.startswith("focus-device") for one in threading.enumerate())
