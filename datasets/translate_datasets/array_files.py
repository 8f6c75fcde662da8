"""Files of arrays: ``.npy``, and ``.npz``, a zip file of them; judged by their headers before a value is read."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from translate import images
from translate.errors import TranslateError
from translate.images import ArrayHeader
from translate.memory import Budget
from translate_datasets.listing import is_folder

Place = tuple[Path, str]
"""A file, and the array's name in it; "" for a .npy file, which holds one array."""


def places(root: Path) -> dict[str, Place]:
    """All arrays of a .npz file, or of the .npz and .npy files of a folder, by NAME and by FILE:NAME."""
    if root.is_file():
        return dict(_members(root))
    if not is_folder(root):
        what = "is neither a file nor a folder" if root.exists() else ""
        raise TranslateError(
            f"{root} {what}; name a file or a folder" if what else f"there is no file or folder {root}; check its name"
        )
    found: dict[str, Place] = {}
    for path in sorted(root.rglob("*.np[yz]")):
        inside = path.relative_to(root).as_posix()
        if path.suffix == ".npy":
            found[inside.removesuffix(".npy")] = (path, "")
            continue
        for name, place in _members(path):
            found.setdefault(name, place)
            found[f"{inside}:{name}"] = place
    return found


def header_of(place: Place) -> ArrayHeader:
    """The header of an array."""
    with _opened(place) as (_, header):
        return header


def load(place: Place, budget: Budget) -> NDArray[Any]:
    """An array: of a .npy file mapped, of a .npz file read, if the budget allows for that; it is held from then on."""
    name = _name(place)
    with _opened(place) as (file, header):
        if not place[1] and header.nbytes:
            # Bytes that nobody looks at take no memory.
            flat = np.memmap(file, header.dtype, "r", header.start, (header.nbytes // header.dtype.itemsize,))
            return header.array(flat)
        if not budget.take(header.nbytes):
            reason = budget.too_large(header.nbytes) or "does not fit beside the others; raise --memory"
            raise TranslateError(f"{name} has the shape {header.shape} and {reason}, or store it as .npy")
        try:
            values = np.empty(header.nbytes, np.uint8)
            view, done = memoryview(values), 0  # type: ignore[arg-type]
            while done < header.nbytes:
                if not (piece := file.read(min(1 << 24, header.nbytes - done))):
                    raise TranslateError(
                        f"{name} holds {done} of {header.nbytes} bytes; it is damaged or truncated, mend or remove it"
                    )
                view[done : done + len(piece)] = piece
                done += len(piece)
        except BaseException:
            budget.give_back(header.nbytes)
            raise
        return header.array(values.view(header.dtype))


def _name(place: Place) -> str:
    path, member = place
    return f"the array {member!r} of {path}" if member else str(path)


@contextmanager
def _opened(place: Place) -> Iterator[tuple[IO[bytes], ArrayHeader]]:
    """An array's values, open at their start, with its header."""
    path, member = place
    name = _name(place)
    with _sentences(name), images.open_regular(path) as stream:
        if not member:
            length = stream.seek(0, 2)
            stream.seek(0)
            yield stream, images.array_header(stream, name, length)
            return
        with zipfile.ZipFile(stream) as file, file.open(f"{member}.npy") as inside:
            length = file.getinfo(f"{member}.npy").file_size
            yield inside, images.array_header(inside, name, length)


def _members(path: Path) -> Iterator[tuple[str, Place]]:
    if path.suffix == ".npy":
        yield path.stem, (path, "")
        return
    with _sentences(str(path), "is no readable .npz file"), images.open_regular(path) as stream:
        with zipfile.ZipFile(stream) as file:
            entries = [each for each in file.infolist() if _stem(each)]
        if not entries:
            raise TranslateError(f"{path} is no .npz file: it is a zip file without arrays in it; remove or rename it")
        doubled = [name for name, count in Counter(map(_stem, entries)).items() if count > 1]
        if doubled:
            raise TranslateError(f"{path} holds more than one array {doubled[0]!r:.100}; write it anew")
    for entry in entries:
        yield _stem(entry), (path, _stem(entry))


def _stem(entry: zipfile.ZipInfo) -> str:
    """The name of an array in a .npz file; empty for files of another kind."""
    return entry.filename.removesuffix(".npy") if entry.filename.endswith(".npy") else ""


@contextmanager
def _sentences(name: str, what: str = "cannot be read") -> Iterator[None]:
    """Turn the errors of zipfile, zlib and the file system, which are of many types, into one sentence."""
    try:
        yield
    except TranslateError:
        raise
    except MemoryError:
        raise TranslateError(f"{name} needs more memory than there is; store it in several files") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:120].rstrip(".") or type(error).__name__
        raise TranslateError(f"{name} {what} ({reason}); mend or remove it") from None
