"""The contract check of gradients: autograd against finite differences, in any memory format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from translate.discriminator import DiscriminatorOutput
from translate.errors import TranslateError
from translate.plugins import Catalog, discover
from translate.seeds import seed_step
from translate.testing.networks import parts_of

SIZE = (32, 32)
STEP = 1e-7
TOLERANCE = 1e-4


def check_gradients(
    kind: str,
    part: str,
    *,
    batch: int,
    layout: torch.memory_format = torch.contiguous_format,
    compiled: bool = False,
    device: str = "cpu",
    plugins: Sequence[str] = (),
) -> None:
    """Compare a network's directional derivative, in float64, with finite differences.

    The direction is a random change of the input and of all weights. ``kind`` is a hook that offers networks. Torch has
    kernels whose gradient is silently wrong for some batch sizes in some memory formats, so every trained network
    should be checked in both formats, with ``batch`` 1 and more.
    """
    seed_step(0, 0)
    network, given = _build(discover(extra=plugins), kind, part, batch)
    network = network.double().train().to(device, memory_format=layout)  # type: ignore[call-overload]
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    point = [given.double().to(device), *(weight.detach().clone() for weight in weights)]
    if point[0].dim() == 4:
        point[0] = point[0].to(memory_format=layout)
    draws = torch.Generator().manual_seed(1)
    directions = [
        torch.randn(each.shape, generator=draws, dtype=torch.float64).to(device) * _scale(each) for each in point
    ]
    call: Callable[[Tensor], Any] = torch.compile(network, dynamic=False) if compiled else network

    def value(at: Sequence[Tensor]) -> Tensor:
        with torch.no_grad():
            for weight, moved in zip(weights, at[1:], strict=True):
                weight.copy_(moved)
        # Any noise in the network must be the same in each call.
        seed_step(0, 1)
        return _to_scalar(call(at[0]))

    image = point[0].clone(memory_format=torch.preserve_format).requires_grad_()
    gradients = torch.autograd.grad(value([image, *point[1:]]), [image, *weights])
    predicted = sum(
        float((gradient * direction).sum()) for gradient, direction in zip(gradients, directions, strict=True)
    )
    with torch.no_grad():
        ahead, behind = (
            float(value([each + sign * STEP * direction for each, direction in zip(point, directions, strict=True)]))
            for sign in (1, -1)
        )
    found = (ahead - behind) / (2 * STEP)
    assert abs(predicted - found) <= TOLERANCE * max(abs(predicted), abs(found), 1e-3), (
        f"{part}: at batch {batch} in {layout} the gradient says {predicted:.8g}, and a small step finds {found:.8g}"
    )


def _build(catalog: Catalog, kind: str, part: str, batch: int) -> tuple[nn.Module, Tensor]:
    """Build a network and an input for it."""
    parts = parts_of(catalog, SIZE, 3, 3)
    images = torch.rand(batch, 3, *SIZE) * 2 - 1
    if kind == "generators":
        return parts.generator(part), images
    if kind == "encoders":
        return parts.encoder(part), images
    if kind == "feature_extractors":
        return parts.feature_extractor(part), images
    if kind == "decoders":
        try:
            return parts.decoder(part, latent=(6,)), torch.randn(batch, 6)
        except TranslateError:
            return parts.decoder(part, latent=(6, 8, 8)), torch.randn(batch, 6, 8, 8)
    assert kind == "discriminators", f"{kind} are no networks"
    try:
        return parts.discriminator(part, inputs=3), images
    except TranslateError:
        return Conditioned(parts.discriminator(part, inputs=3, condition=2)), torch.cat([images, images[:, :2]], 1)


class Conditioned(nn.Module):
    """Wraps a conditional discriminator: its input is image and condition, concatenated along the channels."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, both: Tensor) -> DiscriminatorOutput:
        """Discriminate (N, 3 + 2, H, W)."""
        answer: DiscriminatorOutput = self.discriminator(both[:, :3], both[:, 3:])
        return answer


def _to_scalar(answer: Any) -> Tensor:
    """All outputs of a network, randomly weighted and summed to a scalar."""
    if isinstance(answer, DiscriminatorOutput):
        found = [*answer.logits, *(answer.match or ()), *(() if answer.classes is None else (answer.classes,))]
    else:
        found = [answer]
    draws = torch.Generator().manual_seed(2)
    return torch.stack(
        [(each * torch.randn(each.shape, generator=draws, dtype=each.dtype).to(each.device)).sum() for each in found]
    ).sum()


def _scale(tensor: Tensor) -> float:
    """The standard deviation of the values, to which a change is proportional; 1 if all are equal."""
    return float(tensor.std()) or 1.0 if tensor.numel() > 1 else 1.0
