"""Optimizers and learning-rate schedules."""

from __future__ import annotations

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def optimizers() -> Mapping[str, str]:
    """Offer torch's optimizers with the usual defaults for GANs."""
    return {name: f"translate_optimizers.optimizer:{name}" for name in ("adam", "adamw", "sgd", "rmsprop")}


@hookimpl
def schedules() -> Mapping[str, str]:
    """Offer the learning-rate schedules."""
    return {name: f"translate_optimizers.schedule:{name}" for name in ("none", "linear", "cosine", "step")}
