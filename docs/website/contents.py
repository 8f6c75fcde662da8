"""Tables of contents, out of the links of each folder's README.

A forge shows a table of contents of Sphinx as code, so no page has one. A README lists its folder's pages anyway, by
links; they are the table of contents here. That of the start page has its headings.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def links(text: str) -> list[str]:
    """The pages that a text links, without suffix and place, each once, in their order."""
    found = re.findall(r"\]\(([\w./-]+)\.(?:md|rst)\)", text)
    return list(dict.fromkeys(found))


def sections(text: str) -> list[tuple[str, list[str]]]:
    """The headings of a page's second level, each with the pages that its section links."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return [(title, links(part)) for title, part in zip(parts[1::2], parts[2::2], strict=True)]


def toctree(pages: list[str], caption: str = "") -> str:
    """A hidden table of contents in MyST."""
    options = [f":caption: {caption}"] if caption else []
    return "\n".join(["", "```{toctree}", ":hidden:", *options, "", *pages, "```", ""])


def with_contents(name: str, text: str, known: set[str], root: str) -> str:
    """The source of a page with the tables of contents that its links make.

    ``known`` has the names of all pages. The start page ``root`` has a table for each of its sections; the README of
    any other folder one, of the pages beside it, those that it links first.
    """
    folder, _, page = name.rpartition("/")
    if page != "README" or not folder.startswith("docs"):
        return text
    if name != root:
        there = sorted(each.rpartition("/")[2] for each in known - {name} if each.rpartition("/")[0] == folder)
        first = [each for each in links(text) if each in there]
        return text + toctree([*first, *(each for each in there if each not in first)]) if there else text
    seen: set[str] = set()
    for title, pages in sections(text):
        fresh = [each for each in pages if each not in seen]
        missing = [each for each in fresh if posixpath.normpath(f"{folder}/{each}") not in known]
        if missing:
            raise ValueError(f"{name} links pages that are not there: {', '.join(missing)}")
        seen |= set(fresh)
        if fresh:
            text += toctree(fresh, title)
    return text


def _read(app: Sphinx, name: str, source: list[str]) -> None:
    source[0] = with_contents(name, source[0], app.env.found_docs, app.config.root_doc)


def setup(app: Sphinx) -> dict[str, Any]:
    """Complete each page as it is read."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
