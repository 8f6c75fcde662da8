"""Losses: adversarial losses, losses on images, and regularizers of discriminators."""

from __future__ import annotations

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def adversarial_losses() -> Mapping[str, str]:
    """Offer the adversarial losses, each with a discriminator and a generator side."""
    return {
        "minimax": "translate_losses.adversarial:Minimax",
        "nonsaturating": "translate_losses.adversarial:NonSaturating",
        "lsgan": "translate_losses.adversarial:LeastSquares",
        "hinge": "translate_losses.adversarial:Hinge",
        "wasserstein": "translate_losses.adversarial:Wasserstein",
        "fgan": "translate_losses.divergences:FGAN",
        "relativistic": "translate_losses.relativistic:RelativisticAverage",
    }


@hookimpl
def losses() -> Mapping[str, str]:
    """Offer the losses on images."""
    return {
        "l1": "translate_losses.image:L1",
        "l2": "translate_losses.image:L2",
        "total_variation": "translate_losses.image:TotalVariation",
    }


@hookimpl
def regularizers() -> Mapping[str, str]:
    """Offer the regularizers of a discriminator: penalties, constraints, augmentation, several updates (n_critic)."""
    return {
        "r1": "translate_losses.penalties:R1",
        "gradient_penalty": "translate_losses.penalties:GradientPenalty",
        "dragan": "translate_losses.penalties:Dragan",
        "clip": "translate_losses.constraints:Clip",
        "spectral_norm": "translate_losses.constraints:SpectralNorm",
        "critic": "translate_losses.constraints:Critic",
        "diffaugment": "translate_losses.diffaugment:DiffAugment",
    }
