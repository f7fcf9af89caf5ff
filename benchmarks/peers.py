"""Other programs, trained on the maps of a FOCUS run: plain loops as their documents show them.

Neither has conditions of real numbers, so that both read the parameters as further channels of constant value. Maps are
log10, scaled to [-1, 1] over the training maps as both expect.
"""

import sys
import time
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

LEARNING_RATE = 5e-4
"""Several times the 1e-4 of their documents, which is meant for days."""
BATCH = 16
CHANNELS = (32, 64, 128)
"""Channels of the levels of their networks."""


@dataclass(frozen=True)
class TrainingMaps:
    """Maps scaled to [-1, 1] and their standardised parameters.

    Attributes:
        maps: (N, 1, H, W) float32.
        params: (N, P) float32.
        low: log10 of the smallest pixel.
        high: that of the largest.
    """

    maps: torch.Tensor
    params: torch.Tensor
    low: float
    high: float

    @classmethod
    def of(cls, physical: NDArray[np.float32], params: torch.Tensor) -> "TrainingMaps":
        """Return the maps (N, 1, H, W) scaled."""
        logs = torch.from_numpy(np.log10(physical))
        low, high = float(logs.min()), float(logs.max())
        return cls(2 * (logs - low) / (high - low) - 1, params, low, high)

    def physical(self, maps: torch.Tensor) -> NDArray[np.float32]:
        """Return scaled maps in physical units."""
        physical: NDArray[np.float32] = (10 ** ((maps.float() + 1) / 2 * (self.high - self.low) + self.low)).numpy()
        return physical

    def batches(self, seed: int, size: int = BATCH) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield batches without end, with the symmetries of the torus."""
        generator = torch.Generator().manual_seed(seed)
        while True:
            order = torch.randperm(len(self.maps), generator=generator)
            for first in range(0, len(order) - size + 1, size):
                chosen = order[first : first + size]
                turns, shifts = (
                    torch.randint(0, 4, (1,), generator=generator),
                    torch.randint(0, 4096, (2,), generator=generator),
                )
                maps = torch.rot90(self.maps[chosen], int(turns), (2, 3)).roll(shifts.tolist(), (2, 3))
                yield maps, self.params[chosen]


def with_parameters(x: torch.Tensor, params: torch.Tensor) -> torch.Tensor:
    """Return maps (B, 1, H, W) with the parameters (B, P) as further channels."""
    return torch.cat((x, params[:, :, None, None].expand(-1, -1, *x.shape[2:])), dim=1)


class DenoisingDiffusionPytorch:
    """denoising-diffusion-pytorch: its Unet, GaussianDiffusion and EMA, with the settings of its README."""

    name = "denoising-diffusion-pytorch"

    def __init__(self, data: TrainingMaps, channels: Sequence[int] = CHANNELS) -> None:
        with torchvision_for_its_import():
            from denoising_diffusion_pytorch.denoising_diffusion_pytorch import GaussianDiffusion, Unet
        from ema_pytorch import EMA

        self.data, columns = data, data.params.shape[1]
        side = data.maps.shape[-1]
        mults = tuple(one // channels[0] for one in channels)
        unet = Unet(dim=channels[0], dim_mults=mults, channels=1 + columns, out_dim=1, flash_attn=False)

        class Conditioned(torch.nn.Module):
            channels, out_dim, self_condition, random_or_learned_sinusoidal_cond = 1, 1, False, False

            def __init__(self) -> None:
                super().__init__()
                self.unet, self.params = unet, torch.empty(0)

            def forward(self, x: torch.Tensor, t: torch.Tensor, _: object = None) -> torch.Tensor:
                predicted: torch.Tensor = self.unet(with_parameters(x, self.params), t)
                return predicted

        self.model = GaussianDiffusion(Conditioned(), image_size=side, timesteps=1000, sampling_timesteps=50)
        self.ema = EMA(self.model, beta=0.995, update_every=10)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99))
        self.parameters = sum(weight.numel() for weight in unet.parameters())

    def step(self, maps: torch.Tensor, params: torch.Tensor) -> None:
        """Make one optimiser step."""
        self.model.model.params = params
        self.model((maps + 1) / 2).backward()  # it takes maps in [0, 1]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update()

    @torch.inference_mode()
    def draw(self, params: torch.Tensor) -> torch.Tensor:
        """Return scaled maps (B, 1, H, W)."""
        model = self.ema.ema_model.eval()
        model.model.params = params
        maps: torch.Tensor = 2 * model.sample(batch_size=len(params)) - 1
        return maps


class PlainDiffusers:
    """diffusers: UNet2DModel, DDPM training, EMA and DDIM with 50 steps, as in its training tutorial."""

    name = "diffusers"

    def __init__(self, data: TrainingMaps, channels: Sequence[int] = CHANNELS) -> None:
        from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
        from diffusers.training_utils import EMAModel

        self.data, columns = data, data.params.shape[1]
        self.network = UNet2DModel(
            sample_size=data.maps.shape[-1],
            in_channels=1 + columns,
            out_channels=1,
            layers_per_block=2,
            block_out_channels=tuple(channels),
            down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
            norm_num_groups=8,
        )
        self.noise, self.ddim = DDPMScheduler(num_train_timesteps=1000), DDIMScheduler(num_train_timesteps=1000)
        self.ema = EMAModel(self.network.parameters(), decay=0.995, use_ema_warmup=True)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=LEARNING_RATE)
        self.parameters = sum(weight.numel() for weight in self.network.parameters())

    def step(self, maps: torch.Tensor, params: torch.Tensor) -> None:
        """Make one optimiser step."""
        noise, t = torch.randn_like(maps), torch.randint(0, 1000, (len(maps),))
        noisy = self.noise.add_noise(maps, noise, t)
        predicted = self.network(with_parameters(noisy, params), t).sample
        torch.nn.functional.mse_loss(predicted, noise).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.step(self.network.parameters())

    @torch.inference_mode()
    def draw(self, params: torch.Tensor) -> torch.Tensor:
        """Return scaled maps (B, 1, H, W)."""
        self.ema.store(self.network.parameters())
        self.ema.copy_to(self.network.parameters())
        self.ddim.set_timesteps(50)
        x = torch.randn(len(params), 1, *self.data.maps.shape[2:])
        for t in self.ddim.timesteps:
            x = self.ddim.step(self.network(with_parameters(x, params), t).sample, t, x).prev_sample
        self.ema.restore(self.network.parameters())
        return x


PEERS: dict[str, type[Any]] = {one.name: one for one in (DenoisingDiffusionPytorch, PlainDiffusers)}


def trained(peer: Any, marks: Sequence[float], seed: int) -> Iterator[tuple[float, int]]:  # noqa: ANN401  (either class)
    """Train `peer`, yielding at each of the `marks` [s of training]: the mark and the maps seen so far."""
    batches, spent, seen = peer.data.batches(seed), 0.0, 0
    for mark in marks:
        while spent < mark:
            began = time.perf_counter()
            peer.step(*next(batches))
            spent += time.perf_counter() - began
            seen += BATCH
        yield mark, seen


@contextmanager
def torchvision_for_its_import() -> Iterator[None]:
    """Let denoising-diffusion-pytorch be imported without torchvision, which only its folder of images needs."""
    names = ("torchvision", "torchvision.transforms", "torchvision.utils", "torchvision.models")
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        stubs = {name: types.ModuleType(name) for name in names}
        stubs["torchvision"].transforms = stubs["torchvision.transforms"]  # type: ignore[attr-defined]
        stubs["torchvision"].utils = stubs["torchvision.utils"]  # type: ignore[attr-defined]
        sys.modules.update(stubs)
        yield
        for name in names:  # others look whether it is there
            del sys.modules[name]
    else:
        yield
