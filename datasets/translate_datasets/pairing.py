"""Pairing of two folders' files: by name, by name without a tail that a side's names have in common, or by order."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from translate_datasets.listing import Files, count_named

Pair = tuple[str, Path, Path]
"""The name of a pair, its source and its target."""

_longest_tail = 40


@dataclass(frozen=True, slots=True)
class Matched:
    """Pairs by name, with the tails that were cut off the source's and the target's names."""

    pairs: list[Pair]
    tails: tuple[str, str] = ("", "")


def by_name(first: Files, second: Files) -> Matched:
    """Pair files of equal stems; where few are equal, of stems without a common tail (``car3`` with ``car3_mask``).

    A tail is common to all names of a side, and begins with no digit. It is cut only if at least half of the smaller
    side then has a partner.

    >>> found = by_name({"car3": Path("car3.png")}, {"car3_mask": Path("car3_mask.png")})
    >>> found.pairs[0][0], found.tails
    ('car3', ('', '_mask'))
    """
    needed = min(len(first), len(second)) / 2
    both = first.keys() & second.keys()
    best = Matched([(stem, path, second[stem]) for stem, path in first.items() if stem in both])
    if len(both) >= max(needed, 1):
        return best
    ours, theirs = _tails(first), _tails(second)
    tries = [("", tail) for tail in theirs] + [(tail, "") for tail in ours]
    tries += [(mine, other) for mine in ours[:3] for other in theirs[:3]]
    most = len(both)
    for tails in tries:
        sources, targets = (_without(files, tail) for files, tail in zip((first, second), tails, strict=True))
        count = len(sources.keys() & targets.keys())
        if count > most and count >= needed:
            most = count
            pairs = [(stem, path, targets[stem]) for stem, path in sources.items() if stem in targets]
            best = Matched(pairs, tails)
    return best


def by_order(first: Files, second: Files) -> list[Pair]:
    """Pair files by their place in the sorted lists, in which numbers compare as numbers."""
    ours = sorted(first.items(), key=lambda item: natural(item[0]))
    theirs = sorted(second.items(), key=lambda item: natural(item[0]))
    return [(stem, path, other) for (stem, path), (_, other) in zip(ours, theirs, strict=False)]


def natural(text: str) -> list[tuple[int, int, str]]:
    """A key that sorts digits by their value.

    >>> sorted(["a10", "a9", "a2b", "A1"], key=natural)
    ['A1', 'a2b', 'a9', 'a10']
    """
    parts = re.split(r"([0-9]+)", text)
    return [(0, int(part), part) if part.isdigit() else (1, 0, part) for part in parts if part]


def different_numbers(pairs: Iterable[Pair]) -> str | None:
    """A sentence that names pairs whose files have different numbers in their names; None if there are none.

    Numbers that all names of a side share, such as a size, do not count.
    """
    listed = list(pairs)
    numbers = [tuple(_numbers(path) for path in (source, target)) for _, source, target in listed]
    constant = [_constant(side) for side in zip(*numbers, strict=True)] if len(listed) > 1 else [set(), set()]
    wrong = [
        f"{source.name} with {target.name}"
        for (_, source, target), (ours, theirs) in zip(listed, numbers, strict=True)
        if (a := _kept(ours, constant[0])) and (b := _kept(theirs, constant[1])) and a[-len(b) :] != b[-len(a) :]
    ]
    if not wrong:
        return None
    shown = count_named(wrong, "pair")
    return (
        f"{shown} by order have different numbers in their names; mend the files, or pair them all the same with "
        "match=index"
    )


def _numbers(path: Path) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"[0-9]+", os.path.splitext(path.name)[0]))  # noqa: PTH122


def _constant(side: Iterable[tuple[int, ...]]) -> set[int]:
    """The places at which all names of a side have the same number."""
    listed = list(side)
    if len({len(each) for each in listed}) != 1:
        return set()
    return {place for place, values in enumerate(zip(*listed, strict=True)) if len(set(values)) == 1}


def _kept(numbers: tuple[int, ...], constant: set[int]) -> tuple[int, ...]:
    return tuple(number for place, number in enumerate(numbers) if place not in constant)


def _tails(files: Files) -> list[str]:
    """The tails that all names of a side have in common, the longest first; those after a separator before others."""
    names = list(files)
    if not names:
        return []
    least, most = min(name[::-1] for name in names), max(name[::-1] for name in names)
    same = next((at for at, pair in enumerate(zip(least, most, strict=False)) if len(set(pair)) > 1), len(least))
    common = least[:same][::-1]
    common = common.rpartition("/")[2][-_longest_tail:]
    tails = [common[start:] for start in range(len(common)) if not common[start].isdigit()]
    return sorted(tails, key=lambda tail: (tail[0].isalnum(), -len(tail)))


def _without(files: Files, tail: str) -> dict[str, Path]:
    """Files by their stems without a tail; nothing if a stem would be empty or not unique."""
    if not tail:
        return dict(files)
    found = {stem.removesuffix(tail): path for stem, path in files.items()}
    return found if len(found) == len(files) and all(stem.rpartition("/")[2] for stem in found) else {}
