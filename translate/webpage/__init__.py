"""Web pages: one HTML file of a template, its style, its script and its data, which asks nothing of a network.

Text from files only ever becomes text in it. A Content-Security-Policy allows its own script and style by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from translate.errors import TranslateError
from translate.images import open_regular

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~/")


def page_of(template: str, *, marker: str, title: str, style: str, script: str, data: Any) -> str:
    """A template filled in, as ASCII text: ``marker`` says who made it, and ``data`` are JSON values for the script."""
    filled = {
        "MARKER": marker,
        "STYLE_HASH": source_hash(style),
        "SCRIPT_HASH": source_hash(script),
        "TITLE": html.escape(title).encode("ascii", "xmlcharrefreplace").decode(),
        "STYLE": style,
        "DATA": json_in_html(data),
        "SCRIPT": script,
    }
    return fill(template, filled)


def fill(template: str, values: Mapping[str, str]) -> str:
    """A template with values in place of their names in double braces.

    >>> fill("<b>{{A}}</b>", {"A": "{{A}}"})
    '<b>{{A}}</b>'
    """
    # In one pass, so that nothing is looked for in what was put in.
    return re.sub(r"\{\{([A-Z_]+)\}\}", lambda found: values[found[1]], template)


def json_text(content: Any) -> str:
    """JSON as ASCII text, with null for numbers that are not finite, for one of which a browser would refuse it all.

    >>> json_text({"a": [1.5, float("nan")], "b": float("-inf")})
    '{"a":[1.5,null],"b":null}'
    """
    try:
        return json.dumps(content, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_finite(content), separators=(",", ":"), allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {name: _finite(each) for name, each in content.items()}
    return [_finite(each) for each in content] if isinstance(content, (list, tuple)) else content


def json_in_html(content: Any) -> str:
    r"""JSON as ASCII text that can stand in a script element: it holds no letter that begins or ends markup.

    >>> json_in_html(["</script>&"])
    '["\\u003c/script\\u003e\\u0026"]'
    """
    text = json_text(content)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def relative_url(path: str) -> str:
    """A relative URL for a path below a page's folder: every byte that is not plain is quoted.

    >>> relative_url("a b/<i>#1%.png")
    './a%20b/%3Ci%3E%231%25.png'
    """
    encoded = os.fsencode(path.replace(os.sep, "/"))
    return "./" + "".join(chr(byte) if chr(byte) in _PLAIN else f"%{byte:02X}" for byte in encoded)


def marker_of(command: str) -> str:
    """What marks a page as made by a command, among its first bytes."""
    return f'<meta name="generator" content="{command}">'


def refuse_foreign(page: Path, marker: str, advice: str) -> None:
    """Refuse to replace what is there under a page's name unless it bears the marker; ``advice`` says what to do.

    Raises ``TranslateError``.
    """
    if not page.exists() and not page.is_symlink():
        return
    try:
        with open_regular(page) as file:
            ours = not page.is_symlink() and marker.encode() in file.read(1024)
    except (OSError, TranslateError):
        ours = False
    if not ours:
        raise TranslateError(f"{page} {advice}")


def sources_of(package: str, scripts: Sequence[str] = ("page.js",)) -> tuple[str, str, str]:
    """The template, the style and the script of a package's page, the last two behind what all pages share."""
    template, style = _read(package, "page.html"), _read(__name__, "divider.css") + _read(package, "page.css")
    return template, style, _read(__name__, "shared.js") + "".join(_read(package, each) for each in scripts)


def _read(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text("ascii")


def source_hash(text: str) -> str:
    """A style or a script as a Content-Security-Policy allows it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
