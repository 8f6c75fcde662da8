"""Image files: finds them below a folder, and writes them atomically."""

from __future__ import annotations

import os
from pathlib import Path

import cv2

from translate import atomic
from translate.images.encoding import WRITABLE, encode
from translate.images.opening import ImageError
from translate.images.planes import Image

READABLE = frozenset((*WRITABLE, ".gif", ".ppm", ".pgm", ".pbm", ".pnm"))
"""The suffixes of files that ``find`` lists."""


def find(root: Path) -> list[Path]:
    """List the image files below a folder, sorted, without hidden ones; for a file, that file."""
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise ImageError(f"there is no file or folder {root}; check its name")
    found: list[str] = []
    visited: set[str] = set()
    waiting = [str(root)]
    while waiting:
        folder = waiting.pop()
        resolved = os.path.realpath(folder)
        if resolved in visited:  # a link that leads back up
            continue
        visited.add(resolved)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir():
                        waiting.append(entry.path)
                    elif os.path.splitext(entry.name)[1].lower() in READABLE:  # noqa: PTH122  (100,000 files a second)
                        found.append(entry.path)
        except OSError as error:
            raise ImageError(f"cannot list {folder}: {error.strerror}; check its permissions") from None
    return [Path(path) for path in sorted(found)]


def write(path: Path, image: Image, *, quality: int = 95) -> None:
    """Write an image in the format of the path's suffix, as ``translate.images.encode`` says.

    The write is atomic: a hidden file beside it is written, flushed to the disk and renamed, so the path always holds
    the whole old or the whole new file. The file's mode is that of the umask.
    """
    try:
        data = encode(image, path.suffix, quality=quality, name=str(path))
        # To flush the folder as well would double the time of many small images, which can be made again.
        atomic.write(path, data, flush_folder=False)
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
