"""A plugin for translate: the loss ``perceptual``."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def losses() -> Mapping[str, str]:
    """Offer the loss."""
    return {"perceptual": "translate_perceptual.loss:Perceptual"}
