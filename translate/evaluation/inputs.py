"""What a network is given beside each image of an evaluation: by the user, or else by the data, row by row."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from translate import images
from translate.data import Example
from translate.errors import TranslateError
from translate.given import (
    Constant,
    Folder,
    Given,
    OwnAlpha,
    Picked,
    Planes,
    Ready,
    Rows,
    Source,
    Table,
    Value,
    stacked,
)
from translate.holes import hole_of
from translate.loader import decode_all, normalize
from translate.memory import Budget
from translate.row_inputs import RowInputs
from translate.sizes import Size
from translate.taken import Taken, Wanted
from translate.terminal import printable

log = logging.getLogger("translate")


class Stream(Source):
    """An aligned stream of the data, an image for each row."""

    def __init__(self, wanted: Wanted, examples: Sequence[Example]) -> None:
        self.wanted, self.examples = wanted, examples

    @property
    def digest(self) -> Any:
        """That each image has its own."""
        return "an image for each"

    def of(self, name: str, path: Path | str) -> Picked:
        """Rows of data are found by their numbers, never by a name."""
        raise TranslateError(f"{path}: {self.wanted.name} is a stream of the data, which has rows")


@dataclass(slots=True)
class Inputs:
    """The inputs of one network for the rows of ``data``: ``given`` has all of them, each with where it comes from.

    ``own`` names those that the data has. What passes is hashed and counted for the protocol.
    """

    taken: Taken = field(default_factory=Taken)
    given: Given = field(default_factory=Given)
    data: RowInputs | None = None
    own: frozenset[str] = frozenset()
    _asked: Mapping[str, Any] = field(default_factory=dict)
    _hashes: dict[str, Any] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)
    _classes: dict[str, Counter[str]] = field(default_factory=dict)
    _whole: Counter[str] = field(default_factory=Counter)
    """How many images have no hole, by the input that marks it."""

    @classmethod
    def of(
        cls,
        asked: Mapping[str, Any],
        taken: Taken,
        data: RowInputs,
        read: Callable[..., Given],
        name: str,
        *,
        drawn: bool = False,
    ) -> Inputs:
        """Hold what is ``asked`` for against what a network takes and the ``data``, called ``name``, has.

        ``read`` is the network's ``read_given``. Images that are ``drawn`` may be as many as the rows of a table.
        Raises ``TranslateError`` for what does not fit, and for an image without its value.
        """
        own = {
            each.name: source
            for each in taken.inputs.values()
            if each.name not in asked
            and not (drawn and each.kind == "aligned")
            and (source := _of_data(each, data, name)) is not None
        }
        given = read(asked, elsewhere=own)
        sources = dict(given.sources)
        for each, source in given.sources.items():
            sources[each] = _by_rows(source, data, name, drawn=drawn)
        sources |= own
        ordered = {each: sources[each] for each in taken.inputs if each in sources}
        return cls(taken, Given(taken, given.options, ordered), data, frozenset(own), given.making)

    @property
    def count(self) -> int | None:
        """The number of rows of a table that the user gives; None without one."""
        asked = {name: each for name, each in self.given.sources.items() if name not in self.own}
        return Given(self.taken, {}, asked).count

    def ready(self, rows: Sequence[int], size: Size, device: torch.device, max_pixels: int | None) -> Ready:
        """The tensors for the images of these rows, at a (height, width)."""
        tensors: dict[str, Tensor] = {}
        for name, source in self.given.sources.items():
            if isinstance(source, Stream):
                tensors[name] = self._decoded(source, rows, size, device, max_pixels)
            else:
                values = [self._value(source, row, size, max_pixels) for row in rows]
                tensors |= stacked([{name: value} for value in values], self.taken, device)
        self.note(tensors)
        return Ready(self.given.options, tensors)

    def note(self, tensors: Mapping[str, Tensor]) -> None:
        """Count and hash what a network is given, for the protocol."""
        for name, tensor in tensors.items():
            self._counts[name] += len(tensor)
            self._hashes.setdefault(name, hashlib.sha256()).update(tensor.cpu().numpy().tobytes())
            wanted = self.taken.inputs[name]
            if wanted.hole and wanted.domain is not None:
                hole = hole_of(tensor, opaque=wanted.domain.alpha == "only")
                self._whole[name] += int((hole.flatten(1).amax(1) == 0).sum())
            if wanted.kind == "class":
                labels = wanted.labels
                named = [labels[each] if each < len(labels) else str(each) for each in tensor.tolist()]
                self._classes.setdefault(name, Counter()).update(named)

    def _decoded(
        self, source: Stream, rows: Sequence[int], size: Size, device: torch.device, max_pixels: int | None
    ) -> Tensor:
        domain = source.wanted.domain
        assert domain is not None
        domain = replace(domain, nearest=True)
        chunk = {"it": [source.examples[row] for row in rows]}
        found = decode_all(
            chunk, {"it": domain}, size=size, resize="stretch", device=torch.device("cpu"), max_pixels=max_pixels
        )
        return normalize(found["it"].to(device), domain)

    def _value(self, source: Source, row: int, size: Size, max_pixels: int | None) -> Value:
        assert self.data is not None
        example = self.data.examples[self.data.image][row]
        if isinstance(source, Constant):
            value: Value = source.value
        elif isinstance(source, (Rows, Table)):
            value = source.values[row]
        elif isinstance(source, OwnAlpha):
            budget = Budget(None, max_pixels)
            value = source.of_opacity(images.read_example(example, OwnAlpha.DOMAIN, budget=budget)).value
        else:
            value = source.of(_file_name(example), _where(example)).value
        _refuse_other_size(source, value, example)
        aligned = source.wanted.kind in ("aligned", "noise")
        return value.resized(size) if aligned and isinstance(value, Planes) else value

    @property
    def classes(self) -> tuple[Wanted, frozenset[int]] | None:
        """The first input of classes that the user gives, and which there are; None without one."""
        for name, source in self.given.sources.items():
            if source.wanted.kind == "class" and name not in self.own:
                values = [source.value] if isinstance(source, Constant) else getattr(source, "values", [])
                return source.wanted, frozenset(each for each in values if isinstance(each, int))
        return None

    def facts(self) -> dict[str, Any]:
        """The entries of the protocol: ``given`` by the user, and of each input where it is from, and what it was."""
        found: dict[str, Any] = {"given": dict(self._asked)} if self._asked else {}
        inputs = {}
        for name, source in self.given.sources.items():
            if name not in self._counts:
                continue
            entry: dict[str, Any] = {"from": "the data" if name in self.own else _kind(source)}
            entry["images"] = self._counts[name]
            if self._whole[name]:
                entry["without_a_hole"] = self._whole[name]
            if name in self._classes:
                entry["classes"] = dict(sorted(self._classes[name].items()))
            entry["sha256"] = self._hashes[name].hexdigest()
            inputs[name] = entry
        return found | ({"inputs": inputs} if inputs else {})


def _kind(source: Source) -> str:
    if isinstance(source, Constant):
        return "one value"
    if isinstance(source, OwnAlpha):
        return "the transparency of each image"
    return "a folder" if isinstance(source, Folder) else "rows"


def _of_data(wanted: Wanted, data: RowInputs, name: str) -> Source | None:
    """What the data has of an input for every image; None if it has none, or not for all, which is told."""
    if wanted.kind == "aligned":
        stream = data.stream_of(wanted)
        return None if stream is None else Stream(wanted, data.examples[stream])
    values: Sequence[Any] = ()
    if wanted.kind == "class":
        values = data.classes(wanted)
    elif wanted.kind == "vector":
        values = data.vectors(wanted)
    there = [each for each in values if each is not None]
    if not there or len(there) < len(values):
        if there and not wanted.required:
            log.warning(
                "%d of the %d images of %s have no %s that the network knows, so none is given; give it with --with "
                "%s=VALUE", len(values) - len(there), len(values), name, wanted.name, wanted.name,
            )  # fmt: skip
        return None
    return Rows(wanted, there)


def _by_rows(source: Source, data: RowInputs, name: str, *, drawn: bool) -> Source:
    """A source whose values are found by the numbers of the data's rows; each image has one."""
    examples = data.examples.get(data.image, ())
    if isinstance(source, Rows) and not drawn and len(source.values) != len(examples):
        raise TranslateError(
            f"evaluate: {source.wanted.name} has {len(source.values)} rows without names, and {name} has "
            f"{len(examples)} images; give a row for each, or a table with names"
        )
    if isinstance(source, Table):
        return Rows(source.wanted, [source.of(_file_name(each), _where(each)).value for each in examples])
    if isinstance(source, Folder):
        for example in examples:
            if source.file_of(_file_name(example)) is None:
                # It says why, before any work.
                source.of(_file_name(example), _where(example))
    return source


def _file_name(example: Example) -> str:
    """The name of an example as that of a file; a dot in it begins no suffix."""
    return f"{example.name}.png"


def _where(example: Example) -> str:
    return str(example.pixels) if isinstance(example.pixels, Path) else printable(example.name, 60)


def _refuse_other_size(source: Source, value: Value, example: Example) -> None:
    """Raise ``ImageError`` for an aligned image of another size than that of its image, where that is known."""
    if source.wanted.kind != "aligned" or not isinstance(value, Planes) or (own := _size_of(example)) is None:
        return
    if value.size != own:
        raise images.ImageError(
            f"{_where(example)} has {own[1]} x {own[0]} pixels, and its {source.wanted.name} has "
            f"{value.size[1]} x {value.size[0]}; give one as large"
        )


def _size_of(example: Example) -> Size | None:
    """The height and width of an example, of a half of its file or its array; None where only reading would tell."""
    if isinstance(example.pixels, Path):
        header = images.probe(example.pixels)
        height, width = header.height, header.width
    elif isinstance(example.pixels, np.ndarray) and example.pixels.ndim in (2, 3):
        height, width = example.pixels.shape[:2]
    else:
        return None
    return height, width if example.region == "whole" else width // 2


def of_classes(data: RowInputs, home: str, wanted: Wanted, classes: Collection[int]) -> list[int] | None:
    """The rows of a domain whose images are of some classes of a network; None if no image has a class."""
    found = replace(data, image=home).classes(replace(wanted, of=home))
    if all(each is None for each in found):
        return None
    return [row for row, each in enumerate(found) if each in classes]
