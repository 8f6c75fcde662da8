"""Feature extractors: frozen pretrained networks."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def feature_extractors() -> Mapping[str, str]:
    """Offer the extractors."""
    return {
        "squeezenet": "translate_features.squeezenet:SqueezeNet",
        "inception": "translate_features.inception:Inception",
    }
