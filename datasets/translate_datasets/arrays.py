"""Arrays: images as the rows of .npz or .npy files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from translate import images
from translate.data import Dataset, Domain, Example
from translate.errors import TranslateError, nearest
from translate.options import Call, Option
from translate_datasets.domains import range_of
from translate_datasets.listing import SPLITS, hold_out

NAMES: tuple[tuple[str, str], ...] = (
    ("source", "target"),
    ("A", "B"),
    ("input", "target"),
    ("input", "output"),
)
"""Usual names of two arrays, source before target."""


def arrays(
    root: Path,
    *,
    source: Annotated[str | None, Option("array of the source, NAME or FILE:NAME (default: a usual one)")] = None,
    target: Annotated[str | None, Option("array of the target, NAME or FILE:NAME (default: a usual one)")] = None,
    paired: Annotated[bool | None, Option("whether row i belongs to row i (default: if the lengths are equal)")] = None,
    holdout: Annotated[float, Option("share that validates where no array is for validation", ge=0, lt=1)] = 0.1,
) -> Dataset:
    """List rows of arrays (N, H, W) or (N, H, W, C), of a .npz file or a folder of .npz and .npy files.

    ``source`` may be in several splits: ``train_source`` or ``source_train`` and so on, else a share is held out.
    """
    names = _names(root)
    if (source is None) != (target is None):
        raise TranslateError("arrays needs the names of both arrays or of none: source=... and target=...")
    if source is None or target is None:
        pair = usual_names(root)
        if pair is None:
            listed = ", ".join(names) or "no arrays"
            raise TranslateError(f"{root} holds {listed}; name two as arrays(source=..., target=...)")
        source, target = pair
    named = {"source": source, "target": target}
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for side, name in named.items():
        places = _places(names, name)
        if not places:
            raise TranslateError(f"there is no array {name!r} in {root}; {nearest(name, names)}")
        for split, (file, member) in places.items():
            found.setdefault(split, {})[side] = _load(file, member)
    if set(found.get("train", {})) != set(named):
        raise TranslateError(f"{source!r} and {target!r} in {root} are of different splits; name two of the same")
    if paired is None:
        paired = all(len({len(array) for array in both.values()}) == 1 and len(both) == 2 for both in found.values())
    domains = {side: _domain(found["train"][side], name, root) for side, name in named.items()}
    splits, problems = _splits(found, paired, holdout)
    layout = Call("arrays", {"source": source, "target": target, "paired": paired})
    return Dataset(root.resolve().stem, str(layout), paired, domains, splits, tuple(problems))


def usual_names(root: Path) -> tuple[str, str] | None:
    """The first of the usual names that two arrays in a file or folder have."""
    names = _names(root)
    for pair in NAMES:
        if all("train" in _places(names, name) for name in pair):
            return pair
    return None


def _splits(
    found: Mapping[str, Mapping[str, NDArray[Any]]], paired: bool, holdout: float
) -> tuple[dict[str, dict[str, list[Example]]], list[str]]:
    problems: list[str] = []
    splits: dict[str, dict[str, list[Example]]] = {}
    for split, both in found.items():
        lengths = {len(array) for array in both.values()}
        if paired and (len(both) < 2 or len(lengths) > 1):
            told = " and ".join(str(len(array)) for array in both.values())
            problems.append(f"the arrays of {split} have {told} rows; pairs need the same number on both sides")
        count = min(lengths) if paired else None
        rows = {
            side: [Example(row, f"{index:06d}") for index, row in enumerate(array[:count])]
            for side, array in both.items()
        }
        splits[split] = {"source": [], "target": []} | rows
    if "val" not in splits:
        train = splits["train"]
        held = {side: hold_out([example.name for example in examples], holdout) for side, examples in train.items()}
        if all(held.values()):
            splits["val"] = {side: [one for one in train[side] if one.name in held[side]] for side in train}
            splits["train"] = {side: [one for one in train[side] if one.name not in held[side]] for side in train}
    return splits, problems


def _domain(array: NDArray[Any], name: str, root: Path) -> Domain:
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise TranslateError(
            f"{name!r} in {root} has the shape {array.shape}; images are rows of (N, height, width[, channels])"
        )
    first = images.planes(array[0], f"{name!r} in {root}")
    channels = first.shape[2]
    if first.dtype == np.uint8:
        return Domain(channels=channels)
    if first.dtype == np.uint16:
        return Domain(channels=channels, depth="uint16")
    some = array[:: max(1, len(array) // 256)]
    low, high = range_of(float(np.min(some)), float(np.max(some)))
    return Domain(channels=channels, depth="float32", low=low, high=high)


# --- where the arrays are -------------------------------------------------------------------------------------------

Place = tuple[Path, str]
"""A file, and the array's name in it; "" for a .npy file, which holds one."""


def _names(root: Path) -> dict[str, Place]:
    """All arrays of a .npz file, or of the .npz and .npy files of a folder, by NAME and by FILE:NAME."""
    if root.is_file():
        return dict(_members(root))
    if not root.is_dir():
        raise TranslateError(f"there is no file or folder {root}; check its name")
    found: dict[str, Place] = {}
    for path in sorted(root.rglob("*.np[yz]")):
        inside = path.relative_to(root).as_posix()
        if path.suffix == ".npy":
            found[inside.removesuffix(".npy")] = (path, "")
            continue
        for name, place in _members(path):
            found.setdefault(name, place)
            found[f"{inside}:{name}"] = place
    return found


def _members(path: Path) -> Iterator[tuple[str, Place]]:
    if path.suffix == ".npy":
        yield path.stem, (path, "")
        return
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            names = list(file.files)
    except Exception as error:  # zip, numpy and the disk each raise their own
        raise TranslateError(f"{path} is no readable .npz file ({_reason(error)}); mend or remove it") from None
    for name in names:
        yield name, (path, name)


def _places(names: Mapping[str, Place], name: str) -> dict[str, Place]:
    """Where an array is, by split: the name itself counts as the training split."""
    found: dict[str, Place] = {}
    for split, folders in SPLITS.items():
        for word in folders:
            for whole in (f"{word}_{name}", f"{name}_{word}", f"{word}/{name}", f"{word}{name}"):
                if whole in names:
                    found.setdefault(split, names[whole])
    if "train" not in found and name in names:
        found["train"] = names[name]
    return found


def _load(path: Path, member: str) -> NDArray[Any]:
    try:
        if not member:
            return np.asanyarray(np.load(path, mmap_mode="r", allow_pickle=False))
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return np.asarray(file[member])
    except Exception as error:  # as above
        where = f"the array {member!r} of {path}" if member else str(path)
        raise TranslateError(f"{where} cannot be read ({_reason(error)}); mend or remove it") from None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120].rstrip(".") or type(error).__name__
