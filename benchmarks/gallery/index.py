"""The tables of the gallery's first page: each page with its minutes and its figure, and those that were never run."""

from __future__ import annotations

import re

from benchmarks.gallery.pages import FOLDER, Page, made_in, pages
from translate.errors import TranslateError

_table = re.compile(
    r"(?<=^<!-- pages: python -m benchmarks.gallery -->\n).*?(?=^<!-- end -->$)", re.MULTILINE | re.DOTALL
)


def table() -> str:
    """The rows of all pages that have pictures, and the names and methods of the others."""
    shown = [page for page in pages() if made_in(page)]
    waiting = [page for page in pages() if not made_in(page)]
    lines = ["| | methods | minutes of a core | figure |", "|---|---|---|---|", *map(row, shown)]
    if waiting:
        lines += [
            "",
            "Not shown yet; the commands are there, and `python -m benchmarks.gallery PAGE` makes the rest:",
            "",
        ]
        lines += ["| | methods | page |", "|---|---|---|"]
        lines += [f"| [{page.title}]({page.path.name}) | {_methods(page)} | `{page.name}` |" for page in waiting]
    return "\n".join(lines)


def row(page: Page) -> str:
    """A page's row: its methods, how long its commands take, and its figure, as ``evaluate`` printed it last."""
    text = made_in(page)
    minutes = re.search(r"^([\d.]+) minutes", text, re.MULTILINE)
    scores = re.findall(rf"^{re.escape(page.figure)} +(\S+(?: ± \S+)?)", text, re.MULTILINE) if page.figure else []
    figure = f"{page.figure} {scores[-1]}" if scores else ""
    return f"| [{page.title}]({page.path.name}) | {_methods(page)} | {minutes[1] if minutes else ''} | {figure} |"


def _methods(page: Page) -> str:
    names = dict.fromkeys(words[2] for words in page.commands if words[1] == "fit")
    return ", ".join(f"[`{name}`](../methods/{name}.md)" for name in names)


def write() -> None:
    """Write the tables into the first page."""
    path = FOLDER / "README.md"
    before = path.read_text(encoding="utf-8")
    if not _table.search(before):
        raise TranslateError(f"{path} has no place for the table of pages; add <!-- pages: ... --> and <!-- end -->")
    path.write_text(_table.sub(lambda _: f"\n{table()}\n\n", before, count=1), encoding="utf-8")
