"""What a page has made: pictures, minutes of its commands, the machine, and what ``translate evaluate`` has printed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks.gallery.pages import Page
from benchmarks.gallery.running import Done
from translate.benchmark.hardware import machine


def made(page: Page, done: Sequence[Done]) -> str:
    """The text for a page: its pictures, a sentence on time and machine, and the scores as they were printed."""
    trained = sum(each.seconds for each in done if each.words[1] == "fit")
    whole = sum(each.seconds for each in done)
    lines = [line for picture in page.pictures for line in (f"![{picture.shows}]({picture.file})", "")]
    lines += [f"{whole / 60:.1f} minutes of one core, {trained / 60:.1f} of them training ({machine()['cpu']})."]
    scores = [scores_of(each.output) for each in done if each.words[1] in ("evaluate", "compare")]
    for block in scores:
        lines += ["", "```text", *block, "```"]
    return "\n".join(lines)


def scores_of(output: str) -> list[str]:
    """The head and the scores of what ``translate evaluate`` prints, without how each is computed.

    >>> scores_of("run on demo, test\\n20 source; 64x64\\n\\npsnr  18.2 ± 0.3\\n\\npsnr: decibels\\n")
    ['run on demo, test', '20 source; 64x64', '', 'psnr  18.2 ± 0.3']
    """
    head, _, rest = output.strip().partition("\n\n")
    table = rest.partition("\n\n")[0]
    return [re.sub(r"^\S*/", "", line) for line in [*head.splitlines(), "", *table.splitlines()]]
