"""The fingerprint of a training's data, the listing that a run keeps of it, and what has changed since."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from translate import atomic
from translate.data import Dataset, Domain
from translate.errors import TranslateError
from translate.terminal import printable

NAME = "listing.jsonl"
"""The file in a run's folder that lists the training examples."""

MOST_BYTES = 2**30
SHOWN = 3
"""How many images are named of those that were lost or gained."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The training examples of a domain: what it is taken for, and each one's name, label and key, in their order."""

    domain: str
    taken_for: str
    paired: bool
    examples: Sequence[tuple[str, int, str]]


@dataclass(frozen=True, slots=True)
class Listing:
    """The training examples of a dataset, by domain. Names are relative to the data's folder, so that may move."""

    sides: Sequence[Listed]

    @classmethod
    def of(cls, dataset: Dataset) -> Listing:
        """The listing of a dataset's training split."""
        return cls(
            [
                Listed(
                    side,
                    _described(dataset.domains[side]),
                    dataset.paired,
                    [(example.name, example.label, example.key) for example in examples],
                )
                for side, examples in dataset.splits["train"].items()
            ]
        )

    @property
    def fingerprint(self) -> str:
        """A SHA-256 over the names, labels, keys and domains of the training examples."""
        digest = hashlib.sha256()
        for side in self.sides:
            digest.update(f"{side.domain} {side.taken_for} {side.paired}".encode())
            for name, label, key in side.examples:
                # File names may hold bytes that are no text. Without keys it is that of earlier versions.
                text = f"{name}\0{label}\0" + (f"\1{key}\0" if key else "")
                digest.update(text.encode(errors="surrogatepass"))
        return digest.hexdigest()

    @property
    def counts(self) -> str:
        """How many examples there are, in words."""
        return ", ".join(f"{len(side.examples)} {side.domain}" for side in self.sides)

    def write(self, folder: Path) -> None:
        """Write the listing to a run's folder, atomically: a line for each domain, followed by a line an example."""
        lines: list[object] = []
        for side in self.sides:
            lines.append([side.domain, side.taken_for, side.paired])
            lines += [[name, label, key] if key else [name, label] for name, label, key in side.examples]
        try:
            atomic.write(folder / NAME, "".join(f"{json.dumps(line)}\n" for line in lines).encode())
        except OSError as error:
            raise TranslateError(f"cannot write {folder / NAME}: {error.strerror}; free some space") from None

    @classmethod
    def read(cls, folder: Path, fingerprint: str) -> Listing | None:
        """The listing in a run's folder; None if it is missing, damaged or of another fingerprint."""
        # Imported where a file is read: it takes longer than all of the command line.
        from translate.schema import FactsError, read_text

        sides: list[Listed] = []
        examples: list[tuple[str, int, str]] = []
        try:
            for line in read_text(folder / NAME, MOST_BYTES).splitlines():
                match json.loads(line):
                    case [str(domain), str(taken_for), bool(paired)]:
                        examples = []
                        sides.append(Listed(domain, taken_for, paired, examples))
                    case [str(name), int(label)]:
                        examples.append((name, label, ""))
                    case [str(name), int(label), str(key)]:
                        examples.append((name, label, key))
                    case _:
                        return None
        except (OSError, FactsError, ValueError, RecursionError):
            return None
        found = cls(sides)
        return found if found.fingerprint == fingerprint else None


def unfit(before: Listing, after: Listing) -> str | None:
    """Why a run's networks do not fit other data; None if they do: what each domain is taken for must not change."""
    old, new = ({side.domain: side for side in each.sides} for each in (before, after))
    for domain in old.keys() | new.keys():
        if domain not in old or domain not in new:
            return f"it {'has no' if domain in old else 'has a'} {domain} {'any more' if domain in old else 'now'}"
        if old[domain].paired != new[domain].paired:
            return f"it is {'paired' if new[domain].paired else 'unpaired'} now"
        if old[domain].taken_for != new[domain].taken_for:
            return (
                f"its {domain} was taken for {old[domain].taken_for:.200}, and is now taken for "
                f"{new[domain].taken_for:.200}"
            )
    return None


def differences(before: Listing, after: Listing) -> str:
    """What has changed, in words: how many images were lost and gained, and which; or other labels, contents, order."""
    phrases: list[str] = []
    new = {side.domain: side for side in after.sides}
    for old in before.sides:
        if old.paired and old.domain != "source":
            continue
        was, now = (Counter(name for name, *_ in side.examples) for side in (old, new[old.domain]))
        what = "pair" if old.paired else f"{old.domain} image"
        phrases += _counted("lost", (was - now).elements(), what) + _counted("gained", (now - was).elements(), what)
    if not phrases:
        for old in before.sides:
            known = {name: (label, key) for name, label, key in old.examples}
            here = new[old.domain].examples
            what = f"{old.domain} image"
            phrases += _counted("other labels of", (name for name, label, _ in here if known[name][0] != label), what)
            phrases += _counted("other content of", (name for name, _, key in here if known[name][1] != key), what)
    return ", ".join(phrases) or "the order of its images"


def _counted(verb: str, names: Iterable[str], what: str) -> list[str]:
    listed = list(names)
    if not listed:
        return []
    shown = ", ".join(printable(name, 100) for name in listed[:SHOWN]) + (", ..." if len(listed) > SHOWN else "")
    return [f"{verb} {len(listed)} {what}{'' if len(listed) == 1 else 's'} ({shown})"]


def _described(domain: Domain) -> str:
    """The fields of a domain as text, without those that came later and have their usual values.

    So runs that were made before these fields can be resumed; ``fit`` prints what becomes of transparency.
    """
    usual: dict[str, tuple[object, ...]] = {"alpha": ("dropped", "white"), "ranged": (False,), "ignore": (None,)}
    listed = [(each.name, getattr(domain, each.name)) for each in fields(domain)]
    shown = [f"{name}={value!r}" for name, value in listed if value not in usual.get(name, ())]
    return f"Domain({', '.join(shown)})"
