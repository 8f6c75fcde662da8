"""Which files are mutated, and an even, seeded sample of their mutations."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from benchmarks.mutation.mutations import Mutation, mutations_of

TARGETS = (
    "translate/adversary.py",
    "translate/changed_data.py",
    "translate/changes.py",
    "translate/checkpoint.py",
    "translate/conversion/*.py",
    "translate/emergency.py",
    "translate/engine/*.py",
    "translate/fingerprint.py",
    "translate/images/carried.py",
    "translate/images/npy.py",
    "translate/initial.py",
    "translate/intervals.py",
    "translate/loader/*.py",
    "translate/lock.py",
    "translate/memory.py",
    "translate/metrics_file.py",
    "translate/ordered.py",
    "translate/plugins.py",
    "translate/pool.py",
    "translate/resuming.py",
    "translate/seeds.py",
    "translate/step_rows.py",
    "translate/setup.py",
    "translate/training.py",
    "translate/translator.py",
    "plugins/translate_*/method.py",
)
"""Patterns of the files below the repository's root; one that finds nothing is passed over."""

MAPPED = ("translate", "plugins", "datasets")
"""The folders whose lines the map of tests covers, so that a new target needs no new map."""


def files_of(root: Path, patterns: Sequence[str] = TARGETS) -> list[str]:
    """The files that the patterns find, by their paths below ``root``."""
    found = {path.relative_to(root).as_posix() for pattern in patterns for path in root.glob(pattern) if path.is_file()}
    return sorted(name for name in found if name.endswith(".py"))


def sample(root: Path, files: Sequence[str], count: int, seed: int) -> list[Mutation]:
    """``count`` mutations, shared out among the files by their numbers of lines and drawn by ``seed``."""
    texts = {file: (root / file).read_text(encoding="utf-8") for file in files}
    # Files such as a folder's door, which only imports, would leave their shares unused.
    found_by_file = {file: found for file, text in texts.items() if (found := mutations_of(text, file))}
    lines = sum(texts[file].count("\n") for file in found_by_file)
    chosen: list[Mutation] = []
    passed = 0
    for file, found in found_by_file.items():
        before, passed = passed, passed + texts[file].count("\n")
        # Shares rounded on the running sum add up to the count.
        share = round(count * passed / max(lines, 1)) - round(count * before / max(lines, 1))
        drawn = random.Random(f"{seed} {file}").sample(range(len(found)), min(share, len(found)))
        chosen.extend(found[number] for number in sorted(drawn))
    return chosen


def named(root: Path, ids: Sequence[str]) -> list[Mutation]:
    """The mutations of these ids; raises ``KeyError`` with one that there is not."""
    found: dict[str, Mutation] = {}
    for file in dict.fromkeys(name.partition(":")[0] for name in ids):
        if (root / file).is_file():
            text = (root / file).read_text(encoding="utf-8")
            found.update({mutation.id: mutation for mutation in mutations_of(text, file)})
    return [found[name] for name in ids]
