"""Image files: writes them atomically."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import cv2

from translate.images.encoding import encode
from translate.images.formats import Image
from translate.images.headers import ImageError


def write(path: Path, image: Image, *, quality: int = 95) -> None:
    """Write an image in the format of the path's suffix, as ``translate.images.encode`` says.

    The write is atomic: a hidden file beside it is written, flushed to the disk and renamed, so the path always holds
    the whole old or the whole new file.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        data = encode(image, path.suffix, quality=quality, name=str(path))
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
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
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
