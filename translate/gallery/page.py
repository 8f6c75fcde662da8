"""Page: one HTML file of a gallery's records. Text from files only ever becomes text in it, and nothing is loaded from
elsewhere but images beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from translate import webpage
from translate.gallery.records import Record
from translate.terminal import printable
from translate.webpage import marker_of, relative_url

MARKER = marker_of("translate --gallery")


def page_of(records: Iterable[Record], root: Path, folder: Path) -> str:
    """The page as ASCII text: it lies in ``root``, with the previews in ``folder`` below it."""
    template, style, script = webpage.sources_of("translate.gallery")
    return webpage.page_of(
        template,
        marker=MARKER,
        title=f"{printable(root.resolve().name) or 'Gallery'}: before and after",
        style=style,
        script=script,
        data=[_entry(each, root, folder) for each in records],
    )


def _entry(record: Record, root: Path, folder: Path) -> Mapping[str, Any]:
    """A record as the page's script reads it: every text is shown as text, every link is a quoted URL."""
    shown = record.shown
    gone = next((each for each in record.outputs if not (root / each).is_file()), None)
    reason = record.reason
    if reason is None and gone is not None:
        reason = f"its output {gone} is no longer there"

    def preview(name: str | None) -> str | None:
        return None if name is None else relative_url(f"{folder.as_posix()}/{name}")

    after = [
        preview(name) or (relative_url(record.outputs[number]) if number < len(record.outputs) else None)
        for number, name in enumerate(shown.after)
    ]
    entry = {
        "name": printable(record.name),
        "thumbnail": preview(shown.thumbnail),
        "before": preview(shown.before),
        "after": after,
        "files": [[printable(each), relative_url(each)] for each in record.outputs],
        "size": shown.size,
        "alpha": shown.alpha,
        "reason": None if reason is None else printable(reason),
        "seconds": None if record.seconds is None else round(record.seconds, 3),
    }
    return {key: value for key, value in entry.items() if value not in (None, False, [])}
