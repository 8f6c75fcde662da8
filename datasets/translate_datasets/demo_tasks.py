"""The tasks of the generated data set: what source and target of each show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from translate.data import Domain
from translate.errors import TranslateError
from translate_datasets import digits, scenery
from translate_datasets.exact import Draws
from translate_datasets.holes import Holes
from translate_datasets.landscapes import CLASSES, SEASONS, TIMES, WEATHERS, Landscape

Pixels = NDArray[np.uint8]

ANY = "any"
"""Each season, weather or time, equally often."""

FRAMES = 4
"""Frames of one landscape that are sources, one after the other."""

SPLIT = 1_000_000
"""Numbers of a split start at a multiple of this, so that splits share no scene."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One example: what draws it and its masks, five numbers that describe it, its class, and a name of its own."""

    image: Callable[[], Pixels]
    mask: Callable[[], Pixels]
    vector: Callable[[], NDArray[np.float32]]
    label: int = -1
    hole: Callable[[], Pixels] | None = None
    name: str = ""


class Task(Protocol):
    """What is drawn: the domains, and example number ``number`` of a side of them."""

    @property
    def domains(self) -> Mapping[str, Domain]:
        """The domains: source and target, or the source alone."""

    def drawn(self, side: str, number: int) -> Drawn:
        """One example."""


@dataclass(frozen=True, slots=True)
class Paintings:
    """Flat maps of landscapes and paintings of them."""

    size: int
    seed: int

    @property
    def domains(self) -> Mapping[str, Domain]:
        """RGB, with the times of day as labels."""
        return dict.fromkeys(("source", "target"), Domain(channels=3, labels=scenery.TIMES))

    def drawn(self, side: str, number: int) -> Drawn:
        """A map or its painting."""
        draw = scenery.flat if side == "source" else scenery.painting
        return Drawn(
            partial(draw, self.size, self.seed, number),
            partial(scenery.sky, self.size, self.seed, number),
            partial(scenery.describe, self.seed, number),
            scenery.time_of(self.seed, number),
        )


@dataclass(frozen=True, slots=True)
class Digits:
    """Digits on plates and the same written by hand."""

    size: int
    seed: int

    @property
    def domains(self) -> Mapping[str, Domain]:
        """Gray, with the digits as labels."""
        return dict.fromkeys(("source", "target"), Domain(channels=1, labels=digits.DIGITS))

    def drawn(self, side: str, number: int) -> Drawn:
        """A plate or a digit by hand."""
        draw = digits.plate if side == "source" else digits.pen
        return Drawn(
            partial(draw, self.size, self.seed, number),
            partial(digits.ink, self.size, self.seed, number),
            partial(digits.described, self.seed, number),
            digits.label_of(number),
        )


@dataclass(frozen=True, slots=True)
class View:
    """How a side of a task shows a landscape: ``picture`` is a method of it, ``changed`` what is other than asked."""

    picture: str
    domain: Domain
    changed: Mapping[str, Any] | None = None


_photo = View("photo", Domain(channels=3))
_map = View("classes", Domain(channels=3, classes=len(CLASSES), palette=tuple(CLASSES.values())))

Conditions = Mapping[str, str]
CHOICES: Mapping[str, tuple[str, ...]] = {"season": SEASONS, "weather": WEATHERS, "time": TIMES}
_usual: Conditions = {"season": "summer", "weather": "clear", "time": "day"}


@dataclass(frozen=True, slots=True)
class Scenic:
    """A task of landscapes: what its sides show, and conditions that it has of its own, which nobody can ask for."""

    source: View
    target: View | None = _photo
    usual: Conditions = field(default_factory=dict)
    own: Conditions = field(default_factory=dict)


SCENIC: Mapping[str, Scenic] = {
    "map": Scenic(_map, usual={"time": ANY}),
    "sketch": Scenic(View("sketch", Domain(channels=1))),
    "night": Scenic(_photo, View("photo", Domain(channels=3), {"time": "night"}), own={"time": "day"}),
    "gray": Scenic(View("gray", Domain(channels=1)), usual={"season": ANY}),
    "hole": Scenic(_photo, usual={"season": ANY}),
    "frames": Scenic(_photo),
    "winter": Scenic(_photo, View("photo", Domain(channels=3), {"season": "winter"}), own={"season": "summer"}),
    "season": Scenic(_photo, None, own={"season": ANY}),
    "weather": Scenic(_photo, None, own={"weather": ANY}),
}
"""The tasks of landscapes."""


class Landscapes:
    """Landscapes under conditions that are asked for, as one of the tasks ``SCENIC``."""

    def __init__(self, task: str, size: int, seed: int, asked: Mapping[str, str | None]) -> None:
        self._task, self._size, self._seed = task, size, seed
        self._scenic = SCENIC[task]
        for name, value in asked.items():
            if value is not None and name in self._scenic.own:
                raise TranslateError(f"demo(task={task}) chooses its {name} itself; leave out {name}={value}")
        given = {name: value for name, value in asked.items() if value is not None}
        self._conditions: Conditions = {**_usual, **self._scenic.usual, **given, **self._scenic.own}
        varied = [name for name, value in self._conditions.items() if value == ANY]
        self._labelled = varied[0] if varied else None

    @property
    def domains(self) -> Mapping[str, Domain]:
        """As the task shows them; labels are the first of season, weather and time that varies."""
        labels = CHOICES[self._labelled] if self._labelled else ()
        views = {"source": self._scenic.source, "target": self._scenic.target}
        return {
            side: Domain(view.domain.channels, classes=view.domain.classes, palette=view.domain.palette, labels=labels)
            for side, view in views.items()
            if view is not None
        }

    def drawn(self, side: str, number: int) -> Drawn:
        """A view of landscape ``number``; of frames, four numbers in a row are one landscape."""
        frames = self._task == "frames"
        index, moment = divmod(number, FRAMES) if frames else (number, 0)
        # The numbers of seasons, weathers and times have no divisor in common: all that varies meets in turn.
        chosen = {
            name: CHOICES[name][index % len(CHOICES[name])] if value == ANY else value
            for name, value in self._conditions.items()
        }
        label = CHOICES[self._labelled].index(chosen[self._labelled]) if self._labelled else -1
        view = self._scenic.source if side == "source" or self._scenic.target is None else self._scenic.target
        place = Landscape(self._size, self._seed, index, moment=moment + (frames and side == "target"), **chosen)
        place = place.at(**(view.changed or {}))
        hole = partial(_hole, self._size, self._seed, index) if self._task == "hole" else None
        name = f"{number % SPLIT // FRAMES:05d}-{moment}" if frames else ""
        return Drawn(getattr(place, view.picture), place.sky, place.described, label, hole, name)


def _hole(size: int, seed: int, index: int) -> Pixels:
    """What is to be filled in landscape ``index``: 255 inside a box or strokes."""
    # Imported here, so that data is listed without torch.
    import torch

    from translate_datasets.drawing import draw_holes

    key = int(Draws(seed, index, 10).number() * 2**53)
    drawn = draw_holes(Holes(), torch.tensor([key]), (size, size))[0, 0].numpy()
    return np.asarray(drawn[..., None] * 255, np.uint8)


def legend() -> str:
    """The classes of maps, each with its index.

    >>> legend()[:27]
    'classes of the maps: 0 sky,'
    """
    return "classes of the maps: " + ", ".join(f"{number} {name}" for number, name in enumerate(CLASSES))
