"""Given: what somebody gives a network beside its image, read from text, files, tables, folders, arrays or tensors.

Without torch, values become whole numbers, vectors and stored pixels; ``tensors`` makes batches of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from translate.given.reading import Given, read_given
from translate.given.sources import Constant, Folder, OwnAlpha, Picked, Rows, Source, Table
from translate.given.values import Planes, Value, check_samples, hole_in, is_float

if TYPE_CHECKING:
    from translate.given.bound import Bound, Packed
    from translate.given.noise import drawn_by_rows, drawn_latent, drawn_noise, seeds_of, with_noise
    from translate.given.tensors import Ready, examples, fill_alpha, fitted, keep_known, normalized, stacked

__all__ = [
    "Bound",
    "Constant",
    "Folder",
    "Given",
    "OwnAlpha",
    "Packed",
    "Picked",
    "Planes",
    "Ready",
    "Rows",
    "Source",
    "Table",
    "Value",
    "check_samples",
    "drawn_by_rows",
    "drawn_latent",
    "drawn_noise",
    "examples",
    "fill_alpha",
    "fitted",
    "hole_in",
    "is_float",
    "keep_known",
    "normalized",
    "read_given",
    "seeds_of",
    "stacked",
    "with_noise",
]

_OF_NOISE = ("drawn_by_rows", "drawn_latent", "drawn_noise", "seeds_of", "with_noise")
_OF_TENSORS = ("Ready", "examples", "fill_alpha", "fitted", "keep_known", "normalized", "stacked")


def __getattr__(name: str) -> Any:
    if name in ("Bound", "Packed"):
        from translate.given import bound

        return getattr(bound, name)
    if name in _OF_NOISE:
        from translate.given import noise

        return getattr(noise, name)
    if name in _OF_TENSORS:
        from translate.given import tensors

        return getattr(tensors, name)
    raise AttributeError(f"module 'translate.given' has no attribute {name!r}")
