"""Notices: what conversions leave out of their outputs, told once for each kind with the number of images."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

_SHOWN = 3


class Notices:
    """Sentences about images, collected by threads: each image's are kept, and each kind is told once.

    >>> found = Notices()
    >>> found.add(Path("in/a.jpg"), ["EXIF data are not kept: .bmp files hold none"])
    >>> found.summary()
    ['1 image (a.jpg): EXIF data are not kept: .bmp files hold none']
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, dict[Path, None]] = {}

    def add(self, source: Path, sentences: Iterable[str]) -> None:
        """Add what is said of an image; the same sentence counts once for it."""
        with self._lock:
            for sentence in sentences:
                self._found.setdefault(sentence, {})[source] = None

    def of(self, source: Path) -> tuple[str, ...]:
        """What was said of an image."""
        with self._lock:
            return tuple(sentence for sentence, sources in self._found.items() if source in sources)

    def by_image(self) -> Mapping[Path, tuple[str, ...]]:
        """What was said, by image."""
        found: dict[Path, list[str]] = {}
        with self._lock:
            for sentence, sources in self._found.items():
                for source in sources:
                    found.setdefault(source, []).append(sentence)
        return {source: tuple(sentences) for source, sentences in found.items()}

    def summary(self) -> list[str]:
        """One sentence for each kind, with the number of images and the names of a few, in alphabetical order."""
        lines = []
        with self._lock:
            for sentence in sorted(self._found):
                names = sorted(source.name for source in self._found[sentence])
                shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
                lines.append(f"{len(names)} image{'s' if len(names) > 1 else ''} ({shown}): {sentence}")
        return lines
