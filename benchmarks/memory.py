"""Memory and FLOP of a training step with and without activation checkpointing, counted without a GPU.

The forward and backward pass of each network on 256 x 256 maps runs on fake tensors, which have shapes but no data;
every storage that is alive counts. Memory grows with the number of maps; the table has the slope between 16 and 64.
Precisions are those of a CPU's autocast; a GPU keeps the outputs of norms in float32 as well, and cuDNN needs more.
Prints a table and writes benchmarks/results/memory.json.
Run: python benchmarks/memory.py [--side 256] [--maps 16 64]
"""

import argparse
import json
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from alternation import machine
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from focus_engine.models.recompute import recompute
from focus_engine.models.transformer import TorusTransformer
from focus_engine.models.unet import SimpleUNet

RESULTS = Path(__file__).parent / "results" / "memory.json"
NETWORKS: dict[str, Callable[[], torch.nn.Module]] = {
    "UNet, 143 M weights": lambda: SimpleUNet(base_channels=128),
    "DiT, 29 M weights": TorusTransformer,
    "Swin, 29 M weights": lambda: TorusTransformer(window=8),
}


class LiveBytes(TorchDispatchMode):
    """Counts the memory of all tensors that operations in this context made and that are still alive [bytes]."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        """Run an operation and count its results."""
        result = func(*args, **(kwargs or {}))
        for one in tree_leaves(result):
            if isinstance(one, torch.Tensor) and (storage := one.untyped_storage()) not in self._seen:
                self._seen.add(storage)
                self._add(storage.nbytes())
                weakref.finalize(storage, self._add, -storage.nbytes())
        return result

    def _add(self, size: int) -> None:
        self.now += size
        self.peak = max(self.peak, self.now)


def peak_bytes(make: Callable[[], torch.nn.Module], maps: int, side: int, *, on: bool, bf16: bool) -> tuple[int, int]:
    """Return the bytes kept after the forward pass and the most in the backward pass."""
    with FakeTensorMode():
        network = make()
        recompute(network, on=on)
        live = LiveBytes()
        with live, torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
            loss = _loss(network, maps, side)
            kept = live.now
            torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
    return kept, live.peak


def step_flop(make: Callable[[], torch.nn.Module], side: int, *, on: bool) -> int:
    """Return the FLOP of both passes of one map; on the meta device, where attention is counted as well."""
    with torch.device("meta"):
        network = make()
        recompute(network, on=on)
        with FlopCounterMode(display=False) as flop:
            _loss(network, 1, side).backward()
    return flop.get_total_flops()


def _loss(network: torch.nn.Module, maps: int, side: int) -> torch.Tensor:
    inputs = torch.empty(maps, 1, side, side), torch.empty(maps), torch.empty(maps, 6)
    loss: torch.Tensor = network(*inputs).float().square().mean()
    return loss


def main() -> None:
    """Count, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--maps", type=int, nargs=2, default=(16, 64))
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    rows = []
    few, many = given.maps
    print(f"{'network':<22}{'precision':>10}{'checkpointing':>15}{'kept':>8}{'peak':>8}   MB a map{'TFLOP a map':>14}")
    for name, make in NETWORKS.items():
        for bf16 in (False, True):
            for on in (False, True):
                less, more = (peak_bytes(make, maps, given.side, on=on, bf16=bf16) for maps in given.maps)
                kept, peak = ((b - a) / (many - few) for a, b in zip(less, more, strict=True))
                flop = step_flop(make, given.side, on=on)
                row = {"network": name, "precision": "bf16" if bf16 else "float32", "checkpointing": on}
                rows.append({**row, "kept_bytes": kept, "peak_bytes": peak, "flop": flop, "peak_of_batch": more[1]})
                words = f"{name:<22}{row['precision']:>10}{on!s:>15}{kept / 1e6:>8.0f}{peak / 1e6:>8.0f}"
                print(f"{words}{flop / 1e12:>25.3f}", flush=True)
    document = {"machine": machine(), "side": given.side, "maps": given.maps, "rows": rows}
    given.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
