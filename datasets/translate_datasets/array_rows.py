"""Rows of arrays: where arrays of a name lie, what their images are, and the streams that lie beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate import images
from translate.data import Dataset, Domain, Example
from translate.errors import TranslateError, nearest
from translate.memory import Budget
from translate_datasets.array_files import Place, header_of, load
from translate_datasets.domains import range_of
from translate_datasets.listing import SPLITS
from translate_datasets.maps import FEW
from translate_datasets.streams import Named, asked_for, check_vectors, with_stream
from translate_datasets.values import Values


def load_images(place: Place, name: str, root: Path, budget: Budget) -> NDArray[Any]:
    """An array of images, refused by its header if it is none, or if one of its images does not fit."""
    header = header_of(place)
    if len(header.shape) not in (3, 4) or 0 in header.shape:
        raise TranslateError(
            f"{name!r} in {root} has the shape {header.shape}; images are rows of (N, height, width[, channels])"
        )
    images.planes(np.zeros((1, 1), header.dtype), f"{name!r} in {root}")
    image = header.nbytes // header.shape[0]
    # Beside its own bytes it is copied, as float32 with a check of its values.
    if (reason := budget.too_large(image + 5 * image // header.dtype.itemsize)) is not None:
        raise TranslateError(f"an image of {name!r} in {root} has the shape {header.shape[1:]} and {reason}")
    height, width = header.shape[1:3]
    if height * width > budget.max_pixels:
        raise TranslateError(
            f"an image of {name!r} in {root} has {width} x {height} pixels, more than the limit of "
            f"{budget.max_pixels}; make it smaller or raise --max-pixels"
        )
    return load(place, budget)


def array_domain(array: NDArray[Any], name: str, root: Path, values: Values) -> Domain:
    """What the images of an array are, by their type and, of floats, by their values."""
    first = images.planes(array[0], f"{name!r} in {root}")
    channels = first.shape[2]
    if values.mode != "dropped" and channels in (2, 4):
        channels -= 1
    if first.dtype == np.uint8:
        return Domain(channels=channels)
    if first.dtype == np.uint16:
        return Domain(channels=channels, depth="uint16")
    low, high = range_of(*extremes(array))
    return Domain(channels=channels, depth="float32", low=low, high=high)


def extremes(array: NDArray[Any]) -> tuple[float, float]:
    """The lowest and highest value of up to some 256 rows."""
    sample = array[:: max(1, len(array) // 256)]
    return float(np.min(sample)), float(np.max(sample))


def by_split_of(names: Mapping[str, Place], name: str) -> dict[str, Place]:
    """The places of an array by split; the bare name is the training split."""
    found: dict[str, Place] = {}
    where, base = split_prefix(name)
    for split, folders in SPLITS.items():
        for word in folders:
            before = (f"{word}_{name}", f"{word}/{name}", f"{word}{name}")
            for whole in (*before, f"{name}_{word}", f"{where}{word}_{base}", f"{where}{word}{base}"):
                if whole in names:
                    found.setdefault(split, names[whole])
    if "train" not in found and name in names:
        found["train"] = names[name]
    return found


def split_prefix(name: str) -> tuple[str, str]:
    """Split a name into its prefix (file or folder, with separator) and the bare name."""
    length = max(name.rfind(":"), name.rfind("/")) + 1
    return name[:length], name[length:]


# --- streams ----------------------------------------------------------------------------------------------------------


def with_rows(
    dataset: Dataset,
    root: Path,
    named: Mapping[str, str],
    names: Mapping[str, Place],
    budget: Budget,
    *,
    aligned: str | None,
    vectors: str | None,
) -> Dataset:
    """A dataset of rows with the streams that are asked for: row i of their arrays belongs to row i of the images.

    ``named`` are the arrays of the domains, ``names`` the places of all.
    """
    for each in asked_for(aligned, "aligned", dataset.domains):
        dataset = _with_images(dataset, root, each, _beside(names, named[each.partner], each.place), budget)
    for each in asked_for(vectors, "vectors", dataset.domains):
        places = {side: _beside(names, name, f"{side}_{each.place}") for side, name in named.items()}
        shared = {side: _beside(names, name, each.place) for side, name in named.items()}
        if not any(places.values()):
            # One array is for both images of a pair, and each of two files may have one of its own.
            alone = len(named) == 1 or dataset.paired or len({str(place) for place in shared.values()}) > 1
            if any(shared.values()) and not alone:
                raise TranslateError(
                    f"the array {each.place!r} in {root} may belong to the source or the target; name it "
                    f"source_{each.place} or target_{each.place}"
                )
            places = shared
        if not any(places.values()):
            raise TranslateError(f"there is no array {each.place!r} in {root}; {nearest(each.place, names)}")
        for side, found in places.items():
            dataset = _with_vectors(dataset, root, each, side, found, budget) if found else dataset
    return dataset


def _beside(names: Mapping[str, Place], images_name: str, name: str) -> dict[str, Place]:
    """The places by split of an array in the file of an image array, or else anywhere."""
    where = split_prefix(images_name)[0]
    return by_split_of(names, where + name) or by_split_of(names, name)


def _rows(
    dataset: Dataset, root: Path, named: Named, side: str, found: Mapping[str, Place], budget: Budget
) -> dict[str, list[tuple[int, NDArray[Any]]]]:
    """For each split the rows of an array beside the examples of a domain, whose names are the rows' numbers."""
    result: dict[str, list[tuple[int, NDArray[Any]]]] = {}
    loaded: dict[Place, NDArray[Any]] = {}
    for split, sides in dataset.splits.items():
        # Of one array a share is held out.
        place = found.get(split) or (found.get("train") if split == "val" and "val" not in found else None)
        listed = sides.get(side, ())
        if place is None or not listed:
            continue
        if place not in loaded:
            loaded[place] = load(place, budget)
        last = max(int(example.name) for example in listed)
        if last >= len(loaded[place]):
            raise TranslateError(
                f"{named.place!r} in {root} has {len(loaded[place])} rows in {split}, and the {side} has more images; "
                "store a row for each image"
            )
        result[split] = [(row, loaded[place][int(example.name)]) for row, example in enumerate(listed)]
    return result


def _with_images(dataset: Dataset, root: Path, named: Named, found: Mapping[str, Place], budget: Budget) -> Dataset:
    if "train" not in found:
        raise TranslateError(f"there is no array {named.place!r} in {root}, for aligned={named.name}")
    header = header_of(found["train"])
    if header.dtype.kind == "b" and len(header.shape) == 3:
        highest, domain = 1.0, Domain(1)
    else:
        array = load_images(found["train"], named.place, root, budget)
        domain = array_domain(array, named.place, root, Values(default="none", background="none"))
        highest = extremes(array)[1]
    if header.dtype.kind in "biu" and domain.channels == 1 and highest < FEW:
        # Whole numbers this small are indices, as in files.
        domain = Domain(int(highest) + 1, classes=int(highest) + 1)
    splits = {split: dict(sides) for split, sides in dataset.splits.items()}
    for split, rows in _rows(dataset, root, named, named.partner, found, budget).items():
        partners = splits[split][named.partner]
        splits[split][named.name] = [Example(image, partners[row].name) for row, image in rows]
    return with_stream(dataset, named.name, named.partner, domain, splits)


def _with_vectors(
    dataset: Dataset, root: Path, named: Named, side: str, found: Mapping[str, Place], budget: Budget
) -> Dataset:
    header = header_of(next(iter(found.values())))
    check_vectors(header.shape, header.dtype, f"{named.place!r} in {root}")
    splits = {split: dict(sides) for split, sides in dataset.splits.items()}
    for split, rows in _rows(dataset, root, named, side, found, budget).items():
        listed = list(splits[split][side])
        for row, vector in rows:
            listed[row] = replace(listed[row], extras={**listed[row].extras, named.name: vector})
        splits[split][side] = listed
    return replace(dataset, splits=splits)
