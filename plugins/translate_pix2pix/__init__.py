"""pix2pix: conditional adversarial networks for paired images."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method."""
    return {"pix2pix": "translate_pix2pix.method:Pix2Pix"}


@hookimpl
def plain_loops() -> Mapping[str, str]:
    """Offer its plain training loop, written by hand."""
    return {"pix2pix": "translate_pix2pix.plain:PlainPix2Pix"}
