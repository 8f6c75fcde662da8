"""Page: one HTML file of a gallery's records. Text from files only ever becomes text in it, and nothing is loaded from
elsewhere: a Content-Security-Policy allows its own script and style by their hashes, and images beside it.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from translate.gallery.records import Record
from translate.terminal import printable

MARKER = '<meta name="generator" content="translate --gallery">'
"""What marks a page as made here, among its first bytes."""

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~/")


def page_of(records: Iterable[Record], root: Path, folder: Path) -> str:
    """The page as ASCII text: it lies in ``root``, with the previews in ``folder`` below it."""
    listed = [_entry(each, root, folder) for each in records]
    style, script = _template("page.css"), _template("page.js")
    title = f"{printable(root.resolve().name) or 'Gallery'}: before and after"
    filled = {
        "MARKER": MARKER,
        "STYLE_HASH": _hash(style),
        "SCRIPT_HASH": _hash(script),
        "TITLE": html.escape(title).encode("ascii", "xmlcharrefreplace").decode(),
        "STYLE": style,
        "RECORDS": json_in_html(listed),
        "SCRIPT": script,
    }
    # In one pass, so that nothing is looked for in what was put in.
    return re.sub(r"\{\{([A-Z_]+)\}\}", lambda found: filled[found[1]], _template("page.html"))


def json_in_html(content: Any) -> str:
    r"""JSON as ASCII text that can stand in a script element: it holds no letter that begins or ends markup.

    >>> json_in_html(["</script>&"])
    '["\\u003c/script\\u003e\\u0026"]'
    """
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def quoted(path: str) -> str:
    """A relative URL for a path below a page's folder: every byte that is not plain is quoted.

    >>> quoted("a b/<i>#1%.png")
    './a%20b/%3Ci%3E%231%25.png'
    """
    encoded = os.fsencode(path.replace(os.sep, "/"))
    return "./" + "".join(chr(byte) if chr(byte) in _PLAIN else f"%{byte:02X}" for byte in encoded)


def _entry(record: Record, root: Path, folder: Path) -> Mapping[str, Any]:
    """A record as the page's script reads it: every text is shown as text, every link is a quoted URL."""
    shown = record.shown
    gone = next((each for each in record.outputs if not (root / each).is_file()), None)
    reason = record.reason
    if reason is None and gone is not None:
        reason = f"its output {gone} is no longer there"

    def preview(name: str | None) -> str | None:
        return None if name is None else quoted(f"{folder.as_posix()}/{name}")

    after = [
        preview(name) or (quoted(record.outputs[number]) if number < len(record.outputs) else None)
        for number, name in enumerate(shown.after)
    ]
    entry = {
        "name": printable(record.name),
        "thumbnail": preview(shown.thumbnail),
        "before": preview(shown.before),
        "after": after,
        "files": [[printable(each), quoted(each)] for each in record.outputs],
        "size": shown.size,
        "alpha": shown.alpha,
        "reason": None if reason is None else printable(reason),
        "seconds": None if record.seconds is None else round(record.seconds, 3),
    }
    return {key: value for key, value in entry.items() if value not in (None, False, [])}


def _template(name: str) -> str:
    return files("translate.gallery").joinpath(name).read_text("ascii")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
