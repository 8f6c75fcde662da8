"""The supervised classifier: the network that tells classes apart where every image has a label."""

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

    ``min E -log softmax(l(x))_k`` over images x of class k, where l(x) are the class logits of a discriminator that
    tells classes apart. Images without a label count for nothing. It measures what translations keep, is the fixed
    network that feature-preserving methods look through, and shows what the labels alone can teach.

    Of the target, or of data that has one domain only, each batch is full of images that have a label, however few
    those are. Of the source it is the batch's own images, so most of them should have one.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        network: Annotated[
            str, Option("network, a discriminator that tells classes apart", part="discriminators")
        ] = "semi_supervised",
        domain: Annotated[
            Literal["source", "target"], Option("whose images; with few labels and one domain, say target")
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
        """Labels of the source, or a stream of labelled images of the target or of the only domain."""
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
        """The classifier moves."""
        stream = "source" if self.domain == "source" else "labelled"
        yield Update("classifier", {"cross_entropy": cross_entropy(self.head(batch[stream]), batch[f"{stream}_label"])})


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean of ``-log softmax(logits)_label`` over images that have a label; 0 where none has.

    >>> import torch
    >>> cross_entropy(torch.zeros(3, 4), torch.tensor([0, 3, -1]))  # log 4
    tensor(1.3863)
    >>> cross_entropy(torch.zeros(1, 4), torch.tensor([-1]))
    tensor(0.)
    """
    logits = to_float32(logits)
    total = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
    return total / (labels >= 0).sum().clamp(min=1)
