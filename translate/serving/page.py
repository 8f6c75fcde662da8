"""The page of the server: one document with its style and script, which asks nothing of any other place."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from translate.terminal import printable
from translate.webpage import fill, json_in_html, source_hash, sources_of


class Page:
    """The page's ``text``, and the Content-Security-Policy under which it is shown."""

    def __init__(self, description: Mapping[str, Any]) -> None:
        template, style, script = sources_of("translate.serving")
        title = html.escape(f"{printable(description['name'])}: translate images")
        filled = {
            "TITLE": title.encode("ascii", "xmlcharrefreplace").decode(),
            "STYLE": style,
            "DESCRIPTION": json_in_html(description),
            "SCRIPT": script,
        }
        self.text = fill(template, filled)
        self.policy = (
            f"default-src 'none'; img-src 'self' blob: data:; connect-src 'self'; style-src {source_hash(style)}; "
            f"script-src {source_hash(script)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
