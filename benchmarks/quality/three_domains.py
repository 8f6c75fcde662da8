"""Data of many domains: MNIST, USPS and inverted MNIST as the classes of one set, and what is measured on it.

``domains`` has them with their numbers as labels. ``domains-from-usps`` has 2,000 test images of one with their digits,
``domains-from-usps-to-mnist`` the same images with the number of another domain, for a judge of domains, and
``domains-references-mnist`` is a folder with a reference of a domain for each of such 2,000.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate import images

NAMES = ("mnist", "usps", "inverted")
"""The domains, in the order of their labels."""

SIDE = 32
TRAINED = 20_000
"""Training images of a domain at most; those of MNIST and of its inversion are different digits."""

MEASURED = 2_000
APART = 1_000
"""How far the reference of an image lies from it in its set; at the same place lies the same digit, inverted."""

Split = Mapping[str, NDArray[Any]]


def prepare(name: str, sets: Mapping[str, tuple[Split, Split]], folder: Path) -> Path:
    """The file of arrays, or the folder of references, of that name; made on its first use."""
    kind, _, rest = name.removeprefix("domains").removeprefix("-").partition("-")
    path = folder / (name if kind == "references" else f"{name}.npz")
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f"{name}.part{path.suffix}"
    if kind == "references":
        beside.mkdir(exist_ok=True)
        listed = sets[rest][1]["image"]
        for row in range(MEASURED):
            pixels = resized(listed[(row + APART) % len(listed)][None])[0]
            images.write(beside / f"{row:06d}.png", images.Image(pixels[..., None]))
    else:
        arrays = _measured(*rest.partition("-to-")[::2], sets) if kind == "from" else _all(sets)
        np.savez(beside, allow_pickle=False, **arrays)
    beside.replace(path)
    return path


def resized(rows: NDArray[Any]) -> NDArray[Any]:
    """Images (N, H, W) at 32 px, as a training resizes them."""
    found = [images.resize(np.ascontiguousarray(row[..., None]), (SIDE, SIDE)) for row in rows]
    return np.stack(found).reshape(-1, SIDE, SIDE)


def _all(sets: Mapping[str, tuple[Split, Split]]) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    for place, split in enumerate(("train", "test")):
        parts = []
        for name in NAMES:
            listed = sets[name][place]["image"]
            own = listed[-TRAINED:] if name == "inverted" else listed[:TRAINED]
            parts.append(resized(own if split == "train" else listed))
        found[f"x_{split}"] = np.concatenate(parts)
        found[f"y_{split}"] = np.concatenate([np.full(len(each), label) for label, each in enumerate(parts)])
    return found


def _measured(source: str, target: str, sets: Mapping[str, tuple[Split, Split]]) -> dict[str, NDArray[Any]]:
    test = sets[source][1]
    found = resized(test["image"][:MEASURED])
    digits = test["label"][:MEASURED]
    labels = np.full(len(found), NAMES.index(target)) if target else digits
    # Arrays have a split for training, which nothing here reads.
    return {"x_train": found[:1], "y_train": labels[:1], "x_test": found, "y_test": labels.astype(np.int64)}
