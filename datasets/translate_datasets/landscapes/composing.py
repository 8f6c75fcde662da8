"""Composing: what a landscape has in it and where, from far to near."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from translate_datasets.exact import Draws, Plane, wave
from translate_datasets.landscapes.canvas import Canvas, Point
from translate_datasets.landscapes.materials import CODE
from translate_datasets.landscapes.things import boat, broad_tree, fir, house, mill, tower

LOW_SUN = {"day": (0.07, 0.2), "evening": (0.3, 0.42), "night": (0.07, 0.22)}
"""Between which heights from the top the sun stands by day and in the evening, and the moon by night."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A landscape as it is drawn, twice as large as its picture; lengths are shares of its side."""

    canvas: Canvas
    mountains: Plane
    """Height of the ridge in each column, from the top."""
    hills: Plane
    light: Point
    """Where the sun or moon is."""
    shore: float
    """The upper edge of the water; 1 without water."""


def compose(side: int, seed: int, index: int, *, time: str, weather: str, moment: int = 0) -> Scene:
    """Compose landscape number ``index``, ``moment`` frames after its first one.

    Its place is the same at all times and in any weather: hills, houses and trees stay where they are.
    """
    draws = Draws(seed, index, 0)
    canvas = Canvas(side)
    light = light_of(seed, index, time)
    radius = draws.number(0.04, 0.06)
    if weather == "clear":
        canvas.disc(light, (radius, radius), "moon" if time == "night" else "sun", 0.9)
    _clouds(canvas, Draws(seed, index, 1), light, moment, many=weather != "clear")

    x = np.arange(side) / side
    lake = draws.chance(0.55)
    far = _ridge(draws, x, draws.number(0.36, 0.42), 0.09, sharp=True)
    mountains = _ridge(draws, x, draws.number(0.42, 0.5), 0.13, sharp=True)
    hills = _ridge(draws, x, draws.number(0.55, 0.6), 0.05, sharp=False)
    near = _ridge(draws, x, draws.number(0.61, 0.65), 0.035, sharp=False)
    canvas.below(far, "far")
    canvas.below(mountains, "rock")
    canvas.below(hills, "hill")
    shore = draws.number(0.68, 0.73) if lake else 1.0
    _forest(canvas, draws, hills, draws.whole(10, 22), 0.035, light[0])
    canvas.below(near, "near")
    _fields(canvas, draws, near, shore)
    _forest(canvas, draws, near, draws.whole(3, 8), 0.06, light[0])

    level = 0.92 if lake else draws.number(0.73, 0.78)
    bank = _ridge(draws, x, level, 0.02 if lake else 0.03, sharp=False)
    if lake:
        canvas.below(np.full(side, shore, np.float32), "water")
    canvas.below(bank, "meadow")
    # Things are drawn from far to near, each by draws of its own: where one is missing, all others stay as they are.
    if not lake:
        _road(canvas, Draws(seed, index, 3), bank)
    _village(canvas, Draws(seed, index, 2), bank, shore, light[0], moment)
    if lake:
        _boats(canvas, Draws(seed, index, 4), shore, level, moment)
    _foreground(canvas, Draws(seed, index, 5), bank, light[0])
    return Scene(canvas, mountains, hills, light, shore)


def light_of(seed: int, index: int, time: str) -> Point:
    """Where the sun or moon of a landscape is."""
    draws = Draws(seed, index, 6)
    across = draws.number(0.14, 0.86)
    return across, draws.number(*LOW_SUN[time])


def _at(line: NDArray[np.float32], x: float) -> float:
    """The height of a line at a place."""
    return float(line[min(len(line) - 1, max(0, int(x * len(line))))])


def _ridge(draws: Draws, x: NDArray[np.float64], level: float, height: float, *, sharp: bool) -> Plane:
    line = np.zeros_like(x)
    for octave in range(5 if sharp else 3):
        frequency, phase = 1.1 * 1.9**octave * draws.number(0.8, 1.2), draws.number()
        turned = wave(frequency * x + phase)
        line = line + (1 - 2 * np.abs(turned) if sharp else turned) * (0.52 if sharp else 0.42) ** octave
    return np.asarray(level - height * line / 1.6, np.float32)


def _clouds(canvas: Canvas, draws: Draws, light: Point, moment: int, *, many: bool) -> None:
    for _ in range(draws.whole(8, 12) if many else draws.whole(1, 3)):
        scale, drift = draws.number(0.1, 0.2) if many else draws.number(0.07, 0.14), draws.number(0.02, 0.035)
        # From the left to the right, and in again on the left.
        cx = (draws.number(-0.2, 1.2) + drift * moment + 0.2) % 1.4 - 0.2
        cy = draws.number(0.05, 0.3)
        puffs = [(draws.number(-1.1, 1.1), draws.number(-0.3, 0.1), draws.number(0.4, 0.75)) for _ in range(6)]
        lit = 1 if light[0] > cx else -1
        for tone, up, less in ((0.25, 0.0, 1.0), (0.6, 0.1, 0.85), (1.0, 0.2, 0.66)):
            for dx, dy, size in puffs:
                size *= scale * less * (1.15 - 0.4 * abs(dx))
                centre = cx + (dx + 0.5 * up * lit) * scale, cy + (dy - up) * scale * 0.8
                canvas.disc(centre, (size, size * 0.6), "cloud", tone)


def _forest(canvas: Canvas, draws: Draws, line: Plane, count: int, height: float, light: float) -> None:
    """Trees along a line, in groups."""
    groups = [draws.number() for _ in range(3)]
    places = sorted(draws.one(groups) + draws.number(-0.14, 0.14) for _ in range(count))
    for place in places:
        foot = _at(line, place) + draws.number(0.0, 0.03)
        tall = height * draws.number(0.8, 1.3)
        if draws.chance(0.6):
            fir(canvas, place, foot + tall * 0.3, tall, light)
        else:
            broad_tree(canvas, draws, place, foot + tall * 0.3, tall * 0.9, light)


def _fields(canvas: Canvas, draws: Draws, line: Plane, shore: float) -> None:
    """Fields on the near hill, narrower above, with furrows."""
    bottom = min(shore, 0.78)
    for place in range(4):
        if not draws.chance(0.45):
            continue
        left = place / 4 + draws.number(-0.03, 0.03)
        right = left + draws.number(0.16, 0.24)
        slant, crop = draws.number(-0.05, 0.05), draws.one(("wheat", "rape", "earth"))
        upper = max(_at(line, (left + right) / 2 + slant), _at(line, left + slant), _at(line, right + slant)) + 0.012
        lower = min(bottom, upper + draws.number(0.045, 0.09))
        if lower - upper < 0.02:
            continue
        inner = (right - left) * 0.16
        corners = (left + slant + inner, upper), (right + slant - inner, upper), (right, lower), (left, lower)
        canvas.fill(corners, crop, 0.62)
        rows = 7
        for row in range(rows):
            (ax, ay), (bx, by), (cx, cy), (dx, dy) = corners
            share, next_one = (row + 0.1) / rows, (row + 0.5) / rows
            strip = [
                (ax + (bx - ax) * share, ay), (ax + (bx - ax) * next_one, by),
                (dx + (cx - dx) * next_one, cy), (dx + (cx - dx) * share, dy),
            ]  # fmt: skip
            canvas.shade(strip, 0.34)


def _village(canvas: Canvas, draws: Draws, bank: Plane, shore: float, light: float, moment: int) -> None:
    on_water = shore < 1
    places = [0.13, 0.36, 0.6, 0.84]
    taken = draws.whole(0, 3)
    if draws.chance(0.35):
        x = places[taken] + draws.number(-0.04, 0.04)
        foot = shore - 0.005 if on_water else _at(bank, x) + 0.01
        if draws.chance(0.6):
            mill(canvas, x, foot, draws.number(0.2, 0.26), light, turns=moment + draws.whole(0, 5))
        else:
            tower(canvas, x, foot, draws.number(0.2, 0.27), light)
    for place in range(4):
        if place == taken or not draws.chance(0.5):
            continue
        x = places[place] + draws.number(-0.04, 0.04)
        foot = shore - 0.004 if on_water else _at(bank, x) + draws.number(0.0, 0.03)
        house(canvas, draws, x, foot, draws.number(0.06, 0.085), light)


def _boats(canvas: Canvas, draws: Draws, shore: float, level: float, moment: int) -> None:
    if draws.chance(0.6):
        heading = draws.one((-1, 1))
        start, down = draws.number(0.1, 0.9), draws.number(0.25, 0.7)
        x = (start + 0.02 * heading * moment + 0.1) % 1.2 - 0.1
        boat(canvas, x, shore + (level - shore) * down, 0.05 + 0.05 * down, heading)


def _road(canvas: Canvas, draws: Draws, bank: Plane) -> None:
    """A road that winds from the lower edge to the top of the meadow."""
    if not draws.chance(0.75):
        return
    far_x, near_x, bend = draws.number(0.25, 0.75), draws.number(0.2, 0.8), draws.number(-0.22, 0.22)
    top = _at(bank, far_x) + 0.006
    left: list[Point] = []
    right: list[Point] = []
    for step in range(25):
        share = step / 24
        y = top + (1.02 - top) * share
        centre = far_x + (near_x - far_x) * share + bend * 4 * share * (1 - share) * (1 - share)
        half = 0.008 + 0.1 * share * share
        left.append((centre - half, y))
        right.append((centre + half, y))
    canvas.fill([*left, *reversed(right)], "road", 0.6)
    middle = [(x + (other - x) * 0.44, y) for (x, y), (other, _) in zip(left, right, strict=True)]
    beside = [(x + (other - x) * 0.56, y) for (x, y), (other, _) in zip(left, right, strict=True)]
    canvas.shade([*middle, *reversed(beside)], 0.42)


def _foreground(canvas: Canvas, draws: Draws, bank: Plane, light: float) -> None:
    for _ in range(draws.whole(20, 45)):
        x, share = draws.number(), draws.number()
        y = _at(bank, x) + 0.02 + (0.98 - _at(bank, x)) * share
        size = 0.004 + 0.006 * share
        kind = draws.one(("flower", "flower", "poppy"))
        column, row = min(canvas.side - 1, int(x * canvas.side)), min(canvas.side - 1, int(y * canvas.side))
        if canvas.material[row, column] == CODE["meadow"]:
            canvas.disc((x, y), (size, size * 0.8), kind, draws.number(0.5, 1.0))
    trees = sorted(
        (draws.number(0.02, 0.09), draws.one((draws.number(-0.02, 0.26), draws.number(0.74, 1.02))))
        for _ in range(draws.whole(1, 4))
    )
    for down, x in trees:
        foot = min(0.99, _at(bank, x) + down)
        if draws.chance(0.45):
            fir(canvas, x, foot, draws.number(0.24, 0.36), light)
        else:
            broad_tree(canvas, draws, x, foot, draws.number(0.22, 0.34), light)
