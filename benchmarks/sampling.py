"""Sampling: maps per second at 50 network calls a map, beside diffusers and denoising-diffusion-pytorch.

Three comparisons on the CPU, the programs in turns in one run, each in a process of its own; ratios of medians:
- loops: the same network of FOCUS in each program's own sampling loop, all in float32;
- precision: the same, each in the best precision it chooses by itself (FOCUS: bf16 where the CPU multiplies it; the
  others stay in float32);
- programs: each with its own UNet, at parameters as equal as its widths allow.
Prints tables and writes benchmarks/results/sampling.json; what is not installed is left out and said.
Run: python benchmarks/sampling.py [--quick] [--threads 2] [--rounds 3] [--maps 32] [--map-size 32]
"""

import argparse
import importlib.util
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from alternation import alternate_processes, machine
from peers import torchvision_for_its_import, with_parameters

from focus_engine.allocator import keep_freed_memory
from focus_engine.generative.diffusion import Diffusion
from focus_engine.generative.noise import build_schedule
from focus_engine.generative.sampling import SamplingPlan, sample_steps
from focus_engine.models.batch_parts import BatchParts, PartedNetwork
from focus_engine.models.inference import for_inference
from focus_engine.models.unet import SimpleUNet
from focus_engine.training.devices import choose_precision, precision_context

CALLS, TRAINED_STEPS, PARAMETERS = 50, 1000, 2
PEERS = ("diffusers", "denoising-diffusion-pytorch")
RESULTS = Path(__file__).parent / "results"

Draw = Callable[[], torch.Tensor]
Network = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""The output for noisy maps (B, 1, H, W) at times (B,) of 0 ... TRAINED_STEPS - 1."""


def our_unet() -> SimpleUNet:
    """Return the network of the small templates, its last layer not zero."""
    torch.manual_seed(0)
    network = SimpleUNet(cond_dim=PARAMETERS, base_channels=32, channel_mults=(1, 2, 2))
    torch.nn.init.normal_(network.head.weight, std=0.02)
    return network.eval().requires_grad_(requires_grad=False)


def focus_draw(maps: int, size: int, precision: str) -> Draw:
    """Return the sampling of FOCUS as `focus sample` does it."""
    keep_freed_memory()
    network, cond, cpu = our_unet(), torch.zeros(maps, PARAMETERS), torch.device("cpu")
    context = precision_context(precision, cpu)
    with context():
        parted = PartedNetwork(for_inference(network), BatchParts.of(network, cpu, trains=False))
    process = Diffusion(build_schedule("linear", TRAINED_STEPS, 1e-4, 0.02), "epsilon")
    plan = SamplingPlan("ddim", steps=CALLS, batch_size=maps)
    options = {"precision": context, "without_gradients": torch.inference_mode}

    def draw() -> torch.Tensor:
        *_, last = sample_steps(parted, process, cond, (1, size, size), plan, **options)
        if last.finished is None or last.nfe != CALLS:
            raise RuntimeError(f"{last.nfe} network calls a map instead of {CALLS}")
        return last.finished

    return draw


def as_peer_network(network: SimpleUNet, cond: torch.Tensor) -> Network:
    """Return our network as the others call it."""
    return lambda x, t: network(x, t.float().expand(len(x)) / (TRAINED_STEPS - 1), cond)


def diffusers_draw(network: Network, count: int, size: int) -> Draw:
    """Return the loop of its documents: DDIMScheduler, 50 steps."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(num_train_timesteps=TRAINED_STEPS, clip_sample=False)

    @torch.inference_mode()
    def draw() -> torch.Tensor:
        scheduler.set_timesteps(CALLS)
        x = torch.randn(count, 1, size, size)
        for t in scheduler.timesteps:
            x = scheduler.step(network(x, t), t, x).prev_sample
        return x

    return draw


def ddp_draw(network: Network, count: int, size: int) -> Draw:
    """Return GaussianDiffusion.sample of denoising-diffusion-pytorch, 50 steps of DDIM."""
    with torchvision_for_its_import():
        from denoising_diffusion_pytorch import denoising_diffusion_pytorch as peer

    class Wrapped(torch.nn.Module):
        channels, out_dim, self_condition, random_or_learned_sinusoidal_cond = 1, 1, False, False

        def forward(self, x: torch.Tensor, t: torch.Tensor, _: object = None) -> torch.Tensor:
            return network(x, t)

    peer.tqdm = lambda steps, **_: steps  # its progress bar would be written among the tables
    model = peer.GaussianDiffusion(Wrapped(), image_size=size, timesteps=TRAINED_STEPS, sampling_timesteps=CALLS).eval()
    return lambda: model.sample(batch_size=count)


def diffusers_unet(size: int) -> torch.nn.Module:
    """Return UNet2DModel with about the parameters of ours."""
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=size,
        in_channels=1 + PARAMETERS,
        out_channels=1,
        layers_per_block=2,
        block_out_channels=(28, 56, 56),
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
    ).eval()


def ddp_unet() -> torch.nn.Module:
    """Return the Unet of denoising-diffusion-pytorch with about the parameters of ours."""
    with torchvision_for_its_import():
        from denoising_diffusion_pytorch.denoising_diffusion_pytorch import Unet
    return Unet(dim=30, dim_mults=(1, 2, 2), channels=1 + PARAMETERS, out_dim=1, flash_attn=False).eval()


def loop_draw(program: str, maps: int, size: int) -> Draw:
    """Return the sampling loop of another program with our network."""
    network = as_peer_network(our_unet(), torch.zeros(maps, PARAMETERS))
    return (diffusers_draw if program == PEERS[0] else ddp_draw)(network, maps, size)


def own_draw(program: str, maps: int, size: int) -> Draw:
    """Return the sampling of another program with its own network."""
    network, cond = own_network(program, size), torch.zeros(maps, PARAMETERS)
    if program == PEERS[0]:
        return diffusers_draw(lambda x, t: network(with_parameters(x, cond), t).sample, maps, size)
    return ddp_draw(lambda x, t: network(with_parameters(x, cond), t), maps, size)


def own_network(program: str, size: int) -> torch.nn.Module:
    """Return the network of another program."""
    return diffusers_unet(size) if program == PEERS[0] else ddp_unet()


def installed() -> list[str]:
    """Return the other programs that can be imported; say which can't."""
    found = [name for name in PEERS if importlib.util.find_spec(name.replace("-", "_"))]
    for name in set(PEERS) - set(found):
        print(f"{name}: not installed, left out")
    return found


def parameters(network: torch.nn.Module) -> int:
    """Return the number of weights."""
    return sum(weight.numel() for weight in network.parameters())


def table(title: str, medians: dict[str, dict[str, float]], maps: int, words: dict[str, str]) -> dict[str, Any]:
    """Print and return the rows of the programs, whose first is FOCUS."""
    print(f"\n{title}\n{'program':<36}{'maps/s':>9}{'CPU s/map':>11}{'FOCUS is':>10}{'by CPU':>10}")
    ours, rows = next(iter(medians.values())), {}
    for name, median in medians.items():
        ratio = {"ratio": median["wall_s"] / ours["wall_s"], "cpu_ratio": median["cpu_s"] / ours["cpu_s"]}
        rows[name] = {"maps_per_s": maps / median["wall_s"], "cpu_s_per_map": median["cpu_s"] / maps, **ratio}
        cells = f"{rows[name]['maps_per_s']:>9.2f}{rows[name]['cpu_s_per_map']:>11.3f}"
        print(f"{name:<36}{cells}{ratio['ratio']:>8.2f} ×{ratio['cpu_ratio']:>8.2f} ×  {words.get(name, '')}")
    return rows


def main() -> None:
    """Measure, print the tables and write the JSON."""
    given = options()
    maps, size, rounds = (4, 16, 1) if given.quick else (given.maps, given.map_size, given.rounds)
    best, peers = choose_precision("auto", torch.device("cpu")), installed()
    makers: dict[str, Callable[[], Draw]] = {
        "FOCUS float32": partial(focus_draw, maps, size, "float32"),
        "FOCUS": partial(focus_draw, maps, size, best),
        **{f"{name}: loop": partial(loop_draw, name, maps, size) for name in peers},
        **{name: partial(own_draw, name, maps, size) for name in peers},
    }
    measured = alternate_processes(makers, rounds, given.threads)
    medians = {name: one.medians() for name, one in measured.items()}
    counts = {"FOCUS": parameters(our_unet()), **{name: parameters(own_network(name, size)) for name in peers}}
    words = {name: f"{n / 1e6:.2f} M weights" for name, n in counts.items()}

    def shown(title: str, *names: str) -> dict[str, Any]:
        return table(title, {name: medians[name] for name in names}, maps, words)

    in_loops = [f"{name}: loop" for name in peers]
    result = {
        "loops": shown("The same network in each loop, float32", "FOCUS float32", *in_loops),
        "precision": shown(f"The same network, FOCUS in {best} (its choice here)", "FOCUS", *in_loops),
        "programs": shown("Each program with its own network", "FOCUS", "FOCUS float32", *peers),
    }
    sizes = {"maps": maps, "map_size": size, "calls": CALLS, "rounds": rounds, "focus_precision": best}
    document = {**machine(*PEERS), **sizes, **result, "weights": counts}
    document["threads"] = given.threads
    given.output.parent.mkdir(exist_ok=True)
    given.output.write_text(json.dumps(document, indent=1) + "\n")


def options() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="4 maps of 16 x 16, one round")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--maps", type=int, default=32)
    parser.add_argument("--map-size", type=int, default=32)
    parser.add_argument("--output", type=Path, default=RESULTS / "sampling.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
