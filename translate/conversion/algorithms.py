"""Algorithms: whether an image is translated as a whole or in parts, by its size, and why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from translate.errors import TranslateError
from translate.memory import ASSUMED
from translate.sizes import Size

if TYPE_CHECKING:
    from translate.conversion.batch import Work
    from translate.large import Algorithm, InParts, PartsAlgorithm

WHOLE_BYTES = {"cpu": 4 * 2**30, "cuda": 16 * 2**30}
"""The most bytes of a network's pass over a whole image, by the kind of device, unless ``--memory`` says otherwise.

A constant, so that an image's pixels do not depend on the memory that happens to be free.
"""

TILED = (
    "images that are too large for one pass are translated in tiles, each normalized by its own statistics, so tiles "
    "may differ in brightness and colour; --statistics exact, the default, takes those of the whole image"
)


def parts_of(work: Work) -> InParts | None:
    """What translates images in parts, if the translator can be computed so."""
    inference = getattr(work.translator, "inference", None)
    if work.given and inference is not None:
        found: InParts | None = inference.in_parts(work.given)
        return found
    return getattr(work.translator, "in_parts", None)


def bytes_whole(work: Work, size: Size) -> int | None:
    """About how many bytes the network's pass over an image takes; None if the translator does not say."""
    inference = getattr(work.translator, "inference", None)
    if work.given and inference is not None:
        return int(inference.bytes_for(size, work.given))
    count = getattr(work.translator, "bytes_for", None)
    return None if count is None else int(count(size))


def algorithm_for(work: Work, size: Size) -> Algorithm:
    """How a network translates an image of a (height, width): a function of both and of the options alone."""
    translator = work.translator
    parts = parts_of(work)
    if parts is None or not hasattr(translator, "bytes_for") or work.samples is not None:
        return "whole"
    limit = work.whole or WHOLE_BYTES[translator.device.type]
    if ASSUMED * size[0] * size[1] <= limit or (bytes_whole(work, size) or 0) <= limit:
        return "whole"
    if work.statistics == "tile":
        work.sizes.once("tile", lambda: TILED)
        return "tile"
    try:
        return parts.algorithm(size)
    except TranslateError:
        return "whole"


def bytes_in_parts(work: Work, algorithm: PartsAlgorithm, size: Size) -> int:
    """About how many bytes the network takes, beside the image's pixels."""
    parts = parts_of(work)
    assert parts is not None
    return int(parts.bytes_of(algorithm, size))


def rows_in_parts(work: Work, algorithm: PartsAlgorithm, size: Size) -> int:
    """About how many rows of an image are read or written at once."""
    parts = parts_of(work)
    assert parts is not None
    return int(parts.rows_of(algorithm, size))


def why_whole(work: Work, size: Size) -> str:
    """Why an image that needs too much memory is not translated in parts, to follow a semicolon; empty if it is."""
    translator = work.translator
    if work.samples is not None:
        return "; samples are drawn for whole images only, so leave out --samples to translate it in parts"
    if getattr(translator, "fixed_size", None) is not None:
        return ""
    if getattr(translator, "runtime_name", ""):
        return "; a runtime takes whole images only, so leave out --runtime to translate it in parts"
    if getattr(getattr(translator, "inference", None), "draws", False):
        return "; its noise is drawn for whole images only"
    parts = parts_of(work)
    if parts is None:
        return ""
    try:
        parts.algorithm(size)
    except TranslateError as error:
        return f"; this network cannot translate it in parts: {error}"
    return ""
