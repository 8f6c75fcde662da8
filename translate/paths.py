"""Paths as people write them: ``~`` for the home folder, and names with spaces in commands to paste."""

from __future__ import annotations

import os
import shlex
import subprocess
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
