"""pix2pixHD: paired translation at high resolution, coarse to fine."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method."""
    return {"pix2pixhd": "translate_pix2pixhd.method:Pix2PixHD"}
