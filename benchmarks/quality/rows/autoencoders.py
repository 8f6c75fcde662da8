"""Autoencoders of digits, and what learns from few labels on top of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.quality.rows.few_labels import FEW, NETWORK
from benchmarks.quality.rows.row import BY_JUDGE, DIGITS, Row

CODED: Mapping[str, Any] = {
    **FEW,
    "batch": 64,
    "steps": 4000,
    "augment": ("affine(shift=0.07, rotate=10, shear=8, smallest=0.85, largest=1.15, fill=-1)",),
    "encoder": "dcgan(width=32, latent=32)",
    "decoder": "dcgan(width=32)",
    "likelihood": "gaussian",
    "scale": 0.7,
}
"""Of the autoencoder whose encoder recognizes digits afterwards; the wide likelihood leaves few nats in a code."""

WIDE: Mapping[str, Any] = {
    "augment": ("affine(shift=0.08, rotate=15, shear=12, smallest=0.7, largest=1.2, fill=-1)",),
    "steps": 4000,
}
"""Codes tell slants and sizes as well as digits: a head must see that they do not matter."""


def on_features(labels: int) -> dict[str, Row]:
    """An autoencoder that saw no label, and what learns from so many labels on top of it."""
    layout = f"arrays(labels_per_class={labels // 10}, label_seed=SEED)"
    few_labels = {**FEW, **WIDE, "layout": layout, "domain": "target"}
    features = {**few_labels, "features": "{vae-features}", "hidden": 512}
    return {
        "vae-features": Row(
            "the autoencoder of MNIST, without labels, whose encoder the next rows use",
            "vae",
            "mnist",
            CODED,
            {"forward": ("elbo",)},
        ),
        f"vae-frozen-{labels}": Row(
            f"{labels} labels, on the frozen encoder of the autoencoder",
            "classifier",
            "mnist",
            features,
            {"classify": ("classification_error",)},
        ),
        f"vae-finetuned-{labels}": Row(
            f"{labels} labels, the encoder of the autoencoder trained on",
            "classifier",
            "mnist",
            {
                **features,
                "finetune": True,
                "optimizer": ("adam(lr=0.001)", "features=adam(lr=0.0003, betas=(0.9, 0.999))"),
            },
            {"classify": ("classification_error",)},
        ),
        f"supervised-wide-{labels}": Row(
            f"the network of supervised-{labels}, with the augmentation and the steps of the two rows above",
            "classifier",
            "mnist",
            {**few_labels, "network": NETWORK},
            {"classify": ("classification_error",)},
        ),
    }


AUTOENCODER: Mapping[str, Any] = {
    **DIGITS,
    "batch": 64,
    "steps": 5000,
    "encoder": "dcgan(width=32)",
    "decoder": "dcgan(width=32)",
    "optimizer": ("adam(lr=0.001)",),
    "ema": 0.99,
}
"""Of the autoencoders that are measured for themselves."""


ROWS: Mapping[str, Row] = {
    **on_features(100),
    "vae": Row(
        "MNIST, no label",
        "vae",
        "mnist",
        AUTOENCODER,
        {"forward": ("elbo",), "sample": (BY_JUDGE,)},
    ),
    "vaegan": Row(
        "MNIST, no label; its bound is that of the likelihood of vae, which it is not trained by",
        "vaegan",
        "mnist",
        # A step takes more than twice the time of one of vae, so in 2,000 both have had about as many minutes.
        {
            **AUTOENCODER,
            "steps": 2000,
            "discriminator": "small_patch(width=16)",
            "optimizer": ("adam(lr=0.0005)",),
        },
        {"forward": ("elbo(likelihood=laplace)",), "sample": (BY_JUDGE,)},
    ),
}
