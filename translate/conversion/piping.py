"""Piping: one image from standard input, or to standard output, by files in a temporary folder."""

from __future__ import annotations

import errno
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from translate import images
from translate.errors import FullDiskError, TranslateError
from translate.inputs import STANDARD

LONGEST = 1 << 32
"""The most bytes of an image from standard input."""


@dataclass(frozen=True, slots=True)
class Piped:
    """The temporary files that stand for standard input and standard output, which is what people are told of.

    >>> piped = Piped(source=Path("/tmp/x/standard-input.png"))
    >>> piped.path(Path("/tmp/x/standard-input.png")), piped.sentence("/tmp/x/standard-input.png is truncated")
    (PosixPath('-'), 'standard input is truncated')
    """

    source: Path | None = None
    target: Path | None = None

    def path(self, path: Path) -> Path:
        """A path as it was asked for."""
        return STANDARD if path in (self.source, self.target) else path

    def sentence(self, text: str) -> str:
        """A sentence that names no temporary file."""
        for path, name in ((self.source, "standard input"), (self.target, "standard output")):
            if path is not None:
                text = text.replace(str(path), name)
        return text

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Let errors of the block name no temporary file."""
        try:
            yield
        except TranslateError as error:
            error.args = tuple(self.sentence(str(each)) for each in error.args)
            raise


@contextmanager
def from_standard_input() -> Iterator[Path]:
    """A temporary file with the image of standard input, named by its format; raises ``TranslateError`` without one."""
    if sys.stdin is None or sys.stdin.isatty():
        raise TranslateError("convert: - reads an image from standard input, and nothing is piped into it")
    with tempfile.TemporaryDirectory(prefix="translate-") as folder:
        file = Path(folder) / "standard-input"
        size = 0
        with file.open("xb") as written:
            while piece := sys.stdin.buffer.read(1 << 20):
                size += len(piece)
                if size > LONGEST:
                    raise TranslateError(f"standard input holds more than {LONGEST >> 30} GB; give it as a file")
                written.write(piece)
        if not size:
            raise TranslateError("standard input is empty; pipe an image into it")
        try:
            suffix = images.suffix_of(file)
        except images.ImageError as error:
            raise TranslateError(str(error).replace(str(file), "standard input")) from None
        yield file.rename(file.with_suffix(suffix))


@contextmanager
def to_standard_output(suffix: str) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A temporary file to write an output to, and the function that sends it to standard output."""
    if sys.stdout.isatty():
        raise TranslateError("convert: - writes an image to standard output, which is a terminal; name a file")
    with tempfile.TemporaryDirectory(prefix="translate-") as folder:
        file = Path(folder) / f"output{suffix}"

        def send() -> None:
            try:
                with file.open("rb") as read:
                    while piece := read.read(1 << 20):
                        sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                raise FullDiskError("the disk of standard output is full; free space, and run it again") from None

        yield file, send


def is_standard(path: Path) -> bool:
    """Whether a path stands for standard input or output."""
    return path == STANDARD
