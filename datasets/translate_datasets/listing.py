"""Listing: files of a folder, folders of a split, and the choice of held-out examples."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from translate import images
from translate.data import Example
from translate.errors import TranslateError
from translate.options import Option

HoldOut = Annotated[float, Option("share for validation if there are no split folders", ge=0, lt=1)]

Files = Mapping[str, Path]
"""Files by their stem, sorted; a stem is the path below the folder, without its suffix."""

SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""The splits, and the usual names of their folders."""

PAIRS: tuple[tuple[str, str], ...] = (
    ("source", "target"),
    ("A", "B"),
    ("input", "target"),
    ("input", "output"),
    ("label", "photo"),
    ("labels", "photos"),
    ("label", "image"),
    ("labels", "images"),
    ("mask", "image"),
    ("masks", "images"),
    ("edges", "photo"),
    ("edges", "photos"),
    ("edge", "photo"),
    ("sketch", "photo"),
    ("sketches", "photos"),
)
"""Usual names of two folders, source before target."""


@dataclass(frozen=True, slots=True)
class Sides:
    """The folders of two domains: source and target of each split; the split "" means no splits."""

    source: str
    target: str
    folders: Mapping[str, tuple[Path, Path]]


def files(folder: Path, problems: list[str] | None = None) -> dict[str, Path]:
    """List the images below a folder by their stems; of two files with the same stem the first is used."""
    start = 0 if folder == Path() else len(str(folder)) + 1
    found: dict[str, Path] = {}
    repeated: list[str] = []
    for path in images.find(folder):
        stem = os.path.splitext(os.fspath(path)[start:])[0]  # noqa: PTH122  (pathlib takes three times as long)
        if stem in found:
            repeated.append(path.name)
        else:
            found[stem] = path
    if repeated and problems is not None:
        problems.append(
            f"{count_named(repeated, 'file')} in {folder} shares its name with another, but for the suffix; remove one"
        )
    return found


def is_folder(path: Path) -> bool:
    """Whether there is a folder; none is seen inside of one that may not be entered."""
    try:
        return path.is_dir()
    except OSError:
        return False


def subfolders(folder: Path) -> list[str]:
    """List the names of the folders in a folder, without hidden ones."""
    try:
        return sorted(entry.name for entry in folder.iterdir() if is_folder(entry) and not entry.name.startswith("."))
    except OSError as error:
        raise TranslateError(f"cannot list {folder}: {error.strerror}; check its name and permissions") from None


def sides(root: Path, source: str, target: str, *, both: bool = True) -> Sides | None:
    """Find two domains' folders: SPLIT/NAME, NAME/SPLIT, SPLITNAME (trainA) or NAME alone.

    Without ``both`` a split may lack one of them.
    """
    arrangements: tuple[Callable[[str, str], Path], ...] = (
        lambda split, name: root / split / name,
        lambda split, name: root / name / split,
        lambda split, name: root / f"{split}{name}",
        lambda split, name: root / f"{split}_{name}",
    )
    for place in arrangements:
        found: dict[str, tuple[Path, Path]] = {}
        for split, names in SPLITS.items():
            for name in names:
                pair = (place(name, source), place(name, target))
                there = [is_folder(folder) for folder in pair]
                if all(there) or (any(there) and not both and split != "train"):
                    found.setdefault(split, pair)
        complete = any(all(is_folder(folder) for folder in pair) for pair in found.values())
        if "train" in found or (found and (both or complete)):
            return Sides(source, target, found)
    if is_folder(root / source) and is_folder(root / target):
        return Sides(source, target, {"": (root / source, root / target)})
    return None


def usual_sides(root: Path, *, both: bool = True) -> Sides | None:
    """Find two domains' folders by their usual names."""
    return next((found for pair in PAIRS if (found := sides(root, *pair, both=both)) is not None), None)


def choose_sides(root: Path, source: str | None, target: str | None, layout: str, *, both: bool = True) -> Sides:
    """Find the named folders, or the usual ones; if they are missing, refuse and list the choices."""
    if not is_folder(root):
        raise TranslateError(f"there is no folder {root}; check its name")
    if (source is None) != (target is None):
        raise TranslateError(f"{layout} needs the names of both folders or of none: source=... and target=...")
    found = sides(root, source, target, both=both) if source and target else usual_sides(root, both=both)
    if found is None:
        there = subfolders(root)
        inside = sorted({name for folder in there for name in subfolders(root / folder)})[:20]
        choices = f"it has {', '.join(there[:20])}" if there else "it has no folders"
        choices += f" with {', '.join(inside)} inside" if inside else ""
        wanted = f"{source!r} and {target!r}" if source else "two domains, such as source and target"
        raise TranslateError(
            f"no folders of {wanted} in {root}: {choices}; name two as {layout}(source=..., target=...)"
        )
    return found


def hold_out(stems: Sequence[str], share: float) -> set[str]:
    """Choose a share of examples for validation by a hash of their names: at least one, none of fewer than ten.

    >>> len(hold_out([str(number) for number in range(25)], 0.1))
    2
    >>> hold_out(["a", "b"], 0.5)
    set()
    """
    if len(stems) < 10 or share == 0:
        return set()
    ranked = sorted(
        stems, key=lambda stem: hashlib.blake2b(stem.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    )
    return set(ranked[: min(len(stems) - 1, max(1, round(share * len(stems))))])


def spread(items: Sequence[Path], count: int) -> list[Path]:
    """Take ``count`` items, evenly spaced."""
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]


def paths_of(examples: Iterable[Example]) -> list[Path]:
    """The paths of those examples that are files."""
    return [example.pixels for example in examples if isinstance(example.pixels, Path)]


def all_paths(splits: Mapping[str, Mapping[str, Sequence[Example]]]) -> dict[str, list[Path]]:
    """The paths of all splits by side."""
    found: dict[str, list[Path]] = {}
    for sides in splits.values():
        for side, examples in sides.items():
            found.setdefault(side, []).extend(paths_of(examples))
    return found


def count_named(names: Iterable[str], what: str) -> str:
    """Count things and name up to three.

    >>> count_named(["a", "b", "c", "d"], "file")
    '4 files (a, b, c, ...)'
    """
    listed = list(names)
    shown = ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")
    return f"{len(listed)} {what}{'' if len(listed) == 1 else 's'} ({shown})"
