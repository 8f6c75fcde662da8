"""Headers of ``.npy`` data: shape, order and type of an array, held against the bytes that are there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from translate.images.opening import ImageError

_VERSIONS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """What the header of ``.npy`` data says: the array's shape, type and order, and where its values start."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    start: int

    @property
    def nbytes(self) -> int:
        """The bytes of all values."""
        return self.dtype.itemsize * math.prod(self.shape)

    def array(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values in their stored order as the array."""
        return values.reshape(self.shape, order="F" if self.fortran else "C")


def array_header(file: IO[bytes], name: str, length: int) -> ArrayHeader:
    """Read the header of ``.npy`` data from its start, and check it without reading any value.

    ``length`` is how many bytes there are in all. Raises ``ImageError`` for Python objects, records and other types
    without a number a value, and for a header that is damaged or says more than there is.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in _VERSIONS:
            raise ValueError(f"its format version is {version[0]}.{version[1]}")
        shape, fortran, dtype = _VERSIONS[version](file)
    except Exception as error:  # numpy raises different types for damaged headers
        reason = " ".join(str(error).split())[:120].rstrip(".") or type(error).__name__
        raise ImageError(f"{name} cannot be read ({reason}); restore or remove it") from None
    if dtype.hasobject:
        raise ImageError(f"{name} holds Python objects, which are never read; store it as numbers")
    if dtype.kind not in "biufc" or not dtype.itemsize:
        kind = "records" if dtype.names else f"values of type {str(dtype)[:60]}"
        raise ImageError(f"{name} holds {kind}, which are no pixels; store it as numbers, a field an array")
    header = ArrayHeader(tuple(int(side) for side in shape), dtype, bool(fortran), file.tell())
    if any(side < 0 for side in header.shape):
        raise ImageError(f"{name} has the shape {shape} in its header; it is damaged, restore or remove it")
    if header.nbytes > length - header.start:
        raise ImageError(
            f"{name} holds {max(length - header.start, 0)} of {header.nbytes} bytes; it is damaged or truncated, "
            "restore or remove it"
        )
    return header
