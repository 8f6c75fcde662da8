"""Finding: the image files below a folder, what looks like an image and is not taken, and what cannot be entered."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from translate.images.encoding import WRITABLE
from translate.images.opening import ImageError

log = logging.getLogger("translate")

HEIF = frozenset((".heic", ".heif", ".hif"))
"""The suffixes that are read if the optional package pillow-heif is installed."""

READABLE = frozenset(
    (*WRITABLE, ".jfif", ".jpe", ".jif", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".avif")
    + (tuple(HEIF) if find_spec("pillow_heif") else ())
)
"""The suffixes of files that ``find`` lists."""

_camera = (
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .iiq .k25 .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2 "
    ".rwl .sr2 .srf .srw .x3f"
)
_others = (
    ".ai .apng .avifs .bpg .cdr .cin .cur .dcm .dcx .dds .dib .djvu .dpx .emf .eps .exr .fit .fits .flif .fts .hdr "
    ".heics .heifs .icns .ico .j2c .j2k .jls .jng .jp2 .jpc .jpf .jpm .jps .jpx .jxl .jxr .kra .mng .mpo .ora .pam "
    ".pcd .pcx .pfm .pic .pict .pns .psb .psd .qoi .ras .sgi .svg .svgz .tga .vda .vst .wbmp .wdp .wmf .xbm .xcf .xpm"
)
LIKE_IMAGES = READABLE | HEIF | frozenset(f"{_camera} {_others}".split())
"""The suffixes of files that look like images, whether they are read here or not."""


@dataclass(frozen=True, slots=True)
class Found:
    """What lies below a folder, without hidden entries, each sorted.

    ``files``: the images that are read here. ``left_out``: what looks like an image but is of no format read here, or
    no regular file. ``closed``: folders and links that cannot be entered, with the system's reason. ``doubled``: links
    to folders that are listed under another name, which follows; links that lead back up are not among them.
    """

    files: tuple[Path, ...]
    left_out: tuple[Path, ...] = ()
    closed: tuple[tuple[Path, str], ...] = ()
    doubled: tuple[tuple[Path, str], ...] = ()

    def about_links(self) -> list[str]:
        """What is to be told of links to folders whose images have another name."""
        return [f"{link} leads to {folder}, whose images are taken once, by that name" for link, folder in self.doubled]


def find(root: str | Path) -> list[Path]:
    """List the image files below a folder, sorted, without hidden ones; for a file, that file.

    Only regular files are listed. What cannot be entered is logged once, and the rest is listed.
    """
    found = survey(root)
    for path, reason in found.closed:
        _tell_once(f"warning: {path} is left out, it cannot be entered: {reason}")
    for sentence in found.about_links():
        _tell_once(sentence)
    return list(found.files)


def survey(root: str | Path) -> Found:
    """List what lies below a folder: images, what looks like images, and what cannot be entered.

    Raises ``ImageError`` if ``root`` is neither a regular file nor a folder, or cannot be listed itself.
    """
    root = Path(root)
    if root.is_file():
        return Found((root,))
    if not root.is_dir():
        kind = "is neither a file nor a folder" if root.exists() else ""
        raise ImageError(
            f"{root} {kind}; name an image or a folder"
            if kind
            else f"there is no file or folder {root}; check its name"
        )
    files: list[str] = []
    left_out: list[str] = []
    closed: list[tuple[str, str]] = []
    doubled: list[tuple[str, str]] = []
    visited: dict[str, str] = {}
    waiting = [str(root)]
    links: list[str] = []
    while waiting or links:
        if not waiting:
            # Folders before links, and these in order: names of images depend on no order of the file system.
            links.sort(reverse=True)
        folder = waiting.pop() if waiting else links.pop()
        resolved = os.path.realpath(folder)
        if resolved in visited:
            back_up = os.path.realpath(os.path.dirname(folder)) + os.sep  # noqa: PTH120
            if not back_up.startswith(resolved.rstrip(os.sep) + os.sep):
                doubled.append((folder, visited[resolved]))
            continue
        visited[resolved] = folder
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122  (100,000 files a second)
                    try:
                        if entry.is_dir():
                            (links if entry.is_symlink() else waiting).append(entry.path)
                        elif suffix in LIKE_IMAGES:
                            (files if suffix in READABLE and entry.is_file() else left_out).append(entry.path)
                    except OSError as error:  # a link to itself, or a path that may not be followed
                        closed.append((entry.path, _reason(error)))
        except OSError as error:
            if folder == str(root):
                raise ImageError(f"cannot list {folder}: {error.strerror}; check its permissions") from None
            closed.append((folder, _reason(error)))
    return Found(
        tuple(Path(path) for path in sorted(files)),
        tuple(Path(path) for path in sorted(left_out)),
        tuple((Path(path), reason) for path, reason in sorted(closed)),
        tuple((Path(path), where) for path, where in sorted(doubled)),
    )


def why_left_out(path: str | Path) -> str:
    """Why a file that looks like an image is not taken, to follow its name or kind."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in READABLE:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            return "a broken link" if error.errno == errno.ENOENT else f"it cannot be followed: {_reason(error)}"
        return "no regular file" if not stat.S_ISREG(mode) else "not taken"
    if suffix in HEIF:
        return "read once pillow-heif is installed: pip install 'image-translate[heif]'"
    return "no format that is read here; convert to PNG or TIFF"


def count_left_out(paths: Iterable[Path]) -> list[str]:
    """Count what is left out by kind, with its reason, the most frequent first: one sentence a kind.

    >>> count_left_out([Path("a.psd"), Path("b.PSD")])
    ['2 .psd files are left out (a.psd, b.PSD): no format that is read here; convert to PNG or TIFF']
    """
    listed = list(paths)
    kinds = {path: (path.suffix.lower(), why_left_out(path)) for path in listed}
    sentences = []
    for (suffix, reason), count in Counter(kinds.values()).most_common():
        names = [path.name for path in listed if kinds[path] == (suffix, reason)]
        shown = ", ".join(names[:3]) + (", ..." if count > 3 else "")
        files = f"{count} {suffix} files are" if count > 1 else f"1 {suffix} file is"
        sentences.append(f"{files} left out ({shown}): {reason}")
    return sentences


@lru_cache(maxsize=1000)
def _tell_once(sentence: str) -> None:
    log.warning("%s", sentence)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
