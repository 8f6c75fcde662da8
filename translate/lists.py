"""Lists: several parts in one text, with commas between them."""

from __future__ import annotations


def split_list(text: str) -> list[str]:
    """The parts of a text between commas that stand outside of brackets and quotes, without surrounding spaces.

    >>> split_list("psnr, kid(extractor=small, scaled=yes),'a,b'")
    ['psnr', 'kid(extractor=small, scaled=yes)', "'a,b'"]
    """
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        else:
            depth += (letter in "([") - (letter in ")]")
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]
