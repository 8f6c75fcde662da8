"""Conversion: translate an image or a folder of images with a trained translator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from translate.common_options import At, Device, Direction, Given, NoiseSeed, Overwrite, Precision, Step
from translate.conversion.plan import FormatName, Shard, parse_added, parse_shard
from translate.conversion.plan import suffix_rule as suffix_rule
from translate.inputs import paths_of
from translate.memory import MAX_PIXELS, MaxPixels, Memory
from translate.options import Option, asked_of
from translate.paths import expanded

if TYPE_CHECKING:
    from translate.conversion.batch import Translating
    from translate.conversion.forecast import Forecast
    from translate.conversion.single import OF_A_JOB as OF_A_JOB
    from translate.conversion.single import Answered as Answered
    from translate.conversion.single import Converter as Converter
    from translate.conversion.single import Job as Job
    from translate.conversion.single import TooLargeError as TooLargeError
    from translate.conversion.single import WrongKindError as WrongKindError

__all__ = [
    "Conversion",
    "FormatName",
    "convert",
]


@dataclass(frozen=True, slots=True)
class Conversion:
    """The result of a conversion: the number of converted images, and the failed ones with their reasons.

    ``kept`` counts the images that an earlier conversion has made, and ``forecast`` is what a dry run foretells.
    """

    converted: int
    failed: tuple[tuple[Path, str], ...]
    target: Path
    kept: int = 0
    forecast: Forecast | None = None


def convert(
    translator: Translating | str | Path,
    source: str | Path | Sequence[str | Path],
    target: str | Path,
    *,
    step: Step = None,
    direction: Direction = None,
    at: At = None,
    long_side: Annotated[
        int | None, Option("resize images so that the longer side has this many pixels; the aspect stays", ge=1)
    ] = None,
    scale: Annotated[
        float | None, Option("resize images by this factor, 0.5 to half the sides; the aspect stays", gt=0, le=16)
    ] = None,
    samples: Annotated[
        int | None,
        Option("outputs sampled for each image, name-1.png and so on, if the network draws noise", ge=1),
    ] = None,
    seed: NoiseSeed = 0,
    given: Given = None,
    batch: Annotated[
        int | None, Option("batch size, of images of one size (default: 1 on a CPU, 8 on a GPU)", ge=1)
    ] = None,
    format: Annotated[  # noqa: A002 - the command line's word
        FormatName, Option("file format of the outputs; png, tiff or npy replaces one that cannot hold an output")
    ] = "same",
    quality: Annotated[int, Option("quality of JPEG, WebP and AVIF; WebP is lossless at 100", ge=1, le=100)] = 95,
    suffix: Annotated[
        str,
        Option("text before the suffix of the outputs' names: _cat makes a_cat.png of a.png", parse=parse_added),
    ] = "",
    metadata: Annotated[
        Literal["keep", "drop"], Option("what files say beside pixels: EXIF, XMP, colour profile, resolution")
    ] = "keep",
    gps: Annotated[bool, Option("keep positions (GPS, GeoTIFF) among the metadata")] = False,
    frames: Annotated[
        Literal["all", "first"], Option("frames of animations and pages of TIFF files that are converted")
    ] = "all",
    side_by_side: Annotated[
        bool, Option("write each input and its outputs beside each other into one file, from left to right")
    ] = False,
    gallery: Annotated[bool, Option("make OUT/gallery.html, a page of all images before and after")] = False,
    max_pixels: MaxPixels = MAX_PIXELS,
    memory: Memory = None,
    statistics: Annotated[
        Literal["exact", "tile"],
        Option("of images too large for one pass: those of the whole image, or each tile its own, which is faster"),
    ] = "exact",
    device: Device = "auto",
    devices: Annotated[int, Option("devices of this machine that share the images, one process each", ge=1)] = 1,
    precision: Annotated[
        Precision, Option("arithmetic of the network; int8 needs a runtime that supports it")
    ] = "float32",
    runtime: Annotated[
        str,
        Option("inference runtime to use instead of torch; faster for many images of one size", part="runtimes"),
    ] = "",
    overwrite: Overwrite = False,
    again: Annotated[bool, Option("convert anew what is converted already")] = False,
    verify: Annotated[bool, Option("compare the bytes of what is converted already, not only sizes and times")] = False,
    shard: Annotated[
        Shard | None,
        Option("convert one of several equal parts, such as 3/16, for job arrays", parse=parse_shard, metavar="K/N"),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"],
        Option("what runs the processes of --devices: this machine, or Ray, on a cluster that RAY_ADDRESS names"),
    ] = "local",
    dry_run: Annotated[bool, Option("tell what would be done, with time and space, and write nothing")] = False,
    report: Annotated[Path | None, Option("write what became of each image to a JSON file", metavar="FILE")] = None,
    range: Annotated[  # noqa: A002 - the command line's word
        str,
        Option(
            "of an .onnx file: -1..1, 0..1 or 0..255, or two as INPUT,OUTPUT (default: found out and told)",
            metavar="RANGE",
        ),
    ] = "",
    layout: Annotated[Literal["", "NCHW", "NHWC"], Option("of an .onnx file (default: found out and told)")] = "",
    workers: Annotated[int, Option("decoding and encoding threads (0: one per core)", ge=0)] = 0,
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> Conversion:
    """Convert an image, or all images below a folder, whose tree is kept, or several of them.

    ``source`` is an image, a folder, a glob such as ``"in/*.jpg"`` or ``"@files.txt"``, a list with a name a line, or a
    sequence of these; with several, the tree below their common folder is kept. A conversion of more than one image
    goes on where an earlier one into ``target`` was: what is unchanged is kept, unless ``again``. Nothing is replaced
    that a conversion of the same image has not made, unless ``overwrite``. A full disk raises ``FullDiskError``.

    An image keeps its size, bit depth and transparency; gray and colour are adapted to the translator. ``at`` resizes
    the input to that (height, width) first, and the output has that size; ``long_side`` and ``scale`` keep the aspect.
    At most one of the three may be given. ``format`` overrides the input's format; png, tiff or npy replaces one that
    cannot hold an output. Class maps are written as indices. ``suffix`` is put before the suffix of each output's name.
    ``metadata`` are kept where the output's format can hold them, true of the output, and without positions unless
    ``gps``. All ``frames`` of an animation and pages of a TIFF file are converted where the output's format can hold
    them. What is not kept is logged once for each kind. ``samples`` writes that many outputs per image, numbered from
    1, with noise from ``seed`` and the image's name. ``given`` holds by name what the translator takes beside its
    image: options, and inputs for all images or for each by its name, from a folder or a table. ``side_by_side`` writes
    one file an image, which holds the input and all outputs; ``gallery`` makes a page that shows them. Images of more
    than ``max_pixels`` pixels, according to their header, fail. ``step`` chooses a checkpoint of a run. ``step``,
    ``direction``, ``device``, ``precision``, ``runtime`` and the plugins are used only if ``translator`` is a path. A
    runtime that needs calibration (int8) is calibrated on up to 32 evenly spaced images of the input, which later
    conversions into ``target`` take again. ``devices`` share the images, one process each.

    What an image needs is planned from its header before it is read: to decode it, for the network and to write it. The
    images in flight need at most ``memory`` bytes together, by default a share of what is free, and an image that needs
    more alone fails with what it needs. An image whose pass would take more than 4 GB on a CPU, 16 GB on a GPU, or more
    than ``memory`` if that is given, is translated in parts, one such image at a time. Its output equals that of the
    whole up to rounding; with ``statistics="tile"`` each tile is normalized by its own statistics instead.

    An image's output depends on that image alone (with ``batch`` > 1, up to rounding). A file that cannot be converted
    is listed in the result, and the other files are still converted; an invalid request raises ``TranslateError``.
    """
    asked = asked_of(convert, locals())
    # Imported here, so that the options can be read without torch.
    from translate.conversion.converting import convert_as_asked

    return Conversion(*convert_as_asked(translator, paths_of(source), expanded(target), asked, plugins, no_plugins))


def __getattr__(name: str) -> Any:
    if name not in ("OF_A_JOB", "Answered", "Converter", "Job", "TooLargeError", "WrongKindError"):
        raise AttributeError(f"module 'translate.conversion' has no attribute {name!r}")
    # Imported on first use, since the options can be read without it.
    from translate.conversion import single

    return getattr(single, name)
