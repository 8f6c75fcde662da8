"""Text of the console: numbers, sizes and times formatted for people, and lines on stderr."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta

from translate.terminal import printable


def is_terminal() -> bool:
    """Whether stderr is a terminal with cursor control."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def say(line: str, end: str = "\n") -> None:
    """Write a line to stderr at once; control characters in it are escaped."""
    sys.stderr.write(printable(line) + end)
    sys.stderr.flush()


def participle(verb: str) -> str:
    """What goes on while something is done.

    >>> participle("convert"), participle("encode"), participle("sample")
    ('converting', 'encoding', 'sampling')
    """
    return f"{verb.removesuffix('e')}ing"


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


def scores(values: Mapping[str, float], is_best: bool) -> str:
    """The scores of a validation on one line, without standard errors.

    >>> scores({"psnr": 21.3, "psnr_standard_error": 0.2}, True)
    'validation/psnr 21.30  (the best so far)'
    """
    shown = {
        f"validation/{name}": value
        for name, value in values.items()
        if name.removesuffix("_standard_error") == name or name.removesuffix("_standard_error") not in values
    }
    return terms(shown) + ("  (the best so far)" if is_best else "")


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


def span(seconds: float) -> str:
    """Seconds in words, to about two digits.

    >>> span(42), span(200), span(7800), span(100_000), span(900_000)
    ('40 s', '3 min', '2 h 10 min', '1 d 4 h', '10 d 10 h')
    """
    if seconds < 60:
        return f"{max(10, round(seconds / 10) * 10)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def end(seconds: float, now: datetime | None = None) -> str:
    """When so many seconds have passed: the time of day, with the date if that is another day.

    >>> end(600, datetime(2026, 11, 28, 14, 22)), end(36000, datetime(2026, 11, 28, 14, 22)), end(float("inf"))
    ('14:32', '2026-11-29 00:22', '--:--')
    """
    now = now or datetime.now()
    try:
        then = now + timedelta(seconds=seconds)
    except OverflowError:
        return "--:--"
    return then.strftime("%H:%M" if then.date() == now.date() else "%Y-%m-%d %H:%M")


def speed(images_per_second: float) -> str:
    """Images a second.

    >>> speed(12.34), speed(0.0213)
    ('12.3 images/s', '0.0213 images/s')
    """
    text = f"{images_per_second:.1f}" if images_per_second >= 1 else f"{images_per_second:.3g}"
    return f"{text} images/s"
