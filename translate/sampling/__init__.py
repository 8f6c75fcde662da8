"""Sampling: write images that a trained sampler generates from noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from translate.common_options import Device, Given, NoiseSeed, Overwrite, Step
from translate.conversion import FormatName
from translate.options import Option, asked_of
from translate.paths import expanded

if TYPE_CHECKING:
    from translate.saved import Sampler

__all__ = [
    "sample",
]


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
    format: Annotated[FormatName, Option("format of the images")] = "png",  # noqa: A002 - the command line's word
    overwrite: Overwrite = False,
    device: Device = "auto",
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> list[Path]:
    """Generate ``count`` images from noise into a folder, ``000000.png`` and so on, and return their paths.

    Image i depends on ``seed``, i and what is given to it only, so a larger count starts with the same images.
    ``given`` holds by name what the sampler takes beside its noise: options, and inputs for all images or, as the rows
    of a table, for each. ``format`` ``same`` means png. ``step`` chooses a checkpoint of a run. ``step``, ``device``
    and the plugins are used only if ``sampler`` is a path. Raises ``TranslateError`` if the format cannot hold the
    images, or if one of the files exists, unless ``overwrite`` is set.
    """
    asked = asked_of(sample, locals())
    # Imported here, so that the options can be read without torch.
    from translate.sampling.drawing import sample_as_asked

    return sample_as_asked(sampler, expanded(target), asked, plugins, no_plugins)
