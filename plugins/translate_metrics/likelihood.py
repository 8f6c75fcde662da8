"""Likelihood: exact bits per dimension of true images, and a lower bound of autoencoders."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from torch import Tensor

from translate.options import Option
from translate_metrics.averages import Average


class BitsPerDimension:
    """The mean of ``-log2 p(target | source) / (C H W)``: bits for one value of one channel of an image.

    For networks with an exact likelihood, given by a method ``bits_per_dimension(image, condition)`` that returns
    (N,). A uniform distribution over b-bit values has b bits per dimension. Of a translator whose method takes images
    alone it is ``-log2 p(source) / (C H W)``, with the images of the direction's source.
    """

    needs = frozenset({"bits"})
    better: ClassVar = {"bits_per_dim": "lower"}
    protocol = "of the target given its source; of one domain alone where bits_of names it, or of a sampler's"

    def __init__(self) -> None:
        self._average = Average("bits_per_dim")

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Add the bits (N,) of a batch."""
        self._average.add(batch["bits"])

    def result(self) -> Mapping[str, float]:
        """The mean over images and its standard error."""
        return self._average.result()

    def per_image(self) -> Mapping[str, Mapping[str, Tensor]]:
        """The bits of each image."""
        return {"bits": {"bits_per_dim": self._average.each}}


class EvidenceLowerBound:
    """The evidence lower bound on ``log p(x)`` of a variational autoencoder, in nats per image (arXiv:1312.6114).

    ``elbo = -KL(q(z|x) || p(z)) + log p(x|z)``, with the KL divergence in closed form and one z drawn from q(z|x) for
    each image; the higher, the better. ``log p(x|z)`` is the density of values in [-1, 1] by which the network was
    trained, so it may be above 0. For one trained without a likelihood of pixels, or to compare several, ``likelihood``
    gives it: Laplace, ``-|x - x'| / b - log 2b``, or Gaussian, ``-(x - x')^2 / 2 s^2 - log(2 pi s^2) / 2``, summed over
    the values. ``elbo_bits_per_dim`` is ``-elbo / (C H W log 2)``, ``kl`` and ``reconstruction`` are the bound's two
    parts, in nats.
    """

    needs = frozenset({"divergence", "encoded", "reconstruction"})
    better: ClassVar = {"elbo": "higher", "elbo_bits_per_dim": "lower", "reconstruction": "lower"}

    def __init__(
        self,
        *,
        likelihood: Annotated[
            Literal["trained", "laplace", "gaussian"], Option("distribution of values around the decoder's output")
        ] = "trained",
        scale: Annotated[float, Option("scale of laplace or gaussian, for values in [-1, 1]", ge=0.001)] = 0.1,
    ) -> None:
        self._likelihood, self._scale = likelihood, scale
        if likelihood != "trained":
            self.needs = frozenset({"divergence", "encoded", "rebuilt"})
        self._averages = {name: Average(name) for name in ("elbo", "elbo_bits_per_dim", "kl", "reconstruction")}

    @property
    def protocol(self) -> str:
        """The likelihood and the estimator."""
        of = "as trained" if self._likelihood == "trained" else f"{self._likelihood} of scale {self._scale:g}"
        return f"likelihood {of}, a density of values in [-1, 1]; KL in closed form, one code drawn for each image"

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Add a batch's KL divergences (N,), with the likelihoods (N,) or the decoded images."""
        if "divergence" not in batch:
            return
        image, divergence = batch["encoded"], batch["divergence"]
        reconstruction = (
            batch["reconstruction"]
            if self._likelihood == "trained"
            else self._negative_log_likelihood(batch["rebuilt"], image)
        )
        bound = -(divergence + reconstruction)
        found = {"elbo": bound, "elbo_bits_per_dim": -bound / (image[0].numel() * math.log(2))}
        for name, values in (found | {"kl": divergence, "reconstruction": reconstruction}).items():
            self._averages[name].add(values)

    def _negative_log_likelihood(self, rebuilt: Tensor, image: Tensor) -> Tensor:
        difference, scale = rebuilt.float() - image.float(), self._scale
        if self._likelihood == "laplace":
            each = difference.abs() / scale + math.log(2 * scale)
        else:
            each = difference.square() / (2 * scale**2) + math.log(2 * math.pi * scale**2) / 2
        return each.flatten(1).sum(1)

    def result(self) -> Mapping[str, float]:
        """The means over images and their standard errors."""
        return {name: value for average in self._averages.values() for name, value in average.result().items()}

    def per_image(self) -> Mapping[str, Mapping[str, Tensor]]:
        """The bound of each image, and its parts."""
        return {"encoded": {name: average.each for name, average in self._averages.items()}}
