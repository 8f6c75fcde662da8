"""The supervised classifier: one network, trained by cross entropy on the labels of one domain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from translate.discriminator import ClassHead
from translate.errors import TranslateError
from translate.method import Batch, Method, Needs, Parts, Update
from translate.options import Option
from translate.precision import to_float32


class Classifier(Method):
    """A classifier, trained on the labels of one domain (cross entropy; one player).

    ``min E -log softmax(l(x))_k`` over images x of class k, where l(x) are the class logits of a discriminator with
    classes. Images without a label are ignored. The classifier measures whether translations preserve classes
    (``content_accuracy``), is the frozen feature extractor of ``dtn``, and is the purely supervised baseline.

    With ``domain="target"``, or if the data has one domain, every image of a batch is labelled, however few labels
    there are. With ``domain="source"`` the batch is the ordinary one, so most of its images should have a label.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        network: Annotated[
            str, Option("network: a discriminator with class logits", part="discriminators")
        ] = "semi_supervised",
        domain: Annotated[
            Literal["source", "target"],
            Option("domain to train on; choose target for few labels or data of one domain"),
        ] = "source",
    ) -> None:
        super().__init__()
        images = parts.source if domain == "source" else parts.target
        if len(images.labels) < 2:
            raise TranslateError(
                f"classifier needs images of two classes or more, and the {domain} has {len(images.labels)}; "
                "use data with labels, or choose the other --domain"
            )
        self.head = ClassHead(
            parts.discriminator(network, inputs=images.channels, classes=len(images.labels)), domain=domain
        )
        self.domain = domain

    @property
    def needs(self) -> Needs:
        """Labels of the source; or a stream of labelled images of the target, or of the only domain."""
        if self.domain == "source":
            return Needs(labels=frozenset({"source"}))
        return Needs(streams=("labelled",))

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The classifier."""
        return {"classifier": self.head}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The classifier."""
        return {"classify": self.head}

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """One update of the classifier."""
        stream = "source" if self.domain == "source" else "labelled"
        yield Update("classifier", {"cross_entropy": cross_entropy(self.head(batch[stream]), batch[f"{stream}_label"])})


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean of ``-log softmax(logits)_label`` over the labelled images; 0 if there are none.

    >>> import torch
    >>> cross_entropy(torch.zeros(3, 4), torch.tensor([0, 3, -1]))  # log 4
    tensor(1.3863)
    >>> cross_entropy(torch.zeros(1, 4), torch.tensor([-1]))
    tensor(0.)
    """
    logits = to_float32(logits)
    total = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
    return total / (labels >= 0).sum().clamp(min=1)
