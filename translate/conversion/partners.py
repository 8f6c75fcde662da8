"""Partners: what an image is given beside its pixels, read and fitted where the image is decoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from translate import images
from translate.conversion.padding import pad
from translate.conversion.stamps import Stamp
from translate.errors import TranslateError
from translate.given import Given, Planes, Value
from translate.sizes import Size

if TYPE_CHECKING:
    from translate.conversion.batch import AnyTranslator, Work
    from translate.conversion.plan import Task


def given_for(translator: AnyTranslator, asked: Mapping[str, Any]) -> Given:
    """What is given to a conversion's translator, held against what it takes, before any image is read."""
    given = asked.get("given") or {}
    read = getattr(translator, "read_given", None)
    if read is None:
        if given:
            name = next(iter(given))
            raise TranslateError(f"convert: this translator takes an image alone, so it cannot be given {name!r:.60}")
        return Given()
    found: Given = read(given, max_pixels=asked["max_pixels"])
    found.refuse_rows()
    return found


def partners_of(
    task: Task, work: Work, own: Size, size: Size, multiple: int, opacity: Callable[[], NDArray[np.uint16]]
) -> dict[str, Value]:
    """The values for an image of a (height, width) that is converted at ``size``; its own files are noted.

    Images that are as large as their image are resized as it is. ``opacity`` reads the image's own alpha. Raises
    ``ImageError`` for one that is missing, there twice, unreadable or of another size.
    """
    if not work.given.sources:
        return {}
    stamps: dict[str, Stamp] = {}
    for name, file in work.given.files_of(task.name).items():
        # Before it is read: a file that is changed meanwhile must not be taken for the one that the outputs show.
        stamps[name] = _stamp(file, task) if file is not None else Stamp(-1, -1, "")
    found: dict[str, Value] = {}
    for name, picked in work.given.of(task.name, task.source, opacity).items():
        value, kind = picked.value, work.given.taken.inputs[name].kind
        if isinstance(value, Planes) and kind in ("aligned", "noise"):
            # Noise is never resized, so it is as large as what is translated.
            value = _fitted(value, picked.file, name, task, own if kind == "aligned" else size, size, multiple)
        found[name] = value
    work.sources.note(task.source, stamps)
    return found


def _stamp(file: Path, task: Task) -> Stamp:
    try:
        return Stamp.of(file)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise images.ImageError(f"{task.source}: {file} cannot be read: {reason}; check its permissions") from None


def _fitted(planes: Planes, file: Path | None, name: str, task: Task, own: Size, size: Size, multiple: int) -> Planes:
    if planes.size != own:
        which = f"its {name}" if file is None else f"its {name} {file}"
        raise images.ImageError(
            f"{task.source} has {own[1]} x {own[0]} pixels, and {which} has {planes.size[1]} x {planes.size[0]}; "
            "give one as large"
        )
    resized = planes.resized(size)
    return replace(resized, pixels=pad(resized.pixels, multiple))


def same_partners(noted: Mapping[str, Stamp], files: Mapping[str, Path | None], *, verify: bool) -> bool:
    """Whether an image has the same files of its own as when its outputs were made."""
    return noted.keys() == files.keys() and all(
        file is not None and noted[name].fits(file, verify=verify) for name, file in files.items()
    )


def bytes_beside(work: Work, pixels: int) -> int:
    """About how many bytes an image of so many pixels is given beside it."""
    planes = sum(each.domain.channels for each in work.given.aligned if each.domain is not None)
    taken = getattr(work.translator, "taken", None)
    drawn = 0 if taken is None else sum(each.domain.channels for each in taken.noise if each.domain is not None)
    # As they are read, and in their padded and stacked forms; noise is drawn for each sample.
    # Where there is a hole, the image's own pixels wait for the output.
    kept = 0 if work.given.hole is None else 1 + 4 * work.translator.source.channels
    return pixels * (12 * planes + 8 * drawn * (work.samples or 1) + kept)
