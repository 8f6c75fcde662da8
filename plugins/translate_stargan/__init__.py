"""StarGAN v2: many domains, which are the classes of the data, and many styles of each."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def methods() -> Mapping[str, str]:
    """Offer the method."""
    return {"stargan": "translate_stargan.method:StarGAN"}


@hookimpl
def discriminators() -> Mapping[str, str]:
    """Offer the discriminator with a branch for each class."""
    return {"multi_branch": "translate_stargan.discriminator:MultiBranch"}
