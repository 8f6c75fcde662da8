"""The rows of the digits' table: method, data, options and what is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DIGITS: Mapping[str, Any] = {"size": 32, "load_size": 32, "flip": False, "log_every": 100}
"""What the rows share: nothing is cropped, and no digit is mirrored."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: what is trained on which arrays, and what of it is measured, by direction ("" for the only one).

    An option ``{name}`` stands for the run of another row with the same seed; ``{mnist}`` in a metric for the judge of
    that domain, a classifier trained on all its real labels.
    """

    about: str
    method: str
    data: str
    options: Mapping[str, Any]
    metrics: Mapping[str, Sequence[str]]
    cycle: bool = False
    """Whether the error of translating there and back is measured, too."""


JUDGED_MNIST = "content_accuracy(classifier='{mnist}')"
JUDGED_USPS = "content_accuracy(classifier='{usps}')"

SUPERVISED: Mapping[str, Any] = {
    # A judge sees digits as they are: one trained on moved or scaled ones reads untranslated digits just as well.
    **DIGITS,
    "batch": 64,
    "steps": 3000,
    "optimizer": ("adam(lr=0.001, betas=(0.9, 0.999))",),
    "ema": 0.99,
}

FEW: Mapping[str, Any] = {
    **DIGITS,
    "size": 28,
    "load_size": 28,
    "batch": 50,
    "augment": ("affine(shift=0.07, fill=-1)",),
    "optimizer": ("adam(lr=0.001)",),
    "ema": 0.999,
}
"""Of the rows with few labels; both the semi-supervised and the supervised ones move digits by up to 2 px."""

NETWORK = "semi_supervised(noise=0.3)"


def few(labels: int) -> dict[str, Row]:
    """The rows with so many labels: with all other digits unlabelled, and without them."""
    layout = f"arrays(labels_per_class={labels // 10}, label_seed=SEED)"
    return {
        f"sgan-{labels}": Row(
            f"MNIST with {labels} labels, the other digits unlabelled",
            "sgan",
            "mnist",
            {
                **FEW,
                "layout": layout,
                "steps": 5000 if labels >= 100 else 3000,
                "generator": "dcgan(width=32)",
                "discriminator": NETWORK,
            },
            {"classify": ("classification_error",)},
        ),
        f"supervised-{labels}": Row(
            f"the same network with the {labels} labels alone",
            "classifier",
            "mnist",
            {**FEW, "layout": layout, "steps": 2000, "network": NETWORK, "domain": "target"},
            {"classify": ("classification_error",)},
        ),
    }


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

BY_JUDGE = "frechet(extractor='{mnist}')"
"""The distance of sets in the features of the judge of MNIST."""

TO_MNIST = (JUDGED_MNIST, BY_JUDGE)
TO_USPS = (JUDGED_USPS, "frechet(extractor='{usps}')")
"""Content, and whether translations look like the target: what copies its source has the first and not the second."""


SMALL: Mapping[str, Any] = {
    "batch": 16,
    "generator": "small_unet(norm=instance)",
    "discriminator": "small_patch(width=16)",
    "optimizer": ("adam(lr=0.0005)",),
    "ema": 0.99,
}
"""Small networks for translating digits."""


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


def known(change: str) -> dict[str, Row]:
    """A judge of changed digits, and pix2pix, which learns the change from pairs."""
    return {
        f"classifier-{change}": Row(
            f"the judge of {change} MNIST",
            "classifier",
            f"mnist-{change}",
            {**SUPERVISED, "domain": "target"},
            {"classify": ("classification_error",)},
        ),
        f"pix2pix-{change}": Row(
            f"MNIST to {change} MNIST, pairs",
            "pix2pix",
            f"mnist-{change}",
            # What lies elsewhere in the target is no matter for skip connections, which carry all to where it was.
            {**DIGITS, **SMALL, "generator": "small_resnet" if change == "rotated" else "small_unet", "steps": 2500},
            {"": (f"content_accuracy(classifier='{{{change}}}')", "psnr")},
        ),
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

PIXELS: Mapping[str, Any] = {
    **DIGITS,
    "size": 28,
    "load_size": 28,
    "batch": 8,
    "steps": 1000,
    "levels": 16,
    "layers": 5,
    "optimizer": ("adam(lr=0.002, betas=(0.9, 0.999))",),
    "sample_every": 1000,
}

ROWS: dict[str, Row] = {
    "classifier-usps": Row(
        "the judge of USPS, and the fixed network that sees USPS",
        "classifier",
        "usps",
        SUPERVISED,
        {"classify": ("classification_error",)},
    ),
    "classifier-mnist": Row(
        "the judge of MNIST, and the fixed network that sees MNIST",
        "classifier",
        "mnist",
        SUPERVISED,
        {"classify": ("classification_error",)},
    ),
    **few(100),
    **few(50),
    **few(20),
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
        {**AUTOENCODER, "discriminator": "small_patch(width=16)", "optimizer": ("adam(lr=0.0005)",)},
        {"forward": ("elbo(likelihood=laplace)",), "sample": (BY_JUDGE,)},
    ),
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
    **known("inverted"),
    **known("rotated"),
    **known("blurred"),
    "pixelcnn": Row(
        "MNIST inverted, 16 levels, given the source",
        "pixelcnn",
        "mnist-inverted",
        PIXELS,
        {"forward": ("bits_per_dim",)},
    ),
    "pixelcnn-alone": Row(
        "MNIST inverted, 16 levels, without the source",
        "pixelcnn",
        "mnist-inverted",
        {**PIXELS, "conditional": False},
        {"sample": ("bits_per_dim",)},
    ),
}
