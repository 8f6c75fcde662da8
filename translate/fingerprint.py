"""The fingerprint of a training's data, the listing that a run keeps of it, and what has changed since."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from translate import atomic
from translate.data import DOMAINS, Dataset, Domain, Example
from translate.errors import TranslateError
from translate.method import Needs
from translate.streams import as_vectors, home_of, vector_of
from translate.terminal import printable

NAME = "listing.jsonl"
"""The file in a run's folder that lists the training examples."""

MOST_BYTES = 2**30
SHOWN = 3
"""How many images are named of those that were lost or gained."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The training examples of a domain or of an aligned stream, in their order, and what it is taken for.

    An example is its name, label and key, and a hash of those of its vectors that the method asks for; ``vectors`` says
    how wide these are.
    """

    domain: str
    taken_for: str
    paired: bool
    examples: Sequence[tuple[str, int, str, str]]
    vectors: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """The training examples of a dataset, by domain. Names are relative to the data's folder, so that may move."""

    sides: Sequence[Listed]

    @classmethod
    def of(cls, dataset: Dataset, needs: Needs) -> Listing:
        """The listing of a dataset's training split, as far as a method with these needs sees it.

        An aligned stream is ``paired`` with its partner. Raises ``TranslateError`` for vectors that are none.
        """
        vectors: dict[str, set[str]] = {}
        for each in needs.vectors:
            vectors.setdefault(home_of(each, dataset.domains), set()).add(vector_of(each)[1])
        return cls(
            [
                Listed(
                    side,
                    _described(dataset.domains[side]),
                    dataset.paired or side in dataset.aligned,
                    [
                        (example.name, example.label, example.key, _hash(example, sorted(vectors.get(side, ()))))
                        for example in examples
                    ],
                    _widths(examples, sorted(vectors.get(side, ()))),
                )
                for side, examples in dataset.splits["train"].items()
                if side in DOMAINS or side in needs.aligned
            ]
        )

    @property
    def fingerprint(self) -> str:
        """A SHA-256 over the names, labels, keys, vectors and domains of the training examples."""
        digest = hashlib.sha256()
        for side in self.sides:
            digest.update(f"{side.domain} {side.taken_for} {side.paired}{side.vectors and ' ' + side.vectors}".encode())
            for name, label, key, vectors in side.examples:
                # File names may hold bytes that are no text. Without keys and vectors it is that of earlier versions.
                text = f"{name}\0{label}\0" + (f"\1{key}\0" if key else "") + (f"\2{vectors}\0" if vectors else "")
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
            lines.append([side.domain, side.taken_for, side.paired, *([side.vectors] if side.vectors else [])])
            lines += [_shortened(each) for each in side.examples]
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
        examples: list[tuple[str, int, str, str]] = []
        try:
            for line in read_text(folder / NAME, MOST_BYTES).splitlines():
                match json.loads(line):
                    case [str(domain), str(taken_for), bool(paired), *widths] if all(
                        isinstance(w, str) for w in widths
                    ):
                        examples = []
                        sides.append(Listed(domain, taken_for, paired, examples, " ".join(widths)))
                    case [str(name), int(label)]:
                        examples.append((name, label, "", ""))
                    case [str(name), int(label), str(key)]:
                        examples.append((name, label, key, ""))
                    case [str(name), int(label), str(key), str(vectors)]:
                        examples.append((name, label, key, vectors))
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
        if (was := old[domain].vectors) and (now := new[domain].vectors) and was != now:
            return f"its {domain} had vectors ({was:.200}), and they are others now ({now:.200})"
    return None


def differences(before: Listing, after: Listing) -> str:
    """What has changed, in words: how many images were lost and gained, and which; or other labels, contents, order."""
    phrases: list[str] = []
    new = {side.domain: side for side in after.sides}

    def moved(sides: Iterable[Listed], kind: str) -> None:
        for old in sides:
            was, now = (Counter(name for name, *_ in side.examples) for side in (old, new[old.domain]))
            what = kind or f"{old.domain} image"
            phrases.extend(_counted("lost", (was - now).elements(), what))
            phrases.extend(_counted("gained", (now - was).elements(), what))

    for old in before.sides:
        if not old.paired or old.domain == "source":
            moved([old], "pair" if old.paired else "")
    if not phrases:
        # What belongs to others may have other names.
        moved((old for old in before.sides if old.paired and old.domain != "source"), "")
    if not phrases:
        for old in before.sides:
            known = {name: rest for name, *rest in old.examples}
            what = f"{old.domain} image"
            for place, kind in enumerate(("labels", "content", "vectors")):
                changed = (name for name, *rest in new[old.domain].examples if known[name][place] != rest[place])
                phrases += _counted(f"other {kind} of", changed, what)
    return ", ".join(phrases) or "the order of its images"


def _hash(example: Example, names: Sequence[str]) -> str:
    """A hash of an example's vectors of these names; an empty text for none."""
    found = [(name, as_vectors(example.extras[name], name, example)) for name in names if name in example.extras]
    if not found:
        return ""
    digest = hashlib.blake2b(digest_size=16)
    for name, values in found:
        digest.update(f"{name} {values.shape}".encode() + values.tobytes())
    return digest.hexdigest()


def _widths(examples: Sequence[Example], names: Sequence[str]) -> str:
    """The width of the vectors of each name, as text."""
    first = {name: next((each for each in examples if name in each.extras), None) for name in names}
    widths = [
        f"{name} of {as_vectors(each.extras[name], name, each).shape[1]} numbers"
        for name, each in first.items()
        if each is not None
    ]
    return ", ".join(widths)


def _shortened(example: tuple[str, int, str, str]) -> list[str | int]:
    """An example without what is empty at its end."""
    name, label, key, vectors = example
    return [name, label, key, vectors] if vectors else [name, label, key] if key else [name, label]


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
    usual: dict[str, tuple[object, ...]] = {
        "alpha": ("dropped", "white"), "ranged": (False,), "ignore": (None,), "nearest": (False,),
    }  # fmt: skip
    listed = [(each.name, getattr(domain, each.name)) for each in fields(domain)]
    shown = [f"{name}={value!r}" for name, value in listed if value not in usual.get(name, ())]
    return f"Domain({', '.join(shown)})"
