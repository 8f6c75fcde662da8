"""Networks of other projects: readers of their state dicts, and the method that keeps one generator alone."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method."""
    return {"regression": "translate_foreign.regression:Regression"}


@hookimpl
def importers() -> Mapping[str, str]:
    """Offer the readers."""
    return {"cyclegan_pix2pix": "translate_foreign.generators:read_generator"}
