"""Row inputs: what data has for the inputs of a network beside its images, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from translate.data import Domain, Example
from translate.streams import as_vectors, home_of, only_or_target, vector_of
from translate.taken import Wanted


@dataclass(frozen=True, slots=True)
class RowInputs:
    """Listed data, of which a network sees the images of the domain ``image``, and what belongs to each of them.

    ``examples`` and ``domains`` are by domain and by aligned stream. Row i of the other domain belongs to image i if
    the data is ``paired``; of data without pairs it is the other's i-th image, from the first again after the last.
    """

    image: str
    examples: Mapping[str, Sequence[Example]]
    domains: Mapping[str, Domain]
    aligned: Mapping[str, str] = field(default_factory=dict)
    paired: bool = False

    @property
    def count(self) -> int:
        """The number of images."""
        return len(self.examples.get(self.image, ()))

    def home(self, of: str) -> str:
        """The domain that ``of`` names, or the only one."""
        return of if self.examples.get(of) else only_or_target({name for name, each in self.examples.items() if each})

    def stream_of(self, wanted: Wanted) -> str | None:
        """The aligned stream that an input is, if the data has it for each image."""
        partner = self.aligned.get(wanted.of)
        there = self.examples.get(wanted.of, ())
        belongs = partner == self.image or (self.paired and partner is not None)
        return wanted.of if belongs and there and len(there) == self.count else None

    def rows(self, home: str) -> list[Example]:
        """The examples of a domain that belong to the images, as many."""
        there = self.examples.get(home, ())
        return [there[row % len(there)] for row in range(self.count)] if there else []

    def classes(self, wanted: Wanted) -> list[int | None]:
        """The class of each image as the network numbers them, by its name where both have names; None for none."""
        home = self.home(wanted.of)
        numbers = numbering(self.domains[home].labels if home in self.domains else (), wanted.labels)
        labels = [each.label if each.label >= 0 else None for each in self.rows(home)]
        return labels if numbers is None else [None if each is None else numbers.get(each) for each in labels]

    def vectors(self, wanted: Wanted) -> list[NDArray[np.float32] | None]:
        """The vector of each image, the first of several; None for none, and all None if they have other lengths."""
        there = {name for name, each in self.examples.items() if each}
        home, name = home_of(wanted.of, there), vector_of(wanted.of)[1]
        listed = self.rows(home if home in there else only_or_target(there))
        found = [as_vectors(each.extras[name], name, each)[0] if name in each.extras else None for each in listed]
        lengths = {len(each) for each in found if each is not None}
        fits = wanted.length is None or lengths <= {wanted.length}
        return found if fits and len(lengths) == 1 else [None] * len(found)


def numbering(own: Sequence[str], known: Sequence[str]) -> dict[int, int] | None:
    """The numbers of ``known`` classes by those of the data's ``own``; None if one side has no names.

    >>> numbering(("night", "day"), ("day", "night", "dusk"))
    {0: 1, 1: 0}
    """
    return {number: known.index(name) for number, name in enumerate(own) if name in known} if own and known else None
