"""The page of the server: one document with its style and script, which asks nothing of any other place."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from translate.terminal import printable
from translate.webpage import json_in_html


class Page:
    """The page's ``text``, and the Content-Security-Policy under which it is shown."""

    def __init__(self, description: Mapping[str, Any]) -> None:
        style, script = _template("page.css"), _template("page.js")
        title = html.escape(f"{printable(description['name'])}: translate images")
        filled = {
            "TITLE": title.encode("ascii", "xmlcharrefreplace").decode(),
            "STYLE": style,
            "DESCRIPTION": json_in_html(description),
            "SCRIPT": script,
        }
        # In one pass, so that nothing is looked for in what was put in.
        self.text = re.sub(r"\{\{([A-Z]+)\}\}", lambda found: filled[found[1]], _template("page.html"))
        self.policy = (
            f"default-src 'none'; img-src 'self' blob: data:; connect-src 'self'; style-src {_hash(style)}; "
            f"script-src {_hash(script)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )


def _template(name: str) -> str:
    return files("translate.serving").joinpath(name).read_text("utf-8").removesuffix("\n")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
