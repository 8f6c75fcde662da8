"""An ``.npz`` file of arrays that grow by rows: the rows are collected on the disk, so any number of them fits."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from translate.errors import TranslateError

RESERVED = frozenset({"names", "direction", "domain", "method", "size"})
"""The arrays of a file of codes that no code may be called."""

WIDTH = struct.calcsize("I")
"""Bytes of a character in an array of text."""


class ArrayWriter:
    """Writes ``names`` and float32 arrays of equal length; what is not finished leaves no file but temporary ones.

    The temporary files lie in the folder of ``path``, which should be one of its own.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names: list[str] = []
        self._files: dict[str, IO[bytes]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    @property
    def count(self) -> int:
        """The number of rows."""
        return len(self._names)

    def add(self, names: Sequence[str], arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Add rows; raises ``TranslateError`` unless all batches have arrays of the same names and shapes."""
        shapes = {name: array.shape[1:] for name, array in arrays.items()}
        if self._names and shapes != self.shapes:
            raise TranslateError(
                f"the network's codes have other shapes for some images than for others, {shapes} and {self.shapes}; "
                "they cannot be kept in one array"
            )
        self.shapes = shapes
        for name, array in arrays.items():
            if name not in self._files:
                self._files[name] = self._path.with_name(f"{name}.rows").open("w+b")
            self._files[name].write(np.ascontiguousarray(array, "<f4").tobytes())
        self._names += names

    def finish(self, facts: Mapping[str, NDArray[Any]]) -> None:
        """Write the file: the names, the arrays and some ``facts``."""
        with zipfile.ZipFile(self._path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            width = max((len(name) for name in self._names), default=1)
            padded = (name.encode("utf-32-le", "surrogatepass").ljust(WIDTH * width, b"\0") for name in self._names)
            self._write(archive, "names", f"<U{width}", (self.count,), padded)
            for name, file in self._files.items():
                file.seek(0)
                self._write(
                    archive, name, "<f4", (self.count, *self.shapes[name]), iter(partial(file.read, 1 << 20), b"")
                )
            for name, fact in facts.items():
                descr = np.lib.format.dtype_to_descr(fact.dtype)
                self._write(archive, name, descr, fact.shape, [fact.tobytes()])

    def _write(
        self, archive: zipfile.ZipFile, name: str, descr: Any, shape: tuple[int, ...], parts: Iterable[bytes]
    ) -> None:
        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, {"descr": descr, "fortran_order": False, "shape": shape})
            for part in parts:
                member.write(part)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()
            Path(file.name).unlink(missing_ok=True)
