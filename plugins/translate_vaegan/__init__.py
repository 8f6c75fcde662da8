"""Variational autoencoders, with pixel or discriminator-feature likelihoods."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method."""
    return {"vae": "translate_vaegan.vae:VAE", "vaegan": "translate_vaegan.method:VAEGAN"}
