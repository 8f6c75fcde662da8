"""USPS and MNIST, translated into one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.quality.rows.row import DIGITS, JUDGED_MNIST, JUDGED_USPS, SMALL, SUPERVISED, TO_MNIST, TO_USPS, Row


def dtn(source: str, target: str) -> dict[str, Row]:
    """What sees the source, trained on its labels alone, and the translation that preserves it."""
    judge = JUDGED_MNIST if target == "mnist" else JUDGED_USPS
    kept: Mapping[str, Any]
    # USPS fills its frame and MNIST does not: what sees one must have seen it as small, or as large, as the other.
    if source == "usps":
        scales, learned, steps, kept = "smallest=0.6, largest=1.1", 1500, 1500, {"distance": "cosine"}
    else:
        # A fixed network tells sizes apart, and held to strictly it keeps MNIST's small digits small.
        scales, learned, steps, kept = "smallest=0.7, largest=1.5", 5000, 2000, {"distance": "mse", "alpha": 0.2}
    return {
        f"features-{source}": Row(
            f"the fixed network of dtn, trained on the labels of {source.upper()} with strong affine changes",
            "classifier",
            source,
            {
                **SUPERVISED,
                "steps": learned,
                "augment": (f"affine(shift=0.08, rotate=15, shear=12, {scales}, fill=-1)",),
            },
            {"classify": ("classification_error",)},
        ),
        f"dtn-{source}-{target}": Row(
            f"{source.upper()} to {target.upper()}, its fixed network trained on the source's labels",
            "dtn",
            f"{source}-{target}",
            {
                **DIGITS,
                "features": f"{{features-{source}}}",
                "batch": 32,
                "steps": steps,
                "decoder": "dcgan(width=16)",
                "discriminator": "semi_supervised(width=16)",
                **kept,
                "optimizer": ("adam(lr=0.0005)",),
                "ema": 0.99,
            },
            {"": (judge,)},
        ),
    }


UNIT: Mapping[str, Any] = {
    **DIGITS,
    "batch": 32,
    "steps": 1200,
    "encoder": "residual(width=16, fold=yes)",
    "decoder": "residual(width=16, fold=yes)",
    "discriminator": "auxiliary",
    "optimizer": ("adam(lr=0.001)",),
    "ema": 0.99,
}
"""Codes are maps: flat ones, which forget where things were, lose the class on the way (see docs/results.md)."""


HELPED: Mapping[str, Any] = {
    **DIGITS,
    **SMALL,
    "steps": 2000,
    "discriminator": "semi_supervised(width=16, noise=0.3)",
    "adversarial": "nonsaturating",
    "gan": 1.0,
    "semantic": 1.0,
}
"""Of cyclegan with an adversary that knows classes, in the game of the paper that has it."""


def gan(source: str, target: str, judge: str) -> dict[str, Row]:
    """The baseline that nothing holds to its source, one way."""
    return {
        f"gan-{source}-{target}": Row(
            f"{source.upper()} to {target.upper()}, nothing but a discriminator",
            "gan",
            f"{source}-{target}",
            {**DIGITS, **SMALL, "steps": 2500},
            {"": (judge,)},
        )
    }


def cut(source: str, target: str, metrics: Sequence[str]) -> dict[str, Row]:
    """A translation held to its source by its patches, one way."""
    return {
        f"cut-{source}-{target}": Row(
            f"{source.upper()} to {target.upper()}, patches of source and translation compared, no label",
            "cut",
            f"{source}-{target}",
            # Of small networks the published projector would take most of a step. A residual generator moves and
            # shrinks digits, which a U-Net, whose skip connections keep them where they were, breaks or copies.
            {
                **DIGITS,
                **SMALL,
                "generator": "small_resnet",
                "steps": 2000,
                "patches": 64,
                "features": 64,
                "identity_nce": 0.0,
            },
            {"": metrics},
        )
    }


FLOW: Mapping[str, Any] = {
    "batch": 16,
    "steps": 1000,
    "couplings": "convolutions(width=32)",
    "scales": 3,
    # The authors' 1e-4 for a nat of an image is 0.07 for a bit of each of 1,024 values; with the default of 3.4 the
    # likelihood leaves the adversaries little to say.
    "likelihood": 0.3,
    "discriminator": "small_patch(width=16)",
    "optimizer": ("adam(lr=0.0005)",),
    "clip_norm": 10.0,
    "ema": 0.99,
}
"""Couplings that are narrow enough for a CPU."""


ROWS: Mapping[str, Row] = {
    **dtn("usps", "mnist"),
    **dtn("mnist", "usps"),
    "unit-usps-mnist": Row(
        "USPS to MNIST, the discriminators helped by USPS's labels",
        "unit",
        "usps-mnist",
        # A judge of whole images pulls this way's translations to other classes in some runs, one of patches does not.
        {**UNIT, "discriminator": "auxiliary_patch(width=16, tied=2)", "classify": 10.0, "steps": 2400},
        {"forward": (JUDGED_MNIST,), "classify": ("classification_error",)},
    ),
    "unit-mnist-usps": Row(
        "MNIST to USPS, the discriminators helped by MNIST's labels",
        "unit",
        "mnist-usps",
        {**UNIT, "classify": 10.0},
        {"forward": (JUDGED_USPS,), "classify": ("classification_error",)},
    ),
    "unit": Row(
        "both ways, no label",
        "unit",
        "usps-mnist",
        {**UNIT, "discriminator": "small_patch(width=16)"},
        {"forward": (JUDGED_MNIST,), "backward": (JUDGED_USPS,)},
    ),
    "unit-bf16": Row(
        "the same in bf16, whose scores should be those of float32",
        "unit",
        "usps-mnist",
        {**UNIT, "discriminator": "small_patch(width=16)", "precision": "bf16"},
        {"forward": (JUDGED_MNIST,), "backward": (JUDGED_USPS,)},
    ),
    "cyclegan": Row(
        "both ways, no label",
        "cyclegan",
        "usps-mnist",
        {**DIGITS, **SMALL, "steps": 2000},
        {"forward": TO_MNIST, "backward": TO_USPS},
        cycle=True,
    ),
    "flow": Row(
        "both ways, no label, by adversaries and likelihoods",
        "flow",
        "usps-mnist",
        {**DIGITS, **FLOW},
        {"forward": (*TO_MNIST, "bits_per_dim"), "backward": (*TO_USPS, "bits_per_dim")},
        cycle=True,
    ),
    "flow-likelihood": Row(
        "both ways, no label, by likelihoods alone",
        "flow",
        "usps-mnist",
        {**DIGITS, **FLOW, "gan": 0.0},
        {"forward": (JUDGED_MNIST, "bits_per_dim"), "backward": (JUDGED_USPS, "bits_per_dim")},
        cycle=True,
    ),
    "cyclegan-sgan": Row(
        "with an adversary that knows ten labels a class of MNIST, USPS labelled",
        "cyclegan",
        "usps-mnistten",
        HELPED,
        {"forward": (JUDGED_MNIST,), "backward": (JUDGED_USPS,)},
    ),
    **gan("usps", "mnist", JUDGED_MNIST),
    **gan("mnist", "usps", JUDGED_USPS),
    **cut("usps", "mnist", TO_MNIST),
    **cut("mnist", "usps", TO_USPS),
}
