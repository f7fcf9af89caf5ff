"""Networks without zero weights, as after training, and inputs for them."""

import torch
from torch import Tensor, nn


def random_network(make: type[nn.Module], seed: int = 0, **keys: object) -> nn.Module:
    """Return a float64 network of which no weight is zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = make(**keys)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return network.double().eval()


def inputs(*shape: int, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Return maps of `shape`, times and two parameters of each."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    time = torch.rand(shape[0], generator=generator, dtype=torch.float64)
    cond = torch.randn(shape[0], 2, generator=generator, dtype=torch.float64)
    return x, time, cond
