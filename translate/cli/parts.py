"""A part as the command line describes it: what it is, who offers it, and its options."""

from __future__ import annotations

from translate.errors import TranslateError, nearest
from translate.options import describe, options_of
from translate.plugins import Catalog


def describe_part(catalog: Catalog, name: str) -> list[str]:
    """Describe all parts of a name and their options, as lines for a terminal."""
    found = [offers[name] for kind in catalog.kinds if name in (offers := catalog.offers(kind))]
    if not found:
        known = sorted({each for kind in catalog.kinds for each in catalog.offers(kind)})
        raise TranslateError(f"nothing is offered by the name {name!r}; {nearest(name, known)}")
    lines: list[str] = []
    for offer in found:
        lines.append(f"{name}, one of the {offer.kind.replace('_', ' ')} of {offer.plugin}")
        lines.append(f"    {offer.summary}")
        for parameter in options_of(offer.load()).values():
            default = "" if parameter.required else f" [default: {parameter.default}]"
            lines.append(f"    {parameter.name}: {describe(parameter)}{default}")
            lines.append(f"        {parameter.option.help}")
    return lines
