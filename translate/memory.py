"""Memory: sizes as text, the default limits, and a budget that threads share."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Any

from translate.errors import TranslateError
from translate.machine import free_main_memory
from translate.options import Option

__all__ = [
    "Budget",
]

SHARE = 0.8
"""The share of the free memory that is used at most, unless a limit is given."""

ASSUMED = 4096
"""Bytes a pixel that no usual network's pass takes: only where that does not fit, the network's own are counted."""

MAX_PIXELS = 2**28
"""Height times width of the largest image that is decoded by default."""

_units = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def parse_memory(value: Any, where: str = "memory") -> int:
    """Read bytes: ``"6GB"``, ``"512 MiB"``, ``"1.5g"`` or a whole number; a unit is a power of 1024.

    >>> parse_memory("6GB"), parse_memory("512 MiB"), parse_memory(1000)
    (6442450944, 536870912, 1000)
    """
    found = re.fullmatch(r"\s*(\d{1,30}(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", str(value).lower())
    if found is None or isinstance(value, bool) or (size := int(float(found[1]) * _units[found[2]])) < 1:
        raise TranslateError(f"{where}: memory is a number of bytes or 512MB, 6GB ..., not {value!r:.100}")
    return size


Memory = Annotated[
    int | None,
    Option(
        "most memory for images and networks in flight, 6GB ...; what does not fit is named (default: 80 % of what is "
        "free)",
        parse=parse_memory,
        metavar="BYTES",
    ),
]
"""The option ``--memory``."""

MaxPixels = Annotated[int, Option("refuse images of more pixels by their header, before they are decoded", ge=1)]
"""The option ``--max-pixels``."""


def in_words(size: float) -> str:
    """A number of bytes in words.

    >>> in_words(603 * 2**20), in_words(18.7 * 2**30), in_words(2000)
    ('603 MB', '18.7 GB', '2 KB')
    """
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GB"


def free_share(device: str = "cpu") -> int:
    """The default limit: a share of what is free on a device now."""
    if device == "cpu":
        return max(1, int(SHARE * free_main_memory()))
    # Imported here: the rest works without torch.
    import torch

    from translate.devices import free_memory

    return max(1, int(SHARE * free_memory(torch.device(device))))


_limits: ContextVar[tuple[int | None, int | None]] = ContextVar("limits", default=(None, None))


@contextmanager
def limits(memory: int | None, max_pixels: int | None) -> Iterator[None]:
    """Set the defaults of budgets that this thread makes in the block, such as those of data sets that are opened."""
    token = _limits.set((memory, max_pixels))
    try:
        yield
    finally:
        _limits.reset(token)


def images_at_once(
    most: int, size: tuple[int, int], count: Callable[[tuple[int, int]], int], *, memory: int | None, device: str
) -> int:
    """How many images of a size (height, width) a network may take at once, up to ``most``.

    ``count`` tells the bytes for one image; it is asked only where the bytes of any usual network do not fit. On a CPU
    the limit is ``memory``, elsewhere what is free on the device. Raises ``TranslateError`` if not even one fits.
    """
    total = free_share(device) if memory is None or not device.startswith("cpu") else memory
    if most * ASSUMED * size[0] * size[1] <= total:
        return most
    if (need := count(size)) > total:
        raise TranslateError(
            f"an image of {size[1]} x {size[0]} pixels needs {in_words(need)} for the network on {device}, and "
            f"{in_words(total)} may be used; make it smaller, or raise --memory"
        )
    return max(1, min(most, total // max(need, 1)))


class Budget:
    """A number of bytes that threads share: each holds what it needs, and waits while the others hold too much.

    ``max_pixels`` is the size of the largest image that may be decoded in it. Without a total it is a share of what is
    free; the command line's ``--memory`` and ``--max-pixels`` replace the defaults.
    """

    def __init__(self, total: int | None = None, max_pixels: int | None = None) -> None:
        memory, pixels = _limits.get()
        total = memory if total is None else total
        self.total = free_share() if total is None else total
        self.max_pixels = max_pixels or pixels or MAX_PIXELS
        self._held = 0
        self._changed = threading.Condition()

    @property
    def free(self) -> int:
        """The bytes that nobody holds."""
        return self.total - self._held

    def too_large(self, need: int) -> str | None:
        """Why a need can never be met, to follow a name; None if it can be."""
        if need <= self.total:
            return None
        return (
            f"needs {in_words(need)} of memory, and {in_words(self.total)} may be used; make it smaller, or raise "
            "--memory"
        )

    @contextmanager
    def hold(self, need: int) -> Iterator[None]:
        """Hold bytes inside the block, once they are free; a thread must hold nothing else meanwhile."""
        if (reason := self.too_large(need)) is not None:
            raise TranslateError(f"this {reason}")
        with self._changed:
            self._changed.wait_for(lambda: need <= self.free)
            self._held += need
        try:
            yield
        finally:
            with self._changed:
                self._held -= need
                self._changed.notify_all()

    def take(self, need: int) -> bool:
        """Hold bytes if they are free now, until they are given back."""
        with self._changed:
            fits = need <= self.free
            self._held += need if fits else 0
        return fits

    def give_back(self, need: int) -> None:
        """Give back what ``take`` has taken."""
        with self._changed:
            self._held -= need
            self._changed.notify_all()
