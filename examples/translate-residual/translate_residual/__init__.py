"""A plugin for translate: the method ``residual`` and the loss ``charbonnier``."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method by its import path, so that nothing heavy is imported until it is used."""
    return {"residual": "translate_residual.method:Residual"}


@hookimpl
def losses() -> Mapping[str, str]:
    """Offer the loss."""
    return {"charbonnier": "translate_residual.loss:Charbonnier"}
