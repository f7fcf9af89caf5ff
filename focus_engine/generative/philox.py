r"""Philox4x32-10, a counter-based generator of random integers, in torch's integer operations.

Four words of 32 bits are a function of a counter of four words and a key of two (Salmon et al. 2011, "Parallel random
numbers: as easy as 1, 2, 3", SC11). Nothing is stored between draws, so that any part of a stream can be drawn alone,
with the same bits on every device. Words are held in int64: torch has few operations for unsigned integers.
"""

import math

import torch
from torch import Tensor

Words = tuple[Tensor, Tensor, Tensor, Tensor]
"""Four words of each counter, int64 in [0, 2³²), of one shape."""

_WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


def philox(counter: Words, key: tuple[int, int]) -> Words:
    """Return the four random words of each `counter` under `key`, two words in [0, 2³²)."""
    a, b, c, d = counter
    first, second = key
    for _ in range(_ROUNDS):
        # The product of two words wraps as a signed integer of 64 bits, whose halves are those of the unsigned one.
        p, q = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, c = _high(q).bitwise_xor_(b).bitwise_xor_(first), _high(p).bitwise_xor_(d).bitwise_xor_(second)
        b, d = q.bitwise_and_(_WORD), p.bitwise_and_(_WORD)
        first, second = (first + _WEYL[0]) & _WORD, (second + _WEYL[1]) & _WORD
    return a, b, c, d


def _high(product: Tensor) -> Tensor:
    """Return the upper word of each product."""
    return (product >> 32).bitwise_and_(_WORD)


def unit_normals(words: Words) -> Tensor:
    """Return four independent unit Gaussians from each four words, float32 (..., 4), by Box and Muller (1958).

    Each pair of words gives √(-2 ln u) (cos 2πv, sin 2πv), with u in (0, 1) in steps of 2⁻³²: the largest value is 6.8.
    Computed in double precision, whose last digits differ between devices; rounded, all but about one in 10⁸ agree.
    """
    normals = torch.empty(*words[0].shape, 4, device=words[0].device)
    for place in (0, 2):
        radius = words[place].double().add_(0.5).mul_(2.0**-32).log_().mul_(-2).sqrt_()
        angle = words[place + 1].double().mul_(2 * math.pi * 2.0**-32)
        normals[..., place] = angle.cos().mul_(radius)
        normals[..., place + 1] = angle.sin_().mul_(radius)
    return normals
