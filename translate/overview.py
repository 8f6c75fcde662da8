"""Overview of data: whether it is there, what a layout leaves out of it, and what it holds if none is recognized."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from translate import images
from translate.data import Dataset
from translate.errors import TranslateError
from translate.images import Found, ImageError

_shown = 6  # folders that are listed
_probed = 16

LOOKED_AT = 64
"""How many files of a domain are looked into before a training."""


def is_there(root: Path) -> bool:
    """Whether there is a file or folder of that name; raises ``TranslateError`` for one that may not be entered."""
    try:
        if stat.S_ISDIR(root.stat().st_mode) and not os.access(root, os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError as error:
        # The text that names a part may be longer than any file's name.
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise TranslateError(f"cannot enter {root}: {error.strerror}; check its permissions") from None
    return True


def with_left_out(dataset: Dataset, root: Path) -> Dataset:
    """Add notes on what looks like an image below the data's folder and is not taken."""
    if not (is_there(root) and root.is_dir()):
        return dataset
    found = images.survey(root)
    notes = [*dataset.notes, *images.count_left_out(found.left_out)]
    notes += [f"{path} is left out, it cannot be entered: {reason}" for path, reason in found.closed]
    listed = (each for sides in dataset.splits.values() for examples in sides.values() for each in examples)
    taken = {str(example.pixels) for example in listed if isinstance(example.pixels, Path)}
    if taken and not dataset.problems:
        beside = [path for path in found.files if str(path) not in taken and path.suffix.lower() != ".npy"]
        if beside:
            names = ", ".join(path.relative_to(root).as_posix() for path in beside[:3]) + ", ..." * (len(beside) > 3)
            are = "image is" if len(beside) == 1 else "images are"
            notes.append(f"{len(beside)} {are} in none of the layout's folders and left out ({names})")
    return replace(dataset, notes=tuple(notes))


def first_only(several: Mapping[Path, str]) -> list[str]:
    """That only the first frame or page of some files is taken: a sentence a kind, of ``frames`` and ``pages``.

    >>> first_only({Path("in/a.gif"): "frames", Path("in/b.gif"): ""})
    ['1 file holds further frames, and only the first is taken (in/a.gif)']
    """
    told = []
    for kind in ("frames", "pages"):
        names = sorted(f"{path.parent.name}/{path.name}" for path, found in several.items() if found == kind)
        if names:
            shown = ", ".join(names[:3]) + ", ..." * (len(names) > 3)
            hold = "1 file holds" if len(names) == 1 else f"{len(names)} files hold"
            told.append(f"{hold} further {kind}, and only the first is taken ({shown})")
    return told


def first_only_among_some(dataset: Dataset) -> list[str]:
    """``first_only`` of evenly spaced files of each domain's training images, whose headers are read."""
    several: dict[Path, str] = {}
    tried = False
    for examples in dataset.splits.get("train", {}).values():
        files = list(dict.fromkeys(each.pixels for each in examples if isinstance(each.pixels, Path)))
        tried |= len(files) > LOOKED_AT
        for number in range(min(LOOKED_AT, len(files))):
            path = files[number * len(files) // min(LOOKED_AT, len(files))]
            with contextlib.suppress(TranslateError, OSError):
                # What cannot be read is told by whoever decodes it.
                several[path] = images.probe(path).several
    return [f"of {len(several)} files that were looked at, {note}" if tried else note for note in first_only(several)]


def left_out(found: Found) -> list[tuple[Path, str]]:
    """What looks like an image below a folder and is of no format read here, or cannot be entered, with reasons."""
    reasons = [(path, f"{path} is left out: {images.why_left_out(path)}") for path in found.left_out]
    return reasons + [(path, f"{path} cannot be entered: {reason}") for path, reason in found.closed]


def unrecognized(root: Path, layouts: Container[str]) -> str:
    """What a folder or file holds and which of the ``layouts`` would take it, with lines to paste: one sentence."""
    if root.is_file():
        return f"{root} is one file; give the folder of images that holds it, or name its layout with --layout"
    found = images.survey(root)
    if not found.files:
        left_out = "".join(f"; {sentence}" for sentence in images.count_left_out(found.left_out))
        inside = _folders(root)
        held = f"no image that is read here, only {_listed(inside)}" if inside else "no images"
        return f"{root} holds {held}{left_out}; put images into it, such as pairs of equal names in source and target"
    top, places = _places(root, found.files)
    empty = [name for name in _folders(top) if name not in places]
    seen = [f"{name or 'no folder'} ({kinds})" for name, kinds in places.items()]
    shown = ", ".join(seen[:_shown]) + (f" and {len(seen) - _shown} more" if len(seen) > _shown else "")
    start = f"no layout is recognized in {root}: it holds images in {shown}"
    start += f", and none in {', '.join(empty[:_shown])}" if empty else ""
    inner = [name for name in places if name]
    choices: list[str] = []
    if len(inner) == 1 and empty:
        return f"{start}; put the images of the other domain into {empty[0]}{_or(_alone(found.files, layouts))}"
    if len(inner) >= 2:
        options = f"(source={inner[0]!r}, target={inner[1]!r})"
        ways = (("folders", "for pairs of equal names"), ("unpaired", "for two domains that do not pair"))
        choices += [f'--layout "{name}{options}" {why}' for name, why in ways if name in layouts]
    choices += _alone(found.files, layouts)
    return f"{start}; choose {', '.join(choices)}, or put two domains into two folders, such as source and target"


def _alone(files: Sequence[Path], layouts: Container[str]) -> list[str]:
    """The layouts of one folder."""
    choices = ['--layout "classes" for one domain'] if "classes" in layouts else []
    if "side_by_side" in layouts and (size := _halves(files)) is not None:
        choices.append(f'--layout "side_by_side" if each file is a pair of two halves (of {size})')
    return choices


def _or(choices: Sequence[str]) -> str:
    return f", or choose {' or '.join(choices)}" if choices else ""


def _places(root: Path, files: Sequence[Path]) -> tuple[Path, dict[str, str]]:
    """The folder that holds the data's folders (a split's, if all lies in one), and the kinds of images in each.

    The name "" stands for images in no folder.
    """
    parts = [path.relative_to(root).parts for path in files]
    if len({each[0] for each in parts}) == 1 and all(len(each) > 1 for each in parts):
        inside = root / parts[0][0]
        if any(len(each) > 2 for each in parts) and len(_folders(root)) == 1:
            root, parts = inside, [each[1:] for each in parts]
    counted: dict[str, Counter[str]] = {}
    for each in parts:
        counted.setdefault(each[0] if len(each) > 1 else "", Counter())[Path(each[-1]).suffix.lower()] += 1
    return root, {
        name: ", ".join(f"{count} {suffix}" for suffix, count in kinds.most_common(3))
        for name, kinds in counted.items()
    }


def _folders(root: Path) -> list[str]:
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _shown} more" if len(names) > _shown else ""
    return f"the folder{'s' if len(names) > 1 else ''} {', '.join(names[:_shown])}{more}"


def _halves(files: Sequence[Path]) -> str | None:
    """The size of each half, if files can be pairs: all of one size, wider than high, of an even width."""
    sizes = set()
    for path in files[:: max(1, len(files) // _probed)]:
        try:
            header = images.probe(path)
        except ImageError:
            continue
        sizes.add((header.height, header.width))
    if len(sizes) != 1:
        return None
    ((height, width),) = sizes
    return f"{height} x {width // 2}" if width > height and width % 2 == 0 else None
