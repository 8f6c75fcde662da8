"""The last layer of a discriminator that tells classes apart, and with them what is real."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from translate.precision import to_float32
from translate_networks.minibatch import MinibatchSimilarity


class KPlusOne(nn.Module):
    """Features (N, D) to a logit of realness (N, 1) and logits of K classes (N, K).

    A fake is one more class, K + 1, with the logit 0, since a softmax has one number to spare (Salimans et al. 2016,
    arXiv:1606.03498, section 5): with class logits l_k and Z = sum_k exp(l_k) an image is real with probability
    ``D = Z / (Z + 1)``, whose logit is ``log Z``. So an adversarial loss on the realness is the published unsupervised
    loss, and one set of weights serves both questions. ``explicit`` gives fakes a logit of their own, as Odena 2016
    (arXiv:1606.01583) draws it: the realness is then ``log Z - l_(K+1)``. Both can say the same.

    Without classes there is one plain logit. With ``minibatch`` the similarity to the rest of the batch adds one number
    to all K logits: it moves the realness and leaves the classes' softmax, and so the classifier, as they are.
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
        """Realness and, where it was built for them, classes; in float32 at least."""
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
