"""Tables: classes or vectors by the images' names, in a ``.csv``, ``.npy`` or ``.npz`` file."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate import images
from translate.errors import TranslateError
from translate.given.values import Value, class_of, is_float, vector_of
from translate.taken import Wanted

SUFFIXES = (".csv", ".npy", ".npz")

HEADS = frozenset({"name", "names", "file", "filename", "image", "path"})
"""What the first cell of a heading is called."""

MOST_BYTES = 2**31
"""The largest table, in bytes; an archive's arrays count as they are when they are unpacked."""


@dataclass(frozen=True, slots=True)
class TableRows:
    """The rows of a table: names, which are empty where a table has none, and values; ``digest`` names its bytes."""

    names: tuple[str, ...]
    values: tuple[Value, ...]
    digest: str


def read_table(path: Path, wanted: Wanted) -> TableRows:
    """Read a table of the values of an input; raises ``TranslateError``, which names the file and the row."""
    try:
        with images.open_regular(path) as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise TranslateError(f"cannot read {path}: {(error.strerror or str(error)).lower()}; give a table") from None
    if len(data) > MOST_BYTES:
        raise TranslateError(f"{path} has more than {MOST_BYTES >> 30} GB; give a smaller table")
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    try:
        suffix = path.suffix.lower()
        rows = list(_of_csv(data) if suffix == ".csv" else _of_npz(data, wanted) if suffix == ".npz" else _of_npy(data))
    except (ValueError, TypeError, EOFError, KeyError, IndexError, MemoryError, OSError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:150].rstrip(".") or type(error).__name__
        raise TranslateError(f"{path} is no table that can be read ({reason}); give names with values") from None
    if not rows:
        raise TranslateError(f"{path} has no rows; give it a row an image")
    names: list[str] = []
    values: list[Any] = []
    for number, (name, value) in enumerate(rows, 1):
        found = _value(value, wanted, f"{path}, row {number}{f' ({name:.60})' if name else ''}")
        if values and isinstance(found, np.ndarray) and len(found) != len(values[0]):
            raise TranslateError(
                f"{path}, row {number}: it has {len(found)} numbers, and the rows before have {len(values[0])}"
            )
        names.append(name)
        values.append(found)
    return TableRows(tuple(names), tuple(values), digest)


def _value(value: Any, wanted: Wanted, where: str) -> Any:
    if wanted.kind in ("vector", "latent"):
        return vector_of(value, wanted, where)
    single = value[0] if isinstance(value, (list, np.ndarray)) and len(value) == 1 else value
    if isinstance(single, (list, np.ndarray)):
        raise TranslateError(f"{where}: it has {len(single)} values, and a class is one")
    if isinstance(single, str) and not wanted.labels:
        single = single.strip()
    if isinstance(single, (float, np.floating)) and float(single).is_integer():
        single = int(single)
    return class_of(single, wanted, where)


def _of_csv(data: bytes) -> Iterator[tuple[str, Any]]:
    """Rows ``name,value,...`` of text; a first row that is called ``name`` is a heading."""
    text = data.decode("utf-8-sig")
    if "\0" in text:
        raise ValueError("it is no text")
    try:
        for number, row in enumerate(csv.reader(io.StringIO(text, newline=""), strict=True)):
            cells = [cell.strip() for cell in row]
            if not any(cells) or (number == 0 and cells[0].lower() in HEADS):
                continue
            if len(cells) < 2:
                raise ValueError(f"line {number + 1} is no name,value")
            name, *values = cells
            numeric = all(map(is_float, values))
            yield name, [float(each) for each in values] if numeric and len(values) > 1 else _single(values)
    except csv.Error as error:
        raise ValueError(str(error)) from None


def _single(values: list[str]) -> Any:
    """The only cell, as it is; several that are no numbers are refused by what they should be."""
    return values[0] if len(values) == 1 else values


def _of_npy(data: bytes) -> Iterator[tuple[str, Any]]:
    """Rows of an array; of a record array, the field of text holds the names."""
    array = np.lib.format.read_array(_checked(io.BytesIO(data), len(data)), allow_pickle=False)
    if array.dtype.names:
        texts = [name for name in array.dtype.names if array.dtype[name].kind in "US"]
        others = [name for name in array.dtype.names if name not in texts]
        if len(texts) != 1 or len(others) != 1 or array.ndim != 1:
            raise ValueError("records of a name and one field of values are read")
        yield from zip(_texts(array[texts[0]]), array[others[0]], strict=True)
        return
    yield from _unnamed(array)


def _unnamed(array: NDArray[Any]) -> Iterator[tuple[str, Any]]:
    if array.dtype.kind not in "biuf" or array.ndim not in (0, 1, 2):
        raise ValueError(f"an array of {array.dtype} and the shape {array.shape} is no table")
    # One vector or one class is a row; classes lie one below the other.
    rows = array.reshape(1, -1) if array.ndim == 0 or (array.ndim == 1 and array.dtype.kind == "f") else array
    for row in rows:
        yield "", row


def _of_npz(data: bytes, wanted: Wanted) -> Iterator[tuple[str, Any]]:
    """Rows of an archive with an array of names, as ``translate encode`` writes it, and one of values."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(each.file_size for each in archive.infolist()) > MOST_BYTES:
            raise ValueError(f"it unpacks to more than {MOST_BYTES >> 30} GB")
        arrays = {}
        for entry in archive.infolist():
            if entry.filename.endswith(".npy"):
                content = archive.read(entry)
                file = _checked(io.BytesIO(content), len(content))
                arrays[entry.filename.removesuffix(".npy")] = np.lib.format.read_array(file, allow_pickle=False)
    names = next((arrays.pop(name) for name in ("names", "name") if name in arrays), None)
    if names is None:
        raise ValueError("it has no array called names")
    chosen = next((name for name in (wanted.name, wanted.of, "values") if name in arrays), None)
    if chosen is None and len(arrays) != 1:
        raise ValueError(f"of its arrays {', '.join(arrays)} none is called {wanted.name}")
    values = arrays[chosen] if chosen is not None else next(iter(arrays.values()))
    if names.ndim != 1 or names.dtype.kind not in "US" or len(values) != len(names):
        raise ValueError("its names and its values differ in number")
    yield from zip(_texts(names), values, strict=True)


def _texts(names: NDArray[Any]) -> list[str]:
    return [each.decode() if isinstance(each, bytes) else str(each) for each in names.tolist()]


def _checked(file: io.BytesIO, length: int) -> io.BytesIO:
    """The file, if its header says no more than there is: numpy would take the memory first."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never read")
    if int(np.prod(shape, dtype=object)) * dtype.itemsize > length - file.tell():
        raise ValueError("it is truncated")
    file.seek(0)
    return file
