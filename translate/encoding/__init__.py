"""Encoding: write the codes of images, by a trained autoencoder or classifier, to one file of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from translate.common_options import Device, Overwrite, Step
from translate.inputs import paths_of
from translate.memory import MAX_PIXELS, MaxPixels, Memory
from translate.options import Option, asked_of
from translate.paths import expanded

if TYPE_CHECKING:
    from translate.saved import Encoder

__all__ = [
    "Encoding",
    "encode",
]


@dataclass(frozen=True, slots=True)
class Encoding:
    """The result of an encoding: the number of encoded images, the failed ones with reasons, and the file.

    ``shapes`` are those of one image's codes, by the name of their array.
    """

    encoded: int
    failed: tuple[tuple[Path, str], ...]
    target: Path
    direction: str
    shapes: dict[str, tuple[int, ...]]


def encode(
    encoder: Encoder | str | Path,
    source: str | Path | Sequence[str | Path],
    target: str | Path,
    *,
    step: Step = None,
    direction: Annotated[
        str | None,
        Option("network whose codes are written, by its direction or its images' domain (default: the only one)"),
    ] = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    memory: Memory = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> Encoding:
    """Write the codes of an image, or of all images below a folder, or of several of them, to an ``.npz`` file.

    ``source`` is an image, a folder, a glob such as ``"in/*.jpg"`` or ``"@files.txt"``, a list with a name a line, or a
    sequence of these. Each image is resized to the training size. The file holds ``names`` (N,), the paths below the
    common folder, and float32 arrays (N, ...) in the same order: ``mean`` and ``log_variance`` of an autoencoder's
    codes, ``features`` of a classifier, or what the network's trait ``named_codes`` names. ``direction``, ``domain``,
    ``method`` and ``size`` say what made them. ``numpy.load(target, allow_pickle=False)`` reads it.

    An unreadable image is listed in the result and has no row. ``memory`` is the most that decoding may take, by
    default a share of what is free; codes are collected on the disk, beside ``target``. ``step``, ``direction``,
    ``device`` and the plugins are used only if ``encoder`` is a path. Raises ``TranslateError`` if ``target`` exists,
    unless ``overwrite``, if it does not end in ``.npz``, or if no image can be read; ``FullDiskError`` for a full disk.
    """
    asked = asked_of(encode, locals())
    # Imported here, so that the options can be read without torch.
    from translate.encoding.running import encode_as_asked

    return Encoding(*encode_as_asked(encoder, paths_of(source), expanded(target), asked, plugins, no_plugins))
