"""Labels of images: from class folders or a table, with an optional limit on labels per class."""

from __future__ import annotations

import csv
import hashlib
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from translate.data import Dataset, Example
from translate.errors import TranslateError
from translate.options import Option
from translate_datasets.listing import count_named

LabelTable = Annotated[Path | None, Option("CSV of file and label (default: labels.csv in the data's folders)")]
LabelsPerClass = Annotated[int | None, Option("training labels to keep per class (default: all)", ge=0)]
LabelSeed = Annotated[int, Option("seed of the choice of labels", ge=0)]

TABLE = "labels.csv"

_files = {"file", "filename", "file_name", "image", "name", "path"}
_labels = {"label", "labels", "class", "category"}


@dataclass(frozen=True, slots=True)
class Row:
    """An image, as a row of a table may name it."""

    split: str
    side: str
    place: int
    path: str
    """Below the root, with slashes."""


def label(
    dataset: Dataset, root: Path, *, table: Path | None, folders: bool, per_class: int | None, seed: int
) -> Dataset:
    """Set the labels of file examples and the class names of domains.

    Labels come from a ``table`` or from every ``labels.csv`` in or below ``root``; without one, if ``folders``, from
    the first folder in an example's name. If domains have a class in common, both get all class names, so that a label
    means the same in both.
    """
    rows = rows_of(dataset, root)
    problems = list(dataset.problems)
    tables = [_find(table, root)] if table is not None else _tables(root, rows)
    texts: dict[Row, str] = {}
    if tables:
        for path in tables:
            texts.update(_matched(path, root, rows, problems))
    elif folders:
        for row in rows:
            first, inside, _ = dataset.splits[row.split][row.side][row.place].name.partition("/")
            if inside:
                texts[row] = first
    names = _shared(
        {side: class_names(text for row, text in texts.items() if row.side == side) for side in dataset.domains}
    )
    numbers = {side: {name: number for number, name in enumerate(listed)} for side, listed in names.items()}
    splits = {split: {side: list(listed) for side, listed in both.items()} for split, both in dataset.splits.items()}
    for row, text in texts.items():
        listed = splits[row.split][row.side]
        listed[row.place] = replace(listed[row.place], label=numbers[row.side][text])
    if "train" in splits:
        splits["train"] = {side: keep(listed, per_class, seed) for side, listed in splits["train"].items()}
    domains = {side: replace(domain, labels=names[side]) for side, domain in dataset.domains.items()}
    return replace(dataset, domains=domains, splits=splits, problems=tuple(problems))


def label_options(table: Path | None, per_class: int | None, seed: int) -> dict[str, object]:
    """The label options of a layout that differ from the defaults."""
    found: dict[str, object] = {} if table is None else {"labels": str(table)}
    return found if per_class is None else found | {"labels_per_class": per_class, "label_seed": seed}


def keep(examples: Sequence[Example], per_class: int | None, seed: int) -> list[Example]:
    """Keep ``per_class`` labels of each class (None: all), and set the others to -1.

    A hash of the seed and the example's name decides, so that a larger choice includes a smaller one, and both images
    of a pair keep or lose their labels together.

    >>> images = [Example(lambda: ..., str(number), label=number % 2) for number in range(6)]
    >>> sorted(example.label for example in keep(images, 1, seed=0))
    [-1, -1, -1, -1, 0, 1]
    """
    found = list(examples)
    if per_class is None:
        return found
    seen = Counter[int]()
    for row in sorted(range(len(found)), key=lambda row: _rank(found[row].name, seed)):
        number = found[row].label
        seen[number] += 1
        if number >= 0 and seen[number] > per_class:
            found[row] = replace(found[row], label=-1)
    return found


def class_names(texts: Iterable[str]) -> tuple[str, ...]:
    """The distinct labels, sorted: by value if all are numbers, else alphabetically.

    >>> class_names(["10", "9", "10"]), class_names(["10", "9", "a"])
    (('9', '10'), ('10', '9', 'a'))
    """
    different = sorted(set(texts))
    values = {text: _number(text) for text in different}
    if all(map(math.isfinite, values.values())):
        different.sort(key=values.__getitem__)
    return tuple(different)


def read_table(path: Path) -> dict[str, str]:
    """Read a CSV of file and label: the label of each file, "" for none.

    A header (file, label) names the columns; without one they are the first two. Separators are commas, semicolons or
    tabs.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            separator = next((mark for mark in ",;\t" if mark in first), ",")
            lines = [(cells, number) for number, cells in enumerate(csv.reader(stream, delimiter=separator), start=1)]
    except OSError as error:
        raise TranslateError(f"cannot read the labels {path}: {error.strerror}; check its name") from None
    except (csv.Error, UnicodeDecodeError):
        raise TranslateError(f"{path} is no table of text; write a line FILE,LABEL for each image") from None
    lines = [([cell.strip() for cell in cells], number) for cells, number in lines if any(map(str.strip, cells))]
    columns = (0, 1)
    if lines:
        words = [cell.lower() for cell in lines[0][0]]
        heads = [next((place for place, word in enumerate(words) if word in known), -1) for known in (_files, _labels)]
        if min(heads) >= 0:
            columns = (heads[0], heads[1])
            del lines[0]
    found: dict[str, str] = {}
    for cells, number in lines:
        if len(cells) <= max(columns) or not cells[columns[0]]:
            raise TranslateError(f"row {number} of {path} has no file or no label; write it as FILE,LABEL")
        file, text = (cells[column] for column in columns)
        file = file.replace("\\", "/").removeprefix("./")
        if found.setdefault(file, text) != text:
            raise TranslateError(f"row {number} of {path} gives {file} another label than a row before; remove one")
    return {file: "" if text == "-1" else text for file, text in found.items()}


# --- which images a table means ---------------------------------------------------------------------------------------


def _find(table: Path, root: Path) -> Path:
    return root / table if not table.exists() and (root / table).exists() else table


def _tables(root: Path, rows: Iterable[Row]) -> list[Path]:
    folders = {root}
    for parent in {row.path.rpartition("/")[0] for row in rows}:
        inside = root / parent
        folders.update([inside, *(above for above in inside.parents if above.is_relative_to(root))])
    return sorted(folder / TABLE for folder in folders if (folder / TABLE).is_file())


def _matched(path: Path, root: Path, rows: Sequence[Row], problems: list[str]) -> dict[Row, str]:
    """The labels in a table, by image."""
    table = read_table(path)
    found: dict[Row, str] = {}
    for file, meant in matched_rows(path, root, rows, table, problems, "labels").items():
        if table[file]:
            found.update(dict.fromkeys(meant, table[file]))
    return found


def rows_of(dataset: Dataset, root: Path) -> list[Row]:
    """The images of the domains that are files, as tables may name them."""
    return [
        Row(split, side, place, Path(os.fspath(example.pixels)).relative_to(root).as_posix())
        for split, both in dataset.splits.items()
        for side, listed in both.items()
        for place, example in enumerate(listed)
        if side not in dataset.aligned and isinstance(example.pixels, Path)
    ]


def matched_rows(
    path: Path, root: Path, rows: Sequence[Row], names: Iterable[str], problems: list[str], what: str
) -> dict[str, list[Row]]:
    """The images that the names in a table mean; what none or several have is a problem: ``what`` the table gives.

    A name is a path below the table's folder, or the end of a path if that is unique. The suffix may be missing. A name
    may match both images of a pair.
    """
    inside = path.parent.is_relative_to(root)
    start = path.parent.relative_to(root).as_posix() if inside else "."
    within = "" if start == "." else f"{start}/"
    whole: dict[str, list[Row]] = defaultdict(list)
    ends: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.path.startswith(within):
            end = row.path.removeprefix(within)
            stem = end.removesuffix(Path(end).suffix)
            for key in {end, stem}:
                whole[key].append(row)
                while "/" in key:
                    key = key.partition("/")[2]
                    ends[key].append(row)
    found: dict[str, list[Row]] = {}
    missing: list[str] = []
    unclear: list[str] = []
    for file in names:
        meant = whole.get(file) or ends.get(file, [])
        if not meant:
            missing.append(file)
        elif len({row.side for row in meant}) < len(meant) or len({row.split for row in meant}) > 1:
            unclear.append(file)
        else:
            found[file] = meant
    if missing:
        problems.append(f"{path} gives {what} to {count_named(missing, 'file')} not in the data; remove these rows")
    if unclear:
        problems.append(
            f"{path} gives {what} to {count_named(unclear, 'file')} that the data has more than once; "
            "write their folders before them"
        )
    return found


def _shared(names: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The class names of each domain, or the union of all if the domains have a class in common."""
    listed = [set(each) for each in names.values()]
    if len(listed) < 2 or not set.intersection(*listed):
        return dict(names)
    return dict.fromkeys(names, class_names(set.union(*listed)))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _rank(name: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed} {name}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
