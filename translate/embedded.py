"""The facts that an exported network holds, read from its file without the library that made it and without torch.

An ONNX file is one message of Protocol Buffers, whose metadata are entries of its own beside the graph, which is
skipped. A program of torch is a ZIP archive. An OpenVINO model is XML, whose weights lie in another file.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal
from xml.etree import ElementTree

from translate.errors import TranslateError
from translate.exported import KEY, Facts
from translate.schema import FactsError, open_file

Format = Literal["onnx", "torch", "openvino"]

SUFFIXES: Mapping[str, Format] = {".onnx": "onnx", ".pt2": "torch", ".xml": "openvino"}
"""The formats of exported networks, by the ends of their files' names."""

EXTRA = "translate.json"
"""The extra file of a program of torch in which the facts lie."""

MOST_FACTS = 2**20
"""The most bytes of facts that are read."""

MOST_XML = 2**28
"""The largest description of an OpenVINO model, in bytes; weights lie in a file of their own."""

METADATA = 14
"""The number of the field of an ONNX model that holds its metadata."""

VARINT, LENGTH = 0, 2
FIXED = {1: 8, 5: 4}
"""How the content of a field is stored: as one number, by its length, or in so many bytes."""


def read_facts(path: Path) -> Facts | None:
    """The facts in an exported network's file, by the end of its name; None if it holds none.

    Raises ``TranslateError``, which names the file, if it cannot be read or its facts do not fit their schema.
    """
    try:
        with open_file(path) as file:
            text = _READERS[SUFFIXES[path.suffix.lower()]](file)
        return None if text is None else Facts.from_json(text)
    except FileNotFoundError:
        raise TranslateError(f"there is no file {path}") from None
    except OSError as error:
        raise TranslateError(f"cannot read {path}: {error.strerror or error}") from None
    except (
        FactsError, ElementTree.ParseError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError,
        UnicodeDecodeError, KeyError,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:200]
        raise TranslateError(f"{path} is damaged, or no exported network: {reason}; get it anew") from None


def _of_onnx(file: BinaryIO) -> str | None:
    """The value of our key among a model's metadata."""
    for number, length in _fields(file, os.fstat(file.fileno()).st_size):
        if number != METADATA:
            continue
        if length > MOST_FACTS:
            raise FactsError(f"its metadata have {length:,} bytes, and at most {MOST_FACTS:,} are read")
        entry = BytesIO(file.read(length))
        parts = {number: entry.read(length) for number, length in _fields(entry, length)}
        if parts.get(1) == KEY.encode():
            return parts.get(2, b"").decode()
    return None


def _fields(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Number and length of a message's fields that have a length, each with the file at the content's first byte.

    ``size`` is the length of the message, which begins the file.
    """
    while file.tell() < size:
        number, kind = divmod(_varint(file), 8)
        if kind == VARINT:
            _varint(file)
            continue
        length = _varint(file) if kind == LENGTH else FIXED.get(kind, -1)
        after = file.tell() + length
        if length < 0 or after > size or not number:
            raise FactsError("it is no ONNX model")
        if kind == LENGTH:
            yield number, length
        file.seek(after)


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
    raise FactsError("it is no ONNX model")


def _of_torch(file: BinaryIO) -> str | None:
    """The content of our extra file in an archive."""
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.partition("/")[2] == f"extra/{EXTRA}"]
        if not names:
            return None
        with archive.open(names[0]) as extra:
            text = extra.read(MOST_FACTS + 1)
    if len(text) > MOST_FACTS:
        raise FactsError(f"its facts have more than {MOST_FACTS:,} bytes")
    return text.decode()


class _NoDeclarations(ElementTree.TreeBuilder):
    """Refuses a document type, by which entities could be declared."""

    def doctype(self, *_: object) -> None:
        raise FactsError("it declares a document type")


def _of_openvino(file: BinaryIO) -> str | None:
    """The value of our key in a model's runtime information."""
    if os.fstat(file.fileno()).st_size > MOST_XML:
        raise FactsError(f"it has more than {MOST_XML:,} bytes")
    root = ElementTree.parse(file, ElementTree.XMLParser(target=_NoDeclarations())).getroot()
    found = None if root is None else root.find(f"./rt_info/{KEY}")
    return None if found is None else found.get("value")


_READERS: Mapping[Format, Callable[[BinaryIO], str | None]] = {
    "onnx": _of_onnx,
    "torch": _of_torch,
    "openvino": _of_openvino,
}
