"""Outputs: the rules by which a command may write a file. Nothing that it has not made is replaced unasked."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from translate.atomic import is_special
from translate.errors import TranslateError


def make_folder(folder: Path) -> None:
    """Make a folder with those above it, unless it is there; raises ``TranslateError`` where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "a file has that name" if isinstance(error, FileExistsError) else error.strerror
        raise TranslateError(f"cannot make the folder {folder}: {reason}; choose another place") from None


def folder_above(folder: Path) -> Path:
    """The folder that is there of one that is to be made: itself or the next above it.

    Raises what ``make_folder`` would, if it is none.
    """
    above = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
    if not above.is_dir():
        raise TranslateError(f"cannot make the folder {folder}: a file has that name; choose another place")
    return above


def refuse_existing(*paths: Path) -> None:
    """Raise ``TranslateError`` if one of the paths exists; a pipe or a terminal may be written to."""
    taken = [path for path in paths if (path.exists() or path.is_symlink()) and not is_special(path)]
    if taken:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        verb = "exist" if more else "exists"
        raise TranslateError(f"{taken[0]}{more} {verb} already; name another place, or replace it with --overwrite")


def refuse_standard(path: Path, what: str) -> None:
    """Raise ``TranslateError`` if ``path`` is ``-``, by which people mean standard output; ``what`` is to be written.

    >>> refuse_standard(Path("-"), "a report")
    Traceback (most recent call last):
    translate.errors.TranslateError: a report is written to a file, not to standard output; name a file
    """
    if str(path) == "-":
        raise TranslateError(f"{what} is written to a file, not to standard output; name a file")


def refuse_within(path: Path, folders: Iterable[Path], what: str) -> None:
    """Raise ``TranslateError`` if ``path`` is one of the folders of data or lies below one; ``what`` is to be written.

    What is written there would be taken for data the next time.
    """
    resolved = path.resolve()
    for folder in folders:
        if resolved == folder.resolve() or folder.resolve() in resolved.parents:
            raise TranslateError(
                f"{path} lies in {folder}, the data itself, where {what} would be taken for data; name a place outside"
            )


def free_folder(base: Path, name: str) -> Path:
    """The first of ``base/name``, ``base/name-2`` ... that does not exist."""
    folder, count = base / name, 1
    while folder.exists():
        count += 1
        folder = base / f"{name}-{count}"
    return folder


def file_name_of(data: str) -> str:
    """The name of data as part of a file's name: letters, digits, dashes and underscores.

    >>> file_name_of("/photos/my faces"), file_name_of("demo(size=32)")
    ('my-faces', 'demo')
    """
    name = Path(data).name.partition("(")[0]
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name).strip("-") or "data"
