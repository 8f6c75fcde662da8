"""Sampling: write images that a trained sampler generates from noise, and strips of what lies between two codes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from translate.common_options import Device, Given, NoiseSeed, Overwrite, Step
from translate.conversion import FormatName
from translate.options import Option, asked_of
from translate.paths import expanded

if TYPE_CHECKING:
    from translate.sampling.codes import Codes, interpolate, load_codes, traverse
    from translate.saved import Sampler

__all__ = [
    "Codes",
    "interpolate",
    "load_codes",
    "sample",
    "traverse",
]


def __getattr__(name: str) -> Any:
    if name in ("Codes", "interpolate", "load_codes", "traverse"):
        from translate.sampling import codes

        return getattr(codes, name)
    raise AttributeError(f"module 'translate.sampling' has no attribute {name!r}")


def sample(
    sampler: Sampler | str | Path,
    target: str | Path,
    *,
    step: Step = None,
    count: Annotated[
        int | None, Option("number of images (default: the rows of a table that is given, or 64)", ge=1, short="-n")
    ] = None,
    seed: NoiseSeed = 0,
    given: Given = None,
    interpolate: Annotated[
        tuple[str, str] | None,
        Option("a strip of images between two: image files, or numbers of samples", metavar="A B"),
    ] = None,
    traverse: Annotated[
        tuple[int, ...] | None,
        Option("a strip of images for each of these axes of the code, such as 0,3,5", ge=0, metavar="AXES"),
    ] = None,
    steps: Annotated[int | None, Option("images of a strip (default: 8)", ge=2, le=100)] = None,
    range: Annotated[  # noqa: A002 - the command line's word
        float | None, Option("an axis goes from -X to X (default: 3)", gt=0, le=1000)
    ] = None,
    around: Annotated[
        str | None,
        Option("image file, or number of a sample, whose code is traversed (default: sample 0); or image to be shown"),
    ] = None,
    direction: Annotated[
        str | None, Option("network whose codes are shown, by its direction (default: the only one)")
    ] = None,
    format: Annotated[FormatName, Option("format of the images")] = "png",  # noqa: A002 - the command line's word
    overwrite: Overwrite = False,
    device: Device = "auto",
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> list[Path]:
    """Generate ``count`` images from noise into a folder, ``000000.png`` and so on, and return their paths.

    Image i depends on ``seed``, i and what is given to it only, so a larger count starts with the same images.
    ``given`` holds by name what the sampler takes beside its noise: options, and inputs for all images or, as the rows
    of a table, for each. ``format`` ``same`` means png.

    ``interpolate`` makes a picture strip instead, ``interpolation.png``, of ``steps`` images from one code to another:
    between two samples by their numbers, or between two image files by a translator with a code. ``traverse`` makes
    ``traversal.png``, a strip for each axis of the code of the image or the sample ``around``, whose value goes from
    ``-range`` to ``range``. ``target`` may then also be the ``.png`` file. ``interpolate`` and ``traverse`` of this
    module answer tensors.

    ``step`` chooses a checkpoint of a run. ``step``, ``device`` and the plugins are used only if ``sampler`` is a path.
    Raises ``TranslateError`` if the format cannot hold the images, if the network has no code, or if one of the files
    exists, unless ``overwrite`` is set.
    """
    asked = asked_of(sample, locals())
    # Imported here, so that the options can be read without torch.
    if asked["interpolate"] is not None or asked["traverse"] is not None:
        from translate.sampling.strips import strips_as_asked

        return strips_as_asked(sampler, expanded(target), asked, plugins, no_plugins)
    from translate.sampling.drawing import sample_as_asked

    return sample_as_asked(sampler, expanded(target), asked, plugins, no_plugins)
