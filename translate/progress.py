"""Progress: how many epochs a training has seen and how many seconds it has taken, over all its resumptions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any


class Progress:
    """Counts the images of a training as epochs, and its time; ``facts`` go into a checkpoint.

    An epoch is as many images as the training split has, in its longest domain. Where that number has changed when a
    run is resumed, what was seen before still counts by the earlier one.
    """

    def __init__(self, facts: Mapping[str, Any] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._facts = facts
        self._clock = clock
        self._images, self._length, self._before = 0, 1, 0.0
        self._seconds = self._began = 0.0

    def begin(self, length: int, images: int) -> None:
        """Start the clock, with the epoch's length and the images seen before, where the checkpoint says nothing."""
        facts = self._facts or {"images": images, "length": length, "epochs": 0.0, "seconds": 0.0}
        self._images, self._length, self._before = facts["images"], facts["length"], facts["epochs"]
        if self._length != length:
            self._before, self._images, self._length = self.epoch, 0, length
        self._seconds, self._began = facts["seconds"], self._clock()

    def count(self, images: int) -> None:
        """Count the images of a step."""
        self._images += images

    @property
    def epoch(self) -> float:
        """The images seen over the epoch's length."""
        return self._before + self._images / self._length

    @property
    def seconds_before(self) -> float:
        """The seconds that a checkpoint tells, before the clock has started."""
        return float((self._facts or {}).get("seconds", 0.0))

    @property
    def seconds(self) -> float:
        """The seconds of training: samples and checkpoints count, the start and pauses between runs do not."""
        return self._seconds + self._clock() - self._began

    def facts(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON values."""
        return {
            "images": self._images,
            "length": self._length,
            "epochs": self._before,
            "seconds": round(self.seconds, 3),
        }
