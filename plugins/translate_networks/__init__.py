"""Networks: the generators and discriminators of the convolutional line."""

from __future__ import annotations

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def generators() -> Mapping[str, str]:
    """Offer the image to image networks."""
    return {"unet": "translate_networks.unet:UNet", "resnet": "translate_networks.resnet:ResNet"}


@hookimpl
def discriminators() -> Mapping[str, str]:
    """Offer the networks that judge images."""
    return {"patch": "translate_networks.patch:Patch", "two_headed": "translate_networks.two_headed:TwoHeaded"}
