"""How a file stores its values: the bits of each, and the palette that they are indices into."""

from __future__ import annotations

from pathlib import Path

from translate.images.headers import open_file
from translate.images.opening import decoding, open_regular


def stored_as(path: str | Path) -> tuple[int, bytes | None]:
    """The bits of a stored value, and the palette as the file holds it, None without one; decodes nothing.

    A ``.npy`` file has no palette and 8 bits or more.
    """
    with decoding(path), open_regular(path) as file:
        opened = open_file(file, str(path))
        image, bits = opened.image, opened.bits
        if image is None or opened.kind != "pillow":
            return bits, None
        if image.mode == "1":
            bits = 1
        elif (tags := getattr(image, "tag_v2", None)) is not None:
            bits = int(next(iter(tags.get(258, (1,)))))
        palette = image.palette if image.mode in ("P", "PA") else None
        return bits, None if palette is None else bytes(palette.palette or b"")
