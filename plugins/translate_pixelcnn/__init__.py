"""PixelCNN: one player, no discriminator, exact likelihood."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method."""
    return {"pixelcnn": "translate_pixelcnn.method:PixelCNN"}
