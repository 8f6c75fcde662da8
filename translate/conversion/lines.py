"""Lines: append-only files of JSON objects, each with a checksum, whose torn or damaged lines are passed over."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from translate import images
from translate.errors import TranslateError

_DIGEST = 8
_TAIL = len(',"sum":""}') + 2 * _DIGEST


def line_of(fields: Mapping[str, Any]) -> bytes:
    r"""An object as a line, whose last field is the checksum of the text before it.

    >>> line_of({"name": "a.png"})
    b'{"name":"a.png","sum":"4ac05aeda3383600"}\n'
    """
    # ASCII escapes keep names that are not UTF-8, and no line end can stand in a line.
    body = json.dumps(fields, separators=(",", ":"), allow_nan=False).encode("ascii")[:-1]
    return b'%b,"sum":"%b"}\n' % (body, _sum(body))


def fields_of(line: bytes) -> dict[str, Any] | None:
    """The object of a line; None if it is torn, damaged or none of ours."""
    line = line.rstrip(b"\r\n")
    body = line[:-_TAIL]
    if len(line) <= _TAIL or line[-_TAIL:] != b',"sum":"%b"}' % _sum(body):
        return None
    try:
        found = json.loads(body + b"}")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The sound lines of a file, in order; nothing if it is not there.

    Raises ``TranslateError`` for one that cannot be read.
    """
    try:
        with images.open_regular(path) as file:
            for line in file:
                if (found := fields_of(line)) is not None:
                    yield found
    except FileNotFoundError:
        return
    except OSError as error:
        raise TranslateError(
            f"cannot read {path}: {(error.strerror or str(error)).lower()}; check its permissions, or move it away"
        ) from None


def refuse_newer(path: Path, found: Mapping[str, Any], known: int) -> None:
    """Raise ``TranslateError`` if an object of a file has a ``version`` beyond the one that is ``known`` here.

    What a newer program has written must not be taken for damaged, and replaced.
    """
    version = found.get("version")
    if isinstance(version, int) and version > known:
        raise TranslateError(
            f"{path} was written by a newer version of translate, which this one cannot read; install that one, or "
            "name another folder"
        )


def append(handle: int, data: bytes, *, flush: bool = True) -> None:
    """Append lines to an open file and, with ``flush``, wait until they are on the disk."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
    if flush:
        os.fsync(handle)


def _sum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST).hexdigest().encode()
