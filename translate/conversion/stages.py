"""Stages of a conversion: the seconds that each image spent in them, and which of them the others wait for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

STAGES = ("decode", "translate", "write")


class Stages:
    """Seconds by image and stage, collected by threads.

    >>> stages = Stages()
    >>> stages.add(Path("a.png"), "decode", 0.25)
    >>> stages.of(Path("a.png"))
    {'decode': 0.25}
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[Path, dict[str, float]] = {}
        self._done: set[Path] = set()
        self._total = dict.fromkeys(STAGES, 0.0)
        self._translators = 1

    def share(self, translators: int) -> None:
        """Say how many images are translated at the same time."""
        self._translators = max(translators, 1)

    def add(self, source: Path, stage: str, seconds: float) -> None:
        """Add what an image took in a stage."""
        with self._lock:
            found = self._found.setdefault(source, {})
            found[stage] = found.get(stage, 0.0) + seconds
            self._total[stage] += seconds

    def of(self, source: Path) -> Mapping[str, float]:
        """The seconds of an image in each stage that it has reached."""
        with self._lock:
            return dict(self._found.get(source, {}))

    def done(self, source: Path) -> None:
        """Note that an image's outputs are written."""
        with self._lock:
            self._done.add(source)

    def is_done(self, source: Path) -> bool:
        """Whether an image's outputs are written."""
        with self._lock:
            return source in self._done

    @contextmanager
    def timed(self, source: Path, stage: str) -> Iterator[None]:
        """Time what the block does for an image."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.add(source, stage, time.perf_counter() - begun)

    def bottleneck(self, workers: int) -> str:
        """The stage that had the most to do; an empty text before anything was timed.

        Decoding and writing have ``workers`` threads each, while translation's own threads share the cores' time.
        """
        with self._lock:
            loads = {
                "decode": self._total["decode"] / workers,
                "translate": self._total["translate"] / self._translators,
                "write": self._total["write"] / workers,
            }
        stage = max(loads, key=lambda each: loads[each])
        return stage if loads[stage] else ""
