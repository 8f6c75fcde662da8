"""Inputs of a verb: images, folders, globs and lists of them, gathered under names below one common folder."""

from __future__ import annotations

import codecs
import errno
import glob
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from translate import images
from translate.errors import TranslateError
from translate.overview import is_there
from translate.paths import expanded

STANDARD = Path("-")
"""The name of standard input, and of standard output."""

LONGEST_LIST = 1 << 30
"""The most bytes of a list of files."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What was asked for: files with their names, and what was found beside them.

    A name is the path of a file below ``root``, the deepest folder that all inputs lie in, with ``/``. ``folders`` are
    the inputs that are folders; without one, ``single`` says that one image was named. ``missing`` are files of a list
    that are not there, and ``left_out`` what looks like an image and is not taken, with reasons. ``links`` tell of
    links to folders that are taken under another name.
    """

    root: Path
    files: tuple[tuple[str, Path], ...]
    folders: tuple[Path, ...] = ()
    single: bool = False
    missing: tuple[tuple[Path, str], ...] = ()
    left_out: tuple[Path, ...] = ()
    closed: tuple[tuple[Path, str], ...] = field(default=())
    links: tuple[str, ...] = ()


def paths_of(source: str | Path | Sequence[str | Path]) -> list[Path]:
    """The paths of one source or several, with the home folder in place of ``~``.

    >>> paths_of("in"), paths_of(["a", Path("b/*.png")])
    ([PosixPath('in')], [PosixPath('a'), PosixPath('b/*.png')])
    """
    return [expanded(each) for each in ([source] if isinstance(source, (str, Path)) else source)]


def gather(sources: Sequence[Path], verb: str = "convert") -> Inputs:
    """Gather the images of all sources: each is an image, a folder, a glob, or ``@FILE``, a list with a name a line.

    ``@-`` reads the list from standard input. What a glob fits beside files and folders that may be entered is left
    out. Raises ``TranslateError`` if a source is none of these, if a glob fits nothing, if a folder may not be entered,
    or if there is no image at all. ``verb`` says in an error what the images are for.
    """
    if not sources:
        raise TranslateError(f"{verb}: there is no input; name an image or a folder of images to {verb}")
    named: list[Path] = []
    listed: list[Path] = []
    left_out: dict[Path, None] = {}
    closed: dict[Path, str] = {}
    for source in sources:
        if str(source).startswith("@") and not source.exists():
            listed += _listed(str(source)[1:])
            continue
        for path in _globbed(source, verb):
            if path == source or os.path.isfile(path):  # noqa: PTH113 - a link that cannot be followed is none
                named.append(path)
            elif not os.path.isdir(path):  # noqa: PTH112
                # A broken link, say, which a folder's images are taken without, too.
                left_out[path] = None
            elif os.access(path, os.R_OK | os.X_OK):
                named.append(path)
            else:
                closed[path] = os.strerror(errno.EACCES).lower()
    several = (
        len(sources) > 1
        or len(named) > 1
        or listed
        or any(str(source) != str(found) for source, found in zip(sources, named, strict=False))
    )
    folders = tuple(path for path in named if path.is_dir())
    files: dict[str, Path] = {}
    links: dict[str, None] = {}
    for path in named:
        found = images.survey(path)
        files |= {_absolute(file): file for file in found.files if _absolute(file) not in files}
        left_out |= dict.fromkeys(found.left_out)
        closed |= dict(found.closed)
        links |= dict.fromkeys(found.about_links())
    missing: list[tuple[Path, str]] = []
    for path in listed:
        if reason := _why_missing(path):
            missing.append((path, reason))
        else:
            files.setdefault(_absolute(path), path)
    if not files:
        raise _nothing(sources, named, missing, tuple(left_out))
    root = _root(folders, list(files))
    names = {os.path.relpath(absolute, root).replace(os.sep, "/"): file for absolute, file in files.items()}
    return Inputs(
        Path(root),
        tuple(sorted(names.items())),
        folders,
        not several and not folders,
        tuple(missing),
        tuple(sorted(left_out)),
        tuple(sorted(closed.items())),
        tuple(links),
    )


def _globbed(source: Path, verb: str) -> list[Path]:
    """The source itself, or what it fits as a glob, which a shell leaves as it is within quotes."""
    text = str(source)
    # A place that may not be entered would look as if nothing were there.
    if os.path.lexists(text) or is_there(source):
        return [source]
    if not glob.has_magic(text):
        raise TranslateError(f"{source} does not exist; name an image or a folder of images to {verb}")
    found = sorted(Path(path) for path in glob.iglob(text, recursive=True))  # noqa: PTH207 - hidden files stay out
    if not found:
        raise TranslateError(f"{source} fits no file; check the pattern")
    return found


def _listed(place: str) -> Iterator[Path]:
    """The paths of a list, a line each; those that are relative lie below the working folder."""
    if not place or expanded(place).is_dir():
        what = f"the list {place} is a folder" if place else "@ names no list"
        raise TranslateError(f"{what}; give a file with a name a line, such as @files.txt, or a folder without the @")
    try:
        if place == "-":
            data = sys.stdin.buffer.read(LONGEST_LIST + 1)
        else:
            # A pipe may be a list, too: the output of a command, as shells substitute it.
            with expanded(place).open("rb") as file:
                data = file.read(LONGEST_LIST + 1)
    except OSError as error:
        raise TranslateError(
            f"cannot read the list {place}: {(error.strerror or str(error)).lower()}; give a file with a name a line"
        ) from None
    if len(data) > LONGEST_LIST:
        raise TranslateError(f"the list {place} has more than {LONGEST_LIST >> 20} MB; give it in parts")
    # Editors of Windows begin a text with a mark of its encoding.
    data = data.removeprefix(codecs.BOM_UTF8)
    # A list that `find -print0` or `git ls-files -z` wrote holds names with line ends, too.
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    paths = [expanded(os.fsdecode(line)) for line in lines if line.strip()]
    if not paths:
        raise TranslateError(f"the list {place} names no files; give it a name a line")
    yield from paths


def _why_missing(path: Path) -> str:
    try:
        if path.is_dir():
            return f"{path} is a folder; a list names images, and a folder is named as an input of its own"
        if not path.exists():
            return f"{path} does not exist; check the list"
        return "" if path.is_file() else f"{path} is no regular file"
    except (OSError, ValueError) as error:
        return f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"


def _absolute(path: Path) -> str:
    # A link keeps its own name, and its folder's; resolving 100,000 paths would take seconds.
    return os.path.abspath(path)  # noqa: PTH100


def _root(folders: Sequence[Path], files: Sequence[str]) -> str:
    """The deepest folder that all inputs lie in: of one folder, that folder itself."""
    places = {os.path.dirname(file) for file in files}  # noqa: PTH120 (100,000 files a second)
    return os.path.commonpath([*map(_absolute, folders), *places])


def _nothing(
    sources: Sequence[Path], named: Sequence[Path], missing: Sequence[tuple[Path, str]], left_out: Sequence[Path]
) -> TranslateError:
    if missing:
        if len(missing) == 1:
            return TranslateError(missing[0][1])
        return TranslateError(f"none of the {len(missing)} names in the list is an image: {missing[0][1]}")
    reasons = "".join(f"; {sentence}" for sentence in images.count_left_out(left_out))
    one = [*named, *sources][0] if len(named) == 1 or len(sources) == 1 else None
    where = f"{one} holds" if one is not None else f"the {len(sources)} inputs hold"
    return TranslateError(f"{where} no images; name a folder with files such as .png or .jpg{reasons}")
