"""pix2pix's training step as a plain script: the baseline for the framework's step."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F
from torch.optim import Adam

from translate.errors import TranslateError
from translate.method import Method
from translate_pix2pix.method import Pix2Pix


class PlainPix2Pix:
    """The training loop of pix2pix (arXiv:1611.07004), written by hand in eager torch, on a method's networks.

    It uses the method's weight of the L1 term, the logistic loss and torch's Adam. It reads every loss with ``.item()``
    in every step, as scripts that print or plot them do.
    """

    def __init__(self, method: Method) -> None:
        if not isinstance(method, Pix2Pix) or method.adversary is None or method.mask:
            raise TranslateError("this loop trains pix2pix with a discriminator and no mask; leave gan and mask out")
        self.generator, self.discriminator = method.generator, method.adversary.discriminator
        self.l1 = method.l1
        self.generator_optimizer = Adam(self.generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.discriminator_optimizer = Adam(self.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))

    def step(self, batch: Mapping[str, Tensor]) -> dict[str, float]:
        """One step of both networks on a batch of ``source`` and ``target`` (N, C, H, W)."""
        source, target = batch["source"], batch["target"]
        fake = self.generator(source)

        for weight in self.discriminator.parameters():
            weight.requires_grad_(True)
        self.discriminator_optimizer.zero_grad()
        real_logits = self.discriminator(target, source).logits[0]
        fake_logits = self.discriminator(fake.detach(), source).logits[0]
        discriminator_loss = 0.5 * (F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean())
        discriminator_loss.backward()
        self.discriminator_optimizer.step()

        for weight in self.discriminator.parameters():
            weight.requires_grad_(False)
        self.generator_optimizer.zero_grad()
        adversarial = F.softplus(-self.discriminator(fake, source).logits[0]).mean()
        distance = self.l1 * F.l1_loss(fake, target)
        (adversarial + distance).backward()
        self.generator_optimizer.step()
        return {"discriminator": discriminator_loss.item(), "adversarial": adversarial.item(), "l1": distance.item()}
