"""Image files: writes them atomically."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from translate import atomic
from translate.images.embedding import Embedded, embed
from translate.images.encoding import encode
from translate.images.opening import ImageError
from translate.images.planes import Image
from translate.images.scanning import Metadata
from translate.images.tiff import TIFF, PageRows, TiffPages, is_large


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written: its bytes, its time of change in nanoseconds, and what of the metadata was left out.

    ``mtime`` is None of what is no regular file, or not written yet.
    """

    data: bytes
    mtime: int | None
    told: tuple[str, ...]


def write(path: str | Path, image: Image, *, quality: int = 95, metadata: Metadata | None = None) -> tuple[str, ...]:
    """Write an image in the format of the path's suffix, as ``translate.images.encode`` says.

    The write is atomic: a hidden file beside it is written, flushed to the disk and renamed, so the path always holds
    the whole old or the whole new file. The file's mode is that of the umask. ``metadata`` of the image's own file are
    written too, true of this image; the result is a sentence for each kind of them that was left out.
    """
    return put(Path(path), image, quality=quality, metadata=metadata).told


def put(path: Path, image: Image, *, quality: int = 95, metadata: Metadata | None = None) -> Written:
    """Write an image as ``write`` does, and return what the file holds now."""
    made = file_of(path, image, quality=quality, metadata=metadata)
    with writing(path):
        # To flush the folder as well would double the time of many small images, which can be made again.
        mtime = atomic.write(path, made.data, folder=False)
    return Written(made.data, mtime, made.told)


def file_of(path: Path, image: Image, *, quality: int = 95, metadata: Metadata | None = None) -> Written:
    """What ``put`` writes to a path, which is left alone: it says the format, and what an error is about."""
    with writing(path):
        embedded, told = embed(metadata, image, path.suffix) if metadata is not None else (Embedded(), ())
        data = encode(image, path.suffix, quality=quality, name=str(path), embedded=embedded)
    return Written(data, None, told)


def takes_rows(path: Path, channels: int, *, alpha: bool = False) -> bool:
    """Whether ``writing_rows`` can write an image of so many colour planes to a path: a TIFF, and no pipe."""
    return (
        path.suffix.lower() in TIFF
        and channels in (1, 3)
        and not (alpha and channels == 1)
        and not atomic.is_special(path)
    )


class RowsFile:
    """A file that is written row by row; ``told`` says what of the metadata was left out."""

    def __init__(self, page: PageRows, path: Path, told: tuple[str, ...]) -> None:
        self._page, self._path, self.told = page, path, told

    def write(self, pixels: NDArray[Any], alpha: NDArray[Any] | None = None) -> None:
        """Append rows (h, W, C), and those of the alpha plane (h, W) if the file has one."""
        with writing(self._path):
            self._page.write(pixels, alpha)


@contextmanager
def writing_rows(
    path: Path,
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    *,
    alpha: bool = False,
    metadata: Metadata | None = None,
) -> Iterator[RowsFile]:
    """Write a TIFF file of an image (H, W, C) row by row, the same bytes as ``write`` writes, and as atomically.

    With the block's end it is whole; if the block raises, nothing is left of it.
    """
    hollow = np.broadcast_to(np.zeros((), dtype), shape)
    with ExitStack() as stack:
        with writing(path):
            image = Image(hollow, hollow[..., 0] if alpha else None)
            embedded, told = embed(metadata, image, path.suffix) if metadata is not None else (Embedded(), ())
            temporary = stack.enter_context(atomic.replacing(path, folder=False))
            file = stack.enter_context(temporary.open("x+b"))
            order = "<" if embedded.directory is None else embedded.directory.order
            pages = TiffPages(file, order=order, big=is_large(hollow, image.alpha))
            page = pages.begin(shape, hollow.dtype, embedded, alpha=alpha)
        yield RowsFile(page, path, told)
        with writing(path):
            page.end()
            stack.close()


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
