"""MNIST turned by a bridge between both images, in one pass and in ten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.quality.rows.row import DIGITS, Measured, Row

TURN: Mapping[str, Any] = {
    **DIGITS,
    "batch": 16,
    "steps": 2500,
    # What lies elsewhere in the target must get through the coarsest scale, here of 4 x 4 places.
    "denoiser": "unet(width=16, multipliers=(1, 2, 4, 8), blocks=1)",
    "optimizer": ("adam(lr=0.001, betas=(0.9, 0.999))",),
    "ema": 0.99,
}

FEW: Mapping[str, Mapping[str, Any]] = {"1-pass": {"passes": 1}, "10-passes": {"passes": 10}}


def turned(about: str, given: Mapping[str, Mapping[str, Any]], **options: Any) -> Row:
    """A row of the quarter turn, measured once for each thing that its network is given."""
    metrics = ("content_accuracy(classifier='{rotated}')", "psnr")
    measured = {name: Measured(metrics, each) for name, each in given.items()}
    return Row(about, "bridge", "mnist-rotated", {**TURN, **options}, {}, measured=measured)


ROWS: Mapping[str, Row] = {
    "bridge-rotated": turned(
        "MNIST to rotated MNIST, pairs, by a bridge with noise",
        {**FEW, "10-passes-without-noise": {"passes": 10, "stochastic": False}},
        # Of less noise, x_t shows the target soon, and how it follows from the source is hardly learned.
        diffusion="constant",
        noise=2.0,
        prediction="difference",
    ),
    "bridge-flow-rotated": turned(
        "MNIST to rotated MNIST, pairs, by flow matching",
        FEW,
        diffusion="constant",
        noise=0.0,
        # With the source beside x_t, its target is read off everywhere but at the source.
        conditional=False,
    ),
}
