"""Losses: adversarial losses, losses on images, and penalties on discriminators."""

from __future__ import annotations

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def adversarial_losses() -> Mapping[str, str]:
    """Offer the two-sided losses of the game."""
    return {
        "minimax": "translate_losses.adversarial:Minimax",
        "nonsaturating": "translate_losses.adversarial:NonSaturating",
        "lsgan": "translate_losses.adversarial:LeastSquares",
        "hinge": "translate_losses.adversarial:Hinge",
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
    """Offer the penalties on discriminators."""
    return {
        "r1": "translate_losses.penalties:R1",
        "gradient_penalty": "translate_losses.penalties:GradientPenalty",
    }
