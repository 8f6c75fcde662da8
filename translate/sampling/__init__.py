"""Sampling: a sampler and a number in, a folder of images made out of noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from translate.common_options import Device, NoiseSeed
from translate.conversion import FormatName
from translate.options import Option, asked_of

if TYPE_CHECKING:
    from translate.saved import Sampler

__all__ = [
    "sample",
]


def sample(
    sampler: Sampler | str | Path,
    target: str | Path,
    *,
    count: Annotated[int, Option("how many images", ge=1, short="-n")] = 64,
    seed: NoiseSeed = 0,
    format: Annotated[FormatName, Option("format of the images")] = "png",  # noqa: A002 - the command line's word
    device: Device = "auto",
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> list[Path]:
    """Write ``count`` images made out of noise into a folder, ``000000.png`` and so on, and name them.

    Image i depends on ``seed`` and i alone, so a larger count goes on where a smaller one has stopped. A format that
    cannot hold the images is refused; ``same`` is png. ``device`` and the plugins matter only for a sampler that is
    still to be loaded.
    """
    asked = asked_of(sample, locals())
    # Imported here, so that what may be asked can be read without torch.
    from translate.sampling.drawing import sample_as_asked

    return sample_as_asked(sampler, Path(target), asked, plugins, no_plugins)
