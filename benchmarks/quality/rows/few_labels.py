"""Digits recognized from few labels, with and without the unlabelled ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.quality.rows.row import DIGITS, Row

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


ROWS: Mapping[str, Row] = {
    **few(100),
    **few(50),
    **few(20),
}
