"""Bodies of requests: an image alone, or a form of several parts, written to files of the server's own naming."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import BinaryIO

from translate.serving.refusing import RefusedError

LONGEST_TEXT = 2**16
"""The most bytes of a field of text."""

MOST_PARTS = 64
"""The most parts of a form."""


@dataclass(slots=True)
class Form:
    """What a body holds: text and files by name, and what the client calls the image's file."""

    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    filename: str = ""


async def read_image(chunks: AsyncIterator[bytes], folder: Path) -> Form:
    """Read a body that is an image; raises ``RefusedError`` if it is empty."""
    path, size = folder / "image", 0
    with path.open("xb") as file:
        async for chunk in chunks:
            size += file.write(chunk)
    if not size:
        raise RefusedError(400, "the request has no body; send an image")
    return Form(files={"image": path})


async def read_form(chunks: AsyncIterator[bytes], content_type: str, folder: Path) -> Form:
    """Read a body of the type multipart/form-data; raises ``RefusedError`` for one that is broken or cut off."""
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser

    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    if not isinstance(boundary, str) or not 0 < len(boundary) <= 70 or not boundary.isascii():
        raise RefusedError(400, "the form tells no boundary of at most 70 ASCII letters; let a library write it")
    with ExitStack() as stack:
        reading = _Reading(folder, stack)
        try:
            parser = MultipartParser(boundary.encode(), reading.callbacks)  # type: ignore[arg-type]
            async for chunk in chunks:
                parser.write(chunk)
            parser.finalize()
        except FormParserError:
            raise RefusedError(400, "the form is broken; let a library write it") from None
    if not reading.ended:
        raise RefusedError(400, "the form is cut off: its last boundary is missing; send it whole")
    return reading.form


class _Reading:
    """The parts of a form as they come: texts into memory, files into the folder."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.form = Form()
        self.ended = False
        self._folder, self._stack = folder, stack
        self._count = 0
        self._headers: dict[str, str] = {}
        self._field, self._value = bytearray(), bytearray()
        self._name = ""
        self._file: BinaryIO | None = None
        self._text = bytearray()
        self.callbacks = {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._field.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add,
            "on_part_end": self._end,
            "on_end": self._end_form,
        }

    def _begin(self) -> None:
        self._count += 1
        if self._count > MOST_PARTS:
            raise RefusedError(400, f"the form has more than {MOST_PARTS} parts; send fewer")
        self._headers, self._file, self._text = {}, None, bytearray()

    def _end_header(self) -> None:
        self._headers[_text(self._field, "the name of a header").lower()] = _text(self._value, "a header")
        self._field.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        header = Message()
        header["content-disposition"] = self._headers.get("content-disposition", "").replace("\n", " ")
        name, filename = (header.get_param(each, header="content-disposition") for each in ("name", "filename"))
        if not isinstance(name, str) or not name:
            raise RefusedError(400, "a part of the form has no name; give each one")
        if name in self.form.texts or name in self.form.files:
            raise RefusedError(400, f"the form has {name!r:.60} twice; send it once")
        encoding = self._headers.get("content-transfer-encoding", "binary").lower()
        if encoding not in ("binary", "8bit", "7bit"):
            raise RefusedError(400, f"the part {name!r:.60} is encoded as {encoding!r:.30}; send it as it is")
        self._name = name
        if filename is not None or name == "image":
            # Never a name of the client's.
            path = self._folder / ("image" if name == "image" else f"given-{self._count}")
            self._file = self._stack.enter_context(path.open("xb"))
            self.form.files[name] = path
            if name == "image" and isinstance(filename, str):
                self.form.filename = filename

    def _add(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > LONGEST_TEXT:
            raise RefusedError(413, f"the field {self._name!r:.60} has more than {LONGEST_TEXT} bytes; send less")

    def _end(self) -> None:
        if self._file is None:
            self.form.texts[self._name] = _text(self._text, f"the field {self._name!r:.60}")
        else:
            self._file.close()

    def _end_form(self) -> None:
        self.ended = True


def _text(data: bytearray, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise RefusedError(400, f"{what} is no text in UTF-8; encode it as such") from None
