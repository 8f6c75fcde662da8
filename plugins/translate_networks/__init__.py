"""Networks: generators, encoders and decoders, discriminators."""

from __future__ import annotations

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def generators() -> Mapping[str, str]:
    """Offer the image-to-image networks."""
    return {
        "unet": "translate_networks.unet:UNet",
        "resnet": "translate_networks.resnet:ResNet",
        "global_local": "translate_networks.global_local:GlobalLocal",
        "small_unet": "translate_networks.small:small_unet",
        "small_resnet": "translate_networks.small:small_resnet",
        "shallow": "translate_networks.shallow:Shallow",
    }


@hookimpl
def encoders() -> Mapping[str, str]:
    """Offer the networks from an image to a latent."""
    return {
        "residual": "translate_networks.residual:ResidualEncoder",
        "dcgan": "translate_networks.dcgan:DCGANEncoder",
    }


@hookimpl
def decoders() -> Mapping[str, str]:
    """Offer the networks from a latent to an image."""
    return {
        "residual": "translate_networks.residual:ResidualDecoder",
        "dcgan": "translate_networks.dcgan:DCGANDecoder",
        "mlp": "translate_networks.mlp:MLPDecoder",
    }


@hookimpl
def discriminators() -> Mapping[str, str]:
    """Offer the discriminators."""
    return {
        "patch": "translate_networks.patch:Patch",
        "small_patch": "translate_networks.small:small_patch",
        "two_headed": "translate_networks.two_headed:TwoHeaded",
        "multiscale": "translate_networks.multiscale:MultiScale",
        "dcgan": "translate_networks.dcgan_discriminator:DCGANDiscriminator",
        "semi_supervised": "translate_networks.semi_supervised:SemiSupervised",
        "auxiliary": "translate_networks.auxiliary:Auxiliary",
        "auxiliary_patch": "translate_networks.auxiliary_patch:AuxiliaryPatch",
        "mlp": "translate_networks.mlp:MLPDiscriminator",
        "projection": "translate_networks.projection:Projection",
        "concatenation": "translate_networks.concatenation:Concatenation",
    }
