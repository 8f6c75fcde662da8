"""Gallery: one HTML page that shows what a conversion has read and written, before and after.

Previews and records are kept in ``.translate/gallery/`` of the outputs' folder while images are converted, each record
as one line that is appended when its previews are there. The page is made of all records, so one that was killed or
went on later is complete, whoever wrote which part. The page asks nothing of a network.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Container, Sequence
from pathlib import Path

from translate import atomic
from translate.errors import TranslateError
from translate.gallery.page import MARKER, page_of
from translate.gallery.previews import LONGEST as PREVIEW
from translate.gallery.previews import keep_previews, remove_previews
from translate.gallery.records import Record, Records
from translate.images import Image, load
from translate.memory import MAX_PIXELS
from translate.webpage import refuse_foreign

__all__ = [
    "PREVIEW",
    "Gallery",
]

FOLDER = Path(".translate", "gallery")
PAGE = "gallery.html"
FOREIGN = "was not made by --gallery and would be replaced; move it, or name another folder"


class Gallery:
    """The gallery of an outputs' folder ``root``: records are added from any thread, and ``write`` makes the page.

    Raises ``TranslateError`` if ``root`` has a ``gallery.html`` that is not of this kind, or if the records cannot be
    kept there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.page = root / PAGE
        self.refuse(root)
        self._folder = root / FOLDER
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._records = Records(self._folder)
        except OSError as error:
            raise TranslateError(f"cannot keep a gallery in {self._folder}: {error.strerror}; look at it") from None
        self._known = self._records.read()
        self._lock = threading.Lock()

    @staticmethod
    def refuse(root: Path) -> None:
        """Raise what a gallery of the folder ``root`` would, of a page that is not of this kind; make nothing."""
        refuse_foreign(root / PAGE, MARKER, FOREIGN)

    @property
    def size(self) -> int:
        """The bytes of the previews."""
        return sum(file.stat().st_size for file in self._folder.glob("*/*"))

    def shows(self, name: str, outputs: Sequence[Path]) -> bool:
        """Whether an image of this name has a record of these outputs as they are now, not of a failure."""
        with self._lock:
            found = self._known.get(name)
        return found is not None and found.reason is None and bool(found.stamps) and found.stamps == _stamps(outputs)

    def add(
        self,
        name: str,
        *,
        source: Path | None = None,
        before: Image | Path | None = None,
        after: Sequence[Image | Path] = (),
        outputs: Sequence[Path] = (),
        as_stored: bool = False,
        reason: str | None = None,
        seconds: float | None = None,
    ) -> None:
        """Record what became of the image ``name``, whose file is ``source``; a later record takes its place.

        ``before`` and ``after`` are as displayed (``translate.images.displayed``), or files to read; several of
        ``after`` are samples. ``outputs`` are the files, below ``root``, which the page links; with ``as_stored`` each
        holds the pixels of one of ``after``, and may be shown itself. ``reason`` says why there are none, and
        ``seconds`` how long it took. Raises ``OSError`` where the previews or the record cannot be written, and
        ``TranslateError`` where a file cannot be read.
        """
        first = None if before is None else _picture(before)
        holding = outputs if as_stored else [None] * len(after)
        shown = keep_previews(self._folder, name, first, [_picture(each) for each in after], holding)
        links = tuple(os.path.relpath(output, self.root) for output in outputs)
        place = None if source is None else os.path.abspath(source)  # noqa: PTH100 - a link keeps its name
        record = Record(name, links, shown, reason, seconds, place, _stamps(outputs))
        self._records.append(record)
        with self._lock:
            former = self._known.get(name)
            self._known[name] = record
        if former is not None:
            remove_previews(self._folder, name, former.shown, but=shown)

    def sweep(self, names: Container[str]) -> None:
        """Forget the images that are none of ``names`` and of which nothing is left, and remove their previews.

        Something is left where the image's file or one of its outputs is still there: a page outlives its inputs. Only
        what this gallery has made is removed.
        """
        for name, record in self._records.read().items():
            if name in names or record.source is None or os.path.lexists(record.source):
                continue
            if not any(os.path.lexists(self.root / output) for output in record.outputs):
                self._records.forget(name)
                remove_previews(self._folder, name, record.shown)
                with self._lock:
                    self._known.pop(name, None)

    def write(self) -> Path:
        """Make the page of all records, also those of other processes, and return its path."""
        refuse_foreign(self.page, MARKER, FOREIGN)
        records = Records.read(self._records)
        atomic.write(self.page, page_of(records.values(), self.root, FOLDER).encode())
        return self.page

    def close(self) -> None:
        """Close the file of records."""
        self._records.close()


def _picture(given: Image | Path) -> Image:
    return load(given, max_pixels=MAX_PIXELS) if isinstance(given, Path) else given


def _stamps(outputs: Sequence[Path]) -> tuple[tuple[int, int], ...]:
    """The sizes and times of change of files; none where one is not there."""
    try:
        return tuple((found.st_size, found.st_mtime_ns) for found in (output.stat() for output in outputs))
    except OSError:
        return ()
