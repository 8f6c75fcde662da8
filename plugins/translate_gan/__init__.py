"""The plain adversarial baseline, and GcGAN's geometric consistency."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method."""
    return {"gan": "translate_gan.method:DirectGAN"}
