"""Pictures: Pillow's images, of a file or of a caller, to planes as they are displayed."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from translate.images.headers import orientation_of
from translate.images.opening import ImageError
from translate.images.planes import Image, indices, orient, planes
from translate.images.profiles import deep_to_srgb, to_srgb

_expanded = {"1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB"}


def from_pillow(image: PIL.Image.Image, name: str, *, bits: int = 8, orientation: int | None = None) -> Image:
    """Planes of a Pillow image of any mode, with its orientation, profile and transparency applied.

    8-bit modes become gray or RGB, uint8. ``I;16``, ``I;16B``, ``I;16L`` and ``I`` hold 16-bit grays, as the PNG files
    that Pillow writes of them, and ``F`` floats. ``bits`` is the depth of a gray file, and ``orientation`` that of EXIF
    if it is known already.
    """
    image.load()
    turn = orientation_of(image) if orientation is None else orientation
    profile = image.info.get("icc_profile")
    if image.mode == "F":
        return Image(orient(planes(np.asarray(image), name), turn))
    if image.mode == "I" or image.mode.startswith("I;16"):
        deep = orient(_sixteen(image, name), turn)
        transparent = image.info.get("transparency")
        alpha = np.where(deep[..., 0] == transparent, 0, 65535).astype(np.uint16) if transparent is not None else None
        return Image(deep_to_srgb(deep, profile), alpha)
    image = _with_alpha(image, bits)
    alpha = None
    if image.mode in ("LA", "RGBA"):
        alpha = orient(np.array(image.getchannel("A")), turn)
        # Dropping the last plane keeps the colours; convert() would apply its transparency rules.
        bands = image.split()[:-1]
        image = PIL.Image.merge("RGB", bands) if len(bands) == 3 else bands[0]
    try:
        pixels = np.array(to_srgb(image, profile))
    except ValueError:
        raise ImageError(f"{name} has the mode {image.mode}, which cannot be read; convert it to L or RGB") from None
    return Image(orient(pixels[..., None] if pixels.ndim == 2 else pixels, turn), alpha)


def indices_from_pillow(
    image: PIL.Image.Image, name: str, *, bits: int = 8, orientation: int | None = None
) -> NDArray[np.uint8]:
    """Class indices (H, W) of a Pillow image as stored: palettes are not expanded, few-bit grays are not stretched."""
    if bits == 8:
        bits = _bits_of(image)
    image.load()
    turn = orientation_of(image) if orientation is None else orientation
    stored = np.asarray(image)
    if image.mode == "L" and bits < 8:
        stored = stored // (255 // (2**bits - 1))
    return indices(orient(stored, turn), name)


def _bits_of(image: PIL.Image.Image) -> int:
    """The bits of a gray file that Pillow has not decoded yet; 8 for every other image."""
    for tile in getattr(image, "tile", []):
        raw = tile.args if isinstance(tile.args, str) else tile.args[0] if tile.args else ""
        if image.mode == "L" and str(raw) in ("L;2", "L;4"):
            return int(str(raw)[-1])
    return 8


def _sixteen(image: PIL.Image.Image, name: str) -> NDArray[np.uint16]:
    """The values of a mode of 16 bits, or of the 32-bit ``I`` where all of them have 16."""
    stored = np.asarray(image)
    if stored.size and (int(stored.min()) < 0 or int(stored.max()) > 65535):
        worst = int(stored.min()) if int(stored.min()) < 0 else int(stored.max())
        raise ImageError(f"{name} holds {worst}, but images have values of 0 to 65535; scale it to 16 bits")
    return planes(stored.astype(np.uint16), name)


def _with_alpha(image: PIL.Image.Image, bits: int) -> PIL.Image.Image:
    """An image in L, LA, RGB, RGBA, or a mode that ``to_srgb`` converts, with a transparent colour as alpha."""
    transparent: Any = image.info.get("transparency")
    if transparent is not None and image.mode in ("1", "L", "P", "RGB"):
        if image.mode in ("1", "L"):
            # Pillow stretches few-bit grays to 8 bits but leaves the transparent one as it is stored.
            gray = np.array(image.convert("L"))
            scale = 255 // (2**bits - 1) if image.mode == "L" else 1
            alpha = np.where(gray == transparent * scale, 0, 255).astype(np.uint8)
            return PIL.Image.merge("LA", (PIL.Image.fromarray(gray), PIL.Image.fromarray(alpha)))
        return image.convert("RGBA")
    return image.convert(_expanded[image.mode]) if image.mode in _expanded else image
