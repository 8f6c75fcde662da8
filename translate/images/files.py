"""Image files: writes them atomically."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from translate import atomic
from translate.images.embedding import Embedded, embed
from translate.images.encoding import encode
from translate.images.opening import ImageError
from translate.images.planes import Image
from translate.images.scanning import Metadata


def write(path: Path, image: Image, *, quality: int = 95, metadata: Metadata | None = None) -> tuple[str, ...]:
    """Write an image in the format of the path's suffix, as ``translate.images.encode`` says.

    The write is atomic: a hidden file beside it is written, flushed to the disk and renamed, so the path always holds
    the whole old or the whole new file. The file's mode is that of the umask. ``metadata`` of the image's own file are
    written too, true of this image; the result is a sentence for each kind of them that was left out.
    """
    with writing(path):
        embedded, told = embed(metadata, image, path.suffix) if metadata is not None else (Embedded(), ())
        data = encode(image, path.suffix, quality=quality, name=str(path), embedded=embedded)
        # To flush the folder as well would double the time of many small images, which can be made again.
        atomic.write(path, data, folder=False)
    return told


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what keeps an image from being encoded or written into an ``ImageError`` that names the path."""
    try:
        yield
    except ImageError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImageError(f"cannot write {path}: {reason}; check the folder, its permissions and the disk") from None
    except MemoryError:
        raise ImageError(f"cannot write {path}: it needs more memory than there is; make it smaller") from None
    except (ValueError, cv2.error) as error:
        reason = " ".join(str(error).split())[:120].rstrip(".")
        raise ImageError(f"cannot write {path}: it cannot be encoded ({reason}); choose another format") from None
