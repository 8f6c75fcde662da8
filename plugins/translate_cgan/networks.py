"""What is kept of a conditional GAN: a sampler from noise and a condition, or a translator of an image and vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from translate.traits import Traits
from translate_cgan.condition import LABEL, Condition


class Embedding(nn.Sequential):
    """A fully connected layer and leaky ReLU 0.2, to which text is reduced (Reed et al. 2016, section 4.1)."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__(nn.Linear(width, outputs), nn.LeakyReLU(0.2))
        self.width = outputs
        linear = self[0]
        assert isinstance(linear, nn.Linear)
        nn.init.normal_(linear.weight, 0.0, width**-0.5)
        nn.init.zeros_(linear.bias)


class Sampler(nn.Module):
    """Images from noise and a condition: the decoder gets both, side by side.

    ``noise`` is the shape of one image's noise. With classes it has one number more, which chooses the class of an
    image for which none is given.
    """

    def __init__(self, decoder: nn.Module, condition: Condition, embedding: nn.Module, latent: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.condition = condition
        self.embedding = embedding
        self.latent = latent
        self.noise = (latent + (1 if condition.classes else 0),)

    def forward(self, noise: Tensor, **given: Tensor | None) -> Tensor:
        """Noise (N, *noise), and the condition by name, to images (N, C, H, W) in [-1, 1]."""
        known = {name: value for name, value in given.items() if value is not None}
        if self.condition.classes and LABEL not in known:
            known[LABEL] = self.condition.chosen(noise[:, -1])
        vector = self.embedding(self.condition.vector(known))
        image: Tensor = self.decoder(torch.cat([noise[:, : self.latent], vector.to(noise.dtype)], dim=1))
        return image


class Conditioned(nn.Module):
    """A generator of an image that is held to vectors: they are further planes of its image, the same everywhere."""

    def __init__(self, generator: nn.Module, condition: Condition, embedding: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self.condition = condition
        self.embedding = embedding
        traits = Traits(generator)
        self.size_multiple = traits.size_multiple
        self.fixed_size = traits.fixed_size
        self.prefers_channels_last = traits.prefers_channels_last
        self.unbounded = traits.unbounded
        self.draws_noise = traits.draws_noise

    def forward(self, image: Tensor, **given: Tensor | None) -> Tensor:
        """Images (N, C, H, W) in [-1, 1], and vectors by name, to images of the target."""
        known = {name: value for name, value in given.items() if value is not None}
        vector = self.embedding(self.condition.vector(known))
        output: Tensor = self.generator(torch.cat([image, planes(vector.to(image.dtype), image)], dim=1))
        return output


def planes(vectors: Tensor, like: Tensor) -> Tensor:
    """Vectors (N, D) as planes (N, D, H, W), as large as an image.

    >>> planes(torch.tensor([[1.0, 2.0]]), torch.zeros(1, 3, 4, 5)).shape
    torch.Size([1, 2, 4, 5])
    """
    return vectors[:, :, None, None].expand(-1, -1, *like.shape[-2:])
