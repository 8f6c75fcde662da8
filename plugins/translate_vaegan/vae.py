"""The variational autoencoder: one domain, no discriminator, a lower bound on the likelihood."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Literal

from torch import Tensor, nn

from translate.errors import TranslateError
from translate.latent import logged_as
from translate.method import Batch, Method, Parts, Update
from translate.options import Option
from translate.precision import to_float32
from translate_vaegan.gaussian import Autoencoder, PriorSampler, kl_divergence, reparameterize, split

Likelihood = Literal["laplace", "gaussian"]


class VAE(Method):
    """A variational autoencoder, whose codes can be sampled (VAE, Kingma & Welling 2013).

    Auto-Encoding Variational Bayes, arXiv:1312.6114. Encoder and decoder minimise the negative evidence lower bound::

        -ELBO = KL(q(z|x) || N(0, 1))  -  E log p(x|z),    q(z|x) = N(mean(x), var(x))

    with a likelihood of fixed ``scale`` for each value of an image in [-1, 1]: Laplace, ``|x - x'| / b + log 2b``, or
    Gaussian, ``(x - x')^2 / 2 s^2 + log(2 pi s^2) / 2``. Both terms are logged in nats per image, so their sum is the
    negative bound. Their gradients are divided by the number of values of an image, so that steps do not depend on the
    image size. ``beta`` scales the gradient of the KL divergence (beta-VAE, Higgins et al. 2017), not the logged value.

    With two domains it learns the target. It saves the autoencoder and a sampler.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        encoder: Annotated[str, Option("encoder from images to mean and log-variance", part="encoders")] = "dcgan",
        decoder: Annotated[str, Option("decoder from the latent to images", part="decoders")] = "dcgan",
        likelihood: Annotated[
            Likelihood, Option("distribution of image values around the decoder's output")
        ] = "laplace",
        scale: Annotated[float, Option("scale of the likelihood, for values in [-1, 1]", ge=0.001)] = 0.1,
        beta: Annotated[float, Option("weight of the KL divergence (beta-VAE)", ge=0)] = 1.0,
    ) -> None:
        super().__init__()
        check_one_domain(parts, "vae")
        self.encoder = parts.encoder(encoder, inputs=parts.target.channels, statistics=2)
        self.latent: tuple[int, ...] = tuple(self.encoder.latent)  # type: ignore[arg-type]
        self.decoder = parts.decoder(decoder, latent=self.latent)
        self.likelihood: Likelihood = likelihood
        self.scale, self.beta = scale, beta

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """A single player: encoder and decoder."""
        return {"autoencoder": nn.ModuleDict({"encoder": self.encoder, "decoder": self.decoder})}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The autoencoder and the sampler."""
        likelihood = partial(each_negative_log_likelihood, likelihood=self.likelihood, scale=self.scale)
        return {
            "forward": Autoencoder(self.encoder, self.decoder, likelihood),
            "sample": PriorSampler(self.decoder, self.latent, "target"),
        }

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """One update on the negative evidence lower bound."""
        image = batch["target"] if "target" in batch else batch["source"]
        mean, log_variance = split(self.encoder(image))
        rebuilt = self.decoder(reparameterize(mean, log_variance))
        values = image[0].numel()
        yield Update(
            "autoencoder",
            {
                "kl": logged_as(kl_divergence(mean, log_variance), self.beta / values),
                "reconstruction": logged_as(
                    negative_log_likelihood(rebuilt, image, self.likelihood, self.scale), 1 / values
                ),
            },
        )


def negative_log_likelihood(rebuilt: Tensor, image: Tensor, likelihood: Likelihood, scale: float) -> Tensor:
    """``-log p(x|z)`` in nats per image, averaged over the batch."""
    return each_negative_log_likelihood(rebuilt, image, likelihood, scale).mean()


def each_negative_log_likelihood(rebuilt: Tensor, image: Tensor, likelihood: Likelihood, scale: float) -> Tensor:
    """``-log p(x|z)`` of each image (N,) in nats."""
    difference = to_float32(rebuilt) - to_float32(image)
    if likelihood == "laplace":
        each = difference.abs() / scale + math.log(2 * scale)
    else:
        each = difference.square() / (2 * scale**2) + math.log(2 * math.pi * scale**2) / 2
    return each.flatten(1).sum(1)


def check_one_domain(parts: Parts, name: str, hint: str = "") -> None:
    """Refuse two domains with different channels: an autoencoder reconstructs its own domain."""
    if parts.source.channels != parts.target.channels:
        raise TranslateError(
            f"{name} rebuilds images of one domain, and here are sources of {parts.source.channels} and targets of "
            f"{parts.target.channels} channels; give it one domain{hint}"
        )
