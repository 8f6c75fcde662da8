"""UNIT: two domains with a shared latent space."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method."""
    return {"unit": "translate_unit.method:UNIT"}
