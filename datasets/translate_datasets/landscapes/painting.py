"""Painting: a composed landscape in the light of its season, its weather and its time of day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from translate_datasets.exact import Draws, Plane, softened
from translate_datasets.landscapes.composing import Scene
from translate_datasets.landscapes.materials import CODE, NAMES, ramps

FINE = 2
"""A scene is drawn at so many times its size, and every square of pixels becomes their mean."""


@dataclass(frozen=True, slots=True)
class Air:
    """Light and air: colours of the sky from zenith to horizon, of sunshine, of clouds, and of what is lit."""

    zenith: tuple[int, int, int]
    horizon: tuple[int, int, int]
    shine: tuple[int, int, int]
    shade: tuple[int, int, int]
    cloud: tuple[int, int, int]
    ambient: tuple[int, int, int]
    glow: float = 0.8
    haze: float = 0.28


_by_time: Mapping[str, Air] = {
    "day": Air((58, 124, 205), (200, 228, 246), (255, 247, 214), (176, 196, 222), (255, 255, 255), (255, 253, 246)),
    "evening": Air((70, 66, 136), (255, 164, 98), (255, 206, 120), (176, 112, 140), (255, 218, 180), (255, 192, 146)),
    "night": Air((12, 17, 46), (50, 64, 116), (150, 170, 225), (40, 50, 92), (112, 124, 168), (88, 102, 154), 0.5),
}

_overcast: Mapping[str, tuple[float, float]] = {
    "cloudy": (0.6, 0.3),
    "fog": (0.85, 0.95),
    "rain": (0.8, 0.5),
    "snow": (0.75, 0.6),
}
"""How gray the air is in each weather, and how much haze there is."""

# How strongly materials show noise: fine and coarse, and blades of grass.
_rough: Mapping[str, float] = {
    "rock": 0.3, "snowcap": 0.14, "far": 0.1, "hill": 0.26, "near": 0.28, "oak": 0.34, "birch": 0.34, "maple": 0.34,
    "fir": 0.3, "road": 0.2, "cloud": 0.16, "stone": 0.24, "wheat": 0.16, "rape": 0.16, "earth": 0.16, "meadow": 0.14,
    "tiles": 0.14, "slate": 0.14, "plaster": 0.06, "brick": 0.14, "timber": 0.14, "trunk": 0.2,
}  # fmt: skip
_blades: Mapping[str, float] = {"meadow": 0.34, "near": 0.1, "hill": 0.06}


def paint(scene: Scene, draws: Draws, *, season: str, weather: str, time: str) -> NDArray[np.uint8]:
    """Paint a scene as a picture (side / FINE, side / FINE, 3)."""
    canvas = scene.canvas
    material, side = canvas.material.copy(), canvas.side
    y = (np.arange(side, dtype=np.float32) / np.float32(side))[:, None]
    x = y.T
    air = _in_weather(_by_time[time], weather)
    rough = draws.grain(side, 24, 24) * np.float32(0.6) + draws.grain(side, 64, 64) * np.float32(0.4)
    blades = draws.grain(side, 22, 80)

    lit = canvas.tone.astype(np.float32) / np.float32(255)
    lit += rough * _of(_rough)[material] + blades * _of(_blades)[material]
    haze = np.zeros((side, side), np.float32)
    _mountains(scene, material, lit, haze, rough, x, y)
    _ground(scene, material, lit, haze, x, y)

    shadows, lights = ramps(season)
    shadows, lights = shadows * _rgb(air.ambient), lights * _rgb(air.ambient)
    share = np.clip(lit, 0, 1)[..., None]
    picture = shadows[material] + (lights - shadows)[material] * share
    thick = np.minimum(haze * np.float32(air.haze / 0.28), 0.96)[..., None]
    picture += (_rgb(air.horizon) - picture) * thick

    sky, glow = _sky(scene, draws, air, y, x, time)
    _clouds(picture, sky, material, share, air, side)
    for name in ("sun", "moon"):
        where = material == CODE[name]
        picture[where] = ramps(season)[1][CODE[name]] * (_rgb((255, 236, 190)) if time == "evening" else 1)
    dark = {"day": 0.0, "evening": 0.75, "night": 1.0}[time]
    if dark:
        picture[material == CODE["window"]] = _rgb((255, 208, 112)) * np.float32(0.5 + 0.5 * dark)
    if scene.shore < 1:
        _water(picture, scene, draws, air, winter=season == "winter")
    if dark:
        lamps = softened((material == CODE["window"]).astype(np.float32), max(1, side // 40))[..., None]
        picture += lamps * _rgb((255, 176, 80)) * np.float32(0.9 * dark)
    picture += (glow * glow)[..., None] * _rgb(air.shine) * np.float32(0.2 * air.glow)
    _falling(picture, draws, weather)
    return _smaller(picture)


def _rgb(colour: tuple[int, int, int]) -> NDArray[np.float32]:
    return np.array(colour, np.float32) / np.float32(255)


def _of(values: Mapping[str, float]) -> NDArray[np.float32]:
    return np.array([values.get(name, 0.0) for name in NAMES], np.float32)


def _in_weather(air: Air, weather: str) -> Air:
    if weather == "clear":
        return air
    gray, haze = _overcast[weather]
    less = 0.86 if weather == "rain" else 1.0

    def duller(colour: tuple[int, int, int], share: float, dim: float = 1.0) -> tuple[int, int, int]:
        level = (299 * colour[0] + 587 * colour[1] + 114 * colour[2]) // 1000
        red, green, blue = (int((each + (level - each) * share) * dim) for each in colour)
        return red, green, blue

    horizon = duller(air.horizon, gray, 0.9 * less)
    middle = tuple((one + two) // 2 for one, two in zip(duller(air.zenith, gray), horizon, strict=True))
    return Air(
        (middle[0], middle[1], middle[2]),
        horizon,
        duller(air.shine, gray),
        duller(air.shade, gray, 0.82 * less),
        duller(air.cloud, gray, 0.93 * less),
        duller(air.ambient, gray, 0.84 * less),
        air.glow * 0.3,
        max(air.haze, haze),
    )


def _mountains(
    scene: Scene, material: NDArray[np.uint8], lit: Plane, haze: Plane, rough: Plane, x: Plane, y: Plane
) -> None:
    """Flanks below each piece of the ridge, lit by its slope, with snow above and haze at their feet."""
    side = len(lit)
    ridge = scene.mountains
    slope = np.zeros_like(ridge)
    reach = max(1, side // 48)
    slope[reach:-reach] = (ridge[2 * reach :] - ridge[: -2 * reach]) * np.float32(side / (2 * reach))
    below = y - ridge[None]
    where = (material == CODE["rock"]) | (material == CODE["far"])
    column = np.arange(side)[None] + (below * np.float32(0.45 * side)).astype(np.int64)
    flank = slope[np.clip(column, 0, side - 1)]
    toward = np.where(x > np.float32(scene.light[0]), np.float32(1), np.float32(-1))
    shaded = np.float32(0.5) + flank * toward * np.float32(0.42) + rough * np.float32(0.25)
    lit[where] = shaded[where]
    capped = where & (below < np.float32(0.05) + rough * np.float32(0.035)) & (ridge[None] < np.float32(0.44))
    material[capped & (material == CODE["rock"])] = CODE["snowcap"]
    haze[where] = np.clip(below * np.float32(2.6), 0, np.float32(0.6))[where]
    far = material == CODE["far"]
    haze[far] = np.float32(0.42)


def _ground(scene: Scene, material: NDArray[np.uint8], lit: Plane, haze: Plane, x: Plane, y: Plane) -> None:
    """Hills are lighter on their heights and lie in haze; the meadow is lighter where it is far."""
    below = y - scene.hills[None]
    for name, start, fall, thin in (("hill", 0.72, 2.6, 0.34), ("near", 0.66, 1.6, 0.14)):
        where = material == CODE[name]
        lit[where] += (np.float32(start - 0.5) - below * np.float32(fall))[where]
        haze[where] = np.maximum(np.float32(thin) - below * 2, np.float32(thin * 0.4))[where]
    where = (material == CODE["meadow"]) | (material == CODE["road"])
    lit[where] += (np.float32(0.12) - (y - np.float32(0.8)) * np.float32(0.9) + x * 0)[where]
    # What stands on the ground lies in the air that is between.
    standing = (haze == 0) & (material > CODE["snowcap"]) & (material != CODE["water"])
    haze[standing] = np.broadcast_to(np.maximum(np.float32(0.66) - y, 0) * np.float32(0.9), haze.shape)[standing]
    haze += np.where(material > CODE["snowcap"], np.maximum(np.float32(0.9) - y, 0) * np.float32(0.2), np.float32(0))


def _sky(scene: Scene, draws: Draws, air: Air, y: Plane, x: Plane, time: str) -> tuple[NDArray[np.float32], Plane]:
    """The sky, from zenith to horizon with the glow around sun or moon, and that glow."""
    side = len(y)
    height = np.minimum(y / np.float32(0.52), 1)[..., None]
    sky = _rgb(air.zenith) + (_rgb(air.horizon) - _rgb(air.zenith)) * height * (
        np.float32(0.4) + height * np.float32(0.6)
    )
    across, down = x - np.float32(scene.light[0]), y - np.float32(scene.light[1])
    width = np.float32(0.012 if time == "night" else 0.03)
    glow = width / (width + across * across + down * down)
    sky = sky + (_rgb(air.shine) - sky) * glow[..., None] * np.float32(air.glow)
    if time == "night" and air.glow > 0.3:
        few = draws.plane(side // FINE, side // FINE)
        stars = np.repeat(np.repeat(np.maximum(few - np.float32(0.988), 0) * 80, FINE, 0), FINE, 1)
        faint = np.maximum(np.float32(1) - y * 2, 0)
        sky = sky + (stars[:side, :side] * faint)[..., None]
    return np.asarray(sky, np.float32), np.asarray(glow, np.float32)


def _clouds(
    picture: NDArray[np.float32],
    sky: NDArray[np.float32],
    material: NDArray[np.uint8],
    share: Plane,
    air: Air,
    side: int,
) -> None:
    cloudy = material == CODE["cloud"]
    cover = softened(cloudy.astype(np.float32), max(1, side // 90))[..., None]
    cloud = _rgb(air.shade) + (_rgb(air.cloud) - _rgb(air.shade)) * share
    cloud = np.where(cloudy[..., None], cloud, _rgb(air.cloud) * np.float32(0.6) + _rgb(air.shade) * np.float32(0.4))
    above = cloudy | (material == CODE["sky"])
    picture[above] = (sky + (cloud - sky) * cover * np.float32(0.94))[above]


def _water(picture: NDArray[np.float32], scene: Scene, draws: Draws, air: Air, *, winter: bool) -> None:
    """Fill the water with what is above it, mirrored and rippled, darker towards the viewer; ice mirrors less."""
    side = len(picture)
    shore = int(scene.shore * side) + 1
    down = np.arange(side - shore)[:, None]
    ripple = draws.grain(side, 60, 7)[: side - shore]
    strength = (down / side * 0.05 + 0.004) * side * (0.3 if winter else 1.0)
    moved = (ripple * strength).astype(np.int64)
    rows = np.clip(shore - 2 - (down * 3) // 2 + moved // 2, 0, side - 1)
    columns = np.abs(np.arange(side)[None] + moved)
    columns = np.where(columns >= side, 2 * side - 2 - columns, columns)
    mirrored = picture[rows, columns]
    deep = picture[shore:]
    share = np.minimum(np.float32(0.26) + (down / side * 1.5).astype(np.float32), np.float32(0.8))[..., None]
    share = np.maximum(share, np.float32(0.6)) if winter else share
    water = mirrored + (deep - mirrored) * share
    crests = np.maximum(draws.grain(side, 70, 9)[: side - shore] - np.float32(0.42), 0) * np.float32(0.3)
    water = water + crests[..., None] * _rgb(air.cloud)
    where = scene.canvas.material[shore:] == CODE["water"]
    picture[shore:][where] = water[where]


def _falling(picture: NDArray[np.float32], draws: Draws, weather: str) -> None:
    """Rain in slanted streaks, snow in flakes."""
    if weather not in ("rain", "snow"):
        return
    side = len(picture)
    for _ in range(150 if weather == "rain" else 130):
        column, row = draws.whole(0, side - 1), draws.whole(0, side - 1)
        if weather == "rain":
            length = max(4, side // 14)
            steps = np.arange(length)
            rows, columns = row + steps, column - steps // 4
            inside = (rows < side) & (columns >= 0)
            picture[rows[inside], columns[inside]] += (
                np.float32(0.86) - picture[rows[inside], columns[inside]]
            ) * np.float32(0.45)
        else:
            reach = draws.whole(1, 2) * max(1, side // 256) if side >= 256 else draws.whole(0, 1)
            picture[row : row + reach + 1, column : column + reach + 1] = np.float32(0.97)


def _smaller(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    sums = picture[::FINE] + picture[1::FINE]
    mean = (sums[:, ::FINE] + sums[:, 1::FINE]) * np.float32(0.25)
    return np.asarray(np.rint(np.clip(mean, 0, 1) * np.float32(255)), np.uint8)
