"""The form of a listing: what a dataset's factory returns is checked before anything reads it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, get_args

from translate.data import DOMAINS, Alpha, Dataset, Depth, Domain, Example, Region
from translate.errors import TranslateError

REGIONS = get_args(Region)


def check_listed(dataset: Any, layout: str) -> Dataset:
    """Return what the factory of ``layout`` has returned; raise ``TranslateError`` if that is no listing."""
    if not isinstance(dataset, Dataset):
        raise TranslateError(f"{layout} is no dataset: its factory returned a {type(dataset).__name__}")

    def refuse(what: str) -> TranslateError:
        return TranslateError(f"the dataset {layout} cannot be used: {what}")

    if not isinstance(dataset.paired, bool):
        raise refuse(f"paired must be True or False, not {dataset.paired!r:.60}")
    for name in ("domains", "splits", "aligned"):
        if not isinstance(getattr(dataset, name), Mapping):
            raise refuse(f"{name} must be listed by name, not as {getattr(dataset, name)!r:.60}")
    for name in ("problems", "notes"):
        sentences = getattr(dataset, name)
        if not isinstance(sentences, (tuple, list)) or not all(isinstance(each, str) for each in sentences):
            raise refuse(f"{name} must be a tuple of sentences, not {sentences!r:.60}")
    if "source" not in dataset.domains:
        raise refuse("it has no domain source")
    for name, domain in dataset.domains.items():
        if name not in DOMAINS and name not in dataset.aligned:
            raise refuse(f"its domain {name!r:.60} is neither source nor target; say in aligned to which it belongs")
        if reason := _strange_domain(domain):
            raise refuse(f"its domain {name} {reason}")
    for split, sides in dataset.splits.items():
        if not isinstance(sides, Mapping):
            raise refuse(f"the split {split!r:.60} must have examples by domain, not {sides!r:.60}")
        for name, examples in sides.items():
            if name not in dataset.domains:
                raise refuse(f"the split {split!r:.60} lists {name!r:.60}, which is none of its domains")
            if isinstance(examples, str) or not isinstance(examples, Sequence):
                raise refuse(f"the {name} of the split {split!r:.60} must be a list of examples, not {examples!r:.60}")
            _check_examples(examples, dataset.domains[name], refuse, f"the {name} of the split {split!r:.60}")
        counts = {name: len(sides.get(name, ())) for name in DOMAINS if name in dataset.domains}
        if dataset.paired and not dataset.problems and any(counts.values()) and len(set(counts.values())) > 1:
            found = " and ".join(f"{count} of the {name}" for name, count in counts.items())
            raise refuse(f"its pairs are of unlike number, {found}, in the split {split!r:.60}")
    return dataset


def _strange_domain(domain: Any) -> str:
    """What is wrong with a domain, as the end of a sentence; empty if nothing is."""
    if not isinstance(domain, Domain):
        return f"must be a translate.data.Domain, not {domain!r:.60}"
    if not _is_whole(domain.channels, 1) or not _is_whole(domain.classes, 0):
        return (
            f"cannot have {domain.channels!r:.60} channels and {domain.classes!r:.60} classes; both are whole numbers"
        )
    planes = 3 if domain.palette else domain.classes or domain.channels
    if domain.channels != planes:
        return f"has {domain.channels} channels, where its classes make {planes} planes"
    if domain.depth not in get_args(Depth):
        return f"has the depth {domain.depth!r:.60}; there are {', '.join(get_args(Depth))}"
    if domain.alpha not in get_args(Alpha):
        return f"has the alpha {domain.alpha!r:.60}; there are {', '.join(get_args(Alpha))}"
    if not isinstance(domain.labels, (tuple, list)) or not all(isinstance(each, str) for each in domain.labels):
        return f"must have names of classes as labels, not {domain.labels!r:.60}"
    low, high = domain.limits
    if not all(isinstance(each, Real) and math.isfinite(each) for each in (low, high)) or low >= high:
        return f"has values from {low!r:.60} to {high!r:.60}, which is no range"
    return ""


def _check_examples(
    examples: Sequence[Any], domain: Domain, refuse: Callable[[str], TranslateError], where: str
) -> None:
    """Check each example, of which there may be millions: cheaply, in one loop."""
    classes = len(domain.labels)
    for number, example in enumerate(examples):
        if not isinstance(example, Example):
            raise refuse(f"{where} lists {example!r:.60} in place {number + 1}, which is no translate.data.Example")
        if not isinstance(example.name, str):
            raise refuse(f"{where} calls an example {example.name!r:.60}; a name is text")
        label = example.label
        if not isinstance(label, Integral) or label < -1 or (classes and label >= classes):
            known = f"its {classes} classes" if classes else "a class by number"
            raise refuse(f"{where} gives {example.name!r:.60} the label {label!r:.60}, which is none of {known}")
        if example.region not in REGIONS:
            raise refuse(f"{where} has the region {example.region!r:.60}; there are {', '.join(REGIONS)}")
        if not isinstance(example.extras, Mapping):
            raise refuse(f"{where} gives {example.name!r:.60} extras that are not by name: {example.extras!r:.60}")


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
