"""MNIST translated into known changes of itself, by pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.quality.rows.row import DIGITS, SMALL, SUPERVISED, Row


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


ROWS: Mapping[str, Row] = {
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
