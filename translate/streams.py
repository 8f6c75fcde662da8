"""Further streams of data: what there is beside source and target, what a method asks for, and why data lacks it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from translate.data import DOMAINS, Dataset, Domain, Example, check_stream_name, domain_of
from translate.errors import TranslateError
from translate.method import Needs
from translate.terminal import printable

V = TypeVar("V")

MISMATCHED = "mismatched"
SHOWN = 3
"""How many examples are named."""


class Present(dict[str, V]):
    """What data has, by name; looking up what it lacks raises ``TranslateError``, one sentence that lists what it has.

    >>> "text" in Present("vectors", {})
    False
    """

    def __init__(self, kind: str, values: Mapping[str, V]) -> None:
        super().__init__(values)
        self.kind = kind

    def __missing__(self, name: str) -> V:
        raise TranslateError(_lacks("the method", self.kind, name, "the data", list(self)))


@dataclass(frozen=True, slots=True)
class Streams:
    """What data has beside source and target: the domains of aligned streams, and the width of each kind of vectors."""

    aligned: Mapping[str, Domain] = field(default_factory=dict)
    vectors: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "aligned", Present("aligned streams", self.aligned))
        object.__setattr__(self, "vectors", Present("vectors", self.vectors))

    @classmethod
    def of(cls, dataset: Dataset) -> Streams:
        """What the training images of a dataset have; a width is that of the first vector of a name."""
        train = dataset.splits.get("train", {})
        aligned = {name: dataset.domains[name] for name in dataset.aligned if train.get(name)}
        widths: dict[str, int] = {}
        for side in DOMAINS:
            for example in train.get(side, ()):
                for name, values in example.extras.items():
                    if name not in widths:
                        check_stream_name(name, f"a vector of the example {printable(example.name, 60)}")
                        widths[name] = as_vectors(values, name, example).shape[1]
        return cls(aligned, widths)

    @classmethod
    def from_json(cls, metadata: Mapping[str, Any]) -> Streams:
        """Those of a translator's metadata; absent means none."""
        aligned = {name: domain_of(domain) for name, domain in metadata.get("aligned", {}).items()}
        return cls(aligned, dict(metadata.get("vectors", {})))

    def to_json(self, needs: Needs) -> dict[str, Any]:
        """What a method with these needs asks for, as JSON values; nothing for one that asks for none."""
        vectors = {vector_of(each)[1] for each in needs.vectors}
        found: dict[str, Any] = {
            "aligned": {name: asdict(domain) for name, domain in self.aligned.items() if name in needs.aligned},
            "vectors": {name: width for name, width in self.vectors.items() if name in vectors},
        }
        return {name: listed for name, listed in found.items() if listed}


def vector_of(key: str) -> tuple[str, str]:
    """The prefix of a vector's key in a batch, if it has one, and the vector's name.

    >>> vector_of("target_text"), vector_of("text")
    (('target', 'text'), ('', 'text'))
    """
    prefix, _, name = str(key).partition("_")
    return (prefix, name) if prefix in (*DOMAINS, MISMATCHED) and name else ("", key)


def home_of(key: str, domains: Container[str]) -> str:
    """The domain whose examples have the vectors of a key; a key without a domain is for the target or the only one."""
    prefix = vector_of(key)[0]
    return prefix if prefix in DOMAINS else only_or_target(domains)


def only_or_target(domains: Container[str]) -> str:
    """The target, or the only domain."""
    return "target" if "target" in domains else "source"


def as_vectors(values: Any, name: str, example: Example) -> NDArray[np.float32]:
    """An example's vectors (K, D) float32; raises ``TranslateError``, which names it, for anything else."""
    try:
        array = np.asarray(values)
    except Exception as error:
        raise TranslateError(f"{_the(name, example)} cannot be read ({type(error).__name__}); write an array") from None
    if array.dtype.kind not in "biuf" or array.ndim not in (1, 2) or not array.size:
        raise TranslateError(
            f"{_the(name, example)} is {array.dtype} of shape {array.shape}; it must be numbers (D,), or (K, D) for "
            "several of which one is drawn"
        )
    with np.errstate(over="ignore"):
        # Adding 0 makes -0 and 0 the same vector.
        found = np.atleast_2d(array).astype(np.float32) + np.float32(0)
    if not np.isfinite(found).all():
        raise TranslateError(f"{_the(name, example)} holds values that are not finite; mend it")
    return found


def _the(name: str, example: Example) -> str:
    return f"the vector {printable(str(name), 60)} of the example {printable(example.name, 60)}"


@dataclass(frozen=True, slots=True)
class Vectors:
    """All vectors of one name, one below the other (n, D) float32; those of example i begin at ``starts[i]``."""

    values: NDArray[np.float32]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, examples: Sequence[Example], name: str) -> Vectors:
        """Those of examples that all have some; raises ``TranslateError``, which names it, for one that is none."""
        listed = [as_vectors(example.extras[name], name, example) for example in examples]
        width = listed[0].shape[1]
        for example, each in zip(examples, listed, strict=True):
            if each.shape[1] != width:
                raise TranslateError(
                    f"{_the(name, example)} has {each.shape[1]} numbers, and that of {printable(examples[0].name, 60)} "
                    f"has {width}; give all as many"
                )
        counts = np.array([len(each) for each in listed], np.int64)
        return cls(np.concatenate(listed), np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))

    def identities(self) -> NDArray[np.int64]:
        """A number for each vector, (n,): equal vectors have equal numbers."""
        known: dict[bytes, int] = {}
        digests = (hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in self.values)
        return np.array([known.setdefault(digest, len(known)) for digest in digests], np.int64)

    def refuse_alike(self, examples: Sequence[Example], name: str, identities: NDArray[np.int64]) -> None:
        """Raise ``TranslateError`` if an example has no mismatched vector: all others are equal or of its class."""
        starts = self.starts.tolist()
        of_label: Counter[int] = Counter()
        of_vector: Counter[int] = Counter()
        of_both: Counter[tuple[int, int]] = Counter()
        numbers = identities.tolist()
        for row, example in enumerate(examples):
            for number in numbers[starts[row] : starts[row + 1]]:
                of_label[example.label] += 1
                of_vector[number] += 1
                of_both[example.label, number] += 1
        for row, example in enumerate(examples):
            label, own = example.label, set(numbers[starts[row] : starts[row + 1]])
            excluded = sum(of_vector[number] for number in own)
            if label >= 0:
                excluded += of_label[label] - sum(of_both[label, number] for number in own)
            if excluded == len(numbers):
                raise TranslateError(
                    f"there is no mismatched vector for {printable(example.name, 60)}: the vectors {name} of all other "
                    "images equal its own, or belong to its class; add images that differ"
                )


def refuse_unmet(
    needs: Needs,
    examples: Mapping[str, Sequence[Example]],
    domains: Mapping[str, Domain],
    aligned: Mapping[str, str],
    *,
    method: str = "the method",
    data: str = "the data",
    hint: Callable[[str, str], str] = lambda _option, _name: "",
) -> None:
    """Raise ``TranslateError``, one sentence, if training images lack a stream that a method asks for.

    ``hint`` makes of an option of layouts and a name what to do about it.
    """
    for stream in sorted(needs.aligned):
        if stream not in aligned or not examples.get(stream):
            there = [name for name in aligned if examples.get(name)]
            raise TranslateError(_lacks(method, "aligned streams", stream, data, there) + hint("aligned", stream))
        beside, count = len(examples[aligned[stream]]), len(examples[stream])
        if beside != count:
            raise TranslateError(
                f"{data} has {count} {stream} images beside {beside} of the {aligned[stream]}, to which they belong; "
                "give every image its partner"
            )
    for key in sorted(needs.vectors):
        home, name = home_of(key, domains), vector_of(key)[1]
        if home not in domains:
            raise TranslateError(f"{method} needs the vectors {name!r} of the {home}, and {data} has no {home}")
        listed = examples[home]
        without = [example for example in listed if name not in example.extras]
        if len(without) == len(listed):
            there = sorted({each for example in listed for each in example.extras})
            of = f"vectors of the {home}"
            raise TranslateError(_lacks(method, of, name, data, there) + hint("vectors", name))
        if without:
            shown = ", ".join(printable(example.name, 60) for example in without[:SHOWN])
            more = ", ..." if len(without) > SHOWN else ""
            raise TranslateError(
                f"{method} needs the vectors {name!r} of the {home}, and {len(without)} of the {len(listed)} training "
                f"images of {data} have none ({shown}{more}); give them some, or leave these images out"
            )
    if needs.references:
        home = only_or_target(domains)
        members = members_of(examples.get(home, ()))
        if not members:
            raise TranslateError(
                f"{method} needs references, two images of one class, and the {home} of {data} has no labels; "
                "label its images"
            )
        named = domains[home].labels
        for label in range(max(len(named), *(each + 1 for each in members))):
            text = printable(named[label] if label < len(named) else str(label), 60)
            count = len(members.get(label, ()))
            if not count and label < len(named):
                raise TranslateError(
                    f"{method} needs references, two images of each class, and the class {text} of the {home} of "
                    f"{data} has no image; add two, or number the classes without a gap"
                )
            if count == 1:
                raise TranslateError(
                    f"{method} needs references, two images of one class, and the class {text} of the "
                    f"{home} of {data} has one image; add another, or remove its label"
                )


def members_of(examples: Sequence[Example]) -> dict[int, list[int]]:
    """The indices of the examples of each class that has any, by class."""
    found: dict[int, list[int]] = defaultdict(list)
    for row, example in enumerate(examples):
        if example.label >= 0:
            found[example.label].append(row)
    return dict(sorted(found.items()))


def _lacks(method: str, kind: str, name: str, data: str, there: Sequence[str]) -> str:
    has = f"has only {', '.join(there)}" if there else "has none"
    return f"{method} needs {name!r} among the {kind}, and {data} {has}"
