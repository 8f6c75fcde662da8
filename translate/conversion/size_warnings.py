"""Warnings of sizes, each told once in a conversion, of the first image that gives cause for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from translate.conversion.resizing import Resizing
from translate.sizes import Size
from translate.terminal import printable

log = logging.getLogger("translate")

FAR = 4
"""From this many times the longer training side on, what a network does to an image is another thing."""


class SizeWarnings:
    """Sentences of a conversion, each told once, by whichever thread comes first; ``silent`` tells none."""

    def __init__(self, *, silent: bool = False) -> None:
        self._told: set[str] = set()
        self._lock = threading.Lock()
        self._silent = silent

    def once(self, key: str, sentence: Callable[[], str]) -> None:
        """Tell a sentence, unless one of this key has been told."""
        with self._lock:
            known = key in self._told
            self._told.add(key)
        if not known and not self._silent:
            log.warning("%s", sentence())

    def look(self, name: str, own: Size, resizing: Resizing, trained: Size | None) -> None:
        """Tell of an image whose aspect changes, or that is far larger than those of the training."""
        name = printable(name)
        if resizing.squashes(own):
            self.once("squashed", lambda: _squashed(name, own, resizing))
        used = resizing.of(own)
        if trained is not None and max(used) >= FAR * max(trained):
            self.once("far", lambda: _far(name, used, trained))


def _squashed(name: str, own: Size, resizing: Resizing) -> str:
    assert resizing.at is not None
    return (
        f"--at changes the aspect of images, such as {name} ({own[1]} x {own[0]} pixels); --long-side "
        f"{max(resizing.at)} keeps it"
    )


def _far(name: str, used: Size, trained: Size) -> str:
    return (
        f"{name} is converted at {used[1]} x {used[0]} pixels by a network trained on {trained[1]} x {trained[0]}, so "
        f"what it changes is small beside the image; --long-side {2 * max(trained)} converts it smaller"
    )
