"""Seeds: hashes by the finaliser of SplitMix64 make every random draw a function of the seed and its position."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from translate.traits import Traits

__all__ = [
    "key",
    "noise_of",
    "uniform",
]


def seed_step(seed: int, step: int, rank: int = 0, number: int = 0) -> None:
    """Seed torch's generators, of the CPU and of every device, from (seed, step, rank, number) alone.

    So a step of a resumed run makes the same draws. ``number`` is the number of the batch if a step has several.
    """
    state = mixed(seed, step, rank, number) if number else mixed(seed, step, rank)
    # Like torch.manual_seed, which would format the whole stack for each device that is not in use yet.
    torch.default_generator.manual_seed(state)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(state)


def mixed(*parts: int) -> int:
    """Mix whole numbers, in their order, to 64 bits, each by the finaliser of SplitMix64."""
    state = 0
    for part in parts:
        state = (state ^ part) + _GOLDEN & _MASK
        state = (state ^ state >> 30) * _FIRST & _MASK
        state = (state ^ state >> 27) * _SECOND & _MASK
        state ^= state >> 31
    return state


def signed(number: int) -> int:
    """The int64 with the low 64 bits of a whole number.

    >>> signed(2**63), signed(-1)
    (-9223372036854775808, -1)
    """
    return (number + 2**63) % 2**64 - 2**63


def mix(state: Tensor) -> Tensor:
    """Hash int64 to [0, 2^63): the finaliser of SplitMix64 (Steele, Lea and Flood 2014) in wrapping arithmetic.

    Neighbouring states give unrelated numbers, so a state may be a sum of odd multiples of the numbers to hash.
    """
    return _finalised(state) & (2**63 - 1)


def key(*numbers: int) -> int:
    """Hash whole numbers, in their order, to [0, 2^63).

    >>> key(0, 1) == key(0, 1), key(0, 1) == key(1, 0)
    (True, False)
    """
    state = torch.zeros((), dtype=torch.int64)
    for number in numbers:
        state = mix(state + SPACING + signed(number))
    return int(state)


def uniform(seeds: Tensor, count: int) -> Tensor:
    """Numbers (count, N) float32, uniform in [-1, 1), from each of N int64 seeds, on their device."""
    neighbours = torch.arange(1, count + 1, device=seeds.device)[:, None] * SPACING
    # 24 bits with their sign, which float32 holds exactly.
    return (_finalised(seeds + neighbours) >> 40).float() / 2**23


def noise_of(network: nn.Module, indices: Sequence[int], seed: int) -> Tensor:
    """Standard normal noise ``(N, *network.noise)`` on the CPU; each index has a draw of its own."""
    shape = Traits(network).noise
    drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(key(seed, index))) for index in indices]
    return torch.stack(drawn)


def noise_map(seed: int, channels: int, rows: range, columns: range) -> Tensor:
    """Standard normal noise (channels, rows, columns) float32 on the CPU, a function of the seed and of each position.

    So a part of it is the part of the whole, whatever the image's size.

    >>> torch.equal(noise_map(5, 2, range(8), range(9))[:, 3:7, 2:], noise_map(5, 2, range(3, 7), range(2, 9)))
    True
    """
    own = torch.tensor([key(seed, channel) for channel in range(channels)])[:, None, None]
    down = torch.arange(rows.start, rows.stop)[:, None] * SPACING
    across = torch.arange(columns.start, columns.stop) * SPACING
    found = torch.empty(channels, len(rows), len(columns))
    # In blocks, since whole numbers take more memory than what is made of them.
    block = max(1, _BLOCK // max(1, channels * len(columns)))
    for at in range(0, len(rows), block):
        state = _finalised(own + down[at : at + block]) + across
        first, second = _share(_finalised(state)), _share(_finalised(state + _SECOND_DRAW))
        # Box and Muller 1958; 1 less the first lies in (0, 1], of which there is a logarithm.
        drawn = first.neg_().log1p_().mul_(-2).sqrt_().mul_(second.mul_(2 * math.pi).cos_())
        found[:, at : at + block] = drawn
    return found


def _share(state: Tensor) -> Tensor:
    """Hashes as numbers in [0, 1), of 53 bits."""
    return ((state >> 11) & (2**53 - 1)).double() / 2**53


def _finalised(state: Tensor) -> Tensor:
    # Shifts are masked because torch's keep the sign.
    state = (state ^ ((state >> 30) & (2**34 - 1))) * signed(_FIRST)
    state = (state ^ ((state >> 27) & (2**37 - 1))) * signed(_SECOND)
    return state ^ ((state >> 31) & (2**33 - 1))


_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB

_BLOCK = 2**16
"""How many numbers of noise are drawn together."""

_SECOND_DRAW = signed(_FIRST)
"""The distance between the states of the two draws of one number."""

SPACING = signed(_GOLDEN)
"""The distance between the states of neighbouring draws: 2^64 divided by the golden ratio, odd."""
