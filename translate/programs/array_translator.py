"""A program as a translator of arrays, by which folders are converted without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from translate import images
from translate.errors import TranslateError, UnfitError
from translate.given import Given, Planes, Value, check_samples, read_given
from translate.plugins import Catalog
from translate.programs.program import Program
from translate.sizes import Size
from translate.taken import Taken


@dataclass(frozen=True, slots=True)
class Processor:
    """The CPU, named as torch names its devices."""

    type: str = "cpu"

    def __str__(self) -> str:
        return self.type


class ArrayTranslator:
    """Turns arrays of images into arrays of images, with what a conversion asks of any translator.

    Images may have any size: they are padded to a multiple of ``size_multiple`` or resized to the program's
    ``fixed_size``, and the outputs are cropped or resized back.
    """

    needs_calibration = False
    device = Processor()

    def __init__(self, program: Program, catalog: Catalog) -> None:
        self.program = program
        self.catalog = catalog
        self.direction: str = program.facts.direction
        self.source, self.target = program.facts.domains
        self.size: Size = program.described["size"]
        self.trained = program.trained
        self.size_multiple = program.size_multiple
        self.fixed_size = program.fixed_size
        self.bytes_for = program.bytes_for
        self.taken = program.taken

    @property
    def takes_noise(self) -> bool:
        """Whether every answer depends on noise, which is drawn from a seed for each image."""
        return bool(self.taken.noise)

    def read_given(self, given: Mapping[str, Any], *, max_pixels: int = images.MAX_PIXELS) -> Given:
        """Hold what is given by name against what the file takes, before any image is translated.

        Raises ``TranslateError`` for what does not fit.
        """
        for name in given:
            if name in (self.program.facts.options or {}):
                raise TranslateError(
                    f"{self.program.session.path} holds the option {name} as it was exported; leave it out"
                )
            if not self.taken:
                raise TranslateError(
                    f"convert: this translator takes an image alone, so it cannot be given {name!r:.60}"
                )
        where = f"{self.program.session.path}"
        return read_given(given, self.taken, where, size=self.size, max_pixels=max_pixels)

    def replicate(self) -> None:
        """None: one thread at a time translates, since the library uses all cores itself."""

    def translate(
        self,
        batch: NDArray[np.float32],
        *,
        samples: int | None = None,
        seed: int | Sequence[int] = 0,
        given: Mapping[str, NDArray[Any]] | None = None,
    ) -> NDArray[np.float32]:
        """Translate (N, C, H, W) in [-1, 1] to (N, C', H, W), or with ``samples`` (N * samples, C', H, W).

        ``samples`` are refused where no noise is drawn. ``given`` has a row for each image of what the file takes
        beside it; noise is drawn from ``seed``, one for all images or one for each.
        """
        check_samples(samples)
        if samples is not None and not self.taken.noise:
            raise UnfitError("this translator draws no noise, so it has one answer; leave out --samples")
        height, width = batch.shape[-2:]
        further = {name: self._fitted(name, each) for name, each in (given or {}).items()}
        fixed = self.fixed_size
        batch = padded(batch, self.size_multiple) if fixed is None else resized(batch, fixed)
        if self.taken.noise:
            batch, further = self._with_noise(batch, further, samples, seed)
        answer = self.program(batch, further)
        return answer[..., :height, :width] if fixed is None else resized(answer, (height, width))

    def _fitted(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        """Images that are aligned, padded or resized as their batch is."""
        wanted = self.taken.inputs[name]
        if wanted.kind not in ("aligned", "noise"):
            return array
        if self.fixed_size is None:
            return padded(array, self.size_multiple)
        return resized(array, self.fixed_size, nearest=wanted.domain is not None and wanted.domain.by_nearest)

    def _with_noise(
        self,
        batch: NDArray[np.float32],
        further: dict[str, NDArray[Any]],
        samples: int | None,
        seed: int | Sequence[int],
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
        # It is drawn by torch, as for a network of torch, so that a file answers as its network does.
        import torch

        from translate.given import Ready, seeds_of, with_noise

        tensors = {name: torch.from_numpy(each) for name, each in further.items()}
        seeds = seeds_of(seed, len(batch))
        whole, ready = with_noise(torch.from_numpy(batch), Ready(tensors=tensors), self.taken, seeds, samples)
        return whole.numpy(), {name: each.numpy() for name, each in ready.tensors.items()}


def padded(batch: NDArray[np.float32], multiple: int) -> NDArray[np.float32]:
    """A batch (N, C, H, W), padded at the lower and right edge by reflection, repeatedly if the image is small.

    >>> padded(np.array([[[[0, 1, 2], [3, 4, 5]]]], np.float32), 4)[0, 0].tolist()
    [[0.0, 1.0, 2.0, 1.0], [3.0, 4.0, 5.0, 4.0], [0.0, 1.0, 2.0, 1.0], [3.0, 4.0, 5.0, 4.0]]
    """
    while True:
        height, width = batch.shape[-2:]
        down, right = min(-height % multiple, max(height - 1, 1)), min(-width % multiple, max(width - 1, 1))
        if not down and not right:
            return batch
        # A side of one pixel can only be repeated.
        mode: Literal["edge", "reflect"] = "edge" if min(height, width) == 1 else "reflect"
        batch = np.pad(batch, ((0, 0), (0, 0), (0, down), (0, right)), mode=mode)


def stacked(rows: Sequence[Mapping[str, Value]], taken: Taken) -> dict[str, NDArray[Any]]:
    """What images of a batch are given, by name, as arrays with a row for each: classes, vectors, images in [-1, 1]."""
    found: dict[str, NDArray[Any]] = {}
    for name in taken.inputs:
        values = [row[name] for row in rows if name in row]
        if not values:
            continue
        planes = [
            images.normalize_array(each.pixels.transpose(2, 0, 1)[None], each.domain)
            for each in values
            if isinstance(each, Planes)
        ]
        if planes:
            found[name] = np.concatenate(planes)
        else:
            found[name] = np.array(values, np.int64 if isinstance(values[0], int) else np.float32)
    return found


def resized(batch: NDArray[np.float32], size: Size, *, nearest: bool = False) -> NDArray[np.float32]:
    """A batch (N, C, H, W), resized bilinearly, antialiased where it shrinks; or to the nearest pixels.

    >>> resized(np.array([[[[0, 2]]]], np.float32), (1, 1)).tolist()
    [[[[1.0]]]]
    """
    if batch.shape[-2:] == tuple(size):
        return batch
    planes: NDArray[Any] = np.ascontiguousarray(batch, np.float32).reshape(-1, *batch.shape[-2:])
    how = PIL.Image.Resampling.NEAREST if nearest else PIL.Image.Resampling.BILINEAR
    made = [np.asarray(PIL.Image.fromarray(plane).resize(size[::-1], how)) for plane in planes]
    return np.stack(made).reshape(*batch.shape[:2], *size)
