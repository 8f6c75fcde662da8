"""Variational autoencoders, with and without a discriminator's eye for likeness."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method."""
    return {"vae": "translate_vaegan.vae:VAE", "vaegan": "translate_vaegan.method:VAEGAN"}
