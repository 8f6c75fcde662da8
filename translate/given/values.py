"""Values: what an input holds for one image, read from text, a file, an array or a tensor."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate import images
from translate.data import OPAQUE, Domain
from translate.errors import TranslateError, nearest
from translate.sizes import Size
from translate.taken import Wanted


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """Stored pixels (H, W, C), and the domain by which they become numbers in [-1, 1]; ``nearest`` resizes them."""

    pixels: NDArray[Any]
    domain: Domain
    nearest: bool = False

    @property
    def size(self) -> Size:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def kind(self) -> tuple[Any, ...]:
        """What planes have in common that can be stacked."""
        return self.pixels.shape, str(self.pixels.dtype), self.domain

    def resized(self, size: Size) -> Planes:
        """The planes at another size."""
        if self.size == size:
            return self
        return replace(self, pixels=images.resize(np.ascontiguousarray(self.pixels), size, nearest=self.nearest))


Value = int | NDArray[np.float32] | Planes
"""A class's index, a vector (D,), or an image."""


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor of torch, which need not be imported for that."""
    return type(value).__module__.split(".")[0] == "torch" and hasattr(value, "detach")


def array_of(value: Any) -> NDArray[Any]:
    """A tensor, an array or numbers as an array; raises ``ValueError`` for anything else."""
    if is_tensor(value):
        value = value.detach().cpu()
        value = (value if value.dtype.is_floating_point is False else value.float()).numpy()
    return np.asarray(value)


def composed(name: str) -> str:
    """A name by which those are equal that look equal: some systems write an accent as a letter of its own.

    >>> composed("Cafe\u0301") == composed("Caf\u00e9")
    True
    """
    return unicodedata.normalize("NFC", name)


def check_samples(samples: int | None) -> None:
    """Raise ``TranslateError`` unless a number of samples is None, or a whole number of 1 or more."""
    if samples is not None and (type(samples) is bool or not isinstance(samples, Integral) or samples < 1):
        raise TranslateError(f"samples must be a whole number >= 1, or none, not {samples!r:.80}")


def class_of(value: Any, wanted: Wanted, where: str) -> int:
    """The index of a class that is given by its name or its number."""
    labels, name = wanted.labels, str(value)
    if isinstance(value, str):
        same = [number for number, label in enumerate(labels) if composed(label) == composed(name)]
        if name in labels or len(same) == 1:
            return labels.index(name) if name in labels else same[0]
    number: int | None = None
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        number = int(value)
    elif isinstance(value, str) and name.isascii() and name.isdigit() and len(name) < 10:
        number = int(name)
    if number is None:
        there = nearest(name, labels) if labels else "give the number of a class, from 0"
        raise TranslateError(f"{where}: {wanted.name} is a class, and none is called {name!r:.60}; {there}")
    if number < 0 or (labels and number >= len(labels)):
        there = f"0 to {len(labels) - 1} ({', '.join(labels[:12])})" if labels else "0 and more"
        raise TranslateError(f"{where}: {wanted.name} is a class, and {number} is none; there are {there}")
    return number


def vector_of(value: Any, wanted: Wanted, where: str) -> NDArray[np.float32]:
    """The numbers of a vector (D,)."""
    try:
        if isinstance(value, str):
            value = [float(each) for each in value.split(",")]
        found = array_of(value)
        if found.dtype.kind not in "fiu" or found.ndim != 1 or not found.size:
            raise ValueError(found.shape)
        with np.errstate(over="ignore"):
            vector = found.astype(np.float32)
    except (ValueError, TypeError, OverflowError):
        raise TranslateError(
            f"{where}: {wanted.name} must be {wanted.describe()}, not {_shown(value)}; give numbers such as 0.5,1, or "
            "a table (.csv, .npy, .npz)"
        ) from None
    if wanted.length is not None and len(vector) != wanted.length:
        raise TranslateError(f"{where}: {wanted.name} has {len(vector)} numbers, and {wanted.length} are needed")
    if not np.isfinite(vector).all():
        raise TranslateError(f"{where}: {wanted.name} holds numbers that are not finite")
    return vector


def planes_of(value: Any, wanted: Wanted, where: str, max_pixels: int = images.MAX_PIXELS) -> Planes:
    """An image as planes: a file, an array as files store it, Pillow's image, or a tensor (C, H, W).

    Tensors of floats are in [-1, 1], those of uint8 or uint16 as files store them.
    """
    domain = wanted.domain
    assert domain is not None
    name = str(value) if isinstance(value, (str, Path)) else f"{where}: {wanted.name}"
    if is_tensor(value):
        return _of_tensor(value, domain, name)
    if isinstance(value, str):
        value = Path(value)
    if wanted.kind == "noise":
        raise TranslateError(f"{where}: {wanted.name} is noise, which is drawn; leave it out, or give a tensor")
    if isinstance(value, (bool, int, float, list, tuple, dict)):
        raise TranslateError(
            f"{where}: {wanted.name} is {wanted.describe()}, not {_shown(value)}; give a file or an array"
        )
    try:
        if domain.classes:
            indices = images.load_indices(value, name=name, max_pixels=max_pixels)[..., None]
            return _of_indices(indices, domain, name)
        read = images.load(value, name=name, max_pixels=max_pixels)
        pixels = images.seen(read, domain, name)
    except TranslateError as error:
        raise error if name in str(error) else type(error)(f"{name}: {error}") from None
    except OSError as error:
        raise images.ImageError(f"{name} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except (TypeError, AttributeError):
        raise TranslateError(f"{where}: {wanted.name} is {wanted.describe()}, not {_shown(value)}") from None
    return Planes(pixels, domain.at(str(pixels.dtype)), nearest=_by_nearest(domain))  # type: ignore[arg-type]


def _by_nearest(domain: Domain) -> bool:
    return bool(getattr(domain, "by_nearest", domain.classes > 0))


def _of_indices(indices: NDArray[Any], domain: Domain, name: str) -> Planes:
    known = indices if domain.ignore is None else indices[indices != domain.ignore]
    if known.size and (largest := int(known.max())) >= domain.classes:
        raise images.ImageError(f"{name} holds the class index {largest}, and only 0 to {domain.classes - 1} are known")
    return Planes(indices, domain, nearest=True)


def _of_tensor(value: Any, domain: Domain, name: str) -> Planes:
    stored = str(value.dtype) in ("torch.uint8", "torch.uint16")
    planes = 1 if stored and domain.classes else domain.channels
    if value.dim() != 3 or value.shape[0] != planes or not value.numel():
        raise TranslateError(f"{name} has the shape {tuple(value.shape)}, and ({planes}, H, W) is taken")
    if not stored and not value.dtype.is_floating_point:
        raise TranslateError(f"{name} is a tensor of {value.dtype}; give floats in [-1, 1], or uint8 or uint16")
    array = np.ascontiguousarray(array_of(value).transpose(1, 2, 0))
    if stored and domain.classes:
        return _of_indices(array, domain, name)
    if stored:
        return Planes(array, domain.at(str(array.dtype)))  # type: ignore[arg-type]
    if not np.isfinite(array).all():
        raise TranslateError(f"{name} holds numbers that are not finite")
    # Floats of tensors are what the network sees.
    return Planes(array, Domain(domain.channels, "float32", -1.0, 1.0), nearest=_by_nearest(domain))


def hole_in(planes: Planes, wanted: Wanted) -> NDArray[np.bool_]:
    """The hole (H, W) that planes of an input mark, as ``translate.holes.hole_of`` says."""
    assert wanted.domain is not None
    last = images.normalize_array(planes.pixels.transpose(2, 0, 1)[None], planes.domain)[0, -1]
    found: NDArray[np.bool_] = last < OPAQUE if wanted.domain.alpha == "only" else last > 0
    return found


def planes_of_hole(hole: NDArray[np.bool_], wanted: Wanted) -> Planes:
    """Planes of an input that mark a hole (H, W)."""
    domain = wanted.domain
    assert domain is not None
    if domain.classes:
        return Planes(np.where(hole, domain.classes - 1, 0).astype(np.uint8)[..., None], domain, nearest=True)
    marked = np.where(hole ^ (domain.alpha == "only"), 255, 0).astype(np.uint8)[..., None]
    return Planes(np.repeat(marked, domain.channels, axis=2), domain.at("uint8"), nearest=True)


def digest_of(value: Value) -> Any:
    """What stands for a value where it is noted how outputs were made: a class's index, or a hash."""
    if isinstance(value, int):
        return value
    array = value.pixels if isinstance(value, Planes) else value
    digest = hashlib.blake2b(f"{array.dtype} {array.shape} ".encode(), digest_size=16)
    if isinstance(value, Planes):
        digest.update(repr(value.domain).encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _shown(value: Any) -> str:
    if is_tensor(value) or isinstance(value, np.ndarray):
        return f"{type(value).__name__} of the shape {tuple(value.shape)}"
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 8:
        return f"{len(value)} values"
    return " ".join(f"{value!r:.100}".split())


def is_float(text: str) -> bool:
    """Whether a text is one number, which may be infinite or none (nan)."""
    try:
        float(text)
    except ValueError:
        return False
    return True
