"""The bridge: paired translation in several passes, by a denoiser of what lies between source and target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import torch
from torch import nn

from translate.errors import TranslateError
from translate.method import Batch, Method, Needs, Parts, Update
from translate.options import Option
from translate.precision import to_float32
from translate_bridge.process import Diffusion, Prediction, Process
from translate_bridge.start import Start
from translate_bridge.translators import Noisy, Reversed, Straight


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
    Liu et al. 2022, arXiv:2209.03003). For that without a change of pace, take ``diffusion=constant``.

    Translating begins at the source. Each pass predicts x_0 and goes a step towards it. One pass answers the prediction
    at the source.
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
        distance: Annotated[
            Literal["l2", "l1"], Option("distance between answer and prediction: squared, or absolute (BBDM's authors)")
        ] = "l2",
        conditional: Annotated[bool, Option("show the denoiser the source beside x_t")] = True,
    ) -> None:
        super().__init__()
        if prediction == "scaled" and not noise:
            raise TranslateError("without noise (noise=0) there is no sigma to divide by; choose another prediction")
        if prediction == "velocity" and noise:
            raise TranslateError(
                f"with noise={noise:g} the velocity does not tell the target; choose another prediction, or noise=0"
            )
        channels, condition = parts.target.channels, parts.source.channels if conditional else 0
        self.denoiser = parts.network("denoisers", denoiser, inputs=channels, outputs=channels, condition=condition)
        self.start = Start(parts.source, parts.target)
        self.squared = distance == "l2"
        self.process = Process(diffusion, noise)
        chosen: Prediction = prediction if prediction != "auto" else "scaled" if noise else "velocity"
        self.prediction = chosen
        self.conditional = conditional

    @property
    def needs(self) -> Needs:
        """Pairs."""
        return Needs(paired=True)

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The denoiser."""
        return {"denoiser": self.denoiser}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The way from the source to the target."""
        kind: type[Reversed] = Noisy if self.process.highest else Straight
        made = kind(self.denoiser, self.start, self.process, self.prediction, conditional=self.conditional)
        return {"forward": made}

    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        """One update of the denoiser at a time of its own for each pair."""
        target, source = to_float32(batch["target"]), to_float32(self.start(batch["source"]))
        # From 1, which is the time of the source, to above 0.
        time = 1 - torch.rand(target.shape[0], dtype=target.dtype, device=target.device)
        noise = torch.randn_like(target) if self.process.highest else None
        share = self.process.share(time)[:, None, None, None]
        x = self.process.between(share, target, source, noise)
        answer = self.denoiser(x, time, batch["source"] if self.conditional else None)
        wanted = self.process.predicted(self.prediction, share, target, source, noise)
        difference = to_float32(answer) - wanted
        values = difference.square() if self.squared else difference.abs()
        yield Update("denoiser", {"denoising": values.mean()})
