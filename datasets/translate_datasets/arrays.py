"""Arrays: images as the rows of .npz or .npy files, and their labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from numpy.typing import NDArray

from translate.data import Dataset, Example
from translate.errors import TranslateError, nearest
from translate.images import ArrayHeader
from translate.memory import Budget
from translate.options import Call, Option
from translate_datasets.array_files import Place, header_of, load, places
from translate_datasets.array_rows import array_domain, by_split_of, extremes, load_images, split_prefix, with_rows
from translate_datasets.labels import LabelSeed, LabelsPerClass, keep, label_options
from translate_datasets.listing import hold_out
from translate_datasets.streams import Aligned, VectorsBeside, stream_options, with_alpha
from translate_datasets.values import AlphaPlane, Background, Bits, High, Low, Ranged, Values, hardly_used

NAMES: tuple[tuple[str, str], ...] = (
    ("source", "target"),
    ("A", "B"),
    ("input", "target"),
    ("input", "output"),
)
"""Usual names of two arrays, source before target."""

LABELS: Mapping[str, tuple[str, ...]] = {
    "x": ("y",),
    "X": ("y", "Y"),
    "images": ("labels", "label"),
    "image": ("label", "labels"),
}
"""Usual names of images and labels: a word in the images' name, and the words that replace it for the labels."""

_most_classes = 10_000


def arrays(
    root: Path,
    *,
    source: Annotated[str | None, Option("array of the source, NAME or FILE:NAME (default: a usual one)")] = None,
    target: Annotated[str | None, Option("array of the target, NAME or FILE:NAME (default: a usual one)")] = None,
    paired: Annotated[
        bool | None, Option("whether rows with equal index are pairs (default: if the lengths are equal)")
    ] = None,
    holdout: Annotated[float, Option("share for validation if no array is for it", ge=0, lt=1)] = 0.1,
    source_labels: Annotated[str | None, Option("array of the source's labels (default: a usual one)")] = None,
    target_labels: Annotated[str | None, Option("array of the target's labels (default: a usual one)")] = None,
    labels_per_class: LabelsPerClass = None,
    label_seed: LabelSeed = 0,
    low: Low = None,
    high: High = None,
    bits: Bits = None,
    ranged: Ranged = None,
    background: Background = "none",
    alpha: AlphaPlane = None,
    aligned: Aligned = None,
    vectors: VectorsBeside = None,
) -> Dataset:
    """List rows of arrays (N, H, W) or (N, H, W, C), of a .npz file or a folder of .npz and .npy files.

    Splits are in the arrays' names, ``train_source`` or ``source_train`` and so on; otherwise a share is held out.
    Data with only a source has one domain. Labels are integers from 0; -1 means no label.
    Of 2 or 4 planes the last is alpha only if a ``background`` or ``alpha=plane`` is asked for.
    """
    values = Values(low, high, bits, ranged, background, alpha, default="none")
    names = places(root)
    if source is None and target is not None:
        raise TranslateError("arrays needs the source's name beside the target's: source=... and target=...")
    if source is None:
        candidates = usual_names(root)
        if len(candidates) != 1:
            listed = ", ".join(names) or "no arrays"
            raise TranslateError(
                f"{root} holds {listed}; name two as arrays(source=..., target=...), or one for a single domain"
            )
        source, *others = candidates[0]
        target = others[0] if others else None
    if target is None and target_labels is not None:
        raise TranslateError(f"target_labels={target_labels!r} needs a target; name its images, too: target=...")
    named = {"source": source} | ({} if target is None else {"target": target})
    found: dict[str, dict[str, NDArray[Any]]] = {}
    budget = Budget()
    for side, name in named.items():
        by_split = by_split_of(names, name)
        if not by_split:
            raise TranslateError(f"there is no array {name!r} in {root}; {nearest(name, names)}")
        for split, place in by_split.items():
            found.setdefault(split, {})[side] = load_images(place, name, root, budget)
    if set(found.get("train", {})) != set(named):
        raise TranslateError(f"{source!r} and {target!r} in {root} are of different splits; name two of the same")
    problems: list[str] = []
    asked = {"source": source_labels, "target": target_labels}
    labelled = {side: asked[side] or _usual_labels(names, name) for side, name in named.items()}
    labels: dict[str, dict[str, list[int]]] = {split: {} for split in found}
    for side, own in labelled.items():
        if own is None:
            continue
        counts = {split: len(both[side]) for split, both in found.items() if side in both}
        for split, numbers in _labels(names, own, root, counts, problems, budget).items():
            labels[split][side] = numbers
    if paired is None:
        paired = target is not None and all(_may_pair(both, labels[split]) for split, both in found.items())
    most = max((max(numbers, default=-1) for both in labels.values() for numbers in both.values()), default=-1)
    classes = tuple(str(number) for number in range(most + 1))
    domains = {
        side: replace(array_domain(found["train"][side], name, root, values), labels=classes if labelled[side] else ())
        for side, name in named.items()
    }
    domains = values.applied(domains, {side for side in named if found["train"][side].dtype.kind in "iu"})
    splits = _splits(found, labels, paired, holdout, problems)
    splits["train"] = {side: keep(rows, labels_per_class, label_seed) for side, rows in splits["train"].items()}
    layout = Call(
        "arrays",
        named
        | ({} if target is None else {"paired": paired})
        | {f"{side}_labels": own for side, own in labelled.items() if own is not None}
        | values.options()
        | label_options(None, labels_per_class, label_seed)
        | stream_options(aligned, vectors),
    )
    told = [hardly_used(side, domain, extremes(found["train"][side]), layout) for side, domain in domains.items()]
    notes = tuple(note for note in told if note is not None)
    plain = Dataset(root.resolve().stem, str(layout), paired, domains, splits, tuple(problems), notes)
    return with_alpha(with_rows(plain, root, named, names, budget, aligned=aligned, vectors=vectors), values)


def usual_names(root: Path) -> list[tuple[str, ...]]:
    """The usual array names found in a file or folder, one tuple for each possible interpretation.

    A source and a target; else one array with labels; else one with labels in each of two files, in both directions.
    """
    names = places(root)
    for pair in NAMES:
        if all("train" in by_split_of(names, name) for name in pair):
            return [pair]
    inside = sorted({name.rpartition(":")[0] for name in names} - {""})
    alone: list[str] = []
    for file in inside or [""]:
        wholes = [f"{file}:{name}" if file else name for name in LABELS]
        alone += [name for name in wholes if "train" in by_split_of(names, name) and _usual_labels(names, name)][:1]
    if len(alone) == 2:
        return [(alone[0], alone[1]), (alone[1], alone[0])]
    return [(alone[0],)] if len(alone) == 1 else []


def _may_pair(both: Mapping[str, NDArray[Any]], labels: Mapping[str, list[int]]) -> bool:
    """Whether rows may be pairs: equal numbers on both sides, and no different labels."""
    same = len(both) == 2 and len({len(array) for array in both.values()}) == 1
    return same and (len(labels) < 2 or labels["source"] == labels["target"])


def _splits(
    found: Mapping[str, Mapping[str, NDArray[Any]]],
    labels: Mapping[str, Mapping[str, list[int]]],
    paired: bool,
    holdout: float,
    problems: list[str],
) -> dict[str, dict[str, list[Example]]]:
    splits: dict[str, dict[str, list[Example]]] = {}
    for split, both in found.items():
        lengths = {len(array) for array in both.values()}
        if paired and (len(both) < 2 or len(lengths) > 1):
            lengths_text = " and ".join(str(len(array)) for array in both.values())
            problems.append(f"the arrays of {split} have {lengths_text} rows; pairs need the same number on both sides")
        count = min(lengths) if paired else None
        rows = {
            side: [
                Example(row, f"{index:06d}", label=labels[split][side][index] if side in labels[split] else -1)
                for index, row in enumerate(array[:count])
            ]
            for side, array in both.items()
        }
        splits[split] = {side: rows.get(side, []) for side in found["train"]}
    if "val" not in splits:
        train = splits["train"]
        held = {side: hold_out([example.name for example in examples], holdout) for side, examples in train.items()}
        if all(held.values()):
            splits["val"] = {side: [one for one in train[side] if one.name in held[side]] for side in train}
            splits["train"] = {side: [one for one in train[side] if one.name not in held[side]] for side in train}
    return splits


# --- labels ---------------------------------------------------------------------------------------------------------


def _usual_labels(names: Mapping[str, Place], name: str) -> str | None:
    """The name of the label array that belongs to an image array, by the usual names."""
    where, base = split_prefix(name)
    words = re.split(r"(_)", base)
    guesses = [f"{base}_label", f"{base}_labels"]
    for at, word in enumerate(words):
        guesses += ["".join([*words[:at], own, *words[at + 1 :]]) for own in LABELS.get(word, ())]
    for guess in guesses:
        place = by_split_of(names, where + guess).get("train")
        if place is not None and _are_labels(header_of(place)):
            return where + guess
    return None


def _are_labels(header: ArrayHeader) -> bool:
    return header.dtype.kind in "iub" and (len(header.shape) == 1 or header.shape[1:] == (1,))


def _labels(
    names: Mapping[str, Place], name: str, root: Path, counts: Mapping[str, int], problems: list[str], budget: Budget
) -> dict[str, list[int]]:
    """The labels of each split, if their number fits its images."""
    listed = by_split_of(names, name)
    if not listed:
        raise TranslateError(f"there is no array {name!r} in {root}; {nearest(name, names)}")
    found: dict[str, list[int]] = {}
    for split, count in counts.items():
        if split not in listed:
            continue
        header = header_of(listed[split])
        if not _are_labels(header):
            raise TranslateError(
                f"{name!r} in {root} is {header.dtype} of shape {header.shape}; labels are whole numbers, one an image"
            )
        numbers = [int(number) for number in load(listed[split], budget).ravel()]
        if len(numbers) != count:
            problems.append(f"{name!r} in {root} has {len(numbers)} labels in {split}, but there are {count} images")
        elif numbers and not -1 <= min(numbers) <= max(numbers) < _most_classes:
            problems.append(
                f"{name!r} in {root} has labels from {min(numbers)} to {max(numbers)} in {split}; "
                f"number the classes from 0, and write -1 for none"
            )
        else:
            found[split] = numbers
    return found
