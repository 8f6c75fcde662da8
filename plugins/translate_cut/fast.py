"""FastCUT: CUT without the identity loss, with a heavier contrastive loss and mirrored images."""

from __future__ import annotations

from translate.method import Parts
from translate_cut.method import (
    CUT,
    Adversarial,
    Discriminator,
    Features,
    FlipEquivariance,
    Gan,
    Generator,
    IdentityNce,
    Layers,
    Nce,
    Patches,
    Pool,
    Temperature,
)


class FastCUT(CUT):
    """The fast preset of cut: no identity loss, a heavier contrastive loss, mirrored inputs (Park et al. 2020).

    arXiv:2007.15651, section 4 and appendix C: lambda_X = 10, lambda_Y = 0. The generator's input is mirrored at random
    and its inner maps are mirrored back before they are compared with those of the source. Everything else is ``cut``.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        generator: Generator = "resnet",
        discriminator: Discriminator = "patch(norm=instance)",
        adversarial: Adversarial = "lsgan",
        gan: Gan = 2.0,
        nce: Nce = 10.0,
        identity_nce: IdentityNce = 0.0,
        layers: Layers = "",
        patches: Patches = 256,
        features: Features = 256,
        temperature: Temperature = 0.07,
        flip_equivariance: FlipEquivariance = True,
        pool: Pool = 0,
    ) -> None:
        super().__init__(
            parts,
            generator=generator,
            discriminator=discriminator,
            adversarial=adversarial,
            gan=gan,
            nce=nce,
            identity_nce=identity_nce,
            layers=layers,
            patches=patches,
            features=features,
            temperature=temperature,
            flip_equivariance=flip_equivariance,
            pool=pool,
        )
