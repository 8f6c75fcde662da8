"""An adversary: a discriminator together with its loss, penalties and history, as every method uses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from translate.discriminator import AdversarialLoss, DiscriminatorOutput
from translate.pool import ImagePool

Regularizer = Callable[[Callable[[Tensor], DiscriminatorOutput], Tensor, Tensor], Tensor]


class Adversary(nn.Module):
    """The other side of the game: says what the discriminator and what the generator minimise.

    Losses are summed over the discriminator's scales. A discriminator with a second head for the match of image and
    condition has a term of its own for it. ``weight`` scales the discriminator's adversarial terms (pix2pix and
    CycleGAN halve them, to slow the discriminator down).
    """

    def __init__(
        self,
        discriminator: nn.Module,
        loss: AdversarialLoss,
        *,
        regularizers: Mapping[str, Regularizer] | None = None,
        weight: float = 1.0,
        pool: ImagePool | None = None,
    ) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.loss = loss
        self.regularizers = dict(regularizers or {})
        self.weight = weight
        self.pool = pool

    def discriminator_terms(
        self, real: Tensor, fake: Tensor, condition: Tensor | None = None, mismatched: Tensor | None = None
    ) -> dict[str, Tensor]:
        """What the discriminator minimises. Images (N, C, H, W), ``fake`` detached.

        ``mismatched`` is a condition that does not belong to ``real``: the pair is a third kind of fake, sharing the
        fakes' weight with the generated ones (Reed et al. 2016, arXiv:1605.05396, algorithm 1).
        """
        newest = fake
        fake, with_fake = self._remembered(fake, condition)
        of_real = self._judge(real, condition)
        of_fake = self._judge(fake, with_fake)
        of_mismatched = None if mismatched is None else self._judge(real, mismatched)

        def term(real: tuple[Tensor, ...], fakes: list[tuple[Tensor, ...]]) -> Tensor:
            pairs = [(r, f) for fake in fakes for r, f in zip(real, fake, strict=True)]
            losses = [self.loss.discriminator(r, f) for r, f in pairs]
            return (
                torch.stack(losses).sum() * (self.weight / len(fakes)) if len(losses) > 1 else losses[0] * self.weight
            )

        if of_real.match is not None and of_fake.match is not None:
            others = [of_fake.match]
            if of_mismatched is not None and of_mismatched.match is not None:
                others.append(of_mismatched.match)
            terms = {"realness": term(of_real.logits, [of_fake.logits]), "match": term(of_real.match, others)}
        else:
            others = [of_fake.logits] + ([of_mismatched.logits] if of_mismatched is not None else [])
            terms = {"adversarial": term(of_real.logits, others)}
        if self.regularizers:
            # Penalties differentiate twice; bf16 would put their gradient off by percents.
            with torch.autocast(real.device.type, enabled=False):
                context = None if condition is None else condition.float()
                judge = partial(self._judge, condition=context)
                for name, regularizer in self.regularizers.items():
                    terms[name] = regularizer(judge, real.float(), newest.float())
        return terms

    def generator_terms(self, fake: Tensor, real: Tensor, condition: Tensor | None = None) -> dict[str, Tensor]:
        """What the generator minimises against this discriminator; ``real`` matters to relativistic losses only."""
        of_fake = self._judge(fake, condition)
        of_real = self._judge(real, condition) if getattr(self.loss, "relativistic", False) else None

        def term(fake: tuple[Tensor, ...], real: tuple[Tensor, ...] | None) -> Tensor:
            losses = [self.loss.generator(f, None if real is None else real[i]) for i, f in enumerate(fake)]
            return torch.stack(losses).sum() if len(losses) > 1 else losses[0]

        if of_fake.match is not None:
            return {
                "realness": term(of_fake.logits, of_real.logits if of_real else None),
                "match": term(of_fake.match, of_real.match if of_real else None),
            }
        return {"adversarial": term(of_fake.logits, of_real.logits if of_real else None)}

    def _judge(self, image: Tensor, condition: Tensor | None) -> DiscriminatorOutput:
        output = self.discriminator(image, condition)
        if not isinstance(output, DiscriminatorOutput):
            raise TypeError(f"{type(self.discriminator).__name__} must return a DiscriminatorOutput")
        return output

    def _remembered(self, fake: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Exchange some fakes for earlier ones; a condition stays with its fake."""
        if self.pool is None:
            return fake, condition
        if condition is None:
            return self.pool(fake), None
        exchanged = self.pool(torch.cat([fake, condition.to(fake.dtype)], dim=1))
        return exchanged[:, : fake.shape[1]], exchanged[:, fake.shape[1] :]
