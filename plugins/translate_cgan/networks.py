"""What is kept of a conditional GAN: a sampler from noise and a condition, or a translator of an image and vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.traits import Traits
from translate_cgan.condition import LABEL, Condition


class Sampler(nn.Module):
    """Images from noise and a condition: the decoder gets both, side by side.

    The condition is reduced by a fully connected layer and leaky ReLU 0.2 (Reed et al. 2016, arXiv:1605.05396,
    section 4.1).

    ``noise`` is the shape of one image's noise. With classes it has one number more, which chooses the class of an
    image for which none is given.
    """

    def __init__(self, decoder: nn.Module, condition: Condition, *, embedding: int, latent: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.condition = condition
        self.embedding = linear(condition.width, embedding)
        self.latent = latent
        self.noise = (latent + (1 if condition.classes else 0),)

    def forward(self, noise: Tensor, **given: Tensor | None) -> Tensor:
        """Noise (N, *noise), and the condition by name, to images (N, C, H, W) in [-1, 1]."""
        known = {name: value for name, value in given.items() if value is not None}
        if self.condition.classes and LABEL not in known:
            known[LABEL] = self.condition.chosen(noise[:, -1])
        kind = self.embedding.weight.dtype
        reduced = F.leaky_relu(self.embedding(self.condition.vector(known).to(kind)), 0.2)
        image: Tensor = self.decoder(torch.cat([noise[:, : self.latent].to(kind), reduced.to(kind)], dim=1))
        return image


class Conditioned(nn.Module):
    """A generator of an image that is held to vectors: beside the image it gets maps that depend on both.

    The maps are ``leaky_relu(W * x + V y)``: a convolution of the image and of the vector, repeated at all positions
    and concatenated with it. Constant planes alone would be lost where a generator begins with a convolution and
    instance normalization, which subtracts what is the same everywhere.
    """

    def __init__(self, generator: nn.Module, condition: Condition, *, channels: int, maps: int) -> None:
        super().__init__()
        self.generator = generator
        self.condition = condition
        self.of_image = nn.Conv2d(channels, maps, 3, padding=1)
        self.of_vector = linear(condition.width, maps)
        traits = Traits(generator)
        self.size_multiple = traits.size_multiple
        self.fixed_size = traits.fixed_size
        self.prefers_channels_last = traits.prefers_channels_last
        self.unbounded = traits.unbounded
        self.draws_noise = traits.draws_noise

    def forward(self, image: Tensor, **given: Tensor | None) -> Tensor:
        """Images (N, C, H, W) in [-1, 1], and vectors by name, to images of the target."""
        known = {name: value for name, value in given.items() if value is not None}
        vector = self.of_vector(self.condition.vector(known).to(self.of_vector.weight.dtype))
        maps = F.leaky_relu(self.of_image(image) + vector[:, :, None, None], 0.2)
        output: Tensor = self.generator(torch.cat([image, maps.to(image.dtype)], dim=1))
        return output


def linear(width: int, outputs: int) -> nn.Linear:
    """A fully connected layer whose answers to vectors of standard normal numbers are about as large as those."""
    layer = nn.Linear(width, outputs)
    nn.init.normal_(layer.weight, 0.0, width**-0.5)
    nn.init.zeros_(layer.bias)
    return layer


def planes(vectors: Tensor, like: Tensor) -> Tensor:
    """Vectors (N, D) as planes (N, D, H, W), as large as an image.

    >>> planes(torch.tensor([[1.0, 2.0]]), torch.zeros(1, 3, 4, 5)).shape
    torch.Size([1, 2, 4, 5])
    """
    return vectors[:, :, None, None].expand(-1, -1, *like.shape[-2:])
