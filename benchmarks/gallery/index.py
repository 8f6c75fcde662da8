"""The table of the gallery's first page: each page with its minutes and its figure."""

from __future__ import annotations

import re

from benchmarks.gallery.pages import FOLDER, Page, measured_in, pages
from translate.errors import TranslateError

_table = re.compile(
    r"(?<=^<!-- pages: python -m benchmarks.gallery -->\n).*?(?=^<!-- end -->$)", re.MULTILINE | re.DOTALL
)


def table() -> str:
    """The rows of all pages."""
    lines = ["| | methods | minutes | figure |", "|---|---|---|---|"]
    return "\n".join([*lines, *map(row, pages())])


def row(page: Page) -> str:
    """A page's row: its methods, how long its commands take, and its figure as ``evaluate`` has printed it."""
    methods = dict.fromkeys(words[2] for words in page.commands if words[1] == "fit")
    text = measured_in(page)
    minutes = re.match(r"([\d.]+) minutes", text)
    score = re.search(rf"^{re.escape(page.figure)} +(\S+(?: ± \S+)?)", text, re.MULTILINE) if page.figure else None
    figure = f"{page.figure} {score[1]}" if score else ""
    shown = ", ".join(f"`{name}`" for name in methods)
    return f"| [{page.title}]({page.path.name}) | {shown} | {minutes[1] if minutes else ''} | {figure} |"


def write() -> None:
    """Write the table into the first page."""
    path = FOLDER / "README.md"
    before = path.read_text(encoding="utf-8")
    if not _table.search(before):
        raise TranslateError(f"{path} has no place for the table of pages; add <!-- pages: ... --> and <!-- end -->")
    path.write_text(_table.sub(lambda _: f"\n{table()}\n\n", before, count=1), encoding="utf-8")
