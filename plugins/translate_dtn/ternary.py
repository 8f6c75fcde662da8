"""The ternary adversarial loss: the discriminator classifies images as G(source), G(target) or real."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.adversary import Adversary
from translate.discriminator import DiscriminatorOutput
from translate.errors import TranslateError
from translate.method import Parts
from translate.options import parse_calls
from translate.precision import to_float32

KINDS = FROM_SOURCE, FROM_TARGET, REAL = 0, 1, 2
"""The classes of the discriminator: G(x) of a source, G(x) of a target, or a real target."""


class ThreeKinds(nn.Module):
    """A discriminator whose three classes are the kinds of images; its realness logit is the log-odds of the third.

    With logits l_1, l_2, l_3 and D their softmax, ``log D3 / (1 - D3) = l_3 - log(exp(l_1) + exp(l_2))``.
    """

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Discriminate images (N, C, H, W)."""
        output: DiscriminatorOutput = self.discriminator(image, condition)
        if output.classes is None:
            raise TranslateError(
                f"the discriminator {type(self.discriminator).__name__} tells no three kinds of images apart; choose "
                "one that tells classes apart, such as semi_supervised, or a real/fake loss: adversarial=nonsaturating"
            )
        realness = output.classes[:, REAL:] - output.classes[:, :REAL].logsumexp(1, keepdim=True)
        return DiscriminatorOutput((realness,), classes=output.classes, features=output.features)


class Ternary:
    """The published adversarial loss of DTN, with the discriminator and the regularizers of an adversary.

    ``L_D = -E log D1(G(x_s)) - E log D2(G(x_t)) - E log D3(x_t)``, ``L_GANG = -E log D3(G(x_s)) - E log D3(G(x_t))``
    (Taigman et al. 2017, arXiv:1611.02200, equations 3 and 4).
    """

    def __init__(self, adversary: Adversary) -> None:
        adversary.discriminator = ThreeKinds(adversary.discriminator)
        self.adversary = adversary

    @classmethod
    def build(cls, parts: Parts, discriminator: str, loss: str) -> Ternary:
        """Build it from ``ternary`` and the regularizers added to it: ``ternary + r1(weight=1)``."""
        first, *others = parse_calls(loss)
        if first.options:
            raise TranslateError(f"ternary has no options, and {first} gives it some; leave them out")
        # An adversary requires a loss on realness; it is not used, because the loss is computed here.
        call = " + ".join(["nonsaturating", *map(str, others)])
        return cls(parts.adversary(discriminator, loss=call, classes=len(KINDS)))

    def discriminator_terms(self, real: Tensor, from_source: Tensor, from_target: Tensor) -> dict[str, Tensor]:
        """``L_D`` and the penalties; the fakes must be detached."""
        kinds = ((from_source, FROM_SOURCE), (from_target, FROM_TARGET), (real, REAL))
        class_losses = torch.stack([self._class_loss(images, kind) for images, kind in kinds]).sum()
        return {"ternary": class_losses, **self.adversary.penalties(real, from_source, others=[from_target])}

    def generator_terms(self, from_source: Tensor, from_target: Tensor) -> dict[str, Tensor]:
        """``L_GANG``."""
        return {"ternary": self._class_loss(from_source, REAL) + self._class_loss(from_target, REAL)}

    def _class_loss(self, images: Tensor, kind: int) -> Tensor:
        """``-E log D_kind(images)``, in float32."""
        logits = self.adversary.discriminate(images).classes
        assert logits is not None
        logits = to_float32(logits)
        return F.cross_entropy(logits, torch.full((len(logits),), kind, device=logits.device))
