"""Semi-supervised discriminators: classes from few labels, with a generator's help."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method."""
    return {"sgan": "translate_sgan.method:SGAN"}
