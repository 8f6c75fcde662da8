"""Text of the console: numbers, sizes and times formatted for people, and lines on stderr."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping

from translate.terminal import printable


def is_terminal() -> bool:
    """Whether stderr is a terminal with cursor control."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def say(line: str, end: str = "\n") -> None:
    """Write a line to stderr at once; control characters in it are escaped."""
    sys.stderr.write(printable(line) + end)
    sys.stderr.flush()


def number(value: float) -> str:
    """A value with four significant digits.

    >>> number(31.2), number(0.69314), number(1234.5), number(2.5e-6)
    ('31.20', '0.6931', '1234', '2.500e-06')
    """
    return f"{value:#.4g}".rstrip(".")


def terms(values: Mapping[str, float]) -> str:
    """The terms of the players' losses on one line.

    >>> terms({"generator/l1": 31.2, "discriminator/real": 0.5})
    'generator/l1 31.20  discriminator/real 0.5000'
    """
    return "  ".join(f"{name} {number(value)}" for name, value in values.items())


def memory(count: int) -> str:
    """A number of bytes in MiB or GiB.

    >>> memory(1_288_490_189), memory(300 * 2**20)
    ('1.2 GiB', '300 MiB')
    """
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds.

    >>> duration(190), duration(100_000), duration(float("inf"))
    ('0:03:10', '27:46:40', '-:--:--')
    """
    if not math.isfinite(seconds):
        return "-:--:--"
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def speed(images_per_second: float) -> str:
    """Images a second.

    >>> speed(12.34), speed(0.0213)
    ('12.3 images/s', '0.0213 images/s')
    """
    text = f"{images_per_second:.1f}" if images_per_second >= 1 else f"{images_per_second:.3g}"
    return f"{text} images/s"
