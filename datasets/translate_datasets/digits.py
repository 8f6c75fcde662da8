"""Digits: strokes of a font of our own, written by a pen or printed on a plate, the same on every machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from translate_datasets.exact import Draws, Plane

Point = tuple[float, float]
Pixels = NDArray[np.uint8]

DIGITS = tuple("0123456789")

# Each digit as the ways in which it is written: strokes through points of a unit square, x to the right and y down.
_font: Mapping[int, Sequence[Sequence[Sequence[Point]]]] = {
    0: [[[(0.52, 0.06), (0.24, 0.2), (0.16, 0.5), (0.25, 0.82), (0.5, 0.94), (0.76, 0.8), (0.84, 0.48), (0.74, 0.18),
          (0.52, 0.06)]]],
    1: [[[(0.52, 0.06), (0.5, 0.94)]], [[(0.3, 0.26), (0.54, 0.06)], [(0.54, 0.06), (0.53, 0.94)]]],
    2: [[[(0.2, 0.28), (0.36, 0.09), (0.62, 0.09), (0.77, 0.28), (0.62, 0.55), (0.18, 0.92)],
         [(0.18, 0.92), (0.84, 0.91)]]],
    3: [[[(0.22, 0.16), (0.5, 0.06), (0.75, 0.24), (0.63, 0.42), (0.42, 0.48)],
         [(0.42, 0.48), (0.72, 0.54), (0.81, 0.73), (0.58, 0.93), (0.2, 0.84)]]],
    4: [[[(0.62, 0.06), (0.14, 0.64)], [(0.14, 0.64), (0.88, 0.62)], [(0.65, 0.34), (0.63, 0.95)]],
        [[(0.26, 0.08), (0.2, 0.54)], [(0.2, 0.54), (0.82, 0.52)], [(0.74, 0.1), (0.68, 0.95)]]],
    5: [[[(0.78, 0.09), (0.3, 0.1)], [(0.3, 0.1), (0.26, 0.46)],
         [(0.26, 0.46), (0.56, 0.38), (0.81, 0.6), (0.68, 0.88), (0.42, 0.95), (0.18, 0.84)]]],
    6: [[[(0.7, 0.08), (0.36, 0.3), (0.2, 0.64), (0.34, 0.91), (0.64, 0.91), (0.79, 0.69), (0.6, 0.51), (0.36, 0.56),
          (0.22, 0.74)]]],
    7: [[[(0.17, 0.11), (0.82, 0.11)], [(0.82, 0.11), (0.56, 0.5), (0.42, 0.94)]],
        [[(0.17, 0.11), (0.82, 0.11)], [(0.82, 0.11), (0.56, 0.5), (0.42, 0.94)], [(0.34, 0.51), (0.74, 0.49)]]],
    8: [[[(0.5, 0.48), (0.26, 0.29), (0.5, 0.06), (0.74, 0.28), (0.5, 0.48), (0.2, 0.71), (0.5, 0.95), (0.8, 0.7),
          (0.5, 0.48)]]],
    9: [[[(0.77, 0.3), (0.56, 0.08), (0.29, 0.2), (0.28, 0.44), (0.52, 0.53), (0.77, 0.3)],
         [(0.77, 0.3), (0.75, 0.6), (0.6, 0.94)]]],
}  # fmt: skip

_steps = 6  # pieces between two points of a stroke


def label_of(index: int) -> int:
    """The digit that number ``index`` shows; ten in a row are all different."""
    return index % 10


def pen(size: int, seed: int, index: int) -> Pixels:
    """Digit number ``index`` written by hand, white on black, (size, size, 1)."""
    distance, width = _written(size, seed, index, unsteady=1.0)
    return _levels(_ink(distance, width, size) * np.float32(255))


def plate(size: int, seed: int, index: int) -> Pixels:
    """Digit number ``index`` on the plate of a house, dark or light, with its neighbours cut off, (size, size, 1).

    It has the form of the same digit by hand, drawn more steadily.
    """
    distance, width = _written(size, seed, index, unsteady=0.4)
    draws = Draws(seed, index, 1)
    ground, contrast = draws.number(60, 190), draws.number(80, 125)
    level = ground + contrast if ground < 125 else ground - contrast
    picture = np.full((size, size), ground, np.float32)
    at = np.arange(size, dtype=np.float32) / np.float32(size) - np.float32(0.5)
    picture += at[None] * np.float32(draws.number(-50, 50)) + at[:, None] * np.float32(draws.number(-50, 50))
    picture += draws.grain(size, 3, 3) * np.float32(10)
    for side in (-1, 1):
        if draws.chance(0.6):
            other = _strokes(draws, draws.whole(0, 9), 0.4)
            moved = [((x * 0.5 - 0.25) + 0.5 + side * draws.number(0.5, 0.56), y * 0.72 + 0.14) for x, y in other[0]]
            ends = [((x * 0.5 - 0.25) + 0.5 + side * 0.53, y * 0.72 + 0.14) for x, y in other[1]]
            near = _ink(_distances(size, moved, ends), 0.05, size)
            picture += (np.float32(level) - picture) * near * np.float32(0.7)
    ink = _ink(distance, width * 1.35 + 0.012, size)
    picture += (np.float32(level) - picture) * ink
    picture += draws.plane(size, size) * np.float32(8)
    return _levels(picture)


def ink(size: int, seed: int, index: int) -> Pixels:
    """Where digit number ``index`` is written, (size, size, 1): 255, and 0 elsewhere."""
    return np.asarray((pen(size, seed, index) > 127) * 255, np.uint8)


def described(seed: int, index: int) -> NDArray[np.float32]:
    """How digit number ``index`` is written, in five numbers: slant, turn, width, height and thickness."""
    return np.array(_hand(Draws(seed, index, 0)), np.float32)


def _hand(draws: Draws) -> tuple[float, float, float, float, float]:
    return (
        draws.number(-0.1, 0.34),
        draws.number(-0.12, 0.12),
        draws.number(0.42, 0.62),
        draws.number(0.66, 0.8),
        draws.number(0.036, 0.062),
    )


def _written(size: int, seed: int, index: int, *, unsteady: float) -> tuple[Plane, float]:
    """The distance of each pixel from the strokes of a digit, and the half width of the pen, as shares of the side."""
    draws = Draws(seed, index, 0)
    slant, turn, width, height, thick = _hand(draws)
    slant, turn = slant * unsteady, turn * unsteady
    across, down = draws.number(-0.05, 0.05), draws.number(-0.05, 0.05)

    def placed(point: Point) -> Point:
        x, y = (point[0] - 0.5) * width, (point[1] - 0.5) * height
        x, y = x - slant * y, y
        return x - turn * y + 0.5 + across * unsteady, y + turn * x + 0.5 + down * unsteady

    starts, ends = _strokes(draws, label_of(index), unsteady)
    return _distances(size, [placed(point) for point in starts], [placed(point) for point in ends]), thick


def _strokes(draws: Draws, digit: int, unsteady: float) -> tuple[list[Point], list[Point]]:
    """The pieces of a digit's strokes, in the unit square: where they start, and where they end."""
    starts: list[Point] = []
    ends: list[Point] = []
    for stroke in draws.one(_font[digit]):
        moved = [
            (x + unsteady * draws.number(-0.04, 0.04), y + unsteady * draws.number(-0.03, 0.03)) for x, y in stroke
        ]
        line = list(_curve(moved))
        starts += line[:-1]
        ends += line[1:]
    return starts, ends


def _curve(points: Sequence[Point]) -> Iterator[Point]:
    """A smooth line through points, by the cubics of Catmull and Rom."""
    first = (2 * points[0][0] - points[1][0], 2 * points[0][1] - points[1][1])
    last = (2 * points[-1][0] - points[-2][0], 2 * points[-1][1] - points[-2][1])
    all_ = [first, *points, last]
    for number in range(len(points) - 1):
        a, b, c, d = all_[number : number + 4]
        for step in range(_steps):
            t = step / _steps
            yield _cubic(a[0], b[0], c[0], d[0], t), _cubic(a[1], b[1], c[1], d[1], t)
    yield points[-1]


def _cubic(a: float, b: float, c: float, d: float, t: float) -> float:
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


def _distances(size: int, starts: Sequence[Point], ends: Sequence[Point]) -> Plane:
    """How far each pixel of a square is from the nearest of some pieces of lines, as a share of the side."""
    at = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    nearest = np.full((size, size), 9, np.float32)
    for (ax, ay), (bx, by) in zip(starts, ends, strict=True):
        along_x, along_y = np.float32(bx - ax), np.float32(by - ay)
        from_x, from_y = at[None] - np.float32(ax), at[:, None] - np.float32(ay)
        length = max(along_x * along_x + along_y * along_y, np.float32(1e-9))
        share = np.clip((from_x * along_x + from_y * along_y) / length, 0, 1)
        apart_x, apart_y = from_x - share * along_x, from_y - share * along_y
        nearest = np.minimum(nearest, apart_x * apart_x + apart_y * apart_y)
    return np.asarray(np.sqrt(nearest), np.float32)


def _ink(distance: Plane, width: float, size: int) -> Plane:
    """How much of each pixel a pen of this half width covers, with soft edges of a pixel."""
    return np.asarray(np.clip((np.float32(width) - distance) * np.float32(size) + np.float32(0.5), 0, 1), np.float32)


def _levels(picture: Plane) -> Pixels:
    return np.asarray(np.rint(np.clip(picture, 0, 255)), np.uint8)[..., None]
