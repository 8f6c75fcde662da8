"""Text from files, names and plugins, made safe for a terminal: control characters are escaped, long texts cut."""

from __future__ import annotations

import unicodedata

__all__ = [
    "printable",
]

LONGEST = 2000
"""Characters of one line that are shown."""


def printable(text: object, longest: int = LONGEST) -> str:
    r"""One line of text in which nothing controls the terminal that shows it.

    Control and format characters (escape sequences, BEL, CR, newlines, tabs, marks that reverse the direction of
    writing), line separators, and bytes of file names that are no text are written as escapes. Of a text longer than
    ``longest`` the beginning and the end are shown.

    >>> print(printable("a\x1b[2Jb\n.png"))
    a\x1b[2Jb\n.png
    >>> printable("x" * 9, longest=4)
    'xxx ... (5 characters left out) ... x'
    """
    shown = str(text)
    if len(shown) > longest:
        tail = longest // 4
        shown = f"{shown[: longest - tail]} ... ({len(shown) - longest} characters left out) ... {shown[-tail:]}"
    if shown.isascii() and shown.isprintable():
        return shown
    return "".join(map(_escaped, shown))


def _escaped(letter: str) -> str:
    # Cc, Cf, Cs, Co and Cn are control, format, surrogate, private and unassigned; Zl and Zp break lines.
    if unicodedata.category(letter)[0] != "C" and unicodedata.category(letter) not in ("Zl", "Zp"):
        return letter
    return letter.encode("unicode_escape", errors="surrogatepass").decode("ascii")
