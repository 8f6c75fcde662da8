"""Semi-supervised GANs: a classifier from few labels, and a generator."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method."""
    return {"sgan": "translate_sgan.method:SGAN"}
