"""Opening: regular files only, decoders that print nothing, and any decoder's error as one sentence."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import Any

import cv2.utils.logging
import PIL

from translate.errors import TranslateError


class ImageError(TranslateError):
    """An image cannot be read, written or used as asked; the sentence names it."""


_kinds = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: str | Path) -> BufferedReader:
    """Open a regular file for reading; anything else (a pipe, a device, a socket, a folder) is an ``ImageError``.

    The kind is read from the open handle, and opening never waits for a writer.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | _cloexec)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.EOPNOTSUPP):
            raise ImageError(f"{path} is a socket or a device, not a regular file; remove it") from None
        raise
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            kind = next((name for test, name in _kinds if test(mode)), "something else")
            raise ImageError(f"{path} is {kind}, not a regular file; remove it")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


_cloexec = getattr(os, "O_CLOEXEC", 0)


@contextmanager
def decoding(name: object) -> Iterator[None]:
    """Turn any error inside the block into an ``ImageError``; decoders raise nearly every type of error.

    What the decoders warn of inside the block is not printed: it becomes part of the reason if the block fails.
    """
    with quiet() as said:
        try:
            yield
        except ImageError:
            raise
        except FileNotFoundError:
            raise ImageError(f"there is no file {name}; check its name") from None
        except MemoryError:
            raise ImageError(f"{name} needs more memory than there is; make it smaller") from None
        except Exception as error:
            if isinstance(error, OSError) and error.strerror:
                raise ImageError(
                    f"{name} cannot be read: {error.strerror}; check the file and its permissions"
                ) from None
            reasons = dict.fromkeys([str(error) or type(error).__name__, *said])
            reason = " ".join("; ".join(reasons).split())[:160].rstrip(".; ")
            raise ImageError(
                f"{name} cannot be decoded ({reason}); it is damaged or truncated, restore or remove it"
            ) from None


# --- what decoders print --------------------------------------------------------------------------------------------

_lock = threading.Lock()
_local = threading.local()
_users = 0
_undo: list[Callable[[], object]] = []
_pillow = str(Path(PIL.__file__).parent)


@contextmanager
def quiet() -> Iterator[list[str]]:
    """Keep decoders from printing inside the block; the list collects what Pillow warns of in this thread.

    The libraries' own switches are used: OpenCV's log level, libtiff's error handler and Python's ``showwarning``. They
    hold for the process, so they are set when the first thread enters and set back when the last one leaves.
    """
    global _users
    said: list[str] = []
    outer, _local.said = getattr(_local, "said", None), said
    with _lock:
        _users += 1
        if _users == 1:
            _undo.extend((_quiet_opencv(), _quiet_libtiff(), _quiet_warnings()))
    try:
        yield said
    finally:
        _local.said = outer
        with _lock:
            _users -= 1
            if _users == 0:
                while _undo:
                    _undo.pop()()


def _quiet_opencv() -> Callable[[], object]:
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return lambda: cv2.utils.logging.setLogLevel(before)


def _quiet_libtiff() -> Callable[[], object]:
    if (library := _libtiff()) is None:
        return lambda: None
    set_handler = library.TIFFSetErrorHandler
    before = set_handler(None)
    return lambda: set_handler(before)


@cache
def _libtiff() -> Any:
    """The libtiff that Pillow calls, which prints errors unless its handler is unset; None if it is not found."""
    folder = Path(_pillow).parent
    bundled = [*folder.glob("[pP]illow.libs/libtiff*"), *Path(_pillow).glob(".dylibs/libtiff*")]
    for path in [*map(str, bundled[:1]), *filter(None, [ctypes.util.find_library("tiff") if not bundled else None])]:
        try:
            library = ctypes.CDLL(path)
            library.TIFFSetErrorHandler.argtypes = [ctypes.c_void_p]
            library.TIFFSetErrorHandler.restype = ctypes.c_void_p
        except (OSError, AttributeError):
            continue
        return library
    return None


def _quiet_warnings() -> Callable[[], object]:
    before = warnings.showwarning

    def show(message: Any, category: Any, filename: str, *rest: Any, **more: Any) -> None:
        if (said := getattr(_local, "said", None)) is not None and filename.startswith(_pillow):
            said.append(str(message))
        else:
            before(message, category, filename, *rest, **more)

    warnings.showwarning = show

    def undo() -> None:
        if warnings.showwarning is show:
            warnings.showwarning = before

    return undo
