"""The supervised classifier."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method."""
    return {"classifier": "translate_classifier.method:Classifier"}
