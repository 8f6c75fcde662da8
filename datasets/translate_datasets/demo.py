"""A generated data set for a first try: flat maps of landscapes as source, paintings of them as target."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from translate.data import Dataset, Domain, Example
from translate.options import Call, Option
from translate_datasets.labels import LabelSeed, LabelsPerClass, keep, label_options
from translate_datasets.scenery import TIMES, describe, flat, painting, sky, time_of
from translate_datasets.streams import asked_for, stream_options

_held_out = 20
_split_offset = 1_000_000  # numbers of a split start at a multiple of this, so that splits share no scene


def demo(
    *,
    size: Annotated[int, Option("height and width in pixels", ge=16, le=2048)] = 64,
    count: Annotated[int, Option("training pairs; val and test have 20 more each", ge=1, le=1_000_000)] = 200,
    seed: Annotated[int, Option("seed of the scenes", ge=0)] = 0,
    labels_per_class: LabelsPerClass = None,
    label_seed: LabelSeed = 0,
    aligned: Annotated[
        str | None, Option("names of masks of the sky, such as mask, or mask@target, with commas")
    ] = None,
    vectors: Annotated[str | None, Option("names of five numbers that describe a landscape, such as text")] = None,
) -> Dataset:
    """List landscapes, RGB and paired; each is drawn when it is read.

    Labels are the time of day: day, sunset or night.

    >>> dataset = demo(size=16, count=3)
    >>> dataset.splits["train"]["source"][0].pixels().shape
    (16, 16, 3)
    """
    rgb = Domain(channels=3, labels=TIMES)
    domains = {"source": rgb, "target": rgb}
    masks = {each.name: each.partner for each in asked_for(aligned, "aligned", domains)}
    told = [each.name for each in asked_for(vectors, "vectors", domains)]
    splits: dict[str, dict[str, list[Example]]] = {}
    for place, (split, number) in enumerate((("train", count), ("val", _held_out), ("test", _held_out))):
        scenes = range(place * _split_offset, place * _split_offset + number)
        named = [(scene, f"{split}-{scene % _split_offset:05d}", time_of(seed, scene)) for scene in scenes]
        extras = [dict.fromkeys(told, describe(seed, scene)) if told else {} for scene in scenes]
        splits[split] = {
            side: [
                Example(partial(draw, size, seed, scene), name, label=label, extras=beside)
                for (scene, name, label), beside in zip(named, extras, strict=True)
            ]
            for side, draw in (("source", flat), ("target", painting))
        }
        for mask in masks:
            splits[split][mask] = [Example(partial(sky, size, seed, scene), name) for scene, name, _ in named]
    for side in domains:
        splits["train"][side] = keep(splits["train"][side], labels_per_class, label_seed)
    asked = {"size": size, "count": count, "seed": seed, **label_options(None, labels_per_class, label_seed)}
    layout = str(Call("demo", asked | stream_options(aligned, vectors)))
    return Dataset("demo", layout, True, domains | dict.fromkeys(masks, Domain(1)), splits, aligned=masks)
