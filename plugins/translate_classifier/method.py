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
from translate_classifier.head import FeatureClassifier

NETWORK = "semi_supervised"


class Classifier(Method):
    """A classifier, trained on the labels of one domain (cross entropy; one player).

    ``min E -log softmax(l(x))_k`` over images x of class k, where l(x) are the class logits of a discriminator with
    classes. Images without a label are ignored. The classifier measures whether translations preserve classes
    (``content_accuracy``), is the frozen feature extractor of ``dtn``, and is the purely supervised baseline.

    With ``domain="target"``, or if the data has one domain, every image of a batch is labelled, however few labels
    there are. With ``domain="source"`` the batch is the ordinary one, so most of its images should have a label.

    With ``features`` the logits are computed from a feature extractor, such as the encoder of an autoencoder that was
    trained without labels: by a linear layer, or by one with a hidden layer of ``hidden`` units. The extractor is
    frozen, and the head alone is trained; or, with ``finetune``, it is a second player, ``features``, which moves
    jointly with the head and may have an optimizer of its own. The head's last layer starts at 0: all classes are
    equally likely at first, and no random head disturbs the features in the first steps.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        network: Annotated[str, Option("network: a discriminator with class logits", part="discriminators")] = NETWORK,
        domain: Annotated[
            Literal["source", "target"],
            Option("domain to train on; choose target for few labels or data of one domain"),
        ] = "source",
        features: Annotated[
            str,
            Option(
                "feature extractor in place of network: a part, or a run with an encoder", part="feature_extractors"
            ),
        ] = "",
        finetune: Annotated[bool, Option("train the features, too; otherwise they are frozen")] = False,
        hidden: Annotated[int, Option("units of a hidden layer between features and logits; 0: none", ge=0)] = 0,
        pooling: Annotated[
            Literal["mean", "none"], Option("of a map of features: the mean over positions, or all positions")
        ] = "mean",
    ) -> None:
        super().__init__()
        images = parts.source if domain == "source" else parts.target
        if len(images.labels) < 2:
            raise TranslateError(
                f"classifier needs images of two classes or more, and the {domain} has {len(images.labels)}; "
                "use data with labels, or choose the other --domain"
            )
        classes = len(images.labels)
        self.head: nn.Module
        if features:
            if network != NETWORK:
                raise TranslateError(
                    f"classifier takes its logits from the features or from a network, not from both {features} and "
                    f"{network}; leave out --network or --features"
                )
            body = parts.feature_extractor(features, inputs=images.channels, frozen=not finetune)
            self.head = parts.own(FeatureClassifier(body, classes, hidden=hidden, pooling=pooling, domain=domain))
        elif finetune or hidden or pooling != "mean":
            option = "finetune" if finetune else "hidden" if hidden else "pooling"
            raise TranslateError(
                f"classifier: {option} is an option of features; give --features a run, or leave it out"
            )
        else:
            self.head = ClassHead(parts.discriminator(network, inputs=images.channels, classes=classes), domain=domain)
        self.finetune = finetune
        self.domain = domain

    @property
    def needs(self) -> Needs:
        """Labels of the source; or a stream of labelled images of the target, or of the only domain."""
        if self.domain == "source":
            return Needs(labels=frozenset({"source"}))
        return Needs(streams=("labelled",))

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The classifier; with ``finetune`` its head, and the features."""
        if isinstance(self.head, FeatureClassifier):
            trained = {"features": self.head.body} if self.finetune else {}
            return {"classifier": self.head.head, **trained}
        return {"classifier": self.head}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """The classifier."""
        return {"classify": self.head}

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """One update of the classifier, or of head and features jointly."""
        stream = "source" if self.domain == "source" else "labelled"
        loss = cross_entropy(self.head(batch[stream]), batch[f"{stream}_label"])
        yield Update(("classifier", "features") if self.finetune else "classifier", {"cross_entropy": loss})


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
