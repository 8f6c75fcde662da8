"""Conversion of one batch: a file to pixels, pixels through the network, answers to a file. No threads here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from translate import images
from translate.conversion.plan import Task, deepest
from translate.data import Depth, Domain
from translate.errors import TranslateError
from translate.plugins import Catalog
from translate.sizes import Size


class Translating(Protocol):
    """What a conversion needs of a ``translate.translator.Translator``."""

    catalog: Catalog
    direction: str
    source: Domain
    target: Domain
    size_multiple: int
    device: torch.device

    @property
    def needs_calibration(self) -> bool:
        """Whether it must see some images before it can translate."""
        ...

    def calibrate(self, batches: Iterable[Tensor], /) -> None:
        """Show it images (N, C, H, W) in [-1, 1]."""
        ...

    def replicate(self) -> Translating | None:
        """Another one for a thread of its own; None if one thread at a time is all that it can serve."""
        ...

    def translate(self, batch: Tensor, /, *, samples: int | None = None, seed: int = 0) -> Tensor:
        """Translate (N, C, H, W) in [-1, 1] to (N, C', H, W), or (N * samples, C', H, W)."""
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """What is done to every image: by which translator, at which size, how often, how well compressed."""

    translator: Translating
    at: Size | None = None
    samples: int | None = None
    seed: int = 0
    quality: int = 95
    max_pixels: int = images.MAX_PIXELS


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """An image on its way to the network.

    ``pixels`` (H', W', C) as stored, padded to the network's size multiple; ``size`` is (H, W) before that. ``alpha``
    (H, W) is as stored in the file. ``depth``: how the answer is stored.
    """

    task: Task
    pixels: NDArray[Any]
    size: Size
    alpha: NDArray[Any] | None
    depth: Depth

    @property
    def bucket(self) -> tuple[Any, ...]:
        """What images must share to be stacked."""
        return self.pixels.shape, self.pixels.dtype


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What the network made of an image: (S, C, H, W) as stored, on the device; S is 1 without ``samples``."""

    task: Task
    stored: Tensor
    finite: Tensor
    alpha: NDArray[Any] | None


def decode(task: Task, work: Work) -> Decoded:
    """Read an image and bring it to the source domain's channels and the asked size."""
    source, path = work.translator.source, task.source
    alpha: NDArray[Any] | None = None
    if source.classes:
        pixels: NDArray[Any] = images.read_indices(path, max_pixels=work.max_pixels)[..., None]
        if (largest := int(pixels.max())) >= source.classes:
            raise images.ImageError(
                f"{path} holds the class index {largest}, but this translator knows 0 to {source.classes - 1}; "
                "give it maps of the kind that it was trained on"
            )
    else:
        image = images.read(path, max_pixels=work.max_pixels)
        alpha = None if work.translator.target.classes else image.alpha
        pixels = images.as_channels(image.pixels, source.channels, str(path))
    own: Depth = str(pixels.dtype)  # type: ignore[assignment]
    if alpha is not None and not task.format.alpha:
        # An alpha channel that hides nothing is no loss.
        if alpha.min(initial=_opaque(alpha.dtype)) < _opaque(alpha.dtype):
            suffix = task.outputs[0].suffix
            raise images.ImageError(
                f"{path} has transparency, which {suffix} cannot hold; convert it with --format png"
            )
        alpha = None
    if work.at is not None:
        pixels = images.resize(pixels, work.at, nearest=source.classes > 0)
        alpha = None if alpha is None else images.resize(alpha[..., None], work.at)[..., 0]
    depth = deepest(own, source, work.translator.target, task.format)
    if alpha is not None and depth != str(alpha.dtype):
        alpha = images.as_depth(alpha[..., None], depth)[..., 0]
    height, width = pixels.shape[:2]
    return Decoded(task, _pad(pixels, work.translator.size_multiple), (height, width), alpha, depth)


def translate(decoded: Sequence[Decoded], work: Work) -> list[Answer]:
    """Translate images of one bucket together; an image's answer has its own size again."""
    translator = work.translator
    with torch.inference_mode():
        batch = _stacked(decoded, translator)
        seed = image_seed(work.seed, decoded[0].task.name)
        answers = translator.translate(batch, samples=work.samples, seed=seed)
        rows = answers.reshape(len(decoded), -1, *answers.shape[1:])
        return [_answer(each, row, translator.target) for each, row in zip(decoded, rows, strict=True)]


def some(tasks: Sequence[Task], work: Work, count: int) -> Iterator[Tensor]:
    """Up to so many of the images, evenly out of all, each as a batch in [-1, 1]; others stand in for bad ones."""
    picked = dict.fromkeys(number * len(tasks) // count for number in range(count)) if tasks else {}
    others = (number for number in range(len(tasks)) if number not in picked)
    found = 0
    for number in chain(picked, islice(others, 7 * count)):
        try:
            decoded = decode(tasks[number], work)
        except (TranslateError, OSError, MemoryError):
            # The conversion itself will name it.
            continue
        yield _stacked([decoded], work.translator)
        found += 1
        if found == count:
            return


def write(answer: Answer, work: Work) -> None:
    """Write an image's answer, or its samples, to its files."""
    if not bool(answer.finite):
        raise TranslateError(
            f"{answer.task.source}: the network's answer is not finite; try --precision float32, or train anew"
        )
    stored = answer.stored.permute(0, 2, 3, 1).cpu().numpy()
    for path, pixels in zip(answer.task.outputs, stored, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, images.Image(np.ascontiguousarray(pixels), answer.alpha), quality=work.quality)


def image_seed(seed: int, name: str) -> int:
    """The seed of an image's samples: of the conversion's seed and the image's name, never of its neighbours.

    >>> image_seed(0, "a/b.png") == image_seed(0, "a/b.png") != image_seed(1, "a/b.png")
    True
    """
    digest = hashlib.blake2b(f"{seed}/{name}".encode(errors="surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def _stacked(decoded: Sequence[Decoded], translator: Translating) -> Tensor:
    """Images of one bucket as a batch (N, C, H, W) in [-1, 1] on the translator's device."""
    stack = np.stack([each.pixels for each in decoded]).transpose(0, 3, 1, 2)
    stored = torch.from_numpy(np.ascontiguousarray(stack)).to(translator.device)
    domain = translator.source
    if not domain.classes:
        # Any depth is welcome: integers use their full range, floats that of the domain.
        domain = replace(domain, depth=str(decoded[0].pixels.dtype))  # type: ignore[arg-type]
    return images.normalize(stored, domain)


def _answer(decoded: Decoded, row: Tensor, target: Domain) -> Answer:
    height, width = decoded.size
    row = row[..., :height, :width]
    stored = images.to_stored(row, target, decoded.depth)
    return Answer(decoded.task, stored, torch.isfinite(row).all(), decoded.alpha)


def _pad(pixels: NDArray[Any], multiple: int) -> NDArray[Any]:
    """Pad (H, W, C) at the lower and right edge by reflection, as the translator does, to let sizes share a batch."""
    height, width = pixels.shape[:2]
    down, right = -height % multiple, -width % multiple
    if min(height, width) == 1:
        # There is nothing to reflect; the translator has a way of its own with these.
        return pixels
    return np.pad(pixels, ((0, down), (0, right), (0, 0)), mode="reflect") if down or right else pixels


def _opaque(dtype: np.dtype[Any]) -> float:
    return 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)
