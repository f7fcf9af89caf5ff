"""Random streams keyed by their purpose, so that draws do not depend on workers, devices or restarts."""

from __future__ import annotations

import hashlib

import torch


def keyed_generator(*key: int | str) -> torch.Generator:
    """Return a CPU generator that depends only on `key`, such as ("order", seed, epoch)."""
    return torch.Generator().manual_seed(keyed_integer(*key))


def keyed_integer(*key: int | str) -> int:
    """Return a 63-bit integer that depends only on `key` (SHA-256, the same in every library version)."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") >> 1
