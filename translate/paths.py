"""Paths as people write them: ``~`` for the home folder, names with spaces in commands to paste, names of several."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from translate.errors import TranslateError


def expanded(path: str | Path) -> Path:
    """A path whose leading ``~`` or ``~NAME`` stands for a home folder; it stays as it is where there is no such home.

    ``./-`` is a file of that name, and not standard input or output. Raises ``TranslateError`` for an empty text, such
    as that of a shell's variable that nobody has set, which would stand for the working folder.

    >>> expanded("photos/~old")
    PosixPath('photos/~old')
    """
    if path == "":
        raise TranslateError("a path is empty; name a file or folder, where . is the working folder")
    if isinstance(path, str) and path != "-" and Path(path) == Path("-"):
        return Path(path).absolute()
    try:
        return Path(path).expanduser()
    except RuntimeError:
        # An unknown user without HOME has no home folder.
        return Path(path)


def quoted(word: str | Path) -> str:
    """A path or another word as a shell reads it back, for commands that a message tells the user to run.

    >>> print(quoted("runs/one"), quoted("runs/my run"))
    runs/one 'runs/my run'
    """
    return subprocess.list2cmdline([str(word)]) if os.name == "nt" else shlex.quote(str(word))


def names_apart(paths: Sequence[Path], least: Sequence[int] = ()) -> list[str]:
    """Names of absolute paths: the last part of each, and of those that would be alike as many as tell them apart.

    ``least`` has for each path how many parts its name has at least, by default one. One path that is there twice is
    numbered.

    >>> names_apart([Path("/a/one"), Path("/b/one"), Path("/b/two"), Path("/b/one")])
    ['a/one', 'b/one', 'two', 'b/one (4)']
    """
    parts = [path.relative_to(path.anchor).parts for path in paths]
    lengths = list(least) or [1] * len(paths)
    while True:
        names = ["/".join(each[-length:]) for each, length in zip(parts, lengths, strict=True)]
        alike = [
            place for place, name in enumerate(names)
            if lengths[place] < len(parts[place])
            and any(other == name and parts[at] != parts[place] for at, other in enumerate(names))
        ]  # fmt: skip
        if not alike:
            return [f"{each} ({row + 1})" if each in names[:row] else each for row, each in enumerate(names)]
        for place in alike:
            lengths[place] += 1
