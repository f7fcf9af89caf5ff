"""Random streams keyed by what they are for, so that no worker, device or restart can change a draw."""

from __future__ import annotations

import hashlib

import torch


def keyed_generator(*key: int | str) -> torch.Generator:
    """Return a CPU generator that depends on `key` alone, such as ("order", seed, epoch)."""
    return torch.Generator().manual_seed(keyed_integer(*key))


def keyed_integer(*key: int | str) -> int:
    """Return an integer of 63 bits that depends on `key` alone (SHA-256, the same in every library version)."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") >> 1
