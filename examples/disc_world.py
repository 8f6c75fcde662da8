"""A small simulated world: a disc in a box, which is pushed. From an image, a state and an action to the next image.

translate fit cgan disc_world -p examples/disc_world.py --condition "state, action" --translator "small_unet"

The image shows where the disc is. The state, its velocity, cannot be seen in one image, and neither can the action, a
push that changes the velocity before the disc moves; so the next image needs all three. The disc rebounds from walls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from translate import hookimpl
from translate.data import Dataset, Domain, Example
from translate.options import Option

Pair = NDArray[np.float64]
"""Two numbers, down and to the right; places and velocities are shares of the box's side."""

RADIUS = 0.15
PUSHES = np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]], float)
"""The actions: none, up, down, left, right."""
PUSH = 0.1


@dataclass(frozen=True, slots=True)
class Disc:
    """Where the disc is, and how fast it moves."""

    place: Pair
    velocity: Pair

    def after(self, action: Pair) -> Disc:
        """The disc one moment later: pushed, moved, and thrown back where it met a wall."""
        velocity = self.velocity + PUSH * action
        place = self.place + velocity
        low, high = RADIUS, 1 - RADIUS
        met = (place < low) | (place > high)
        return Disc(np.where(place < low, 2 * low - place, np.where(place > high, 2 * high - place, place)),
                    np.where(met, -velocity, velocity))  # fmt: skip

    def picture(self, side: int) -> NDArray[np.uint8]:
        """The box from above, (side, side, 1): a white disc with a soft edge."""
        middles = (np.mgrid[:side, :side] + 0.5) / side
        distance = np.hypot(*(middles - self.place[:, None, None]))
        inside = np.clip((RADIUS - distance) * side + 0.5, 0, 1)
        return np.rint(255 * inside).astype(np.uint8)[..., None]


def picture(disc: Disc, side: int) -> NDArray[np.uint8]:
    """The picture of a disc, when it is needed."""
    return disc.picture(side)


def disc_world(
    *,
    count: Annotated[int, Option("moments for training; a tenth as many are held out", ge=10)] = 2000,
    side: Annotated[int, Option("side of the images in pixels", ge=8)] = 32,
    seed: Annotated[int, Option("seed of the world", ge=0)] = 0,
) -> Dataset:
    """Moments of a disc in a box: its image, its velocity and a push, and the image of the next moment."""
    chance = np.random.default_rng(seed)
    splits: dict[str, dict[str, list[Example]]] = {}
    for split, number in (("train", count), ("test", count // 10)):
        now, then = [], []
        for row in range(number):
            disc = Disc(chance.uniform(RADIUS, 1 - RADIUS, 2), chance.uniform(-0.1, 0.1, 2))
            action = PUSHES[chance.integers(len(PUSHES))]
            # Numbers of about the size of 1, as a network likes them.
            extras = {"state": 10 * disc.velocity, "action": action}
            now.append(Example(partial(picture, disc, side), f"{row:05d}", extras=extras))
            then.append(Example(partial(picture, disc.after(action), side), f"{row:05d}", extras=extras))
        splits[split] = {"source": now, "target": then}
    return Dataset("disc_world", "disc_world", True, {"source": Domain(1), "target": Domain(1)}, splits)


@hookimpl
def datasets() -> Mapping[str, object]:
    """Offer the world."""
    return {"disc_world": disc_world}
