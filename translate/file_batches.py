"""Image files in batches at the training size, for networks that see each image once; what is not read is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from translate import images
from translate.data import Example
from translate.inputs import gather
from translate.loader import normalize, planes
from translate.memory import Budget, images_at_once
from translate.overview import left_out
from translate.saved import BATCH, Classifier, Encoder


@dataclass(frozen=True, slots=True)
class FileBatch:
    """Some files: the images (N, C, H, W) in [-1, 1] of the ``readable`` ones, and the reasons of the others.

    ``images`` is None where no file of the batch can be read.
    """

    files: Sequence[Path]
    images: Tensor | None
    readable: Sequence[Path]
    errors: dict[Path, str] = field(default_factory=dict)


class FileBatches:
    """The images that the ``sources`` of a verb name, in batches for a network, and what there is beside them.

    ``names`` are the files with their paths below the common folder. ``lost`` are those of a list that are not there
    and what is left out of a folder, with reasons. ``at_once`` is how many images may pass the network at once.
    ``asked`` holds the options ``memory`` and ``max_pixels``.
    """

    def __init__(
        self, network: Classifier | Encoder, sources: Sequence[Path], asked: Mapping[str, Any], verb: str
    ) -> None:
        inputs = gather(sources, verb)
        self.names = {path: name for name, path in inputs.files}
        self.lost = [*inputs.missing, *left_out(images.Found((), inputs.left_out, inputs.closed))]
        self._network = network
        self._budget = Budget(asked["memory"], asked["max_pixels"])
        self.at_once = images_at_once(
            BATCH, network.size, network.bytes_for, memory=self._budget.total, device=str(network.device)
        )

    def __iter__(self) -> Iterator[FileBatch]:
        """Read the files in the order of their names, each stretched to the training size as for an evaluation."""
        files, domain = list(self.names), self._network.domain
        for start in range(0, len(files), BATCH):
            part = files[start : start + BATCH]
            errors: dict[Path, str] = {}
            rows: list[Tensor] = []
            for file in part:
                try:
                    pixels = images.read_example(Example(file, file.name), domain, budget=self._budget)
                except images.ImageError as error:
                    errors[file] = str(error)
                    continue
                rows.append(normalize(planes(pixels, domain, self._network.size, "stretch")[None], domain))
            readable = [file for file in part if file not in errors]
            yield FileBatch(part, torch.cat(rows) if rows else None, readable, errors)
