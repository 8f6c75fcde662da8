"""Convolutions with the normalization after each, taken from a state dict of one kind of normalization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from translate.errors import TranslateError
from translate.options import Call
from translate.sizes import Size
from translate_foreign.states import State

Norm = Literal["batch", "instance", "none"]
Statistics = Literal["image", "running"]

EPSILON = 1e-5
"""What batch normalization adds to the variance."""

RUNNING = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True, slots=True)
class Network:
    """A network as it was found: the part that builds it here, and its tensors by the names here."""

    generator: Call
    tensors: dict[str, Tensor]
    inputs: int
    outputs: int
    width: int
    size: Size
    summary: str
    notes: tuple[str, ...] = ()


class Layers:
    """Takes layers from a state dict; ``norm`` is the normalization found, and ``kept`` the one to build with.

    Running statistics make batch normalization a scale and a shift of each channel, which become part of the
    convolution before it.
    """

    def __init__(self, state: State, norm: str, statistics: Statistics) -> None:
        self.state = state
        self.tensors: dict[str, Tensor] = {}
        self._chosen = norm
        self._statistics = statistics
        self._norm: Norm | None = None
        self._dropped_statistics = False
        self._dropped_bias = False
        self._decided = False

    def detect(self, convolution: str, normalization: str) -> None:
        """Decide which normalization the network has, from its first one and the convolution before it."""
        affine = f"{normalization}.weight" in self.state and len(self.state.shape(f"{normalization}.weight")) == 1
        biased = f"{convolution}.bias" in self.state
        found: Norm = "batch" if affine else "instance" if biased else "none"
        if self._chosen == "auto":
            self._norm = found
            self._decided = found == "instance"
        elif affine != (self._chosen == "batch"):
            has = "weights of a normalization" if affine else "no weights of a normalization"
            raise TranslateError(f"it has {has}, so its norm is not {self._chosen}; leave norm at auto")
        else:
            self._norm = self._chosen  # type: ignore[assignment]
        if self._statistics == "running" and self._norm != "batch":
            raise TranslateError("it has no batch normalization, so no running statistics; leave statistics at image")

    @property
    def norm(self) -> Norm:
        """The normalization found."""
        assert self._norm is not None
        return self._norm

    @property
    def kept(self) -> Norm:
        """The normalization to build with."""
        return "none" if self._statistics == "running" else self.norm

    @property
    def summary(self) -> str:
        """The normalization in words."""
        return "no normalization" if self.norm == "none" else f"{self.norm} norm"

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided or left out."""
        notes = []
        if self._decided:
            notes.append(
                "instance norm has no weights to be seen by: it was taken since the convolutions have biases "
                "(norm=none if there is no normalization at all)"
            )
        if self._dropped_statistics and self.norm == "batch":
            notes.append(
                "the running statistics are left out: each image is normalized by its own, as that project tests by "
                "default (statistics=running for a network that is tested with --eval)"
            )
        if self._dropped_bias:
            notes.append("biases before a normalization have no effect and are left out")
        return tuple(notes)

    def take(
        self,
        name: str,
        to: str,
        shape: tuple[int, int, int, int],
        *,
        transposed: bool = False,
        normalization: tuple[str, str] | None = None,
        biased: bool = False,
    ) -> None:
        """Take the convolution ``name``, and the normalization behind it as (name there, name here).

        ``shape`` is that of the weight. The last convolution is ``biased`` whatever the normalization is.
        """
        outputs = shape[1] if transposed else shape[0]
        weight = self.state.take(f"{name}.weight", shape)
        bias = None
        if biased or f"{name}.bias" in self.state:
            bias = self.state.take(f"{name}.bias", (outputs,))
        elif self.norm == "instance":
            # Where it is said what is missing.
            self.state.shape(f"{name}.bias")
        scale = shift = None
        if normalization is not None:
            scale, shift = self._affine(*normalization, outputs)
        if scale is not None and shift is not None:
            bias = shift if bias is None else bias * scale + shift
            weight = weight * (scale[:, None, None] if transposed else scale[:, None, None, None])
        self.tensors[f"{to}.weight"] = weight
        if biased or self.kept != "batch":
            self.tensors[f"{to}.bias"] = torch.zeros(outputs) if bias is None else bias
        elif bias is not None:
            if normalization is None:
                raise TranslateError(f"its {name}.bias has no place beside batch normalization in {self.state.what}")
            self._dropped_bias = True

    def _affine(self, name: str, to: str, channels: int) -> tuple[Tensor | None, Tensor | None]:
        """Take a normalization; with running statistics, return the scale and the shift that it comes to."""
        if self.norm != "batch":
            # Early versions of torch kept statistics of instance normalization, which nothing used.
            if self.norm == "instance":
                for each in RUNNING:
                    self._dropped_statistics |= self.state.drop(f"{name}.{each}")
            return None, None
        weight = self.state.take(f"{name}.weight", (channels,))
        bias = self.state.take(f"{name}.bias", (channels,))
        if self._statistics == "running":
            mean = self.state.take(f"{name}.running_mean", (channels,))
            variance = self.state.take(f"{name}.running_var", (channels,))
            self.state.drop(f"{name}.num_batches_tracked")
            scale = weight.double() * torch.rsqrt(variance.double() + EPSILON)
            return scale.float(), (bias.double() - mean.double() * scale).float()
        for each in RUNNING:
            self._dropped_statistics |= self.state.drop(f"{name}.{each}")
        self.tensors[f"{to}.weight"], self.tensors[f"{to}.bias"] = weight, bias
        return None, None

    def finish(self) -> None:
        """Raise ``TranslateError`` if tensors are left."""
        self.state.finish()
