"""Conversion: a translator and a folder in, a folder of translated images out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from translate import images
from translate.common_options import At, Device, Direction, NoiseSeed, Precision
from translate.conversion.plan import FormatName
from translate.conversion.plan import suffix_rule as suffix_rule
from translate.options import Option, asked_of

if TYPE_CHECKING:
    from translate.conversion.batch import Translating

__all__ = [
    "Conversion",
    "FormatName",
    "convert",
]


@dataclass(frozen=True, slots=True)
class Conversion:
    """What has become of a conversion: how many images were converted, and which failed, each with its reason."""

    converted: int
    failed: tuple[tuple[Path, str], ...]
    target: Path


def convert(
    translator: Translating | str | Path,
    source: str | Path,
    target: str | Path,
    *,
    direction: Direction = None,
    at: At = None,
    samples: Annotated[
        int | None,
        Option("answers drawn for each image, name-1.png and so on, where the network draws noise", ge=1),
    ] = None,
    seed: NoiseSeed = 0,
    batch: Annotated[int | None, Option("images of one size at a time (default: 1 on a CPU, 8 on a GPU)", ge=1)] = None,
    format: Annotated[  # noqa: A002 - the command line's word
        FormatName, Option("format of the outputs; one that cannot hold an answer becomes png, tiff or npy")
    ] = "same",
    quality: Annotated[int, Option("of JPEG and WebP, which is lossless at 100", ge=1, le=100)] = 95,
    max_pixels: Annotated[
        int, Option("refuse images of more pixels by their header, before they are decoded", ge=1)
    ] = images.MAX_PIXELS,
    device: Device = "auto",
    devices: Annotated[
        int, Option("devices of this machine that share the images, each in a process of its own", ge=1)
    ] = 1,
    precision: Annotated[Precision, Option("arithmetic of the network; int8 needs a runtime that has it")] = "float32",
    runtime: Annotated[
        str,
        Option("what computes the network in place of torch, faster for many images of one size", part="runtimes"),
    ] = "",
    workers: Annotated[int, Option("threads that decode and encode (0: one a core)", ge=0)] = 0,
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> Conversion:
    """Convert an image, or all images below a folder with the tree kept.

    An image keeps its size, bit depth and transparency; gray and colour are adapted to the translator. ``at`` resizes
    the input to that (height, width) first and writes at that size. ``format`` overrides the input's; one that cannot
    hold an answer becomes png, tiff or npy. Class maps are written as indices. ``samples`` writes that many answers an
    image, numbered from 1, each drawn from ``seed`` and the image's name. ``max_pixels`` refuses larger images by
    their header. ``direction``, ``device``, ``precision``, ``runtime`` and the plugins matter only for a translator
    that is still to be loaded. One that must see images first, as int8 does, is shown up to 32, evenly out of all that
    are converted. ``devices`` share the images between them, each in a process of its own.

    An image's answer depends on nothing but itself (in a batch larger than 1 up to rounding). A file that cannot be
    converted is named in the result and the rest goes on; a request that cannot be met raises ``TranslateError``.
    """
    asked = asked_of(convert, locals())
    # Imported here, so that what may be asked can be read without torch.
    from translate.conversion.converting import convert_as_asked

    return Conversion(*convert_as_asked(translator, Path(source), Path(target), asked, plugins, no_plugins))
