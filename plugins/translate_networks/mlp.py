"""Dense networks for small images: the discriminator and the generator of Improved GAN's experiments on MNIST."""

from __future__ import annotations

import itertools
import math
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from translate.discriminator import DiscriminatorOutput
from translate.errors import TranslateError
from translate.options import Option
from translate.precision import to_float32
from translate_networks.gaussian import GaussianNoise
from translate_networks.k_plus_one import KPlusOne
from translate_networks.normalization import EPSILON
from translate_networks.patch import check_condition

REFERENCE = 128
"""Number of reference latents whose batch statistics are used in evaluation."""


class MLPDiscriminator(nn.Module):
    """A dense K + 1 class discriminator (Salimans et al. 2016, arXiv:1606.03498, section 6.1).

    Five hidden layers of 1000, 500, 250, 250 and 250 units with ReLU and weight normalization (arXiv:1602.07868). In
    training Gaussian noise is added to the image (deviation 0.3, of pixels in [0, 1]) and to each hidden layer (0.5).
    The head is that of ``semi_supervised``. With 1 channel of 28x28 px and 10 classes it has 1.54 million weights.

    ``features`` are the hidden layers before their noise, (N, D). ``shared`` are all layers but the first, and the
    head: two discriminators may share them. It takes images of the training size only.
    """

    def __init__(
        self,
        inputs: int,
        size: tuple[int, int],
        condition: int = 0,
        classes: int = 0,
        *,
        width: Annotated[
            int, Option("units of the first layer; the second has half, the others a quarter", ge=4)
        ] = 1000,
        input_noise: Annotated[
            float, Option("standard deviation of the noise on pixels in [0, 1], in training", ge=0)
        ] = 0.3,
        noise: Annotated[float, Option("standard deviation of the noise on hidden layers, in training", ge=0)] = 0.5,
        minibatch: Annotated[
            bool, Option("minibatch discrimination: use the similarity of the images of a batch")
        ] = False,
        explicit: Annotated[bool, Option("with classes: a learned logit for fakes instead of 0")] = False,
    ) -> None:
        super().__init__()
        self.condition = condition
        self.shape = (inputs + condition, *size)
        self.noise = GaussianNoise(input_noise)
        units = [math.prod(self.shape), width, width // 2, *[width // 4] * 3]
        layers = [_dense(a, b) for a, b in itertools.pairwise(units)]
        self.first = layers[0]
        head = KPlusOne(units[-1], classes, explicit=explicit, minibatch=minibatch)
        self.shared: nn.Module = _Rest(layers[1:], GaussianNoise(noise), head)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Discriminate (N, inputs, H, W), concatenated with a condition (N, condition, H, W) if built for one."""
        check_condition(condition, self.condition, "mlp")
        x = image if condition is None else torch.cat([image, condition.to(image.dtype)], dim=1)
        if x.shape[1:] != self.shape:
            given, wanted = ("x".join(map(str, shape)) for shape in (x.shape[1:], self.shape))
            raise TranslateError(f"this mlp judges images of {wanted}, not of {given}; resize them, or choose dcgan")
        first = self.first(self.noise((x + 1) / 2).flatten(1))
        hidden, realness, classes = self.shared(first)
        return DiscriminatorOutput(logits=(realness,), classes=classes, features=(first, *hidden))


class _Rest(nn.Module):
    """All layers but the first, and the head, as one module that two discriminators may share."""

    def __init__(self, layers: list[nn.Module], noise: nn.Module, head: KPlusOne) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.noise = noise
        self.head = head

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor, Tensor | None]:
        """Map features of the first layer to those of the others, realness logits and class logits."""
        hidden = []
        for layer in self.layers:
            x = layer(self.noise(x))
            hidden.append(x)
        realness, classes = self.head(self.noise(x))
        return hidden, realness, classes


def _dense(inputs: int, outputs: int) -> nn.Module:
    linear = nn.Linear(inputs, outputs)
    nn.init.kaiming_normal_(linear.weight)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(weight_norm(linear), nn.ReLU())


class MLPDecoder(nn.Module):
    """A dense generator of small images (Salimans et al. 2016, arXiv:1606.03498, section 6.1).

    Two hidden layers of 500 units with batch normalization and softplus, then a sigmoid for each pixel, scaled to
    [-1, 1]. It makes images of the training size only.

    Batch normalization uses the statistics of the batch in training. In evaluation it uses those of a fixed batch of
    128 standard normal latents, saved with the network, as virtual batch normalization does (section 3.4 of the paper):
    they always match the current weights (EMA weights, too), and an image does not depend on the others of its batch.
    """

    reference: Tensor

    def __init__(
        self,
        latent: tuple[int, ...],
        outputs: int,
        size: tuple[int, int],
        *,
        width: Annotated[int, Option("units of the hidden layers", ge=1)] = 500,
    ) -> None:
        super().__init__()
        self.shape = (outputs, *size)
        self.register_buffer("reference", torch.randn(REFERENCE, math.prod(latent)))
        self.shared: nn.Module = _Hidden(math.prod(latent), width)
        self.second = _Hidden(width, width)
        self.last = weight_norm(nn.Linear(width, math.prod(self.shape)))

    def forward(self, latent: Tensor) -> Tensor:
        """Latents (N, *latent) to images (N, outputs, H, W) in [-1, 1]."""
        x = latent.flatten(1)
        if self.training and len(x) > 1:
            x = self.second(self.shared(x))
        else:
            reference = self.reference.to(x.dtype)
            first = self.shared(reference)
            x = self.second(self.shared(x, reference), first)
        # 2 s(x) - 1 = tanh(x / 2)
        image = self.last(x)
        image = to_float32(image)
        return torch.tanh(image / 2).view(len(x), *self.shape)


class _Hidden(nn.Module):
    """A dense layer, batch normalization and softplus."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        nn.init.xavier_normal_(self.linear.weight)
        self.weight = nn.Parameter(torch.ones(outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, reference: Tensor | None = None) -> Tensor:
        """(N, inputs) to (N, outputs), normalized by the statistics of the reference, or else of x itself."""
        x = self.linear(x)
        variance, mean = torch.var_mean(x if reference is None else self.linear(reference), dim=0, correction=0)
        return F.softplus((x - mean) * (variance + EPSILON).rsqrt() * self.weight + self.bias)
