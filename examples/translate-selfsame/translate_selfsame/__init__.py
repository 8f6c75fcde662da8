"""A plugin for translate: the method ``selfsame``."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method by its import path, so that nothing heavy is imported until it is used."""
    return {"selfsame": "translate_selfsame.method:Selfsame"}
