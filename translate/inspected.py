"""What an inspection has found: the counts of each domain, and all of it as lines of text or JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_named = 20  # classes or unreadable files that are listed


@dataclass(frozen=True, slots=True)
class VectorCounts:
    """Vectors of one name: how many numbers each has, how many images have some, and the fewest and most of an image.

    ``wrong`` says what is wrong with the first that does not fit, in one sentence; it is empty if all fit.
    """

    width: int
    images: int
    fewest: int
    most: int
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Side:
    """Counts for one domain of one split: images of each (height, width), depth and number of channels.

    ``classes`` is the number of classes of a class map. ``labels`` counts the images of each class label,
    ``unlabelled`` those without a label. ``lowest`` and ``highest`` are the extreme values, at the domain's depth, of
    the images that were decoded; ``transparent`` counts the files with an alpha channel. ``vectors`` describes the
    vectors of each name that its images have.
    """

    count: int
    sizes: Mapping[tuple[int, int], int]
    depths: Mapping[str, int]
    channels: Mapping[int, int]
    classes: int
    labels: Mapping[str, int] = field(default_factory=dict)
    unlabelled: int = 0
    lowest: float | None = None
    highest: float | None = None
    transparent: int = 0
    vectors: Mapping[str, VectorCounts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inspection:
    """The result of ``inspect``, by split and domain.

    ``unreadable`` maps a file to the reason why it cannot be read. ``decoded``: whether every one of the ``files`` was
    decoded; if there are more than 5,000, only their headers are read unless all were asked for (``full``).
    ``taken_for`` says what each domain's images are taken for, ``notes`` what else a user should know, and ``refusal``
    why a training would refuse the data. ``aligned`` are the streams that belong to a domain, and ``unlike`` maps
    images of these to the reason why they do not fit their partner.
    """

    name: str
    layout: str
    paired: bool
    sides: Mapping[str, Mapping[str, Side]]
    unreadable: Mapping[str, str]
    problems: tuple[str, ...]
    decoded: bool
    taken_for: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    refusal: str | None = None
    files: int = 0
    full: bool = False
    aligned: Mapping[str, str] = field(default_factory=dict)
    unlike: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """2 if a training would refuse the data, 1 if only some images or vectors cannot be used, otherwise 0."""
        listed = [side for sides in self.sides.values() for side in sides.values()]
        wrong = any(each.wrong for side in listed for each in side.vectors.values())
        return 2 if self.refusal is not None else 1 if self.unreadable or self.unlike or wrong else 0

    def lines(self) -> list[str]:
        """The result as aligned lines of text."""
        rows = [("split", "domain", "images", "size (height x width)", "values")]
        for split, sides in self.sides.items():
            for domain, side in sides.items():
                rows.append((split, domain, str(side.count), _sizes(side.sizes), _values(side)))
        widths = [max(len(row[place]) for row in rows) for place in range(5)]
        several = any(len(sides.keys() - self.aligned.keys()) > 1 for sides in self.sides.values())
        kind = "paired" if self.paired else "unpaired" if several else "one domain"
        lines = [f"{self.name}: {kind}, {self.layout}", ""]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            cells[2] = row[2].rjust(widths[2])
            lines.append("  ".join(cells).rstrip())
        lines.append("")
        labelled = [
            f"{split} {domain}: {_labels(side)}"
            for split, sides in self.sides.items()
            for domain, side in sides.items()
            if side.labels
        ]
        if labelled:
            lines += [*labelled, ""]
        vectors = [
            f"{split} {domain}: vectors {name}, {_vectors(each, side.count)}"
            for split, sides in self.sides.items()
            for domain, side in sides.items()
            for name, each in side.vectors.items()
        ]
        lines += [*vectors, ""] if vectors else []
        lines += [
            f"{side}: {summary}" + (f", aligned with the {self.aligned[side]}" if side in self.aligned else "")
            for side, summary in self.taken_for.items()
        ]
        lines += [""] if self.taken_for else []
        lines += [*self.notes, ""] if self.notes else []
        if self.problems:
            lines += [f"{self.name} is not fit for training:", *(f"  {problem}" for problem in self.problems), ""]
        elif self.refusal is not None:
            lines += [self.refusal, ""]
        most = max(len(self.unreadable), len(self.unlike)) if self.full else _named
        if self.unreadable:
            lines.append(f"{len(self.unreadable)} of these cannot be read:")
            lines += [f"  {reason}" for reason in list(self.unreadable.values())[:most]]
            lines += (
                [f"  and {len(self.unreadable) - most} more; --full names all"] if len(self.unreadable) > most else []
            )
        elif self.decoded:
            lines.append("All images can be read.")
        else:
            lines.append("All headers can be read.")
        if self.unlike:
            lines.append(f"{len(self.unlike)} do not fit the image that they belong to:")
            lines += [f"  {reason}" for reason in list(self.unlike.values())[:most]]
            lines += [f"  and {len(self.unlike) - most} more; --full names all"] if len(self.unlike) > most else []
        if self.decoded:
            lines.append(f"Checked: all {self.files:,} files were decoded.")
        else:
            lines.append(f"Checked: the headers of {self.files:,} files; --full decodes them all.")
        return lines

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "name": self.name,
            "layout": self.layout,
            "paired": self.paired,
            "splits": {
                split: {
                    domain: {
                        "count": side.count,
                        "sizes": {f"{height}x{width}": count for (height, width), count in side.sizes.items()},
                        "depths": dict(side.depths),
                        "channels": {str(channels): count for channels, count in side.channels.items()},
                        "classes": side.classes,
                        "labels": dict(side.labels),
                        "unlabelled": side.unlabelled,
                        "lowest": side.lowest,
                        "highest": side.highest,
                        "alpha": side.transparent,
                        "vectors": {name: asdict(each) for name, each in side.vectors.items()},
                    }
                    for domain, side in sides.items()
                }
                for split, sides in self.sides.items()
            },
            "aligned": dict(self.aligned),
            "unlike": dict(self.unlike),
            "unreadable": dict(self.unreadable),
            "problems": list(self.problems),
            "notes": list(self.notes),
            "taken_for": dict(self.taken_for),
            "refusal": self.refusal,
            "decoded": self.decoded,
            "files": self.files,
        }


def _sizes(sizes: Mapping[tuple[int, int], int]) -> str:
    if not sizes:
        return "-"
    (height, width), _ = max(sizes.items(), key=lambda item: item[1])
    if len(sizes) == 1:
        return f"{height} x {width}"
    spans = []
    for lengths in zip(*sizes, strict=True):
        least, most = min(lengths), max(lengths)
        spans.append(f"{least}..{most}" if least < most else str(least))
    return f"{' x '.join(spans)}, most {height} x {width}"


def _values(side: Side) -> str:
    if side.classes:
        used = "" if side.highest is None else f", indices {side.lowest:g} to {side.highest:g}"
        return f"{side.classes} classes{used}"
    kinds = {1: "gray", 3: "RGB"}
    channels = " and ".join(kinds.get(channels, f"{channels} channels") for channels in sorted(side.channels))
    text = f"{channels} {' and '.join(sorted(side.depths))}".strip() or "-"
    if side.lowest is not None and side.highest is not None:
        text += f", {side.lowest:g} to {side.highest:g}"
    return text + (f", alpha in {side.transparent}" if side.transparent else "")


def _labels(side: Side) -> str:
    """The classes with their numbers of images; only the largest 20, if there are more."""
    shown = list(side.labels.items())
    if len(shown) > _named:
        shown = sorted(shown, key=lambda item: -item[1])[:_named]
    counts = ", ".join(f"{name} ({count})" for name, count in shown)
    more = f" and {len(side.labels) - _named} more" if len(side.labels) > _named else ""
    none = f"; {side.unlabelled} without a label" if side.unlabelled else ""
    return f"{len(side.labels)} class{'' if len(side.labels) == 1 else 'es'}: {counts}{more}{none}"


def _vectors(each: VectorCounts, images: int) -> str:
    """Vectors of one name in words."""
    if each.wrong:
        return each.wrong
    many = f"{each.fewest}" if each.fewest == each.most else f"{each.fewest} to {each.most}"
    have = "of all images" if each.images == images else f"of {each.images} of {images} images"
    return f"of {each.width} number{'' if each.width == 1 else 's'} each, {many} an image, {have}"
