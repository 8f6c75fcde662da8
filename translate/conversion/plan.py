"""Names and formats of outputs, decided by the inputs' names alone."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from translate import images
from translate.data import Depth, Domain
from translate.errors import TranslateError

FormatName = Literal["same", "png", "jpg", "webp", "avif", "tiff", "npy"]
DEPTHS: tuple[Depth, ...] = ("uint8", "uint16", "float32")
"""The types in which files store values, the shallowest first."""


@dataclass(frozen=True, slots=True)
class Format:
    """What a file format can hold; empty ``channels`` mean any number; the first of ``suffixes`` is the default."""

    suffixes: tuple[str, ...]
    depths: tuple[Depth, ...]
    channels: tuple[int, ...]
    alpha: bool = True
    lossless: bool = True

    def holds(self, channels: int, depth: Depth, *, lossless: bool, alpha: bool = False) -> bool:
        """Whether images with these channels and depth can be written; ``lossless`` also requires exact values.

        With ``alpha``, the last of the channels is the alpha channel.
        """
        fits = not self.channels or (channels - alpha in self.channels and (self.alpha or not alpha))
        return fits and depth in self.depths and (self.lossless or not lossless)


FORMATS = {
    "png": Format((".png",), ("uint8", "uint16"), (1, 3)),
    "jpg": Format((".jpg", ".jpeg"), ("uint8",), (1, 3), alpha=False, lossless=False),
    "webp": Format((".webp",), ("uint8",), (1, 3), lossless=False),
    **({"avif": Format((".avif",), ("uint8",), (1, 3), lossless=False)} if ".avif" in images.WRITABLE else {}),
    "tiff": Format((".tiff", ".tif"), DEPTHS, (1, 3)),
    "bmp": Format((".bmp",), ("uint8",), (1, 3), alpha=False),
    "npy": Format((".npy",), DEPTHS, (), alpha=False),
}
"""The formats that ``translate.images.encode`` writes."""


@dataclass(frozen=True, slots=True)
class Task:
    """One image to convert: its file, its name below the source (with ``/``), and the files to write."""

    source: Path
    name: str
    outputs: tuple[Path, ...]

    @property
    def format(self) -> Format:
        """The format of the outputs."""
        written = format_of(self.outputs[0].suffix)
        assert written is not None, self.outputs
        return written


class Shard(NamedTuple):
    """One of several equal parts of a plan, counted from 1."""

    part: int
    parts: int

    def __str__(self) -> str:
        return f"{self.part}/{self.parts}"


def parse_shard(value: Any, where: str = "shard") -> Shard:
    """Read a part of several: ``"3/16"`` or ``(3, 16)``.

    >>> parse_shard("3/16")
    Shard(part=3, parts=16)
    """
    text = "/".join(map(str, value)) if isinstance(value, tuple) else str(value)
    found = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise TranslateError(f"{where}: {value!r:.100} is no part of several; give 1/16 up to 16/16")
    return Shard(int(found[1]), int(found[2]))


def parse_added(value: Any, where: str = "suffix") -> str:
    """Read the text that is put before every output's suffix: part of a name, never a path."""
    if not isinstance(value, str) or not value.isprintable() or any(each in value for each in '/\\:*?"<>|'):
        raise TranslateError(f"{where}: {value!r:.100} cannot stand in a file's name; give letters, such as _cat")
    return value


def format_of(suffix: str) -> Format | None:
    """The format of a suffix, in upper or lower case; None if it cannot be written."""
    return next((each for each in FORMATS.values() if suffix.lower() in each.suffixes), None)


def deepest(own: Depth, source: Domain, target: Domain, written: Format) -> Depth:
    """The depth in which an output is stored: the deepest that its file format allows, up to the wanted one.

    Wanted is the image's ``own`` depth or, if the two domains differ in depth, the deeper of ``own`` and the target's.
    Class maps are stored as 8-bit indices.

    >>> deepest("uint16", Domain(3), Domain(3), FORMATS["png"]), deepest("uint16", Domain(3), Domain(3), FORMATS["jpg"])
    ('uint16', 'uint8')
    """
    if target.classes:
        return "uint8"
    wanted = own if source.depth == target.depth else max(own, target.depth, key=DEPTHS.index)
    return max((depth for depth in written.depths if DEPTHS.index(depth) <= DEPTHS.index(wanted)), key=DEPTHS.index)


def suffix_rule(source: Domain, target: Domain, chosen: FormatName) -> Callable[[str], str]:
    """The rule that maps an input's suffix to its output's.

    A suffix stays if its format can hold the outputs; otherwise it becomes the first of png, tiff and npy that can.
    Raises ``TranslateError`` if the ``chosen`` format cannot hold them.

    >>> keep = suffix_rule(Domain(3), Domain(3), "same")
    >>> keep(".jpg"), keep(".gif"), suffix_rule(Domain(3), Domain(3, depth="float32"), "same")(".jpg")
    ('.jpg', '.png', '.tiff')
    """
    channels = 1 if target.classes else target.channels
    depth: Depth = "uint8" if target.classes or source.depth == target.depth else target.depth
    lossless, alpha = target.classes > 0, not target.classes and target.alpha == "plane"
    if chosen != "same" and chosen not in FORMATS:
        raise TranslateError(
            f"the installed Pillow writes no {chosen} files; install a newer one, or choose --format webp"
        )
    # A chosen format may reduce the depth (a float output as png), but not channels or classes.
    if chosen != "same" and not FORMATS[chosen].holds(channels, "uint8", lossless=lossless, alpha=alpha):
        fit = [
            name
            for name in ("png", "tiff", "npy")
            if FORMATS[name].holds(channels, depth, lossless=lossless, alpha=alpha)
        ]
        what = "class indices unharmed" if lossless else f"images of {channels} channels"
        raise TranslateError(f"{chosen} cannot hold {what}; choose --format {' or '.join(fit)}")

    def rule(suffix: str) -> str:
        written = format_of(suffix) if chosen == "same" else FORMATS[chosen]
        if written is None or (chosen == "same" and not written.holds(channels, depth, lossless=lossless, alpha=alpha)):
            names = ("png", "tiff", "npy")
            written = next(
                FORMATS[name] for name in names if FORMATS[name].holds(channels, depth, lossless=lossless, alpha=alpha)
            )
        return suffix if suffix.lower() in written.suffixes else written.suffixes[0]

    return rule


def name_outputs(
    names: Sequence[str],
    rule: Callable[[str], str],
    samples: int | None = None,
    added: str = "",
    *,
    others: Iterable[str] = (),
) -> list[tuple[str, ...]]:
    """Name the outputs of each input, below one folder with the inputs' tree, so that no two outputs collide.

    Inputs whose suffix stays get their names first; of the others, one whose name is taken keeps its old suffix before
    the new one. Names that differ only in case or Unicode form collide, as on many file systems. ``samples`` numbers
    the outputs of an input from 1, and ``added`` is put before every output's suffix. ``others`` are taken already.

    >>> name_outputs(["a.jpg", "a.png", "b.jpg"], lambda suffix: ".png")
    [('a.jpg.png',), ('a.png',), ('b.png',)]
    """
    taken = _folders(names) | {same_name(other) for other in others}
    split = [posixpath.splitext(name) for name in names]
    suffixes = [rule(suffix) for _, suffix in split]
    planned: list[tuple[str, ...]] = [()] * len(names)
    for index in sorted(range(len(names)), key=lambda index: suffixes[index] != split[index][1]):
        for stem in _stems(split[index][0], names[index]):
            outputs = _numbered(stem + added, suffixes[index], samples)
            keys = {same_name(output) for output in outputs}
            if taken.isdisjoint(keys):
                taken |= keys
                planned[index] = outputs
                break
    return planned


def same_name(name: str) -> str:
    """The form in which names are equal that some file systems do not tell apart: by case or Unicode form.

    >>> same_name("Caf\u00e9.PNG") == same_name("cafe\u0301.png")
    True
    """
    return (
        name.casefold()
        if name.isascii()
        else unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    )


def _folders(names: Sequence[str]) -> set[str]:
    """The folders of the outputs, whose names no output file may have."""
    found: set[str] = set()
    for name in names:
        folder = posixpath.dirname(name)
        while folder and same_name(folder) not in found:
            found.add(same_name(folder))
            folder = posixpath.dirname(folder)
    return found


def _stems(stem: str, name: str) -> Iterator[str]:
    yield stem
    yield name
    count = 1
    while True:
        count += 1
        yield f"{name}-{count}"


def _numbered(stem: str, suffix: str, samples: int | None) -> tuple[str, ...]:
    if samples is None:
        return (stem + suffix,)
    return tuple(f"{stem}-{number}{suffix}" for number in range(1, samples + 1))


def plan_single(
    source: Path, target: Path, rule: Callable[[str], str], chosen: FormatName, samples: int | None, added: str = ""
) -> Task:
    """The task of one image, into a file or into a folder; refuse to overwrite the image itself."""
    if target.is_dir() or not target.suffix:
        outputs = name_outputs([source.name], rule, samples, added)[0]
        paths = tuple(target / output for output in outputs)
    else:
        written = format_of(target.suffix)
        if written is None:
            suffixes = ", ".join(each.suffixes[0] for each in FORMATS.values())
            raise TranslateError(f"{target}: images of that kind cannot be written; end the name in {suffixes}")
        if rule(target.suffix) != target.suffix:
            better = rule(target.suffix) if chosen == "same" else FORMATS[chosen].suffixes[0]
            reason = "cannot hold this translator's answers" if chosen == "same" else f"is not the format {chosen}"
            raise TranslateError(f"{target}: {target.suffix} {reason}; end the name in {better}")
        stem = target.name.removesuffix(target.suffix)
        paths = tuple(target.with_name(output) for output in _numbered(stem + added, target.suffix, samples))
    for path in paths:
        if path.exists() and path.samefile(source):
            raise TranslateError(
                f"{path} is the image to convert and would be overwritten; name another file or folder"
            )
    return Task(source, source.name, paths)
