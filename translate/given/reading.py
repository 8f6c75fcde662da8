"""Reading: the values that are given by name, held against what a network takes, before any work begins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate import images
from translate.assignments import Typed, parse_given
from translate.errors import TranslateError
from translate.given.sources import (
    Constant,
    Folder,
    OwnAlpha,
    Picked,
    Rows,
    Source,
    Table,
    fitted_planes,
    planes_of_file,
)
from translate.given.tables import SUFFIXES, read_table
from translate.given.values import Planes, Value, array_of, class_of, is_float, is_tensor, planes_of, vector_of
from translate.paths import expanded
from translate.sizes import Size
from translate.taken import Taken, Wanted

log = logging.getLogger("translate")


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What is given to one network: its ``options`` that have not their default, and where its inputs come from."""

    taken: Taken = field(default_factory=Taken)
    options: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.options or self.sources)

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs that are given, in the network's order."""
        return tuple(name for name in self.taken.inputs if name in self.sources)

    @property
    def aligned(self) -> tuple[Wanted, ...]:
        """The inputs that are given and as large as the image, in the network's order."""
        return tuple(self.taken.inputs[name] for name in self.names if self.taken.inputs[name].kind == "aligned")

    @property
    def hole(self) -> Wanted | None:
        """The input that marks what is filled, if it is given."""
        return next((each for each in self.aligned if each.hole), None)

    @property
    def lengths(self) -> dict[str, int]:
        """The lengths of the vectors that are given."""
        found = {
            name: self.sources[name].any_value
            for name in self.names
            if self.taken.inputs[name].kind in ("vector", "latent")
        }
        return {name: len(value) for name, value in found.items() if isinstance(value, np.ndarray)}

    @property
    def making(self) -> dict[str, Any]:
        """What outputs depend on, as JSON values; empty where nothing is given."""
        found = {name: list(each) if isinstance(each, tuple) else each for name, each in self.options.items()}
        return found | {name: source.digest for name, source in self.sources.items()}

    @property
    def paths(self) -> dict[str, str]:
        """The absolute paths of what was given as a file or a folder."""
        found = {name: source.path for name, source in self.sources.items()}
        return {name: str(path.absolute()) for name, path in found.items() if path is not None}

    def of(self, name: str, path: Path | str, opacity: Callable[[], NDArray[np.uint16]]) -> dict[str, Picked]:
        """The values for an image, by its name below the inputs; ``path`` names it in an error.

        ``opacity`` reads its own alpha (H, W, 1), where that is asked for.
        """
        found: dict[str, Picked] = {}
        for each in self.names:
            source = self.sources[each]
            found[each] = source.of_opacity(opacity()) if isinstance(source, OwnAlpha) else source.of(name, path)
        return found

    def files_of(self, name: str) -> dict[str, Path | None]:
        """The files that an image has of its own, by the inputs that come from a folder."""
        return {each: source.file_of(name) for each, source in self.sources.items() if isinstance(source, Folder)}

    def rows(self, count: int, size: Size, where: str) -> list[dict[str, Value]]:
        """The values for each of so many images of a (height, width), which have no names."""
        found: list[dict[str, Value]] = [{} for _ in range(count)]
        for name in self.names:
            source = self.sources[name]
            if isinstance(source, Constant):
                values: Sequence[Value] = [source.value] * count
            elif isinstance(source, (Rows, Table)):
                values = source.values
            elif isinstance(source, OwnAlpha):
                raise TranslateError(f"{where}: {name}=alpha is the transparency of files; give an image here")
            else:
                raise TranslateError(f"{where}: {name} is a folder, and these images have no names; give an image")
            if len(values) != count:
                raise TranslateError(f"{where}: {name} has {len(values)} rows, and there are {count} images")
            for row, value in zip(found, values, strict=True):
                row[name] = value
                whole = self.taken.inputs[name].kind in ("aligned", "noise")
                if whole and isinstance(value, Planes) and value.size != size:
                    raise TranslateError(f"{where}: {name} {_of_other_size(value.size, size)}")
        return found

    @property
    def count(self) -> int | None:
        """How many images the rows of tables are for, where images have numbers; None if there are no rows."""
        counts = {
            each: len(source.values) for each, source in self.sources.items() if isinstance(source, (Rows, Table))
        }
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise TranslateError(f"the tables have different numbers of rows: {told}; give as many in each")
        return next(iter(counts.values()), None)

    def numbered(self, numbers: Sequence[int]) -> list[dict[str, Value]]:
        """The values of images by their numbers, which are those of the rows."""
        found: list[dict[str, Value]] = [{} for _ in numbers]
        for name in self.names:
            source = self.sources[name]
            for row, number in zip(found, numbers, strict=True):
                if isinstance(source, (Rows, Table)):
                    if number >= len(source.values):
                        raise TranslateError(f"{name} has {len(source.values)} rows, and none for image {number}")
                    row[name] = source.values[number]
                elif isinstance(source, Constant):
                    row[name] = source.value
                else:
                    what = "the transparency of files" if isinstance(source, OwnAlpha) else "a folder"
                    raise TranslateError(f"{name} is {what}, and images from noise have no names; give one image")
        return found

    def refuse_rows(self) -> None:
        """Raise ``TranslateError`` if an input has rows without names, where images have names."""
        for source in self.sources.values():
            if source.count is not None:
                source.of("", "")


def read_given(
    given: Mapping[str, Any],
    taken: Taken,
    where: str,
    *,
    size: Size | None = None,
    max_pixels: int = images.MAX_PIXELS,
    elsewhere: Collection[str] = (),
) -> Given:
    """Hold what is given against what a network takes, and read tables and files for all images.

    ``where`` names the network, and ``size`` is that of its training, at which it takes images. Inputs that come from
    ``elsewhere`` may be missing. Raises ``TranslateError`` for a name, a value, a table or a file that does not fit,
    and for what is missing.
    """
    given = parse_given(given, where)
    taken.check_names(given, where)
    absent = {name for name, value in given.items() if name in taken.inputs and _is_nothing(value, taken.inputs[name])}
    options = taken.constants({name: _plain(value) for name, value in given.items()}, where)
    values = {name: value for name, value in given.items() if name in taken.inputs and name not in absent}
    taken.refuse_missing({*values, *elsewhere}, where)
    sources = {name: _source(taken.inputs[name], value, where, size, max_pixels) for name, value in values.items()}
    return Given(taken, options, {name: sources[name] for name in taken.inputs if name in sources})


def _of_other_size(own: Size, size: Size) -> str:
    return f"has {own[1]} x {own[0]} pixels, and its image has {size[1]} x {size[0]}; it must be as large"


def _is_nothing(value: Any, wanted: Wanted) -> bool:
    """Whether an input is said to be absent, which typed text says by the word none."""
    return value is None or (isinstance(value, Typed) and value == "none" and "none" not in wanted.labels)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Typed) else value


def _source(wanted: Wanted, value: Any, where: str, size: Size | None, max_pixels: int) -> Source:
    value = _plain(value)
    if wanted.kind == "class":
        return _of_classes(wanted, value, where)
    if wanted.kind in ("vector", "latent"):
        return _of_vectors(wanted, value, where)
    return _of_images(wanted, value, where, size, max_pixels)


def _is_table(value: Any) -> bool:
    return isinstance(value, Path) or (isinstance(value, str) and value.lower().endswith(SUFFIXES))


def _of_table(wanted: Wanted, value: Any, where: str) -> Source:
    path = expanded(value)
    if path.suffix.lower() not in SUFFIXES or path.is_dir():
        raise TranslateError(
            f"{where}: {wanted.name} is {wanted.describe()}, and {path} is no table; give a file that ends in "
            f"{', '.join(SUFFIXES)}"
        )
    rows = read_table(path, wanted)
    if any(rows.names):
        return Table(wanted, path, rows)
    return Constant(wanted, rows.values[0], path) if len(rows.values) == 1 else Rows(wanted, rows.values)


def _of_classes(wanted: Wanted, value: Any, where: str) -> Source:
    if _is_table(value) and str(value) not in wanted.labels:
        return _of_table(wanted, value, where)
    if is_tensor(value) or isinstance(value, np.ndarray):
        array = array_of(value)
        if array.dtype.kind not in "iu" or array.ndim > 1:
            raise TranslateError(f"{where}: {wanted.name} is a class; give its name, or whole numbers (N,)")
        value = int(array) if array.ndim == 0 else [int(each) for each in array]
    if isinstance(value, (list, tuple)):
        return Rows(wanted, [class_of(each, wanted, where) for each in value])
    return Constant(wanted, class_of(value, wanted, where))


def _of_vectors(wanted: Wanted, value: Any, where: str) -> Source:
    if isinstance(value, (str, Path)):
        numbers = isinstance(value, str) and all(map(is_float, value.split(",")))
        return Constant(wanted, vector_of(value, wanted, where)) if numbers else _of_table(wanted, value, where)
    try:
        array = array_of(value)
    except ValueError:
        array = np.empty(())
    if array.ndim == 2:
        return Rows(wanted, [vector_of(each, wanted, where) for each in array])
    return Constant(wanted, vector_of(value if array.ndim != 1 else array, wanted, where))


def _of_images(wanted: Wanted, value: Any, where: str, size: Size | None, max_pixels: int) -> Source:
    if isinstance(value, (str, Path)):
        path = expanded(value)
        if wanted.hole and value == OwnAlpha.WORD:
            if path.exists():
                log.warning(
                    "%s=alpha is the transparency of each image; write ./alpha for the file or folder of that name",
                    wanted.name,
                )
            return OwnAlpha(wanted)
        if path.is_dir():
            if wanted.kind == "noise":
                raise TranslateError(f"{where}: {wanted.name} is noise, which is drawn; leave it out")
            found = images.survey(path)
            if not found.files:
                raise TranslateError(f"{where}: {path} holds no images for {wanted.name}; name a folder with some")
            return Folder(wanted, path, found.files, size, max_pixels)
        if not path.exists():
            raise TranslateError(f"{where}: there is no file or folder {path} for {wanted.name}; check its name")
        return Constant(wanted, planes_of_file(path, wanted, where, size, max_pixels), path)
    if (is_tensor(value) and value.dim() == 4) or (isinstance(value, np.ndarray) and value.ndim == 4):
        return Rows(wanted, [fitted_planes(planes_of(each, wanted, where), wanted, size) for each in value])
    return Constant(wanted, fitted_planes(planes_of(value, wanted, where), wanted, size))
