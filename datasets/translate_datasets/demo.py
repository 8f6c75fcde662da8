"""A generated data set for a first try: flat maps of landscapes as source, paintings of them as target."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from translate.data import Dataset, Domain, Example
from translate.options import Call, Option
from translate_datasets.labels import LabelSeed, LabelsPerClass, keep, label_options
from translate_datasets.scenery import TIMES, flat, painting, time_of

_held_out = 20
_split_offset = 1_000_000  # numbers of a split start at a multiple of this, so that splits share no scene


def demo(
    *,
    size: Annotated[int, Option("height and width in pixels", ge=16, le=2048)] = 64,
    count: Annotated[int, Option("training pairs; val and test have 20 more each", ge=1, le=1_000_000)] = 200,
    seed: Annotated[int, Option("seed of the scenes", ge=0)] = 0,
    labels_per_class: LabelsPerClass = None,
    label_seed: LabelSeed = 0,
) -> Dataset:
    """List landscapes, RGB and paired; each is drawn when it is read.

    Labels are the time of day: day, sunset or night.

    >>> dataset = demo(size=16, count=3)
    >>> dataset.splits["train"]["source"][0].pixels().shape
    (16, 16, 3)
    """
    splits: dict[str, dict[str, list[Example]]] = {}
    for place, (split, number) in enumerate((("train", count), ("val", _held_out), ("test", _held_out))):
        scenes = range(place * _split_offset, place * _split_offset + number)
        named = [(scene, f"{split}-{scene % _split_offset:05d}", time_of(seed, scene)) for scene in scenes]
        splits[split] = {
            side: [Example(partial(draw, size, seed, scene), name, label=label) for scene, name, label in named]
            for side, draw in (("source", flat), ("target", painting))
        }
    splits["train"] = {side: keep(listed, labels_per_class, label_seed) for side, listed in splits["train"].items()}
    asked = {"size": size, "count": count, "seed": seed, **label_options(None, labels_per_class, label_seed)}
    rgb = Domain(channels=3, labels=TIMES)
    return Dataset("demo", str(Call("demo", asked)), True, {"source": rgb, "target": rgb}, splits)
