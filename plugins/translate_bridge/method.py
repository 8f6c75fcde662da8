"""The bridge: paired translation in several passes, by a denoiser of what lies between source and target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import torch
from torch import nn

from translate.errors import TranslateError
from translate.holes import check_domains, hole_of, mean_in_hole
from translate.method import Batch, Method, Needs, Parts, Update
from translate.options import Option
from translate.precision import to_float32
from translate_bridge.filling import filling
from translate_bridge.process import Diffusion, Prediction, Process
from translate_bridge.start import Start
from translate_bridge.translators import Noisy, Straight, kept

WITHOUT_NOISE = 10
"""Times that are trained for without noise, as many as a translation has passes unless it is told otherwise."""


class Bridge(Method):
    """Paired translation by a stochastic bridge between both images (I2SB, Liu et al. 2023; BBDM, Li et al. 2023).

    Image-to-Image Schroedinger Bridge, arXiv:2302.05872, and Image-to-Image Translation with Brownian Bridge Diffusion
    Models, arXiv:2205.07680. A target x_0 and its source x_1 are joined by a Brownian bridge, of which one player, a
    denoiser, sees a point at a random time t, uniform in (0, 1]::

        x_t = (1 - w) x_0 + w x_1 + sqrt(V w (1 - w)) e,    e ~ N(0, I)
        minimise  E | denoiser(x_t, t, x_1) - prediction |^2

    w(t) is the share of the diffusion coefficient beta up to t, and V its integral: I2SB's ``symmetric`` beta with its
    highest value 0.3, or BBDM's ``constant`` one with V = 2 s. I2SB predicts ``(x_t - x_0) / sigma_t``, sigma_t^2 = V w
    (``scaled``), BBDM ``x_t - x_0`` (``difference``); all times weigh alike. With ``noise=0`` it is flow matching
    between both images: x_t lies on the straight line, and ``x_1 - x_0`` is predicted (``velocity``; rectified flow,
    Liu et al. 2022, arXiv:2209.03003). For that without a change of pace, take ``diffusion=constant``. Then x_t tells
    its target at every time but the source's own, so ``times`` makes t uniform on 1/times, 2/times, ..., 1 (few times
    that end at the source, as in LBM, Chadebec et al. 2025, arXiv:2503.07535).

    Translating begins at the source. Each pass predicts x_0 and goes a step towards it. One pass answers the prediction
    at the source.

    ``mask`` names an aligned stream that marks holes, and the source is filled there (inpainting): it is gray inside
    the hole, x_t is the source outside, the denoiser sees the hole as well, and the loss is its mean inside the hole of
    each image.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        denoiser: Annotated[str, Option("network that sees x_t, the time and the source", part="denoisers")] = "unet",
        diffusion: Annotated[
            Diffusion, Option("course of beta: symmetric about the middle (I2SB), or constant (BBDM, rectified flow)")
        ] = "symmetric",
        noise: Annotated[
            float, Option("highest beta: I2SB's beta_max, BBDM's 2 s; 0: flow matching", ge=0, le=100)
        ] = 0.3,
        prediction: Annotated[
            Literal["auto", "scaled", "difference", "velocity", "target"],
            Option("what is predicted: (x_t - x_0) / sigma_t, x_t - x_0, x_1 - x_0, x_0; auto: scaled, or velocity"),
        ] = "auto",
        times: Annotated[
            int,
            Option(
                f"evenly spaced times to train for, the last the source's; 0: all, or {WITHOUT_NOISE} without noise",
                ge=0,
                le=1_000_000,
            ),
        ] = 0,
        distance: Annotated[
            Literal["l2", "l1"], Option("distance between answer and prediction: squared, or absolute (BBDM's authors)")
        ] = "l2",
        conditional: Annotated[bool, Option("show the denoiser the source beside x_t")] = True,
        mask: Annotated[
            str, Option("the data's aligned stream that marks what is filled, white or transparent; empty: none")
        ] = "",
    ) -> None:
        super().__init__()
        if prediction == "scaled" and not noise:
            raise TranslateError("without noise (noise=0) there is no sigma to divide by; choose another prediction")
        if prediction == "velocity" and noise:
            raise TranslateError(
                f"with noise={noise:g} the velocity does not tell the target; choose another prediction, or noise=0"
            )
        self.mask = mask
        self.of_alpha = False
        if mask:
            check_domains(parts.source, parts.target)
            self.of_alpha = parts.aligned[mask].alpha == "only"
        self.start = Start(parts.source, parts.target, conditional=conditional, filling=bool(mask))
        channels, condition = parts.target.channels, self.start.channels
        self.denoiser = parts.network("denoisers", denoiser, inputs=channels, outputs=channels, condition=condition)
        self.squared = distance == "l2"
        self.process = Process(diffusion, noise)
        self.times = times or (0 if noise else WITHOUT_NOISE)
        chosen: Prediction = prediction if prediction != "auto" else "scaled" if noise else "velocity"
        self.prediction = chosen

    @property
    def needs(self) -> Needs:
        """Pairs, and masks if it fills holes."""
        return Needs(paired=True, aligned=frozenset({self.mask} if self.mask else ()))

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The denoiser."""
        return {"denoiser": self.denoiser}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The way from the source to the target; with ``mask`` of the image and its mask."""
        noisy = bool(self.process.highest)
        kind = filling(self.mask, noisy=noisy) if self.mask else Noisy if noisy else Straight
        return {"forward": kind(self.denoiser, self.start, self.process, self.prediction, opaque=self.of_alpha)}

    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        """One update of the denoiser at a time of its own for each pair."""
        source, target = batch["source"], to_float32(batch["target"])
        hole = hole_of(batch[self.mask], opaque=self.of_alpha) if self.mask else None
        start, condition = self.start(source, hole)
        # From 1, which is the time of the source, to above 0.
        time = 1 - torch.rand(target.shape[0], dtype=target.dtype, device=target.device)
        if self.times:
            time = (time * self.times).ceil() / self.times
        noise = torch.randn_like(target) if self.process.highest else None
        share = self.process.share(time)[:, None, None, None]
        x = kept(self.process.between(share, target, start, noise), source, hole)
        wanted = self.process.predicted(self.prediction, share, target, start, noise)
        difference = to_float32(self.denoiser(x, time, condition)) - wanted
        values = difference.square() if self.squared else difference.abs()
        yield Update("denoiser", {"denoising": values.mean() if hole is None else mean_in_hole(values, hole)})
