"""The images of two folders as what is measured: what was made, and the truth that it is compared with."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from translate import images
from translate.data import Depth, Domain, Example
from translate.errors import TranslateError
from translate.evaluation.resampling import Place
from translate.evaluation.subjects import reads
from translate.inputs import gather
from translate.loader import decode_all, normalize
from translate.memory import Budget
from translate.overview import left_out
from translate.sizes import Size

if TYPE_CHECKING:
    from translate.evaluation import Metric

log = logging.getLogger("translate")

SIDES = ("fake", "target")
GIVES = frozenset({*SIDES, "pairs"})
DEPTHS: tuple[Depth, ...] = ("uint8", "uint16", "float32")


@dataclass(frozen=True, slots=True)
class Listed:
    """An image of a folder: its path below the folder without suffix, its file, and its header."""

    name: str
    file: Path
    header: images.Header

    @property
    def size(self) -> Size:
        """Height and width."""
        return self.header.height, self.header.width


class Folders:
    """The images of two folders, or two images; they are pairs if each has a partner of its name."""

    def __init__(self, made: Path, truth: Path, asked: Mapping[str, Any], device: torch.device) -> None:
        self._asked, self.device = asked, device
        self._where = dict(zip(SIDES, (made, truth), strict=True))
        budget = Budget(asked["memory"], asked["max_pixels"])
        self._listed: dict[str, list[Listed]] = {}
        single = []
        for side, path in self._where.items():
            inputs = gather([path], "compare")
            for what, reason in [*inputs.missing, *left_out(images.Found((), inputs.left_out, inputs.closed))]:
                log.warning("%s is left out: %s", what, reason)
            self._listed[side] = [
                Listed(str(PurePosixPath(name).with_suffix("")), file, images.probe(file, budget=budget))
                for name, file in inputs.files
            ]
            single.append(inputs.single)
        if all(single):
            # Two images are a pair, whatever their names are.
            only = self._listed["fake"][0]
            self._listed["target"] = [replace(self._listed["target"][0], name=only.name)]
        self._unpaired = self._why_unpaired()
        if self._unpaired is None:
            self._listed = {side: sorted(listed, key=lambda each: each.name) for side, listed in self._listed.items()}
        self._domains = {side: self._domain(side) for side in SIDES}
        # Metrics build their networks for the images of both sides.
        self.source = self.target = self._domains["target"]
        self.size: Size = asked["at"] or self._listed["target"][0].size
        self._resized = 0

    def _why_unpaired(self) -> str | None:
        """Why the images are no pairs, to follow the reason of a metric; None if they are."""
        for side, listed in self._listed.items():
            twice = [name for name, count in Counter(each.name for each in listed).items() if count > 1]
            if twice:
                return f"{self._where[side]} has several images of the name {twice[0]}"
        for side, other in (SIDES, SIDES[::-1]):
            there = {each.name for each in self._listed[other]}
            alone = [each.file for each in self._listed[side] if each.name not in there]
            if alone:
                more = f", nor have {len(alone) - 1} more" if len(alone) > 1 else ""
                return f"{alone[0]} has no partner of its name in {self._where[other]}{more}"
        return None

    def _domain(self, side: str) -> Domain:
        """How the images of a side are read: all with the same channels as those of the other side."""
        headers = [each.header for each in self._listed[side]]
        both = [each for listed in self._listed.values() for each in listed]
        channels = max(each.header.channels for each in both)
        # Gray images are RGB as well.
        fitting = {1, 3} if channels == 3 else {channels}
        odd = next((each for each in both if each.header.channels not in fitting), None)
        if odd is not None:
            raise TranslateError(
                f"{odd.file} has {odd.header.channels} channels, and others have {channels}; compare images of one kind"
            )
        depth = max((each.depth for each in headers), key=DEPTHS.index)
        if depth == "float32" and any(each.depth != depth for each in headers):
            raise TranslateError(
                f"{self._where[side]} has images of floats and others of whole numbers; compare images of one kind"
            )
        return Domain(channels, depth)

    def lacks(self, need: str) -> str | None:
        """The reason why two folders cannot meet a metric's need, to follow the metric's name; None if they can."""
        if need not in GIVES:
            return "needs a run or its data, and two folders have images alone; choose another metric"
        if need == "pairs" and self._unpaired is not None:
            return f"compares pairs, and {self._unpaired}; give both the same names, or choose a metric of sets"
        return None

    def choose_targets(self, metrics: Collection[Metric]) -> None:
        """Refuse images whose sizes do not let these metrics compare them, unless they are resized.

        Those of a pair have one size. A metric of sets needs one size of all, because features depend on it, unless its
        extractor resizes them itself; then images of one name and of two sizes are no pairs.
        """
        if self._asked["at"] is not None:
            return
        cure = "give --at SIZE to resize all, which changes the scores, or make them alike"
        of_sets = any("pairs" not in each.needs and not getattr(each, "any_size", False) for each in metrics)
        if self._unpaired is None:
            for made, truth in zip(*self._listed.values(), strict=True):
                if made.size == truth.size:
                    continue
                sizes = (
                    f"{made.file} has {_shown(made.size)} pixels, and its partner {truth.file} has {_shown(truth.size)}"
                )
                if of_sets or any("pairs" in each.needs for each in metrics):
                    raise TranslateError(f"{sizes}; {cure}")
                self._unpaired = sizes
                break
        first = self._listed["target"][0]
        for each in (each for listed in self._listed.values() for each in listed):
            if of_sets and each.size != first.size:
                raise TranslateError(
                    f"{each.file} has {_shown(each.size)} pixels, and {first.file} has {_shown(first.size)}, and "
                    f"metrics of sets compare images of one size; {cure}"
                )

    def parts_of(self, batch: Mapping[str, Tensor], metric: Metric) -> Iterator[dict[str, Tensor]]:
        """The tensors of a batch that a metric reads."""
        yield {name: tensor for name, tensor in batch.items() if name in reads(metric)}

    def places(self, metric: Metric) -> dict[str, Place]:
        """The images of both folders; those of a pair are drawn together."""
        del metric  # all see the same
        return {
            side: Place(
                side if self._unpaired else "pairs",
                "made" if side == "fake" else "truth",
                [each.name for each in listed],
                np.arange(len(listed)),
            )
            for side, listed in self._listed.items()
        }

    def batches(self, wanted: Set[str]) -> Iterator[dict[str, Tensor]]:
        """Pairs in common batches, or the made images first and then the true ones."""
        del wanted  # a metric of folders reads both
        for sides in [SIDES] if self._unpaired is None else [(side,) for side in SIDES]:
            first = self._listed[sides[0]]
            start = 0
            while start < len(first):
                size = self._asked["at"] or first[start].size
                stop = start + 1
                while stop < min(len(first), start + self._asked["batch"]):
                    if self._asked["at"] is None and first[stop].size != size:
                        break
                    stop += 1
                yield self._read({side: self._listed[side][start:stop] for side in sides}, size)
                start = stop

    def _read(self, listed: Mapping[str, Sequence[Listed]], size: Size) -> dict[str, Tensor]:
        decoded = decode_all(
            {side: [Example(each.file, each.name) for each in some] for side, some in listed.items()},
            self._domains,
            size=size,
            resize="stretch",
            device=torch.device("cpu"),
            memory=self._asked["memory"],
            max_pixels=self._asked["max_pixels"],
        )
        return {side: normalize(kept.to(self.device), self._domains[side]) for side, kept in decoded.items()}

    @cached_property
    def notes(self) -> list[str]:
        """What was done to images so that they can be compared, in sentences."""
        both = [each for listed in self._listed.values() for each in listed]
        found = []
        if (at := self._asked["at"]) is not None and (other := sum(each.size != at for each in both)):
            found.append(f"{other} of {len(both)} images were resized to {_shown(at)}")
        channels = self.target.channels
        if gray := sum(each.header.channels != channels for each in both):
            found.append(f"{gray} gray images were read as RGB")
        if alpha := sum(each.header.alpha for each in both):
            found.append(f"the transparency of {alpha} images was dropped")
        if any(domain.depth == "float32" for domain in self._domains.values()):
            found.append("floats were taken to go from 0 to 1")
        return found

    def facts(self) -> dict[str, Any]:
        """The entries of the protocol on what was compared."""
        sizes = {each.size for listed in self._listed.values() for each in listed}
        at = self._asked["at"]
        size = (
            _shown(at)
            if at is not None
            else _shown(sizes.pop())
            if len(sizes) == 1
            else f"the size of each {'image' if self._unpaired else 'pair'}"
        )
        return {
            "made": self._where["fake"].name,
            "data": self._where["target"].name,
            "paired": self._unpaired is None,
            "size": size,
            "images": self.target.summary,
            "notes": self.notes,
        }


def _shown(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
