"""Inspection of a dataset: sizes, depths, labels, unreadable files, a picture of examples, and export."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from translate import atomic, images, outputs
from translate.data import Dataset, Domain, Example, check_stream_name
from translate.errors import TranslateError
from translate.images import Image, ImageError
from translate.inspected import Inspection, Side, VectorCounts
from translate.layouts import open_dataset
from translate.memory import Budget
from translate.overview import first_only, is_there
from translate.plugins import discover
from translate.streams import Vectors, as_vectors

__all__ = [
    "Inspection",
    "Side",
    "VectorCounts",
    "inspect",
]

_opened = 5000  # if there are more files, only their headers are read


def inspect(
    data: Dataset | str | Path,
    *,
    layout: str | None = None,
    full: bool = False,
    workers: int = 0,
    memory: int | None = None,
    max_pixels: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Inspection:
    """Open every image of a dataset, in ``workers`` threads (0: one per core), and summarise them.

    ``data`` is a dataset, a folder, or the name of a dataset such as ``demo``; ``layout`` is for a folder. If there are
    more than 5,000 files, only their headers are read, unless ``full`` is set, which decodes all of them. A file that
    several examples share is opened once. Decoding takes at most ``memory`` bytes at a time, by default a share of what
    is free; images of more than ``max_pixels`` are unreadable, by default 2**28. ``on_progress`` gets (done, total).
    Raises ``TranslateError`` for data that cannot be opened at all.
    """
    dataset = data if isinstance(data, Dataset) else open_dataset(discover(), str(data), layout)
    work: dict[Any, tuple[Example, Domain]] = {}
    for split in dataset.splits.values():
        for side, examples in split.items():
            for example in examples:
                work.setdefault(_key(example, dataset.domains[side]), (example, dataset.domains[side]))
    decoded = full or len(work) <= _opened
    budget = Budget(memory, max_pixels)
    found: dict[Any, _Seen | str] = {}
    with ThreadPoolExecutor(workers or os.cpu_count() or 1, thread_name_prefix="translate-inspect") as pool:
        begun = {key: pool.submit(_examine, *item, budget, decode=decoded) for key, item in work.items()}
        try:
            for done, (key, future) in enumerate(begun.items(), start=1):
                found[key] = future.result()
                if on_progress is not None:
                    on_progress(done, len(begun))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    sides: dict[str, dict[str, Side]] = {}
    unreadable: dict[str, str] = {}
    several: dict[Path, str] = {}
    for name, split in dataset.splits.items():
        sides[name] = {}
        for side, examples in split.items():
            sizes, depths, channels = Counter[tuple[int, int]](), Counter[str](), Counter[int]()
            extremes: list[float] = []
            transparent = 0
            for example in examples:
                seen = found[_key(example, dataset.domains[side])]
                if isinstance(seen, str):
                    path = example.pixels
                    # An image that a partner lacks has that one's name.
                    known = example.name if side not in dataset.aligned else f"{side}/{example.name}"
                    unreadable[str(path) if isinstance(path, Path) else known] = seen
                else:
                    height, width, planes, depth, alpha, values, further = seen
                    if isinstance(example.pixels, Path):
                        several[example.pixels] = further
                    extremes += values
                    transparent += alpha
                    sizes[height, width if example.region == "whole" else width // 2] += 1
                    depths[depth] += 1
                    channels[planes] += 1
            domain = dataset.domains[side]
            numbers = Counter(example.label for example in examples)
            sides[name][side] = Side(
                len(examples),
                dict(sizes.most_common()),
                dict(depths),
                dict(channels),
                domain.classes,
                {_class(domain, number): numbers[number] for number in sorted(numbers) if number >= 0},
                sum(count for number, count in numbers.items() if number < 0),
                min(extremes, default=None),
                max(extremes, default=None),
                transparent,
                _vectors(examples),
            )
    return Inspection(
        dataset.name,
        dataset.layout,
        dataset.paired,
        sides,
        unreadable,
        dataset.problems,
        decoded,
        {side: domain.summary for side, domain in dataset.domains.items()},
        (*dataset.notes, *first_only(several)),
        dataset.refusal,
        len(work),
        full,
        dict(dataset.aligned),
        _unlike(dataset, found),
    )


def _class(domain: Domain, number: int) -> str:
    return domain.labels[number] if number < len(domain.labels) else str(number)


def _key(example: Example, domain: Domain) -> Any:
    # Both halves of a side-by-side file are one file; arrays, and functions without a key, are compared by identity.
    # A file's alpha is looked at beside its colours.
    one = example.pixels if isinstance(example.pixels, Path) else example.key or id(example.pixels)
    return one, domain.alpha == "only"


def _vectors(examples: Sequence[Example]) -> dict[str, VectorCounts]:
    """The vectors of examples by name."""
    found: dict[str, VectorCounts] = {}
    for name in sorted({name for example in examples for name in example.extras}, key=str):
        having = [example for example in examples if name in example.extras]
        try:
            check_stream_name(name, f"a vector of {having[0].name}")
            vectors = Vectors.of(having, name)
        except TranslateError as error:
            found[name] = VectorCounts(0, len(having), 0, 0, str(error))
            continue
        counts = np.diff(vectors.starts)
        found[name] = VectorCounts(vectors.values.shape[1], len(having), int(counts.min()), int(counts.max()))
    return found


def _unlike(dataset: Dataset, found: Mapping[Any, _Seen | str]) -> dict[str, str]:
    """The images of aligned streams that have another size than their partner, or other channels than most."""
    reasons: dict[str, str] = {}
    for split, sides in dataset.splits.items():
        for stream, partner in dataset.aligned.items():
            images, partners = sides.get(stream, ()), sides.get(partner, ())
            if not images:
                continue
            if len(images) != len(partners):
                reasons[f"{split}/{stream}"] = (
                    f"{split}: there are {len(images)} images of {stream} for {len(partners)} of the {partner}"
                )
                continue
            seen = [found[_key(one, dataset.domains[stream])] for one in images]
            planes = Counter(each[2] for each in seen if not isinstance(each, str))
            usual = planes.most_common(1)[0][0] if planes else 0
            for one, mine, other in zip(images, seen, partners, strict=True):
                theirs = found[_key(other, dataset.domains[partner])]
                name = str(one.pixels) if isinstance(one.pixels, Path) else f"{split}/{stream}/{one.name}"
                if isinstance(mine, str) or isinstance(theirs, str):
                    continue
                sizes = [_size(one, mine), _size(other, theirs)]
                if sizes[0] != sizes[1]:
                    own, its = (f"{height} x {width}" for height, width in sizes)
                    reasons[name] = f"{name} has {own} pixels, and the image that it belongs to {its}"
                elif mine[2] != usual:
                    reasons[name] = f"{name} has {mine[2]} channels, and most of {stream} have {usual}"
    return reasons


def _size(example: Example, seen: _Seen) -> tuple[int, int]:
    return seen[0], seen[1] if example.region == "whole" else seen[1] // 2


_Seen = tuple[int, int, int, str, bool, tuple[float, ...], str]


def _examine(example: Example, domain: Domain, budget: Budget, *, decode: bool) -> _Seen | str:
    """Height, width, channels, depth, whether there is alpha, and the extreme values of an example's file or array.

    Last comes what a file has more than one of: frames, pages, or nothing. If it cannot be used, the reason why. The
    values are those of the whole file, also of an example that is a half.
    """
    whole = replace(example, region="whole")
    try:
        if isinstance(example.pixels, Path):
            values = _extremes(images.read_example(whole, domain, budget=budget)) if decode else ()
            header = images.probe(example.pixels, budget=budget)
            if domain.alpha == "only":
                return header.height, header.width, 1, header.depth, header.alpha, values, header.several
            return header.height, header.width, header.channels, header.depth, header.alpha, values, header.several
        made: Any = images.made(whole, budget=budget)
        if domain.classes:
            shown = Image(images.load_indices(made, name=example.name, budget=budget)[..., None])
        else:
            shown = images.load(made, name=example.name, budget=budget)
        values = _extremes(images.read_example(replace(whole, pixels=made), domain, budget=budget)) if decode else ()
        height, width, planes = shown.pixels.shape
        planes = 1 if domain.alpha == "only" else planes
        return height, width, planes, str(shown.pixels.dtype), shown.alpha is not None, values, ""
    except ImageError as error:
        return str(error)


def _extremes(pixels: NDArray[Any]) -> tuple[float, float]:
    return float(pixels.min()), float(pixels.max())


def picture(
    dataset: Dataset,
    path: Path,
    *,
    count: int = 4,
    side: int = 128,
    split: str = "train",
    root: Path | None = None,
    overwrite: bool = False,
    memory: int | None = None,
    max_pixels: int | None = None,
) -> None:
    """Write a picture of the first ``count`` readable examples of a split, one row each: source, then target.

    Each image is resized to ``side`` pixels on its longer side. Raises ``TranslateError`` if ``path`` lies in a folder
    of the examples or in ``root``, the data's own, or if it exists and ``overwrite`` is not set. ``memory`` is the most
    that decoding may take, in bytes.
    """
    if not dataset.splits.get(split):
        raise TranslateError(f"{dataset.name} has no split {split!r}; it has {', '.join(dataset.splits)}")
    outputs.refuse_within(path, _folders(dataset, root), "a picture")
    if not overwrite:
        outputs.refuse_existing(path)
    columns = [(dataset.domains[name], examples) for name, examples in dataset.splits[split].items() if examples]
    gap = max(2, side // 32)
    budget = Budget(memory, max_pixels)
    rows: list[NDArray[np.uint8]] = []
    for index in range(max((len(examples) for _, examples in columns), default=0)):
        if len(rows) == count:
            break
        try:
            cells = [
                _cell(examples[index], domain, side, budget) for domain, examples in columns if index < len(examples)
            ]
        except ImageError:
            continue
        height = max(len(cell) for cell in cells)
        cells = [_centred(cell, height, side) for cell in cells] + [_blank(height, side)] * (len(columns) - len(cells))
        rows.append(_join(cells, gap, axis=1))
    if not rows:
        raise TranslateError(f"none of the images in {split!r} of {dataset.name} can be read, so there is no picture")
    images.write(path, Image(np.pad(_join(rows, gap, axis=0), ((gap, gap), (gap, gap), (0, 0)), constant_values=255)))


def _folders(dataset: Dataset, root: Path | None) -> list[Path]:
    """The folders that hold the data: ``root``, if it is there, and those of the examples' files."""
    files = {
        example.pixels.parent
        for sides in dataset.splits.values()
        for examples in sides.values()
        for example in examples
        if isinstance(example.pixels, Path)
    }
    return [*([root] if root is not None and is_there(root) else []), *sorted(files)]


def _blank(height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 255, np.uint8)


def _join(parts: Sequence[NDArray[np.uint8]], gap: int, *, axis: int) -> NDArray[np.uint8]:
    height, width, _ = parts[0].shape
    between = _blank(height, gap) if axis == 1 else _blank(gap, width)
    spaced = [part for each in parts for part in (each, between)][:-1]
    return np.concatenate(spaced, axis=axis)


def _cell(example: Example, domain: Domain, side: int, budget: Budget) -> NDArray[np.uint8]:
    stored = images.read_example(example, domain, budget=budget)
    scale = side / max(stored.shape[:2])
    size = (max(1, round(stored.shape[0] * scale)), max(1, round(stored.shape[1] * scale)))
    small = images.resize(stored, size, nearest=domain.by_nearest)
    seen = images.normalize(torch.from_numpy(np.ascontiguousarray(small)).permute(2, 0, 1)[None], domain)
    shown: NDArray[np.uint8] = images.to_rgb(seen, domain)[0].permute(1, 2, 0).numpy()
    return shown


def _centred(cell: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    around = _blank(height, width)
    top, left = (height - cell.shape[0]) // 2, (width - cell.shape[1]) // 2
    around[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    return around


def export(
    dataset: Dataset,
    folder: Path,
    *,
    workers: int = 0,
    root: Path | None = None,
    overwrite: bool = False,
    memory: int | None = None,
    max_pixels: int | None = None,
) -> int:
    """Write a dataset as SPLIT/source/NAME.png and SPLIT/target/NAME.png, and return the number of images.

    Stored values are kept: class maps as indices, 16 bits as 16 bits; floats and images that do not have 1 or 3
    channels become .npy files. Labels are written to labels.csv, and vectors to NAME.csv. Raises ``TranslateError`` if
    ``folder`` lies in a folder of the examples or in ``root``, the data's own, or if something of what would be written
    exists and ``overwrite`` is not set; with it, files of the same names are replaced and others stay.
    """
    outputs.refuse_within(folder, _folders(dataset, root), "its copy")
    listed = (one for sides in dataset.splits.values() for examples in sides.values() for one in examples)
    tables: dict[str, list[Sequence[object]]] = {
        name: [] for name in sorted({name for one in listed for name in one.extras})
    }
    if not overwrite:
        outputs.refuse_existing(
            *(folder / name for name in (*dataset.splits, *(f"{each}.csv" for each in ("labels", *tables))))
        )
    work: list[tuple[Example, Domain, Path]] = []
    labels: list[Sequence[object]] = []
    try:
        for split, sides in dataset.splits.items():
            for side, examples in sides.items():
                domain = dataset.domains[side]
                as_png = domain.classes > 0 or (domain.channels in (1, 3) and domain.depth != "float32")
                suffix = ".png" if as_png else ".npy"
                destination = folder / split / side
                work += [(example, domain, destination / f"{example.name}{suffix}") for example in examples]
                for example in examples:
                    file = f"{split}/{side}/{example.name}{suffix}"
                    if example.label >= 0:
                        labels.append((file, _class(domain, example.label)))
                    for name, values in example.extras.items():
                        tables[name] += [(file, *vector) for vector in as_vectors(values, name, example).tolist()]
        for parent in {path.parent for _, _, path in work}:
            parent.mkdir(parents=True, exist_ok=True)
        if labels:
            tables["labels"] = [("file", "label"), *labels]
        for name, rows in tables.items():
            text = io.StringIO(newline="")
            csv.writer(text).writerows(rows)
            atomic.write(folder / f"{name}.csv", text.getvalue().encode())
    except OSError as error:
        raise TranslateError(f"cannot make folders in {folder}: {error.strerror}; check its permissions") from None

    budget = Budget(memory, max_pixels)
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        # Where one fails, or Ctrl-C comes, those that wait are cancelled.
        written = pool.map(
            lambda each: images.write(each[2], Image(images.read_example(each[0], each[1], budget=budget))), work
        )
        return sum(1 for _ in written)
