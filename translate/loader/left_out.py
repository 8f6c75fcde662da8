"""What is left out: training images that are broken or have vanished, in whose place others stand.

The set is part of a training's state. It grows only with the batch that met a broken image, on all ranks alike, so a
run that is resumed with the set of its checkpoint draws what it would have drawn without a stop.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from translate.data import Example
from translate.errors import TranslateError
from translate.ranks import ProcessGroup
from translate.terminal import printable

Broken = Literal["skip", "stop"]
"""What becomes of a training that meets a broken image: see ``Config.broken``."""

Found = Mapping[tuple[str, int], str]
"""Broken images: why each cannot be used, by domain and index."""

SHARE = 0.01
"""The largest share of a domain's images that may be left out; one image always may."""

SHOWN = 20
"""The most images that are named, a line each, when they are left out at once."""

log = logging.getLogger("translate")


class BrokenImagesError(TranslateError):
    """Images cannot be used, and may not be left out, or not so many of them; no batch was made."""


class LeftOut:
    """The images of each domain that a training leaves out, by index; of pairs, the pair, under its source.

    ``mode``: "skip" leaves out a broken image and names it once, and refuses more than 1 % of a domain's images (one
    always may be left out); "stop" refuses the first. All ranks of ``group`` leave out the same.
    """

    def __init__(
        self,
        mode: Broken = "stop",
        *,
        group: ProcessGroup | None = None,
    ) -> None:
        self.mode = mode
        self._group = group or ProcessGroup()
        self._rows: dict[str, set[int]] = {}
        self._examples: Mapping[str, Sequence[Example]] = {}
        self._paired = False
        self._labelled: Mapping[str, Collection[int]] = {}
        self._classes: Mapping[str, Collection[Collection[int]]] = {}
        self._least: Mapping[str, int] = {}

    @property
    def rows(self) -> dict[str, list[int]]:
        """The indices that are left out, by domain, sorted; a domain without any is missing."""
        return {name: sorted(listed) for name, listed in self._rows.items() if listed}

    @property
    def by_home(self) -> dict[str, list[int]]:
        """``rows`` for each domain: both domains of pairs have the same."""
        return self._by_home(self._rows)

    @property
    def names(self) -> dict[str, dict[str, str]]:
        """``rows`` with the name of each image, as a run's files hold them; see ``restore``."""
        return {
            name: {str(row): printable(self._examples[name][row].name, 60) or "-" for row in listed}
            for name, listed in self.rows.items()
        }

    def restore(self, names: Mapping[str, Mapping[str, str]]) -> None:
        """Leave out what a checkpoint left out, before ``bind``."""
        self._rows = {name: {int(row) for row in listed} for name, listed in names.items()}

    def bind(
        self,
        examples: Mapping[str, Sequence[Example]],
        *,
        paired: bool,
        labelled: Mapping[str, Collection[int]],
        least: Mapping[str, int],
        classes: Mapping[str, Collection[Collection[int]]] | None = None,
    ) -> None:
        """Say of what images are left out.

        ``labelled`` are the indices, by domain, of which one must remain; ``least`` how many images of a domain must;
        ``classes`` the indices of each class, of which two must.
        """
        self._examples, self._paired, self._labelled, self._least = examples, paired, labelled, least
        self._classes = classes or {}
        lengths = {name: len(listed) for name, listed in examples.items()}
        self._rows = {
            name: {row for row in listed if row < lengths[name]}
            for name, listed in self._rows.items()
            if name in lengths
        }
        for name, rows in self._rows.items():
            if rows and (why := self._too_many(name, rows)):
                raise BrokenImagesError(f"images that were left out before {why}; try them again with --changed-data")
        if kept := self.rows:
            self._tell("still left out, as before: %s", "; ".join(self._named(kept)))

    def key(self, home: str, row: int) -> tuple[str, int]:
        """The key of an image among those that are left out: of a pair, the pair's."""
        return ("source" if self._paired else home), row

    def agree(self, broken: Found, error: TranslateError | None = None) -> dict[tuple[str, int], str]:
        """What the ranks have found broken, together; ``error`` is raised on all ranks. All ranks must call this."""
        if self._group.size == 1:
            if error is not None:
                raise error
            return dict(broken)
        listed = [[*place, reason] for place, reason in broken.items()]
        own = json.dumps({"broken": listed, "error": None if error is None else str(error)})
        told = [json.loads(text) for text in self._group.all_gather_text(own if broken or error else "") if text]
        if error is not None:
            raise error
        for each in told:
            if each["error"] is not None:
                raise TranslateError(each["error"])
        return {(name, row): reason for each in told for name, row, reason in each["broken"]}

    def with_more(self, found: Found) -> dict[str, list[int]]:
        """``by_home`` as it would be with further images; raises ``BrokenImagesError`` if these are too many."""
        more = {place: reason for place, reason in found.items() if place[1] not in self._rows.get(place[0], ())}
        if self.mode == "stop" and more:
            raise BrokenImagesError(_sentence(list(more.values()), "cannot be used"))
        together = {name: set(listed) for name, listed in self._rows.items()}
        for name, row in more:
            together.setdefault(name, set()).add(row)
        for name, listed in together.items():
            reasons = [reason for place, reason in more.items() if place[0] == name]
            if reasons and (why := self._too_many(name, listed)):
                raise BrokenImagesError(_sentence(reasons, why))
        return self._by_home(together)

    def add(self, found: Found) -> None:
        """Leave out further images, each named in one line."""
        more = {place: reason for place, reason in found.items() if place[1] not in self._rows.get(place[0], ())}
        for name, row in more:
            self._rows.setdefault(name, set()).add(row)
        for (name, row), reason in sorted(more.items())[:SHOWN]:
            what = "the pair" if self._paired else f"the {name}"
            shown = self._examples[name][row].name
            self._tell("left out, another image stands in its place: %s %s: %s", what, shown, reason.rstrip("."))
        if len(more) > SHOWN:
            self._tell("%d more images are left out; `translate data DATA --full` names all", len(more) - SHOWN)

    def _by_home(self, rows: Mapping[str, Collection[int]]) -> dict[str, list[int]]:
        given = dict.fromkeys(self._examples, rows.get("source", ())) if self._paired else rows
        return {name: sorted(listed) for name, listed in given.items() if listed}

    def _too_many(self, name: str, rows: Collection[int]) -> str:
        """Why so many may not be left out; an empty string if they may."""
        count = len(self._examples[name])
        most = max(1, int(SHARE * count))
        kind = "pairs" if self._paired else f"images of the {name}"
        if count - len(rows) < self._least.get(name, 1):
            return f"cannot be used, so too few {kind} are left"
        if len(rows) > most:
            share = f" ({SHARE:.0%})" if most > 1 else ""
            return f"cannot be used: {len(rows)} of {count} {kind}, and at most {most}{share} may be left out"
        for home, labelled in self._labelled.items():
            if self.key(home, 0)[0] == name and set(labelled) <= set(rows):
                return f"cannot be used, so none of the {home}'s labelled images is left"
        for home, classes in self._classes.items():
            if self.key(home, 0)[0] == name and any(len(set(each) - set(rows)) < 2 for each in classes):
                return f"cannot be used, so fewer than two images of a class of the {home} are left"
        return ""

    def _named(self, rows: Mapping[str, Sequence[int]]) -> list[str]:
        found = []
        for name, listed in rows.items():
            shown = ", ".join(self._examples[name][row].name for row in listed[:3])
            more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
            found.append(f"{'pairs' if self._paired else name} {shown}{more}")
        return found

    def _tell(self, sentence: str, *values: object) -> None:
        if self._group.is_main:
            log.warning(sentence, *values)


def _sentence(reasons: Sequence[str], why: str) -> str:
    """One sentence for broken images: three are named, the rest are counted."""
    named = "; ".join(reason.rstrip(".") for reason in reasons[:3])
    more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
    images = "an image" if len(reasons) == 1 else f"{len(reasons)} images"
    return f"{images} {why}: {named}{more}"
