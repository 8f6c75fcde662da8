"""The K + 1 class head: one softmax over K classes and fake, from which the realness logit is computed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from translate.precision import to_float32
from translate_networks.minibatch import MinibatchSimilarity


class KPlusOne(nn.Module):
    """Features (N, D) to a realness logit (N, 1) and class logits (N, K).

    Fake is class K + 1 with the logit fixed at 0, because a softmax is invariant to a common shift (Salimans et al.
    2016, arXiv:1606.03498, section 5): with class logits l_k and Z = sum_k exp(l_k), an image is real with probability
    ``D = Z / (Z + 1)``, whose logit is ``log Z``. So an adversarial loss on the realness logit is the published
    unsupervised loss, and both outputs use the same weights. With ``explicit`` fakes have a learned logit, as in Odena
    2016 (arXiv:1606.01583): the realness logit is then ``log Z - l_(K+1)``. Both forms are equally expressive.

    Without classes there is one plain logit. With ``minibatch`` a function of the similarity to the rest of the batch
    is added to all K logits: that shifts the realness logit and leaves the softmax over classes, the classifier, as is.
    """

    def __init__(self, features: int, classes: int, *, explicit: bool = False, minibatch: bool = False) -> None:
        super().__init__()
        self.classes = classes
        self.linear = nn.Linear(features, classes + (1 if explicit or not classes else 0))
        nn.init.normal_(self.linear.weight, 0.0, 0.02)
        nn.init.zeros_(self.linear.bias)
        self.similarity = MinibatchSimilarity(features) if minibatch else None
        if self.similarity is not None:
            self.crowding = nn.Linear(self.similarity.kernels, 1, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The realness logit and, if built with classes, class logits; in float32 at least."""
        logits: Tensor = self.linear(x)
        logits = to_float32(logits)
        shift = self.crowding(self.similarity(x)).to(logits.dtype) if self.similarity is not None else None
        if not self.classes:
            return (logits if shift is None else logits + shift), None
        classes, fake_logits = logits[:, : self.classes], logits[:, self.classes :]
        if shift is not None:
            classes = classes + shift
        realness = torch.logsumexp(classes, dim=1, keepdim=True)
        return (realness - fake_logits if fake_logits.shape[1] else realness), classes
