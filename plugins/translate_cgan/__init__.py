"""Conditional GANs: images from a class, or from vectors that the user brings."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method."""
    return {"cgan": "translate_cgan.method:CGAN"}
