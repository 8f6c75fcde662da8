"""Running: the commands of a page, one after the other in a folder of its own, as they are or in their quick form."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.gallery.pages import Page
from translate import atomic
from translate.errors import TranslateError

RECORD = "record.json"

_few = {"--steps": "2", "-n": "4", "--count": "4", "--samples": "2"}
_small = (
    (r"\bcount=\d+", "count=8"),
    (r"\bheld_out=\d+", "held_out=5"),
    (r"(task=season.*)held_out=\d+", r"\1held_out=16"),  # a score of one season needs four of its images
    (r"\bsize=64\b", "size=32"),
    (r"\bpasses=\d+", "passes=1"),
    (r"test-0000[5-9]", "test-00004"),
)
_narrow = (r"\bwidth=\d+", "width=8")


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended well: its words, its processor's seconds, and what it wrote to its standard output."""

    words: Sequence[str]
    seconds: float
    output: str


Runner = Callable[[Sequence[str], Path], tuple[int, str, str]]
"""Runs the words of a command in a folder: exit code, standard output and standard error."""


def in_process(words: Sequence[str], folder: Path) -> tuple[int, str, str]:
    """Run a command in a process of its own; what it says as it goes is seen at once."""
    found = subprocess.run(
        [sys.executable, "-m", "translate", *words[1:]], cwd=folder, stdout=subprocess.PIPE, text=True, check=False
    )
    return found.returncode, found.stdout, ""


def quick(words: Sequence[str]) -> list[str]:
    """The quick form of a command: few steps, few and small images, narrow networks.

    >>> quick(["translate", "fit", "gan", "demo(size=64, count=600)", "--size", "64", "--steps", "900"])
    ['translate', 'fit', 'gan', 'demo(size=32, count=8, held_out=5)', '--size', '32', '--steps', '2']
    """
    found: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        if before in _few:
            word = _few[before]
        elif before in ("--size", "--load-size") and word == "64":
            word = "32"
        elif before == "--batch" and int(word) > 4:
            word = "4"
        for option in ("count", "held_out") if word.startswith("demo(") else ():
            word = word if f"{option}=" in word else f"{word[:-1]}, {option}=9)"
        for pattern, less in (*_small, _narrow):
            word = re.sub(pattern, less, word)
        found.append(word)
    return found


def run(page: Page, folder: Path, *, runner: Runner = in_process, is_quick: bool = False) -> list[Done]:
    """Run the commands of a page in ``folder``, and return what they did.

    What has been done there is not done again, so an interrupted page goes on. Raises ``TranslateError`` if a command
    fails, or if the folder holds what other commands have made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / RECORD
    before = json.loads(record.read_text(encoding="utf-8")) if record.exists() else []
    done: list[Done] = []
    for number, asked in enumerate(page.commands):
        words = quick(asked) if is_quick else list(asked)
        if number < len(before):
            if before[number]["words"] != words:
                raise TranslateError(f"{folder} holds what other commands of {page.name} have made; remove it")
            done.append(Done(**before[number]))
            continue
        print(f"{page.name}: {' '.join(words)}", flush=True)
        started = _seconds()
        code, output, error = runner(words, folder)
        if code:
            raise TranslateError(
                f"{page.name}: {' '.join(words)} ended with {code}: {error.strip()[-600:]}; run it alone"
            )
        done.append(Done(words, _seconds() - started, output))
        atomic.write(record, json.dumps([asdict(each) for each in done], indent=1).encode())
    return done


def _seconds() -> float:
    """Seconds of a processor that finished commands have taken, which other programs on the machine hardly change."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
