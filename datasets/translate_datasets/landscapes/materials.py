"""What landscapes are made of: materials, the classes that a map shows them as, and their colours in each season."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Ramp = tuple[Colour, Colour]
"""A material in the shade and in the light."""

CLASSES: Mapping[str, Colour] = {
    "sky": (142, 202, 230),
    "sun": (255, 214, 10),
    "moon": (226, 226, 240),
    "cloud": (255, 255, 255),
    "mountain": (129, 104, 157),
    "hill": (96, 143, 90),
    "field": (221, 190, 110),
    "water": (33, 104, 172),
    "meadow": (167, 201, 87),
    "road": (190, 170, 150),
    "fir": (27, 76, 56),
    "tree": (60, 130, 60),
    "wall": (214, 120, 100),
    "roof": (94, 23, 35),
    "window": (255, 150, 20),
    "sail": (238, 228, 205),
}
"""The legend of maps: classes with their colours, in the order of their indices."""

SEASONS = ("spring", "summer", "autumn", "winter")
WEATHERS = ("clear", "cloudy", "fog", "rain", "snow")
TIMES = ("day", "evening", "night")

_materials: Mapping[str, tuple[str, Ramp]] = {
    # name: class, shade and light of summer by day
    "sky": ("sky", ((58, 124, 205), (196, 226, 245))),
    "sun": ("sun", ((255, 250, 222), (255, 250, 222))),
    "moon": ("moon", ((205, 208, 220), (246, 246, 236))),
    "cloud": ("cloud", ((172, 192, 218), (255, 255, 255))),
    "far": ("mountain", ((104, 116, 152), (164, 172, 194))),
    "rock": ("mountain", ((66, 64, 90), (166, 152, 152))),
    "snowcap": ("mountain", ((158, 176, 214), (255, 255, 255))),
    "hill": ("hill", ((52, 96, 72), (138, 174, 104))),
    "near": ("hill", ((46, 92, 50), (142, 178, 78))),
    "wheat": ("field", ((168, 128, 48), (236, 206, 112))),
    "rape": ("field", ((172, 156, 30), (240, 226, 84))),
    "earth": ("field", ((92, 66, 48), (156, 120, 84))),
    "water": ("water", ((28, 70, 112), (70, 142, 178))),
    "meadow": ("meadow", ((62, 108, 40), (166, 198, 80))),
    "flower": ("meadow", ((206, 176, 60), (252, 240, 170))),
    "poppy": ("meadow", ((150, 40, 40), (226, 84, 66))),
    "road": ("road", ((136, 114, 92), (216, 196, 164))),
    "fir": ("fir", ((12, 38, 34), (62, 112, 70))),
    "oak": ("tree", ((22, 58, 26), (104, 152, 58))),
    "birch": ("tree", ((50, 86, 30), (158, 184, 82))),
    "maple": ("tree", ((34, 70, 40), (122, 150, 66))),
    "trunk": ("tree", ((44, 30, 24), (112, 84, 62))),
    "plaster": ("wall", ((160, 134, 118), (248, 236, 212))),
    "brick": ("wall", ((112, 52, 40), (206, 120, 92))),
    "timber": ("wall", ((78, 54, 40), (158, 116, 78))),
    "stone": ("wall", ((96, 94, 98), (188, 184, 176))),
    "tiles": ("roof", ((96, 36, 32), (204, 98, 70))),
    "slate": ("roof", ((46, 50, 66), (124, 130, 146))),
    "door": ("roof", ((58, 34, 26), (112, 70, 46))),
    "window": ("window", ((70, 98, 124), (150, 186, 208))),
    "sail": ("sail", ((178, 170, 156), (255, 252, 240))),
    "hull": ("sail", ((84, 34, 28), (186, 78, 54))),
}

NAMES = tuple(_materials)
CODE: Mapping[str, int] = {name: number for number, name in enumerate(NAMES)}

CLASS_OF: NDArray[np.uint8] = np.array([list(CLASSES).index(kind) for kind, _ in _materials.values()], np.uint8)
"""The class of each material."""

_changed: Mapping[str, Mapping[str, Ramp]] = {
    "spring": {
        "hill": ((58, 112, 72), (164, 206, 112)),
        "near": ((54, 112, 50), (172, 214, 92)),
        "wheat": ((70, 120, 44), (158, 200, 86)),
        "meadow": ((66, 126, 42), (184, 220, 92)),
        "flower": ((214, 190, 70), (255, 250, 200)),
        "poppy": ((170, 110, 170), (240, 200, 232)),
        "oak": ((44, 92, 30), (158, 202, 84)),
        "birch": ((176, 112, 136), (255, 222, 228)),
        "maple": ((190, 170, 170), (255, 250, 246)),
    },
    "autumn": {
        "hill": ((104, 82, 50), (190, 158, 84)),
        "near": ((104, 80, 40), (192, 150, 66)),
        "wheat": ((120, 92, 58), (190, 158, 106)),
        "rape": ((86, 60, 44), (148, 112, 80)),
        "meadow": ((108, 96, 40), (190, 172, 80)),
        "flower": ((156, 110, 40), (214, 170, 80)),
        "poppy": ((130, 70, 30), (200, 120, 56)),
        "oak": ((110, 58, 18), (216, 140, 46)),
        "birch": ((150, 110, 20), (244, 206, 72)),
        "maple": ((118, 28, 20), (222, 82, 44)),
    },
    "winter": {
        "far": ((128, 142, 178), (226, 232, 244)),
        "rock": ((96, 102, 128), (232, 236, 246)),
        "hill": ((150, 168, 196), (240, 246, 252)),
        "near": ((160, 176, 204), (248, 250, 255)),
        "wheat": ((164, 178, 204), (244, 248, 255)),
        "rape": ((158, 174, 202), (238, 244, 252)),
        "earth": ((138, 140, 156), (224, 228, 238)),
        "water": ((84, 118, 150), (186, 210, 226)),
        "meadow": ((166, 184, 212), (252, 254, 255)),
        "flower": ((190, 204, 226), (255, 255, 255)),
        "poppy": ((150, 150, 140), (214, 214, 208)),
        "road": ((150, 148, 152), (222, 222, 226)),
        "fir": ((22, 46, 50), (222, 232, 240)),
        "oak": ((84, 72, 72), (206, 206, 214)),
        "birch": ((112, 104, 108), (234, 236, 244)),
        "maple": ((92, 76, 72), (212, 208, 212)),
        "tiles": ((150, 160, 188), (255, 255, 255)),
        "slate": ((142, 154, 184), (246, 250, 255)),
    },
}


def ramps(season: str) -> NDArray[np.float32]:
    """Colours of all materials in a season, (2, materials, 3) in [0, 1]: in the shade, and in the light."""
    changed = _changed.get(season, {})
    chosen = [changed.get(name, ramp) for name, (_, ramp) in _materials.items()]
    return np.asarray(np.array(chosen, np.float32).transpose(1, 0, 2) / np.float32(255), np.float32)
