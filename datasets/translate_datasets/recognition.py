"""Recognition of the layout of a folder or file, the most specific first."""

from __future__ import annotations

from pathlib import Path

from translate import images
from translate.errors import TranslateError
from translate.images import ImageError
from translate.options import Call
from translate_datasets.arrays import usual_names
from translate_datasets.labels import TABLE
from translate_datasets.listing import SPLITS, Sides, files, is_folder, sides, spread, subfolders, usual_sides
from translate_datasets.pairing import by_name
from translate_datasets.side_by_side import split_folders


def layouts(root: Path) -> list[str]:
    """List the layouts that a folder or file may have, as calls; more than one only if that is ambiguous."""
    try:
        if root.is_file():
            return _arrays(root) if root.suffix.lower() == ".npz" else []
        if not is_folder(root):
            return []
        found = usual_sides(root, both=False)
        if found is not None and not _are_letters(root, found) and (call := _call(found)) is not None:
            return [call]
        if _is_side_by_side(root):
            return ["side_by_side"]
        if _holds_arrays(root) and (calls := _arrays(root)):
            return calls
        if _holds_classes(root):
            return ["classes"]
        return _unknown_names(root)
    except TranslateError:
        return []  # a folder that cannot be listed has no layout; opening it by a named layout reports why


def _call(found: Sides) -> str | None:
    """The call that opens two folders, or None if one of them is empty.

    They are paired if at least half of the files of the smaller one have a partner in the other.
    """
    pair = found.folders.get("train") or next(iter(found.folders.values()))
    ours, theirs = (files(folder) if is_folder(folder) else {} for folder in pair)
    if not ours or not theirs:
        return None
    usual = (found.source, found.target) in (("source", "target"), ("A", "B"))
    options = {} if usual else {"source": found.source, "target": found.target}
    paired = 2 * len(by_name(ours, theirs).pairs) >= min(len(ours), len(theirs))
    return str(Call("folders" if paired else "unpaired", options))


def _are_letters(root: Path, found: Sides) -> bool:
    """Whether folders A and B are two of several class folders, not two domains."""
    parent = root if "" in found.folders else next(iter(found.folders.values()))[0].parent
    return (found.source, found.target) == ("A", "B") and is_folder(parent / "C")


def _is_side_by_side(root: Path) -> bool:
    """Whether all of up to 16 images, in split folders or in the root itself, are twice as wide as high."""
    folders = split_folders(root)
    folder = folders.get("train") or next(iter(folders.values()))
    if subfolders(folder):
        return False
    headers = []
    for path in spread([path for path in images.find(folder) if path.suffix.lower() != ".npy"], 16):
        try:
            headers.append(images.probe(path))
        except ImageError:
            continue
    return bool(headers) and all(header.width == 2 * header.height for header in headers)


def _holds_arrays(root: Path) -> bool:
    return any(root.glob("*.np[yz]")) or any(root.glob("*/*.np[yz]"))


def _arrays(root: Path) -> list[str]:
    try:
        candidates = usual_names(root)
    except TranslateError:
        return ["arrays"]  # opening it says what is wrong
    if len(candidates) == 1:
        return ["arrays"]
    return [str(Call("arrays", {"source": source, "target": target})) for source, target in candidates]


def _holds_classes(root: Path) -> bool:
    """Whether all images lie in three or more folders, or a table in the folder gives them labels."""
    folders = split_folders(root)
    folder = folders.get("train") or next(iter(folders.values()))
    listed = files(folder)
    if listed and any((place / TABLE).is_file() for place in (root, folder)):
        return True
    inside = {stem.partition("/")[0] if "/" in stem else "" for stem in listed}
    return len(inside) >= 3 and inside == set(subfolders(folder))


def _unknown_names(root: Path) -> list[str]:
    """Two folders of images with unknown names: both directions are possible."""
    words = {word for words in SPLITS.values() for word in words}
    names = subfolders(root)
    inside = next((word for words in SPLITS.values() for word in words if word in names), None)
    if inside is not None:
        names = subfolders(root / inside)
    names = [name for name in names if name not in words]
    if len(names) != 2:
        return []
    found = sides(root, *names, both=False)
    if found is None:
        return []
    back = Sides(found.target, found.source, {split: (b, a) for split, (a, b) in found.folders.items()})
    calls = [call for each in (found, back) if (call := _call(each)) is not None]
    return [*calls, "classes"] if calls and calls[0].startswith("unpaired") else calls
