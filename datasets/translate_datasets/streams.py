"""Streams beside source and target: folders of masks, alpha as a mask, and tables of vectors, matched by name."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from translate.data import Dataset, Domain, Example
from translate.errors import TranslateError
from translate.images import ImageError
from translate.memory import Budget
from translate.options import Option
from translate_datasets.array_files import load
from translate_datasets.domains import of_images, probed
from translate_datasets.labels import matched_rows, rows_of
from translate_datasets.listing import SPLITS, count_named, files, is_folder, paths_of, subfolders
from translate_datasets.maps import VOID, Maps, are_single, counted, judge
from translate_datasets.pairing import by_name
from translate_datasets.values import Values

Aligned = Annotated[
    str | None, Option("images that belong to those of the source, such as mask; or NAME=PLACE@target, with commas")
]
VectorsBeside = Annotated[str | None, Option("vectors of the images by name, such as text; or NAME=PLACE, with commas")]


@dataclass(frozen=True, slots=True)
class Named:
    """A stream that a user asks for: its name, the folder, file or array that has it, and the domain it belongs to."""

    name: str
    place: str
    partner: str = "source"


def asked_for(text: str | None, option: str, domains: Iterable[str]) -> list[Named]:
    """What an option ``aligned`` or ``vectors`` names.

    >>> asked_for("mask, relief=heights@target", "aligned", ["source", "target"])[1]
    Named(name='relief', place='heights', partner='target')
    """
    found: dict[str, Named] = {}
    for each in [] if text is None else text.split(","):
        name, equals, rest = each.strip().partition("=")
        place, at, partner = (rest if equals else name).rpartition("@") if "@" in each else (rest or name, "", "source")
        name = name if equals else place
        if not name or not place or name in found:
            raise TranslateError(
                f"{option}={text!r:.100} is not understood; write NAME or NAME=PLACE, with commas between"
            )
        if at and (option == "vectors" or partner not in domains):
            what = (
                "vectors belong to the images that they name" if option == "vectors" else f"there is no {partner!r:.60}"
            )
            raise TranslateError(f"{option}={text!r:.100} says @{partner:.60}, but {what}; leave it out or correct it")
        found[name] = Named(name, place, partner or "source")
    return list(found.values())


def stream_options(aligned: str | None, vectors: str | None) -> dict[str, object]:
    """The options that are given."""
    given = {"aligned": aligned, "vectors": vectors}
    return {name: value for name, value in given.items() if value is not None}


def with_streams(
    dataset: Dataset, root: Path, *, values: Values, aligned: str | None = None, vectors: str | None = None
) -> Dataset:
    """A dataset of files with the streams that are asked for.

    An image without its partner gets one that cannot be read, so that it is treated as a broken one where it is used.
    """
    for each in asked_for(aligned, "aligned", dataset.domains):
        dataset = _with_folder(dataset, root, each)
    for each in asked_for(vectors, "vectors", dataset.domains):
        dataset = _with_table(dataset, root, each)
    return with_alpha(dataset, values)


def with_alpha(dataset: Dataset, values: Values) -> Dataset:
    """A dataset with the alpha of its sources as the aligned stream ``mask``, if that is asked for."""
    if values.alpha != "mask":
        return dataset
    source = dataset.domains["source"]
    if source.classes:
        raise TranslateError(
            "alpha=mask, but the source's images are maps of classes, which have no alpha; leave it out"
        )
    if "mask" in dataset.domains:
        raise TranslateError("alpha=mask and aligned=... both give the stream mask; rename one: aligned='NAME=FOLDER'")
    low, high = (source.low, source.high) if source.depth == "float32" else (0.0, 1.0)
    domain = Domain(1, source.depth, low, high, alpha="only")
    splits = {
        split: {**sides, "mask": [Example(one.pixels, one.name, one.region, key=one.key) for one in sides["source"]]}
        for split, sides in dataset.splits.items()
        if "source" in sides
    }
    return with_stream(dataset, "mask", "source", domain, {**dataset.splits, **splits})


def with_stream(
    dataset: Dataset, name: str, partner: str, domain: Domain, splits: Mapping[str, Mapping[str, Sequence[Example]]]
) -> Dataset:
    """A dataset with an aligned stream, whose examples are among the ``splits``."""
    return replace(
        dataset,
        domains={**dataset.domains, name: domain},
        splits=splits,
        aligned={**dataset.aligned, name: partner},
    )


# --- folders ----------------------------------------------------------------------------------------------------------


def folders_of(root: Path, name: str) -> dict[str, Path]:
    """The folders of a stream by split, in the places where those of domains may be; the split "" means no splits."""
    places = (f"{{split}}/{name}", f"{name}/{{split}}", f"{{split}}{name}", f"{{split}}_{name}")
    found: dict[str, Path] = {}
    for place in places:
        for split, words in SPLITS.items():
            for word in words:
                folder = root / place.format(split=word)
                if is_folder(folder):
                    found.setdefault(split, folder)
    if not found and is_folder(root / name):
        found[""] = root / name
    return found


def without(listed: Mapping[str, Path], root: Path, aligned: str | None) -> dict[str, Path]:
    """Files by their stem, without those in folders of aligned streams."""
    folders = [
        each
        for named in asked_for(aligned, "aligned", ["source", "target"])
        for each in folders_of(root, named.place).values()
    ]
    return {stem: path for stem, path in listed.items() if not any(path.is_relative_to(folder) for folder in folders)}


def _with_folder(dataset: Dataset, root: Path, named: Named) -> Dataset:
    found = folders_of(root, named.place)
    if not found:
        there = ", ".join(subfolders(root)[:20]) or "none"
        raise TranslateError(
            f"there is no folder {named.place!r} for aligned={named.name} in {root}, which has the folders {there}; "
            "name one as aligned='NAME=FOLDER'"
        )
    splits = {split: dict(sides) for split, sides in dataset.splits.items()}
    notes, used, seen = list(dataset.notes), set[Path](), set[Path]()
    for split, sides in splits.items():
        folder, partners = found.get(split, found.get("")), sides.get(named.partner, ())
        if folder is None or not partners:
            notes += [f"the split {split} has no images of {named.name}"] if partners else []
            continue
        masks = files(folder)
        seen.update(masks.values())
        mine = _matched(partners, masks)
        used.update(mine.values())
        sides[named.name] = [
            Example(mine[place], one.name) if place in mine else _missing(one, folder)
            for place, one in enumerate(partners)
        ]
    paths = [path for split in splits.values() for path in paths_of(split.get(named.name, ()))]
    if not paths:
        raise TranslateError(
            f"no image in {', '.join(map(str, found.values()))} has the name of one of the {named.partner}; images of "
            f"{named.name} are named as those that they belong to"
        )
    if alone := sorted(path.name for path in seen - used):
        are = "belongs" if len(alone) == 1 else "belong"
        notes.append(f"{count_named(alone, 'file')} of {named.name} {are} to no image of the {named.partner}")
    missing = sum(callable(one.pixels) for split in splits.values() for one in split.get(named.name, ()))
    if missing:
        have, are = (
            ("image has", "it is left out as a broken one") if missing == 1 else ("images have", "they are broken ones")
        )
        notes.append(f"{missing} {have} no partner in {named.name}; where {named.name} is used, {are}")
    result = with_stream(dataset, named.name, named.partner, _domain(paths, named.name), splits)
    return replace(result, notes=tuple(notes))


def _matched(partners: Sequence[Example], masks: Mapping[str, Path]) -> dict[int, Path]:
    """The file that belongs to each example, by its place: of its name, or with a tail as in ``car3_mask``."""
    listed = {one.name: Path(str(place)) for place, one in enumerate(partners)}
    found = {int(str(place)): path for _, place, path in by_name(listed, masks).pairs}
    for place, one in enumerate(partners):
        # Of images that are paired by order, the target's have the names of the source's.
        if place not in found and isinstance(one.pixels, Path) and one.pixels.stem in masks:
            found[place] = masks[one.pixels.stem]
    return found


def _missing(one: Example, folder: Path) -> Example:
    shown = one.pixels if isinstance(one.pixels, Path) else one.name
    reason = f"{shown} has no partner in {folder}; add an image of the same name"
    return Example(partial(_refuse, reason), one.name, key=f"missing {one.name}")


def _refuse(reason: str) -> NoReturn:
    raise ImageError(reason)


def _domain(paths: Sequence[Path], name: str) -> Domain:
    """What the images of an aligned stream are: maps of classes if their values are few and flat, else images."""
    headers = probed(paths)
    if are_single(headers) and judge(paths, list(headers), name) != "picture":
        count = counted(paths, Maps(ignore=VOID))
        return Domain(count, classes=count, ignore=VOID)
    return of_images(headers)


# --- vectors ----------------------------------------------------------------------------------------------------------


def _with_table(dataset: Dataset, root: Path, named: Named) -> Dataset:
    path = _table(root, named)
    table = read_vectors(path)
    rows = rows_of(dataset, root)
    problems = list(dataset.problems)
    meant = matched_rows(path, root, rows, table, problems, "vectors")
    splits = {split: {side: list(listed) for side, listed in both.items()} for split, both in dataset.splits.items()}
    for name, matches in meant.items():
        for row in matches:
            listed = splits[row.split][row.side]
            one = listed[row.place]
            listed[row.place] = replace(one, extras={**one.extras, named.name: table[name]})
    return replace(dataset, splits=splits, problems=tuple(problems))


def _table(root: Path, named: Named) -> Path:
    tried = [Path(named.place), root / named.place]
    tried += [root / f"{named.place}{suffix}" for suffix in (".csv", ".npy")]
    for path in tried:
        if path.suffix.lower() in (".csv", ".npy") and path.is_file():
            return path
    raise TranslateError(
        f"there is no table {named.place}.csv or {named.place}.npy for vectors={named.name} in {root}; name it as "
        "vectors='NAME=FILE'"
    )


def read_vectors(path: Path) -> dict[str, NDArray[Any]]:
    """The vectors in a table by the name of their image: an array (D,), or (K, D) for several.

    A ``.csv`` has rows of FILE and numbers, several for an image with several vectors; a header is optional. A ``.npy``
    has an array (n, D) or (n, K, D), and the names of its rows in a ``.txt`` beside it, a line each.
    """
    if path.suffix.lower() == ".npy":
        return _read_array(path)
    listed: dict[str, list[list[float]]] = defaultdict(list)
    width = 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for number, cells in enumerate(csv.reader(file), start=1):
                if not any(map(str.strip, cells)):
                    continue
                try:
                    vector = [float(cell) for cell in cells[1:]]
                except ValueError:
                    if not listed and number == 1:
                        continue  # a header
                    raise TranslateError(f"row {number} of {path} has a cell that is no number; mend it") from None
                if not vector or (width and len(vector) != width):
                    raise TranslateError(
                        f"row {number} of {path} has {len(vector)} numbers, and those before {width or 'none'}; write "
                        "a file and as many numbers in each row"
                    )
                width = len(vector)
                listed[_name(cells[0])].append(vector)
    except OSError as error:
        raise TranslateError(f"cannot read the vectors {path}: {error.strerror}; check its name") from None
    except (csv.Error, UnicodeDecodeError):
        raise TranslateError(f"{path} is no table of text; write a row FILE,NUMBER,NUMBER,... for each image") from None
    if not listed:
        raise TranslateError(f"{path} holds no vectors; write a row FILE,NUMBER,NUMBER,... for each image")
    return {name: np.array(vectors if len(vectors) > 1 else vectors[0]) for name, vectors in listed.items()}


def _read_array(path: Path) -> dict[str, NDArray[Any]]:
    beside = path.with_suffix(".txt")
    try:
        names = [_name(line) for line in beside.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        raise TranslateError(
            f"{path} needs the names of its rows in {beside.name} beside it, a line for each image; write it"
        ) from None
    array = load((path, ""), Budget())
    check_vectors(array.shape, array.dtype, str(path))
    if len(array) != len(names) or len(set(names)) < len(names):
        raise TranslateError(
            f"{path} has {len(array)} rows and {beside.name} {len(set(names))} different names; write one for each row"
        )
    return dict(zip(names, array, strict=True))


def check_vectors(shape: Sequence[int], dtype: np.dtype[Any], name: str) -> None:
    """Raise ``TranslateError`` unless an array holds vectors in its rows."""
    if len(shape) not in (2, 3) or 0 in shape or dtype.kind not in "biuf":
        raise TranslateError(
            f"{name} is {dtype} of shape {tuple(shape)}; vectors are rows of numbers, (N, D), or (N, K, D) for several"
        )


def _name(text: str) -> str:
    return text.strip().replace("\\", "/").removeprefix("./")
