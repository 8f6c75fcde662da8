"""What a dataset lists: domains, splits, examples, labels and vectors, and what belongs to what.

A dataset never decodes, batches, shuffles or moves anything: the loader does, in the same way for all datasets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from numpy.typing import NDArray

from translate.errors import TranslateError

__all__ = [
    "Alpha",
    "Dataset",
    "Depth",
    "Domain",
    "Example",
    "Pixels",
    "Region",
    "check_same_channels",
]

Depth = Literal["uint8", "uint16", "float32"]
Region = Literal["whole", "left", "right"]
Alpha = Literal["dropped", "white", "black", "gray", "plane", "only"]
Pixels = Path | NDArray[Any] | Callable[[], Any]

DOMAINS = ("source", "target")
"""The domains; whatever else a dataset lists is aligned with one of them."""

OPAQUE = 1 - 1e-6
"""The least alpha in [-1, 1] of a wholly opaque pixel: less than a step of 16 bits below 1."""

STREAM = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""A name of an aligned stream or of vectors: it is a key of a batch, or a part of one."""

_taken = ("source", "target", "mismatched", "labelled", "reference", "reference2")


_nothing: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One image of a domain: its pixels, name, region, label and vectors.

    ``pixels`` is a file, an array (H, W) or (H, W, C), or a function that makes such an array. A function may also
    return a ``translate.images.Image``, as ``translate.images.decode`` makes it, or the bytes of an image file, which
    are then decoded as a file is. It is called from several threads; whatever it raises makes the image a broken one.
    ``region`` takes the left or right half of it (side-by-side files). ``label`` is its class, -1 for none.

    ``key`` names the content that a function makes: the same key stands for the same pixels among all data, such as a
    hash, or a file's name with its size, its time and a place in it. Then decoded images are kept on the disk as those
    of files are, and a resumed run notices that the content has changed. Without a key neither is done.

    ``extras`` are vectors of numbers by name, such as an embedding of a text: an array (D,), or (K, D) of which one is
    drawn each time the image is seen. All vectors of one name have the same D. They are never resized.
    """

    pixels: Pixels
    name: str
    region: Region = "whole"
    label: int = -1
    key: str = ""
    extras: Mapping[str, Any] = field(default_factory=lambda: _nothing)

    def __post_init__(self) -> None:
        if not isinstance(self.key, str):
            raise TranslateError(f"the key of the example {self.name} is text, not {self.key!r:.60}; write it as text")


@dataclass(frozen=True, slots=True)
class Domain:
    """The format of a domain's images, as files and as tensors.

    ``channels``: planes of the tensor that a network sees. ``depth``: how the files store a value. ``low`` and
    ``high``: the values of float files that become -1 and 1. Integers use their full range, unless they are ``ranged``:
    then ``low`` and ``high`` hold for them, too (12 bits in 16-bit files: 0 and 4095). ``classes``: more than 0
    for maps of class indices, which become one-hot planes in {-1, 1} (``channels == classes``), or, with a ``palette``
    of that many colours, RGB images. ``labels``: the names of the classes that whole images may belong to; an example's
    label is an index into them. ``alpha``: what becomes of transparency. Images are laid on white, black or gray,
    or alpha is the last of the ``channels``, or it is dropped, so that colours under transparent pixels are seen; with
    ``only``, alpha is the one plane, 1 where an image is opaque. ``ignore``: the index of pixels without a class, -1 in
    all one-hot planes and black with a palette. ``nearest``: images are resized and moved by nearest neighbour, so that
    only stored values are seen, as maps of classes always are.

    >>> Domain(channels=12, classes=12).one_hot
    True
    """

    channels: int
    depth: Depth = "uint8"
    low: float = 0.0
    high: float = 1.0
    classes: int = 0
    palette: tuple[tuple[int, int, int], ...] = ()
    labels: tuple[str, ...] = ()
    alpha: Alpha = "dropped"
    ranged: bool = False
    ignore: int | None = None
    nearest: bool = False

    @property
    def by_nearest(self) -> bool:
        """Whether images are resized by nearest neighbour: indices, and whatever else must not be mixed."""
        return self.nearest or self.classes > 0

    @property
    def one_hot(self) -> bool:
        """Whether the tensor has one plane per class."""
        return self.classes > 0 and not self.palette

    @property
    def limits(self) -> tuple[float, float]:
        """The stored values that become -1 and 1.

        >>> Domain(1).limits, Domain(1, "uint16", 0.0, 4095.0, ranged=True).limits, Domain(1, "float32").limits
        ((0.0, 255.0), (0.0, 4095.0), (0.0, 1.0))
        """
        if self.ranged or self.depth == "float32":
            return self.low, self.high
        return 0.0, 255.0 if self.depth == "uint8" else 65535.0

    @property
    def summary(self) -> str:
        """What the images are taken for, in one line.

        >>> Domain(3, alpha="white").summary
        'RGB images of 8 bits, 0 to 255 become -1 to 1, transparency on white'
        >>> Domain(12, classes=12, ignore=255).summary
        'maps of 12 classes, as 12 planes of -1 and 1, index 255 ignored'
        """
        if self.classes:
            seen = "in the palette's colours" if self.palette else f"as {self.channels} planes of -1 and 1"
            ignored = "" if self.ignore is None else f", index {self.ignore} ignored"
            return f"maps of {self.classes} classes, {seen}{ignored}"
        colours = self.channels - (self.alpha == "plane")
        kind = {1: "gray images", 3: "RGB images"}.get(colours, f"images of {colours} channels")
        kind += " with alpha as a plane" if self.alpha == "plane" else ""
        depth = {"uint8": "8 bits", "uint16": "16 bits", "float32": "floats"}[self.depth]
        low, high = self.limits
        if self.alpha == "only":
            return "the alpha of images, as a plane of -1 (transparent) to 1 (opaque)"
        under = {"dropped": "transparency dropped", "plane": ""}.get(self.alpha, f"transparency on {self.alpha}")
        return f"{kind} of {depth}, {low:g} to {high:g} become -1 to 1" + (f", {under}" if under else "")

    def at(self, depth: Depth) -> Domain:
        """This domain for files of another depth: integers of another depth than its own use their full range."""
        return replace(self, depth=depth, ranged=self.ranged and depth == self.depth)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A listing: for each split and domain (``source``, ``target``) its examples.

    ``paired``: example i of the source belongs to example i of the target, in every split. ``problems``: reasons why
    the data is unfit for training, one sentence each (files without a partner, an empty folder). ``notes``: what the
    user should know although it is no reason against training (a range that is hardly used, files left out).

    ``aligned``: further streams of images, such as masks, each with the domain that it belongs to: ``{"mask":
    "source"}``. They are listed in ``domains`` and ``splits`` under their names, example i beside example i of the
    domain, in each split that has them. A method that asks for one gets it with its partner's window, mirroring and
    movements; others never see it. Its domain becomes ``nearest``.

    Raises a TranslateError for a stream that has no domain, no partner, or a name that cannot be a key of a batch.
    """

    name: str
    layout: str
    paired: bool
    domains: Mapping[str, Domain]
    splits: Mapping[str, Mapping[str, Sequence[Example]]]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    aligned: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.aligned:
            return
        for name, partner in self.aligned.items():
            check_stream_name(name, f"an aligned stream of {self.name}")
            if partner not in DOMAINS or partner not in self.domains:
                there = " or ".join(each for each in DOMAINS if each in self.domains)
                raise TranslateError(f"{self.name} aligns {name!r} with {partner!r:.60}; name {there}")
            if name not in self.domains:
                raise TranslateError(f"{self.name} aligns {name!r} and does not say its domain; add domains[{name!r}]")
        nearest = {name: replace(self.domains[name], nearest=True) for name in self.aligned}
        object.__setattr__(self, "domains", {**self.domains, **nearest})

    @property
    def refusal(self) -> str | None:
        """Why the data is unfit for training, in one sentence; None if it is fit."""
        if self.problems:
            more = f" (and {len(self.problems) - 1} more problems)" if len(self.problems) > 1 else ""
            return f"{self.name} is not fit for training: {self.problems[0]}{more}"
        if not self.splits.get("train", {}).get("source"):
            return f"{self.name} has no training images"
        return None


def check_stream_name(name: object, what: str) -> None:
    """Raise ``TranslateError`` unless a name may be that of an aligned stream or of vectors; ``what`` says of which."""
    if not isinstance(name, str) or not STREAM.fullmatch(name):
        raise TranslateError(
            f"{what} is called {name!r:.60}; a name has lower-case letters, digits and underscores, and begins with a "
            "letter"
        )
    if name in _taken or name.startswith(tuple(f"{each}_" for each in _taken)) or name in ("label", "labels"):
        raise TranslateError(f"{what} is called {name!r}, which stands for something else in a batch; rename it")


def check_same_channels(source: Domain, target: Domain, why: str) -> None:
    """Raise ``TranslateError`` unless images of both domains are the same to a network, for a method that shares one.

    They need as many channels, and class maps are no images. ``why`` begins the sentence.

    >>> check_same_channels(Domain(1), Domain(3), "it feeds both to one network")
    Traceback (most recent call last):
    translate.errors.TranslateError: it feeds both to one network, so both domains need the same kind and number of \
channels, not 1 channel and 3 channels; convert one of them
    """
    if (source.channels, source.one_hot) != (target.channels, target.one_hot):
        raise TranslateError(
            f"{why}, so both domains need the same kind and number of channels, not {_planes(source)} and "
            f"{_planes(target)}; convert one of them"
        )


def _planes(domain: Domain) -> str:
    what = "plane of a class" if domain.one_hot else "channel"
    plural = "planes of classes" if domain.one_hot else "channels"
    return f"{domain.channels} {what if domain.channels == 1 else plural}"


def domain_of(metadata: Mapping[str, Any]) -> Domain:
    """A domain from its fields as JSON values."""
    palette = tuple((int(red), int(green), int(blue)) for red, green, blue in metadata.get("palette", ()))
    return Domain(**{**metadata, "palette": palette, "labels": tuple(metadata.get("labels", ()))})
