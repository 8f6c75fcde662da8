"""A generated data set for first tries, for tests and for the gallery: landscapes and digits, in many tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from translate.data import Dataset, Domain, Example
from translate.errors import TranslateError
from translate.options import Call, Option
from translate_datasets.demo_tasks import CHOICES, SCENIC, SPLIT, Digits, Drawn, Landscapes, Paintings, Task, legend
from translate_datasets.labels import LabelSeed, LabelsPerClass, keep, label_options
from translate_datasets.streams import asked_for, stream_options

_held_out = 20
_whole = ("hole", "frames")  # tasks whose target belongs to its source by what they are

TaskName = Literal[
    "painting", "map", "sketch", "night", "gray", "hole", "frames", "winter", "season", "weather", "digits"
]
Season = Literal["any", "spring", "summer", "autumn", "winter"]
Weather = Literal["any", "clear", "cloudy", "fog", "rain", "snow"]
Time = Literal["any", "day", "evening", "night"]


def demo(
    *,
    size: Annotated[int, Option("height and width in pixels", ge=16, le=2048)] = 64,
    count: Annotated[int, Option("training pairs, or images of each domain", ge=1, le=1_000_000)] = 200,
    seed: Annotated[int, Option("seed of the scenes", ge=0)] = 0,
    labels_per_class: LabelsPerClass = None,
    label_seed: LabelSeed = 0,
    aligned: Annotated[
        str | None, Option("names of masks of the sky, of digits of the ink, such as mask, or mask@target, with commas")
    ] = None,
    vectors: Annotated[str | None, Option("names of five numbers that describe an image, such as text")] = None,
    task: Annotated[TaskName, Option("what source and target show")] = "painting",
    paired: Annotated[
        bool | None, Option("whether targets belong to sources (default: yes where there are two domains)")
    ] = None,
    season: Annotated[Season | None, Option("season of landscapes, or any (default: what the task has)")] = None,
    weather: Annotated[Weather | None, Option("weather of landscapes, or any (default: what the task has)")] = None,
    time: Annotated[Time | None, Option("time of day of landscapes, or any (default: what the task has)")] = None,
    held_out: Annotated[int, Option("examples of val and of test, each", ge=0, le=1_000_000)] = _held_out,
) -> Dataset:
    """List generated images; each is drawn when it is read, and depends on the options alone.

    Tasks: ``painting``, flat maps to paintings; of landscapes to photos ``map``, ``sketch`` and ``gray``, photos with
    a ``hole`` and its mask, ``frames`` (the next one), ``night`` and ``winter`` of days and summers; in one domain
    landscapes by ``season`` and by ``weather``; ``digits`` of plates to those of a pen. Labels are what varies: the
    season, the weather, the time of day, or the digit.

    >>> dataset = demo(size=16, count=3)
    >>> dataset.splits["train"]["source"][0].pixels().shape
    (16, 16, 3)
    >>> demo(size=16, count=3, task="season").domains["source"].labels
    ('spring', 'summer', 'autumn', 'winter')
    """
    drawing = _drawing(task, size, seed, {"season": season, "weather": weather, "time": time})
    domains = drawing.domains
    if paired is not None and len(domains) == 1:
        raise TranslateError(f"demo(task={task}) has one domain, so there are no pairs; leave out paired")
    if paired is False and task in _whole:
        raise TranslateError(f"demo(task={task}) has pairs by what it is; leave out paired=no")
    masks = {each.name: each.partner for each in asked_for(aligned, "aligned", domains)}
    told = [each.name for each in asked_for(vectors, "vectors", domains)]
    holes = task == "hole"
    if holes and "mask" in masks:
        raise TranslateError("demo(task=hole) has a stream mask, which marks the holes; give other names in aligned")
    splits: dict[str, dict[str, list[Example]]] = {}
    for place, (split, number) in enumerate((("train", count), ("val", held_out), ("test", held_out))):
        if not number:
            continue
        drawn = {
            side: [drawing.drawn(side, first + each) for each in range(number)]
            for side, first in _first_numbers(place, domains, apart=paired is False).items()
        }
        names = {
            side: _names(split, listed, apart=paired is False and side == "target") for side, listed in drawn.items()
        }
        splits[split] = {
            side: [
                Example(one.image, name, label=one.label, extras=dict.fromkeys(told, one.vector()) if told else {})
                for one, name in zip(listed, names[side], strict=True)
            ]
            for side, listed in drawn.items()
        }
        for mask, side in masks.items():
            splits[split][mask] = [Example(one.mask, name) for one, name in zip(drawn[side], names[side], strict=True)]
        if holes:
            marked = zip(drawn["source"], names["source"], strict=True)
            splits[split]["mask"] = [Example(one.hole, name) for one, name in marked if one.hole is not None]
    for side in domains:
        splits["train"][side] = keep(splits["train"][side], labels_per_class, label_seed)
    aligned_with = masks | ({"mask": "source"} if holes else {})
    chosen = {"task": task, "paired": paired, "season": season, "weather": weather, "time": time, "held_out": held_out}
    usual = {"task": "painting", "held_out": _held_out}
    asked = {"size": size, "count": count, "seed": seed, **label_options(None, labels_per_class, label_seed)}
    asked |= {name: value for name, value in chosen.items() if value != usual.get(name)}
    return Dataset(
        "demo",
        str(Call("demo", asked | stream_options(aligned, vectors))),
        len(domains) > 1 and paired is not False,
        {**domains, **dict.fromkeys(aligned_with, Domain(1))},
        splits,
        notes=(legend(),) if task == "map" else (),
        aligned=aligned_with,
    )


def _drawing(task: str, size: int, seed: int, asked: dict[str, str | None]) -> Task:
    if task in SCENIC:
        return Landscapes(task, size, seed, asked)
    for name in CHOICES:
        if asked[name] is not None:
            raise TranslateError(
                f"demo(task={task}) has no {name}; leave out {name}={asked[name]}, or choose one of {', '.join(SCENIC)}"
            )
    return Digits(size, seed) if task == "digits" else Paintings(size, seed)


def _first_numbers(place: int, sides: Iterable[str], *, apart: bool) -> dict[str, int]:
    """The number of the first scene of each side in the split at ``place``; sides that lie apart share no scene."""
    return {side: (place + 3 * (apart and side == "target")) * SPLIT for side in sides}


def _names(split: str, drawn: list[Drawn], *, apart: bool) -> list[str]:
    # Names of images that are no pairs differ, so that an exported folder is not taken for pairs.
    prefix = f"other-{split}" if apart else split
    return [f"{prefix}-{one.name or format(number, '05d')}" for number, one in enumerate(drawn)]
