"""Spill: maps of an image in temporary files, written and read by rows."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import numpy as np
import torch
from torch import Tensor

from translate.errors import TranslateError
from translate.large.graph import UnknownOperationError
from translate.memory import in_words


class Spilled:
    """A map (1, C, H, W) in a temporary file without a name, which the system deletes with its last handle.

    It is written and read by calls, not mapped into memory, so that it never counts as the process's own.
    """

    def __init__(self, shape: torch.Size, device: torch.device) -> None:
        _, self._channels, self._height, self._width = shape
        self._device = device
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="translate-", buffering=0)  # noqa: SIM115
        self._dtype = torch.float32
        self._last = False
        self.written = 0

    def write(self, first: int, part: Tensor) -> None:
        """Write rows from ``first`` on, which must not lie behind the rows written so far; known ones are skipped."""
        if first > self.written:
            raise UnknownOperationError("a map has rows that nothing asks for")
        if not self.written:
            self._dtype = part.dtype
            self._last = not part.is_contiguous() and part.is_contiguous(memory_format=torch.channels_last)
        part = part[:, :, self.written - first :]
        if not part.shape[2]:
            return
        # Rows first: (h, W, C) or (h, C, W), as the network lays out its maps.
        rows = part[0].permute((1, 2, 0) if self._last else (1, 0, 2)).contiguous().cpu()
        self._file.seek(self.written * self._row_bytes)
        left = rows.reshape(-1).view(torch.uint8).numpy().data
        while left:
            left = left[self._file.write(left) :]
        self.written += part.shape[2]

    def read(self, first: int, last: int) -> Tensor:
        """The rows first to last, (1, C, last - first, W)."""
        data = np.empty((last - first) * self._row_bytes, np.uint8)
        self._file.seek(first * self._row_bytes)
        left = data.data
        while left:
            count = self._file.readinto(left)  # type: ignore[attr-defined]
            if not count:
                raise OSError("a temporary file is shorter than it was")
            left = left[count:]
        values = torch.from_numpy(data).view(self._dtype)
        if self._last:
            return values.view(1, last - first, self._width, self._channels).permute(0, 3, 1, 2).to(self._device)
        rows = values.view(1, last - first, self._channels, self._width).to(self._device)
        return rows.permute(0, 2, 1, 3).contiguous()

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    @property
    def _row_bytes(self) -> int:
        return self._channels * self._width * self._dtype.itemsize


def check_space(needed: int) -> None:
    """Raise ``TranslateError`` if the folder of temporary files has not so many bytes."""
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise TranslateError(
            f"translating it in strips needs {in_words(needed)} of temporary files, and {folder} has "
            f"{in_words(free)} free; set TMPDIR to a folder on a larger disk"
        )


@contextmanager
def all_closed(files: dict[int, Spilled]) -> Iterator[None]:
    """Close all files at the end of the block."""
    try:
        yield
    finally:
        for each in files.values():
            each.close()
