"""Scenery: generated landscapes, each as a flat class map and as a painting of the same scene.

The painting can be inferred from the map: a high sun means day, a low one sunset, a moon night. Light comes from the
sun or moon, water mirrors what is above it, and windows are lit when it is dark.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Plane = NDArray[np.float32]
Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (142, 202, 230),  # sky
    (255, 214, 10),  # sun
    (226, 226, 240),  # moon
    (255, 255, 255),  # cloud
    (129, 104, 157),  # mountain
    (96, 143, 90),  # hill
    (33, 104, 172),  # water
    (167, 201, 87),  # meadow
    (27, 76, 56),  # tree
    (188, 71, 73),  # wall
    (94, 23, 35),  # roof
    (255, 150, 20),  # window
)
SKY, SUN, MOON, CLOUD, MOUNTAIN, HILL, WATER, MEADOW, TREE, WALL, ROOF, WINDOW = range(12)

TIMES = ("day", "sunset", "night")
"""The times of day of scenes; ``time_of`` returns an index into them."""

_low = 0.27  # height below which the sun is setting

_fine = 2  # a scene is painted at twice its size and downsampled


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """A scene: ``map`` (H, W) of indices into the palette; lengths are shares of the picture's side."""

    map: NDArray[np.uint8]
    mountains: Plane
    """Height of the ridge in each column, measured from the top."""
    hills: Plane
    light: tuple[float, float]
    """Position of the sun or moon, x and y."""
    night: bool
    shore: float
    """Upper edge of the water; 1 without water."""


def flat(size: int, seed: int, index: int) -> Pixels:
    """Draw the map of scene number ``index``, (size, size, 3); it depends on the arguments only."""
    scene = _compose(np.random.default_rng((seed, index)), size * _fine)
    return np.asarray(np.array(PALETTE, np.uint8)[scene.map[_fine // 2 :: _fine, _fine // 2 :: _fine]])


def sky(size: int, seed: int, index: int) -> Pixels:
    """Where the map of scene number ``index`` shows the sky, (size, size, 1): 255, and 0 elsewhere."""
    is_sky = (flat(size, seed, index) == np.array(PALETTE[SKY], np.uint8)).all(axis=2, keepdims=True)
    return np.asarray(is_sky * 255, np.uint8)


def describe(seed: int, index: int) -> NDArray[np.float32]:
    """Scene number ``index`` in five numbers: a one for its time of day, and where the sun or moon is, x and y.

    >>> describe(0, 0).shape
    (5,)
    """
    _, light = _light(np.random.default_rng((seed, index)))
    return np.concatenate([np.eye(3)[time_of(seed, index)], light]).astype(np.float32)


def painting(size: int, seed: int, index: int) -> Pixels:
    """Paint scene number ``index``, (size, size, 3), according to its map."""
    random = np.random.default_rng((seed, index))
    scene = _compose(random, size * _fine)
    small = cv2.resize(_paint(scene, random), (size, size), interpolation=cv2.INTER_AREA)
    small += random.standard_normal(small.shape, np.float32) * 0.006
    return np.asarray(np.rint(np.clip(small, 0, 1) * 255), np.uint8)


def time_of(seed: int, index: int) -> int:
    """The time of day that scene number ``index`` shows: an index into ``TIMES``.

    >>> TIMES[time_of(0, 0)]
    'day'
    """
    night, (_, height) = _light(np.random.default_rng((seed, index)))
    return 2 if night else int(height > _low)


# --- the map --------------------------------------------------------------------------------------------------------


def _compose(random: np.random.Generator, side: int) -> _Scene:
    map_ = np.full((side, side), SKY, np.uint8)
    x = np.linspace(0, 1, side, dtype=np.float32)
    y = x[:, None]

    def fill(points: list[tuple[float, float]], what: int) -> None:
        cv2.fillPoly(map_, [np.rint(np.array(points) * side).astype(np.int32)], what)

    def disc(cx: float, cy: float, rx: float, ry: float, what: int) -> None:
        centre, axes = (round(cx * side), round(cy * side)), (max(1, round(rx * side)), max(1, round(ry * side)))
        cv2.ellipse(map_, centre, axes, 0, 0, 360, what, -1)

    night, light = _light(random)
    radius = float(random.uniform(0.045, 0.075))
    disc(*light, radius, radius, MOON if night else SUN)

    for _ in range(random.integers(1, 4)):
        cx, cy, scale = random.uniform(0.05, 0.95), random.uniform(0.06, 0.3), random.uniform(0.06, 0.12)
        for _ in range(4):
            dx, dy, puff = random.uniform(-1, 1), random.uniform(-0.25, 0.15), random.uniform(0.45, 0.8)
            disc(cx + dx * scale, cy + dy * scale, puff * scale, puff * scale * 0.62, CLOUD)

    mountains = _ridge(random, x, float(random.uniform(0.36, 0.46)), 0.13, sharp=True)
    hills = _ridge(random, x, float(random.uniform(0.54, 0.62)), 0.06, sharp=False)
    map_[y > mountains] = MOUNTAIN
    map_[y > hills] = HILL

    shore = float(random.uniform(0.66, 0.72)) if random.random() < 0.6 else 1.0
    if shore < 1:
        map_[(y > shore) & (x >= 0)] = WATER
    bank = _ridge(random, x, 0.9 if shore < 1 else float(random.uniform(0.7, 0.78)), 0.035, sharp=False)
    map_[y > bank] = MEADOW

    for _ in range(random.integers(5, 12)):  # distant trees, on the hills
        tx = float(random.uniform(0, 1))
        foot = min(float(hills[int(tx * (side - 1))]) + float(random.uniform(0.02, 0.06)), shore - 0.01)
        _tree(random, fill, disc, tx, foot, float(random.uniform(0.05, 0.08)))
    for place in random.permutation(3)[: random.integers(0, 3)]:  # houses that never overlap
        hx = 0.2 + 0.3 * float(place) + float(random.uniform(-0.06, 0.06))
        foot = shore - 0.012 if shore < 1 else float(bank[int(hx * (side - 1))]) + 0.045
        _house(random, fill, hx, foot, float(random.uniform(0.085, 0.115)))
    for _ in range(random.integers(1, 4)):  # near trees
        tx = float(random.choice([random.uniform(0.0, 0.28), random.uniform(0.72, 1.0)]))
        foot = float(bank[int(tx * (side - 1))]) + float(random.uniform(0.03, 0.07))
        _tree(random, fill, disc, tx, foot, float(random.uniform(0.2, 0.3)))
    return _Scene(map_, mountains, hills, light, night, shore)


def _light(random: np.random.Generator) -> tuple[bool, tuple[float, float]]:
    """Whether it is night, and the position of the sun or moon."""
    night = bool(random.random() < 0.25)
    return night, (float(random.uniform(0.12, 0.88)), float(random.uniform(0.1, 0.42)))


def _ridge(random: np.random.Generator, x: Plane, level: float, height: float, *, sharp: bool) -> Plane:
    line = np.zeros_like(x)
    for octave in range(5 if sharp else 2):
        frequency, phase = 1.1 * 1.9**octave * random.uniform(0.8, 1.2), random.uniform(0, 6.28)
        wave = np.sin(6.2832 * frequency * x + phase)
        line += (2 * np.abs(wave) - 1 if sharp else wave) * 0.55**octave
    return np.asarray(level + height * line / 1.6, np.float32)


def _tree(random: np.random.Generator, fill: Any, disc: Any, x: float, foot: float, height: float) -> None:
    half = height * 0.26
    fill([(x - height * 0.035, foot), (x + height * 0.035, foot), (x, foot - height * 0.5)], TREE)
    if random.random() < 0.65:
        for step in range(3):  # a fir: three skirts
            low, wide = foot - height * (0.12 + 0.24 * step), half * (1 - 0.24 * step)
            fill([(x - wide, low), (x + wide, low), (x, low - height * 0.42)], TREE)
    else:
        disc(x, foot - height * 0.58, half * 1.05, height * 0.34, TREE)
        disc(x - half * 0.5, foot - height * 0.46, half * 0.75, height * 0.2, TREE)
        disc(x + half * 0.55, foot - height * 0.48, half * 0.7, height * 0.2, TREE)


def _house(random: np.random.Generator, fill: Any, x: float, foot: float, half: float) -> None:
    top = foot - half * 1.05

    def box(left: float, upper: float, right: float, lower: float, what: int) -> None:
        fill([(left, upper), (right, upper), (right, lower), (left, lower)], what)

    chimney = x + half * float(random.choice([-0.5, 0.5]))
    box(chimney - half * 0.12, top - half * 0.8, chimney + half * 0.12, top, ROOF)
    box(x - half, top, x + half, foot, WALL)
    fill([(x - half * 1.22, top + half * 0.06), (x + half * 1.22, top + half * 0.06), (x, top - half * 0.85)], ROOF)
    for place in (-0.52, 0.52):
        centre = x + half * place
        box(centre - half * 0.22, top + half * 0.28, centre + half * 0.22, top + half * 0.7, WINDOW)
    box(x - half * 0.12, foot - half * 0.55, x + half * 0.12, foot, ROOF)


# --- the painting ---------------------------------------------------------------------------------------------------


def _rgb(*values: int) -> Plane:
    return np.array([value / 255 for value in values], np.float32)


def _blend(first: Any, second: Any, share: Any) -> NDArray[np.float32]:
    return np.asarray(first + (second - first) * share, np.float32)


def _grain(random: np.random.Generator, side: int, across: int, down: int) -> NDArray[np.float32]:
    """Smooth noise in [-1, 1], (side, side, 1), with ``across`` times ``down`` grains."""
    coarse = random.uniform(-1, 1, (down, across)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), np.float32)[..., None]


def _paint(scene: _Scene, random: np.random.Generator) -> NDArray[np.float32]:
    map_, night = scene.map, scene.night
    side = len(map_)
    x = np.linspace(0, 1, side, dtype=np.float32)[None, :, None]
    y = x.transpose(1, 0, 2)
    light_x, light_y = scene.light
    dusk = 0.0 if night else float(np.clip((light_y - 0.16) / 0.22, 0, 1)) ** 1.3
    rough = _grain(random, side, 24, 24) * 0.6 + _grain(random, side, 64, 64) * 0.4

    # Sky: zenith to horizon, and the glow around sun or moon.
    zenith = _rgb(13, 18, 48) if night else _blend(_rgb(58, 124, 205), _rgb(64, 62, 128), dusk)
    horizon = _rgb(52, 66, 118) if night else _blend(_rgb(196, 226, 245), _rgb(255, 158, 92), dusk)
    distance = np.sqrt((x - light_x) ** 2 + (y - light_y) ** 2)
    glow = np.exp(-distance / (0.11 if night else 0.16 + 0.1 * dusk))
    shine = _rgb(150, 170, 225) if night else _blend(_rgb(255, 247, 214), _rgb(255, 190, 96), dusk)
    sky = _blend(zenith, horizon, np.clip(y / 0.5, 0, 1) ** 1.2)
    sky = _blend(sky, shine, glow * (0.5 if night else 0.8))
    if night:
        stars = (random.random((side // _fine, side // _fine)) < 0.006).astype(np.float32)
        stars = cv2.resize(stars, (side, side), interpolation=cv2.INTER_LINEAR)[..., None]
        sky = sky + stars * np.clip(1 - y / 0.5, 0, 1) * 0.8

    ambient = _rgb(74, 88, 140) if night else _blend(_rgb(255, 253, 245), _rgb(255, 188, 140), dusk * 0.8)
    haze = horizon
    from_left = np.sign(light_x - x + 1e-6) * np.clip(np.abs(light_x - x) * 5, 0, 1)

    # Mountains: rock lit from the side of the light, snow on the heights, haze at their feet.
    ridge = scene.mountains[None, :, None]
    slope = np.gradient(cv2.GaussianBlur(scene.mountains[None], (0, 0), side / 90)[0])[None, :, None] * side
    lit = np.clip(0.5 - 0.35 * slope * from_left + 0.25 * rough, 0, 1)
    rock = _blend(_rgb(72, 68, 98), _rgb(158, 144, 150), lit) * ambient
    snow = _blend(_rgb(170, 186, 220), _rgb(255, 255, 255), lit) * _blend(ambient, _rgb(255, 255, 255), 0.3)
    below = y - ridge
    capped = np.clip((0.47 - ridge) * 14, 0, 1) * np.clip((0.065 + 0.03 * rough - below) * 45, 0, 1)
    mountain = _blend(_blend(rock, snow, capped), haze, np.clip(below * 3.2, 0, 0.72))

    # Hills: grass, brighter where they face the light, darker downwards.
    below = y - scene.hills[None, :, None]
    slope = np.gradient(scene.hills)[None, :, None] * side
    lit = np.clip(0.62 - 0.9 * slope * from_left - below * 2.2 + 0.22 * rough, 0, 1)
    hill = _blend(_rgb(44, 84, 58), _rgb(142, 174, 84), lit) * ambient
    hill = _blend(hill, haze, np.clip(0.28 - below * 3, 0, 0.28))

    # Meadow: blades of grass, sprinkled with flowers.
    blades = _grain(random, side, 70, 18)
    lit = np.clip(0.62 + 0.35 * blades - (y - 0.8) * 1.4, 0, 1)
    meadow = _blend(_rgb(58, 98, 40), _rgb(166, 194, 76), lit) * ambient
    blossom = cv2.resize((random.random((26, 40)) < 0.03).astype(np.float32), (side, side))[..., None]
    meadow = _blend(meadow, _rgb(250, 236, 190) * ambient, np.clip(blossom * 1.4 - 0.4, 0, 1))

    # Objects: trees and roofs are shaded as round, by the distance to their edge towards the light.
    tree = _round_shading(map_ == TREE, light_x, x, side, 0.035, rough)
    leaves = _blend(_rgb(15, 40, 32), _rgb(86, 132, 62), tree) * ambient
    wall = _blend(_rgb(158, 126, 112), _rgb(244, 226, 200), np.clip(0.62 + 0.45 * from_left * 0.5, 0, 1)) * ambient
    tiles = 0.5 + 0.5 * np.sin(y * 6.2832 * 46)
    roof = _blend(
        _rgb(112, 44, 40),
        _rgb(196, 92, 66),
        0.75 * _round_shading(map_ == ROOF, light_x, x, side, 0.05, rough) + 0.25 * tiles,
    )
    roof = roof * ambient
    dark = 1.0 if night else 0.35 + 0.65 * dusk
    window = _blend(_rgb(92, 128, 158), _rgb(255, 208, 112), dark)

    cloud_mask = (map_ == CLOUD).astype(np.float32)
    depth = cv2.GaussianBlur(cloud_mask, (0, 0), side / 26)[..., None]
    above = np.roll(depth, side // 28, axis=0)
    pale = _rgb(120, 132, 176) if night else _blend(_rgb(255, 255, 255), _rgb(255, 214, 178), dusk)
    shade = _rgb(50, 60, 104) if night else _blend(_rgb(176, 196, 220), _rgb(186, 120, 142), dusk)
    cloud = _blend(shade, pale, np.clip(0.5 + (depth - above) * 2.6 + 0.3 + 0.16 * rough, 0, 1))

    picture = sky.copy()
    soft = cv2.GaussianBlur(cloud_mask, (0, 0), side / 110)[..., None]
    picture = _blend(picture, cloud, np.where(np.isin(map_, (SKY, CLOUD))[..., None], soft, 0) * 0.92)
    surfaces = {MOUNTAIN: mountain, HILL: hill, MEADOW: meadow, TREE: leaves, WALL: wall, ROOF: roof, WINDOW: window}
    for what, surface in surfaces.items():
        where = map_ == what
        picture[where] = np.broadcast_to(surface, picture.shape)[where]
    disc = _rgb(240, 240, 226) * (1 + 0.08 * rough) if night else _blend(_rgb(255, 250, 222), _rgb(255, 226, 150), dusk)
    where = (map_ == SUN) | (map_ == MOON)
    picture[where] = np.broadcast_to(disc, picture.shape)[where]

    if scene.shore < 1:
        picture = _mirror(
            picture, scene, random, _blend(_rgb(20, 34, 70), _rgb(46, 112, 150), 0.0 if night else 1 - 0.5 * dusk)
        )
    lamps = cv2.GaussianBlur((map_ == WINDOW).astype(np.float32), (0, 0), side / 34)[..., None]
    picture = picture + lamps * _rgb(255, 176, 80) * dark * 0.75
    return np.asarray(picture + glow**2 * shine * (0.16 if night else 0.22), np.float32)


def _round_shading(
    mask: NDArray[np.bool_], light_x: float, x: Plane, side: int, reach: float, rough: Plane
) -> NDArray[np.float32]:
    """Shading of a round object, estimated from the extent of its mask towards the light."""
    full = mask.astype(np.float32)
    shift = max(1, round(reach * side * 0.4))
    left = cv2.GaussianBlur(np.roll(full, shift, axis=1), (0, 0), reach * side * 0.35)
    right = cv2.GaussianBlur(np.roll(full, -shift, axis=1), (0, 0), reach * side * 0.35)
    toward = np.where(light_x < x[..., 0], right - left, left - right)
    return np.asarray(np.clip(0.42 + 0.55 * toward[..., None] + 0.28 * rough, 0, 1), np.float32)


def _mirror(picture: NDArray[np.float32], scene: _Scene, random: np.random.Generator, deep: Any) -> NDArray[np.float32]:
    """Fill the water with a mirrored and rippled copy of what is above it, darker towards the viewer."""
    side = len(picture)
    shore = int(np.argmax((scene.map == WATER).any(axis=1)))
    rows = np.arange(shore, side)
    down = (rows - shore)[:, None].astype(np.float32)
    ripple = _grain(random, side, 6, 40)[: side - shore, :, 0] * (0.004 + 0.02 * down / side) * side
    columns = np.arange(side, dtype=np.float32)[None] + ripple
    source = np.broadcast_to(shore - 1 - down * 1.45, columns.shape) + ripple * 0.5
    reflected = cv2.remap(
        picture, columns, np.ascontiguousarray(source, np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    share = np.clip(0.3 + 1.3 * down / side, 0, 0.72)[..., None]
    water = _blend(reflected, deep, share)
    water = water + np.clip(_grain(random, side, 10, 60)[: side - shore] - 0.45, 0, 1) * 0.18
    where = scene.map[shore:] == WATER
    filled = picture.copy()
    filled[shore:][where] = water[where]
    return filled
