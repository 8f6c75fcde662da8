"""CUT's training step as a plain script: the baseline for the framework's step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Adam

from translate.errors import TranslateError
from translate.inner_maps import inner
from translate.method import Method
from translate_cut.method import CUT


class PlainCUT:
    """The training loop of CUT (arXiv:2007.15651), written by hand in eager torch, on a method's networks.

    It uses the method's loss weights, least squares, and torch's Adam; it has no pool and mirrors nothing. Sources and
    targets pass the generator one after another, and the keys are passes of their own, as in the paper's pseudo-code.
    It reads every loss with ``.item()`` in every step, as scripts that print or plot them do.
    """

    def __init__(self, method: Method) -> None:
        if not isinstance(method, CUT):
            raise TranslateError(f"this loop trains cut, not {type(method).__name__}")
        self.generator, self.projector = method.generator, method.projector
        self.discriminator = method.adversary.discriminator
        self.layers, self.patches, self.temperature = method.layers, method.patches, method.temperature
        self.nce, self.identity_nce = method.nce, method.identity_nce
        self.optimizers = [
            Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))
            for network in (self.generator, self.projector, self.discriminator)
        ]

    def step(self, batch: Mapping[str, Tensor]) -> dict[str, float]:
        """One step of all three networks on a batch of ``source`` and ``target`` (N, C, H, W)."""
        source, target = batch["source"], batch["target"]
        generator, projector, discriminator = self.optimizers
        fake = self.generator(source)
        same = self.generator(target) if self.identity_nce else None

        set_requires_grad(self.discriminator, required=True)
        discriminator.zero_grad()
        real_logits, fake_logits = (self.discriminator(each).logits[0] for each in (target, fake.detach()))
        loss_d = 0.5 * (real_logits - 1).square().mean() + 0.5 * fake_logits.square().mean()
        loss_d.backward()
        discriminator.step()

        set_requires_grad(self.discriminator, required=False)
        generator.zero_grad()
        projector.zero_grad()
        terms = [(self.discriminator(fake).logits[0] - 1).square().mean(), self.nce * self.contrast(source, fake)]
        if same is not None:
            terms.append(self.identity_nce * self.contrast(target, same))
        loss = terms[0]
        for term in terms[1:]:
            loss = loss + term
        loss.backward()
        generator.step()
        projector.step()
        return {"discriminator": loss_d.item(), **{str(number): term.item() for number, term in enumerate(terms)}}

    def contrast(self, images: Tensor, translations: Tensor) -> Tensor:
        """The PatchNCE loss between images and their translations."""
        with torch.no_grad():
            of_images = inner(self.generator, images, self.layers)
        keys: list[Tensor] = []
        queries: list[Tensor] = []
        for name, answer in inner(self.generator, translations, self.layers).items():
            there = answer.shape[2] * answer.shape[3]
            chosen = torch.arange(there, device=answer.device).expand(len(answer), -1)
            if there > self.patches:
                chosen = torch.rand(len(answer), there, device=answer.device).topk(self.patches, sorted=False).indices
            for maps, vectors in ((of_images[name], keys), (answer, queries)):
                index = chosen[:, None, :].expand(-1, maps.shape[1], -1)
                vectors.append(maps.flatten(2).gather(2, index).transpose(1, 2))
        losses = []
        with torch.no_grad():
            projected = self.projector(*keys)
        for query, key in zip(self.projector(*queries), projected, strict=True):
            logits = query @ key.transpose(1, 2) / self.temperature
            losses.append((logits.logsumexp(2) - logits.diagonal(dim1=1, dim2=2)).mean(1))
        return torch.stack(losses).mean(0).mean()


def set_requires_grad(network: nn.Module, *, required: bool) -> None:
    """Switch gradients of a network's weights on or off."""
    weights: Iterable[nn.Parameter] = network.parameters()
    for weight in weights:
        weight.requires_grad_(required)
