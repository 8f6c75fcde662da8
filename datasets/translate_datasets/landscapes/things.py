"""Things in a landscape: trees, houses, towers, mills, boats; each lit from the side of the sun or moon."""

from __future__ import annotations

from translate_datasets.exact import Draws
from translate_datasets.landscapes.canvas import Canvas


def _lit_from_left(x: float, light: float) -> bool:
    return light < x


def fir(canvas: Canvas, x: float, foot: float, height: float, light: float) -> None:
    """A fir of four skirts on a short trunk, its shadow on the ground."""
    left = _lit_from_left(x, light)
    half = height * 0.24
    _shadow(canvas, x, foot, half, left)
    canvas.box(x - height * 0.03, foot - height * 0.14, x + height * 0.03, foot, "trunk", 0.4)
    for step in range(4):
        low, wide = foot - height * (0.1 + 0.2 * step), half * (1 - 0.21 * step)
        tip = low - height * 0.32
        canvas.fill([(x - wide, low), (x + wide, low), (x, tip)], "fir", 0.22)
        side = -1 if left else 1
        canvas.fill([(x + side * wide, low), (x + side * wide * 0.1, low - height * 0.03), (x, tip)], "fir", 0.72)


def broad_tree(canvas: Canvas, draws: Draws, x: float, foot: float, height: float, light: float) -> None:
    """A tree with a round crown of several puffs, dark below and light above."""
    left = _lit_from_left(x, light)
    kind = draws.one(("oak", "birch", "maple"))
    _shadow(canvas, x, foot, height * 0.3, left)
    canvas.fill(
        [(x - height * 0.045, foot), (x + height * 0.045, foot), (x + height * 0.02, foot - height * 0.5),
         (x - height * 0.02, foot - height * 0.5)],
        "trunk",
        0.45,
    )  # fmt: skip
    puffs = [(0.0, -0.66, 0.3), (-0.2, -0.52, 0.22), (0.21, -0.53, 0.22), (-0.1, -0.78, 0.19), (0.12, -0.76, 0.2)]
    puffs = [(dx + draws.number(-0.03, 0.03), dy + draws.number(-0.03, 0.03), r) for dx, dy, r in puffs]
    side = -1 if left else 1
    for tone, move, less in ((0.12, 0.0, 1.0), (0.45, 0.05, 0.84), (0.85, 0.1, 0.5)):
        for dx, dy, radius in puffs:
            centre = x + (dx + side * move * 0.8) * height, foot + (dy - move) * height
            canvas.disc(centre, (radius * less * height, radius * less * height * 0.9), kind, tone)


def house(canvas: Canvas, draws: Draws, x: float, foot: float, half: float, light: float) -> None:
    """A house seen from its corner: a gable, a long side, roof, windows, door and chimney."""
    left = _lit_from_left(x, light)
    wall, roof = draws.one(("plaster", "plaster", "brick", "timber")), draws.one(("tiles", "tiles", "slate"))
    height, deep = half * draws.number(0.95, 1.2), half * draws.number(1.3, 1.8)
    mirror = draws.one((-1, 1))

    def at(across: float) -> float:
        return x + mirror * across

    gable = 0.85 if left == (mirror > 0) else 0.45
    along = 0.45 if left == (mirror > 0) else 0.8
    top, peak = foot - height, foot - height - half * 0.85
    _shadow(canvas, x, foot, half * 1.6, left)
    corner = half * 0.2
    outer, end, middle = corner - half * 1.2, corner + deep, corner - half * 0.6
    canvas.fill([(at(corner), top), (at(end), top), (at(end), foot), (at(corner), foot)], wall, along)
    canvas.fill([(at(outer), top), (at(middle), peak), (at(corner), top), (at(corner), foot), (at(outer), foot)],
                wall, gable)  # fmt: skip
    chimney = middle + deep * 0.6
    canvas.fill([(at(chimney), peak - half * 0.3), (at(chimney + half * 0.2), peak - half * 0.3),
                 (at(chimney + half * 0.2), peak + half * 0.3), (at(chimney), peak + half * 0.3)],
                "stone", 0.5)  # fmt: skip
    eaves = half * 0.12
    canvas.fill([(at(middle - eaves * 0.4), peak), (at(middle + deep + eaves), peak),
                 (at(end + eaves), top + eaves), (at(corner + eaves * 0.5), top + eaves)],
                roof, along * 0.9)  # fmt: skip
    canvas.fill([(at(middle), peak - eaves * 0.4), (at(middle), peak + eaves), (at(outer - eaves), top + eaves * 1.4),
                 (at(outer - eaves), top + eaves * 0.2)], roof, 0.3)  # fmt: skip
    for place in (0.25, 0.62):
        window = corner + deep * place
        canvas.fill([(at(window), top + height * 0.3), (at(window + half * 0.3), top + height * 0.3),
                     (at(window + half * 0.3), top + height * 0.65), (at(window), top + height * 0.65)],
                    "window", 0.5)  # fmt: skip
    canvas.fill([(at(middle - half * 0.18), foot - height * 0.6), (at(middle + half * 0.18), foot - height * 0.6),
                 (at(middle + half * 0.18), foot), (at(middle - half * 0.18), foot)], "door", 0.5)  # fmt: skip
    canvas.disc((at(middle), top - half * 0.2), (half * 0.14, half * 0.14), "window", 0.5)


def tower(canvas: Canvas, x: float, foot: float, height: float, light: float) -> None:
    """A church: a tower with a spire, and a nave beside it."""
    left = _lit_from_left(x, light)
    half = height * 0.13
    _shadow(canvas, x, foot, half * 2.4, left)
    eaves = foot - height * 0.3
    canvas.box(x, eaves, x + half * 4, foot, "plaster", 0.55)
    ridge = eaves - height * 0.16
    canvas.fill([(x, eaves), (x + half * 4.2, eaves), (x + half * 3.6, ridge), (x, ridge)], "slate", 0.5)
    for place in (1.6, 2.4, 3.2):
        canvas.box(
            x + half * place, eaves + height * 0.07, x + half * (place + 0.3), foot - height * 0.06, "window", 0.5
        )
    canvas.box(x - half, foot - height * 0.68, x, foot, "plaster", 0.9 if left else 0.4)
    canvas.box(x, foot - height * 0.68, x + half, foot, "plaster", 0.4 if left else 0.9)
    peak, base = foot - height, foot - height * 0.66
    canvas.fill([(x - half * 1.2, base), (x, peak), (x, base)], "slate", 0.75 if left else 0.3)
    canvas.fill([(x + half * 1.2, base), (x, peak), (x, base)], "slate", 0.3 if left else 0.75)
    canvas.box(x - half * 0.3, foot - height * 0.56, x + half * 0.3, foot - height * 0.42, "window", 0.5)
    canvas.box(x - half * 0.35, foot - height * 0.16, x + half * 0.35, foot, "door", 0.5)


def mill(canvas: Canvas, x: float, foot: float, height: float, light: float, *, turns: int) -> None:
    """A windmill; its four sails have been turned so many times by the angle of the triangle 7, 24, 25."""
    left = _lit_from_left(x, light)
    low, high, top = height * 0.17, height * 0.11, foot - height * 0.72
    _shadow(canvas, x, foot, low * 1.4, left)
    canvas.fill([(x - low, foot), (x, foot), (x, top), (x - high, top)], "stone", 0.9 if left else 0.4)
    canvas.fill([(x + low, foot), (x, foot), (x, top), (x + high, top)], "stone", 0.4 if left else 0.9)
    canvas.fill([(x - high * 1.15, top), (x + high * 1.15, top), (x + high * 0.4, top - height * 0.14),
                 (x - high * 0.4, top - height * 0.14)], "tiles", 0.5)  # fmt: skip
    canvas.box(x - low * 0.25, foot - height * 0.18, x + low * 0.25, foot, "door", 0.5)
    canvas.box(x - low * 0.2, foot - height * 0.46, x + low * 0.2, foot - height * 0.36, "window", 0.5)
    hub = top - height * 0.02
    cos, sin = 1.0, 0.0
    for _ in range(turns):
        cos, sin = cos * 24 / 25 - sin * 7 / 25, sin * 24 / 25 + cos * 7 / 25
    for _ in range(4):
        reach, wide = height * 0.44, height * 0.055
        corners = [(0.08 * reach, 0.0), (reach, 0.0), (reach, wide * 1.5), (0.2 * reach, wide)]
        canvas.fill([(x + a * cos - b * sin, hub + a * sin + b * cos) for a, b in corners], "sail", 0.8)
        cos, sin = -sin, cos


def boat(canvas: Canvas, x: float, foot: float, size: float, heading: int) -> None:
    """A boat with two sails, its bow to the right (1) or to the left (-1)."""

    def at(across: float) -> float:
        return x + heading * across * size

    canvas.fill([(at(-0.8), foot - size * 0.25), (at(1.0), foot - size * 0.3), (at(0.6), foot), (at(-0.6), foot)],
                "hull", 0.6)  # fmt: skip
    canvas.fill([(at(-0.05), foot - size * 1.7), (at(-0.05), foot - size * 0.35), (at(-0.7), foot - size * 0.4)],
                "sail", 0.9)  # fmt: skip
    canvas.fill([(at(0.05), foot - size * 1.5), (at(0.05), foot - size * 0.4), (at(0.85), foot - size * 0.42)],
                "sail", 0.55)  # fmt: skip


def _shadow(canvas: Canvas, x: float, foot: float, half: float, lit_from_left: bool) -> None:
    move = half * (0.7 if lit_from_left else -0.7)
    canvas.shade([(x - half + move, foot), (x + half + move, foot), (x + half * 0.8 + move, foot + half * 0.22),
                  (x - half * 0.8 + move, foot + half * 0.22)], 0.2)  # fmt: skip
