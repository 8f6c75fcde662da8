"""Domain transfer that preserves the features of a frozen network."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method."""
    return {"dtn": "translate_dtn.method:DTN"}
