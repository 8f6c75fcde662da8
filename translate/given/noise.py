"""Noise of a translation: a function of the seed, the image and the sample's number, for each row of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import index
from typing import Any

import numpy as np
import torch
from torch import Tensor

from translate.draws import seeded_draws
from translate.errors import TranslateError, UnfitError
from translate.given.tensors import Ready
from translate.seeds import key, noise_map
from translate.taken import Taken, Wanted


def seeds_of(seed: int | Sequence[int], count: int) -> list[int]:
    """A seed for each row: the same one, or one of as many; raises ``TranslateError`` for what is no whole number."""
    try:
        several = isinstance(seed, (Sequence, np.ndarray, Tensor)) and getattr(seed, "ndim", 1) > 0
        listed: Any = seed if several else [seed]
        seeds = [index(each) for each in listed]
    except TypeError:
        raise TranslateError(f"a seed is a whole number, or one for each image, not {seed!r:.80}") from None
    if not several:
        return seeds * count
    if len(seeds) != count:
        raise TranslateError(f"there are {len(seeds)} seeds for {count} images; give one, or one for each")
    return seeds


def with_noise(
    batch: Tensor, ready: Ready, taken: Taken, seeds: Sequence[int], samples: int | None
) -> tuple[Tensor, Ready]:
    """A batch with the noise that its network takes, each image repeated for its samples, which lie side by side.

    Without ``samples`` the noise is that of the first. Noise that is given stays, the same for all samples.
    """
    count = samples or 1

    def repeated(tensor: Tensor) -> Tensor:
        return tensor if count == 1 else tensor.repeat_interleave(count, dim=0)

    tensors = {name: repeated(each) for name, each in ready.tensors.items()}
    height, width = batch.shape[-2:]
    for number, wanted in enumerate(taken.noise):
        if wanted.name not in tensors:
            drawn = [
                drawn_latent(seed, number, sample, wanted)
                if wanted.kind == "latent"
                else drawn_noise(seed, number, sample, _planes(wanted), range(height), range(width))
                for seed in seeds
                for sample in range(count)
            ]
            tensors[wanted.name] = _stacked(drawn, wanted, batch)
    ordered = {name: tensors[name] for name in taken.inputs if name in tensors}
    return repeated(batch), replace(ready, tensors=ordered)


def _stacked(drawn: Sequence[Tensor], wanted: Wanted, batch: Tensor) -> Tensor:
    if not drawn:
        # A batch may have no images.
        sides = (wanted.length or 1,) if wanted.kind == "latent" else (_planes(wanted), *batch.shape[-2:])
        return torch.empty(0, *sides, device=batch.device)
    return torch.stack(list(drawn)).to(batch.device)


def drawn_noise(seed: int, number: int, sample: int, planes: int, rows: range, columns: range) -> Tensor:
    """A part (planes, rows, columns) of the noise of one sample of an image; ``number`` is that of the input."""
    return noise_map(key(seed, number, sample), planes, rows, columns)


def drawn_latent(seed: int, number: int, sample: int, wanted: Wanted) -> Tensor:
    """The latent (D,) of one sample of an image; ``number`` is that of the input."""
    assert wanted.length is not None
    return noise_map(key(seed, number, sample), wanted.length, range(1), range(1))[:, 0, 0]


def _planes(wanted: Wanted) -> int:
    assert wanted.domain is not None
    return wanted.domain.channels


def drawn_by_rows(
    compute: Callable[[Tensor, Ready], Tensor], batch: Tensor, ready: Ready, seeds: Sequence[int], samples: int | None
) -> Tensor:
    """The answers of a network that draws by torch's random operations, (N * samples, ...): a pass for each of them.

    In a pass of several rows, what a row draws would depend on the others, and on how many samples there are. Raises
    ``UnfitError`` if several samples are asked for and nothing is drawn.
    """
    if not seeds:
        return compute(batch, ready)
    answers = []
    drew = False
    for number, seed in enumerate(seeds):
        for sample in range(samples or 1):
            with seeded_draws(seed, sample) as draws:
                answers.append(compute(batch[number : number + 1], ready.row(number)))
            drew = drew or draws.drew
        if not drew and (samples or 1) > 1:
            raise UnfitError("this translator draws no noise, so it has one answer; leave out --samples")
    return torch.cat(answers)
