"""Image files in batches at the training size, for networks that see each image once; unreadable ones are named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from translate import images
from translate.data import Domain, Example
from translate.loader import normalize, planes
from translate.memory import Budget
from translate.sizes import Size


@dataclass(frozen=True, slots=True)
class FileBatch:
    """Some files: the images (N, C, H, W) in [-1, 1] of the ``readable`` ones, and the reasons of the others.

    ``images`` is None where no file of the batch can be read.
    """

    files: Sequence[Path]
    images: Tensor | None
    readable: Sequence[Path]
    errors: dict[Path, str] = field(default_factory=dict)


def file_batches(files: Sequence[Path], domain: Domain, size: Size, budget: Budget, batch: int) -> Iterator[FileBatch]:
    """Read files in their order, ``batch`` at a time, each stretched to ``size`` as for an evaluation."""
    for start in range(0, len(files), batch):
        part = files[start : start + batch]
        errors: dict[Path, str] = {}
        rows: list[Tensor] = []
        for file in part:
            try:
                pixels = images.read_example(Example(file, file.name), domain, budget=budget)
            except images.ImageError as error:
                errors[file] = str(error)
                continue
            rows.append(normalize(planes(pixels, domain, size, "stretch")[None], domain))
        readable = [file for file in part if file not in errors]
        yield FileBatch(part, torch.cat(rows) if rows else None, readable, errors)
