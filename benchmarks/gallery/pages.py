"""Pages of the gallery: their commands, the pictures that they ask for, and what was measured."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from translate.errors import TranslateError

FOLDER = Path(__file__).parents[2] / "docs" / "gallery"

_block = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_asked = re.compile(r"^<!-- picture\n(.*?)^-->$", re.MULTILINE | re.DOTALL)
_made = re.compile(
    r"(?<=^<!-- made: python -m benchmarks.gallery -->\n).*?(?=^<!-- end -->$)", re.MULTILINE | re.DOTALL
)
_kinds = {"columns", "grid", "strips"}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a page: the file, what it shows in words, and how it is laid out of images of the page's commands.

    One of ``columns`` (titles, and folders of images of the same names), ``grid`` (a folder, whose images fill rows)
    and ``strips`` (files, one below the other). ``rows`` of examples, ``blocks`` of columns beside each other or images
    in a row. Columns show each ``every``-th example from the first on, or, by 0, some evenly over all. ``maps`` are
    the titles of columns that hold class indices, shown in the generated data set's colours.
    """

    file: str
    shows: str
    columns: Mapping[str, str]
    grid: str
    strips: Sequence[str]
    rows: int = 4
    blocks: int = 2
    every: int = 0
    maps: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its title, the words of its commands in order, its pictures, and the score that is its figure."""

    path: Path
    title: str
    commands: Sequence[Sequence[str]]
    pictures: Sequence[Picture]
    figure: str

    @property
    def name(self) -> str:
        """The page's name, by which it is asked for."""
        return self.path.stem


def read(path: Path) -> Page:
    """Read a page; raises ``TranslateError`` for one that has no command, or asks for a picture that is none."""
    text = path.read_text(encoding="utf-8")
    blocks = [block.replace("\\\n", " ") for block in _block.findall(text)]
    commands = [shlex.split(line) for block in blocks for line in block.splitlines() if line.strip()]
    if not commands or any(words[0] != "translate" for words in commands):
        raise TranslateError(f"{path} has no commands, or others than those of translate; write them as console blocks")
    asked = [yaml.safe_load(each) for each in _asked.findall(text)]
    figure = next((str(each.pop("figure")) for each in asked if "figure" in each), "")
    return Page(path, text.partition("\n")[0].lstrip("# "), commands, [_picture(each, path) for each in asked], figure)


def _picture(asked: dict[str, Any], path: Path) -> Picture:
    if len(_kinds & asked.keys()) != 1 or not {"file", "shows"} <= asked.keys():
        kinds = ", ".join(sorted(_kinds))
        raise TranslateError(
            f"{path} asks for a picture that is none; give its file, what it shows, and one of {kinds}"
        )
    return Picture(**{"columns": {}, "grid": "", "strips": (), **asked})


def pages(names: Sequence[str] = ()) -> list[Page]:
    """The pages of these names, or all; raises ``TranslateError`` for a name that no page has."""
    found = {path.stem: path for path in sorted(FOLDER.glob("*.md")) if path.stem != "README"}
    unknown = [name for name in names if name not in found]
    if unknown:
        raise TranslateError(f"there is no page {unknown[0]!r} in {FOLDER}; there are {', '.join(found)}")
    return [read(found[name]) for name in names or found]


def write_made(page: Page, text: str) -> None:
    """Put pictures and figures into the page, in the place that it has for them."""
    before = page.path.read_text(encoding="utf-8")
    if not _made.search(before):
        raise TranslateError(f"{page.path} has no place for what is made; add <!-- made: ... --> and <!-- end -->")
    page.path.write_text(_made.sub(lambda _: f"\n{text}\n\n", before, count=1), encoding="utf-8")


def made_in(page: Page) -> str:
    """The pictures and figures that the page has; empty where it was never run."""
    found = _made.search(page.path.read_text(encoding="utf-8"))
    return found[0].strip() if found else ""
