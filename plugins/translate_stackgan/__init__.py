"""StackGAN: a coarse image first, its refinement after."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method."""
    return {"stackgan": "translate_stackgan.method:StackGAN"}
