"""Sources: where an input's values come from, for all images alike or for each by its name."""

from __future__ import annotations

import posixpath
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate import images
from translate.data import Domain
from translate.errors import TranslateError
from translate.given.tables import TableRows
from translate.given.values import Planes, Value, composed, digest_of, planes_of, planes_of_hole
from translate.sizes import Size
from translate.taken import Wanted


@dataclass(frozen=True, slots=True, eq=False)
class Picked:
    """An input's value for an image, and the file that it was read from, if it has one of its own."""

    value: Value
    file: Path | None = None


class Source(ABC):
    """Where the values of one input come from."""

    wanted: Wanted
    path: Path | None = None
    """The file or folder that they come from, if there is one."""

    @property
    @abstractmethod
    def digest(self) -> Any:
        """What stands for all values where it is noted how outputs were made, as a JSON value."""

    @abstractmethod
    def of(self, name: str, path: Path | str) -> Picked:
        """The value of an image by its name below the inputs; raises ``ImageError`` if it has none, or several."""

    def file_of(self, name: str) -> Path | None:
        """The file that holds the value of an image alone, if there is exactly one."""
        del name
        return None

    @property
    def count(self) -> int | None:
        """How many rows there are without names; None where there are none."""
        return None

    @property
    def any_value(self) -> Value | None:
        """One of the values, if one is known already."""
        return None


class Constant(Source):
    """One value for all images."""

    def __init__(self, wanted: Wanted, value: Value, path: Path | None = None) -> None:
        self.wanted, self.value, self.path = wanted, value, path

    @property
    def digest(self) -> Any:
        """The value's."""
        return digest_of(self.value)

    def of(self, name: str, path: Path | str) -> Picked:
        """The value."""
        return Picked(self.value)

    @property
    def any_value(self) -> Value:
        """The value."""
        return self.value


class Rows(Source):
    """A value for each row of a batch, without names."""

    def __init__(self, wanted: Wanted, values: Sequence[Value]) -> None:
        self.wanted, self.values = wanted, values

    @property
    def digest(self) -> Any:
        """Those of all values."""
        return [digest_of(each) for each in self.values]

    def of(self, name: str, path: Path | str) -> Picked:
        """Raises ``TranslateError``, since rows have no names."""
        raise TranslateError(
            f"{self.wanted.name} has {len(self.values)} rows without names, and images have names; give a table with "
            "names (.csv, or .npz with an array called names)"
        )

    @property
    def count(self) -> int:
        """The number of rows."""
        return len(self.values)

    @property
    def any_value(self) -> Value:
        """The first."""
        return self.values[0]


class Table(Source):
    """Values by the images' names, with or without their suffix."""

    def __init__(self, wanted: Wanted, file: Path, rows: TableRows) -> None:
        self.wanted, self.path, self._digest = wanted, file, rows.digest
        self.values = rows.values
        self._by_name: dict[str, list[Value]] = defaultdict(list)
        self._by_stem: dict[str, list[Value]] = defaultdict(list)
        for name, value in zip(map(_posix, rows.names), rows.values, strict=True):
            self._by_name[name].append(value)
            self._by_stem[stem_of(name)].append(value)

    @property
    def digest(self) -> Any:
        """The hash of the file."""
        return self._digest

    def of(self, name: str, path: Path | str) -> Picked:
        """The value in the row of an image's name, or else of its name without suffix."""
        stem = posixpath.splitext(name)[0]
        found = next((table[key] for table, key in self._tries(name, stem) if key in table), [])
        if len(found) == 1:
            return Picked(found[0])
        what = f"has no row {stem!r}" if not found else f"has {len(found)} rows {stem!r}"
        raise images.ImageError(f"{path}: the table {self.path} {what} for {self.wanted.name}; give it one")

    @property
    def any_value(self) -> Value:
        """The first."""
        return self.values[0]

    def _tries(self, name: str, stem: str) -> Iterable[tuple[Mapping[str, list[Value]], str]]:
        name, stem = _posix(name), _posix(stem)
        return (self._by_name, name), (self._by_name, stem), (self._by_stem, stem)


class Folder(Source):
    """A file for each image, which has its name below the folder, without suffix."""

    def __init__(self, wanted: Wanted, folder: Path, files: Sequence[Path], size: Size | None, max_pixels: int) -> None:
        self.wanted, self.path, self._folder, self._size, self._max_pixels = wanted, folder, folder, size, max_pixels
        self._files: dict[str, list[Path]] = defaultdict(list)
        for file in files:
            self._files[_stem(file.relative_to(folder).as_posix())].append(file)

    @property
    def digest(self) -> Any:
        """That each image has its own, whose stamp the manifest holds."""
        return "a file for each image"

    def of(self, name: str, path: Path | str) -> Picked:
        """The planes of an image's partner."""
        stem = posixpath.splitext(name)[0]
        found = self._files.get(_stem(name), [])
        if len(found) == 1:
            planes = planes_of_file(found[0], self.wanted, str(path), self._size, self._max_pixels)
            return Picked(planes, found[0])
        there = f"{self._folder / stem}.png or of another suffix"
        if not found:
            raise images.ImageError(f"{path}: its {self.wanted.name} is missing; there is no {there}")
        names = " and ".join(str(file) for file in found[:3])
        raise images.ImageError(f"{path}: its {self.wanted.name} is there {len(found)} times, {names}; leave one")

    def file_of(self, name: str) -> Path | None:
        """The image's partner, if there is exactly one."""
        found = self._files.get(_stem(name), [])
        return found[0] if len(found) == 1 else None


class OwnAlpha(Source):
    """Each image's own transparency: all of it that is not wholly opaque is to be filled."""

    WORD = "alpha"
    """How it is asked for."""

    DOMAIN = Domain(1, "uint16", alpha="only")
    """As what it is read: 65535 where an image is opaque."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted

    @property
    def digest(self) -> Any:
        """That it is each image's own, whose stamp the manifest holds."""
        return "the transparency of each image"

    def of(self, name: str, path: Path | str) -> Picked:
        """Raises ``TranslateError``, since a name has no pixels."""
        raise TranslateError(
            f"{path}: {self.wanted.name}=alpha is the transparency of an image's file, and here is none; give a mask"
        )

    def of_opacity(self, opacity: NDArray[np.uint16]) -> Picked:
        """The planes for an image of an opacity (H, W, 1), of which 65535 is opaque."""
        return Picked(planes_of_hole(opacity[..., 0] < np.iinfo(np.uint16).max, self.wanted))


def _posix(name: str) -> str:
    """A name in a table, which other programs begin with ./ or write with backslashes."""
    return composed(name.replace("\\", "/")).removeprefix("./")


def _stem(name: str) -> str:
    return composed(posixpath.splitext(name)[0])


def stem_of(name: str) -> str:
    """A name without the suffix of an image, if it has one; a dot of another kind belongs to the name.

    >>> stem_of("a/b.PNG"), stem_of("v1.5")
    ('a/b', 'v1.5')
    """
    stem, suffix = posixpath.splitext(name)
    return stem if suffix.lower() in images.READABLE else name


def planes_of_file(path: Path, wanted: Wanted, where: str, size: Size | None, max_pixels: int) -> Planes:
    """The planes of a still image's file, as ``fitted_planes``."""
    if several := images.probe(path).several:
        raise images.ImageError(f"{path} has several {several}, and {wanted.name} is one image; give a still one")
    return fitted_planes(planes_of(path, wanted, where, max_pixels), wanted, size)


def fitted_planes(planes: Planes, wanted: Wanted, size: Size | None) -> Planes:
    """Planes at the size of the training, if the network takes an image of that size."""
    return planes.resized(size) if wanted.kind == "image" and size is not None else planes
