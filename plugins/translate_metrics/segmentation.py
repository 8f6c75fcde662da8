"""Segmentation agreement: whether a segmenter finds in translations the classes that it should."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from translate.data import Domain
from translate.errors import TranslateError
from translate.method import Parts
from translate.options import Option
from translate.translator import Translator
from translate_metrics.averages import Average
from translate_metrics.extraction import fingerprint, name_of


class Segmentation:
    """Pixel accuracy and mean intersection over union of classes that a segmenter finds in translations, in percent.

    The segmenter is a run from images to class maps, or an exported ``.onnx`` file of one. The true classes are those
    of the source if it is a class map, otherwise those that the segmenter finds in the source (``truth=source``) or in
    the target of a pair (``truth=target``). Translations that are class maps themselves need no segmenter. Pixels
    without a class in the truth do not count. ``mean_iou`` is the mean over the classes that occur in either, summed
    over all images; ``ceiling_accuracy`` is the accuracy in the real targets of pairs whose source is a class map.
    """

    needs = frozenset({"fake", "source"})
    wants = frozenset({"source", "target"})
    better: ClassVar = {"pixel_accuracy": "higher", "mean_iou": "higher"}

    def __init__(
        self,
        parts: Parts,
        load_translator: Callable[[Path], Translator],
        *,
        segmenter: Annotated[Path | None, Option("run or .onnx file that segments images of the target domain")] = None,
        truth: Annotated[Literal["source", "target"], Option("whose classes are the true ones")] = "source",
    ) -> None:
        if truth == "target":
            self.needs = frozenset({"fake", "target", "pairs"})
        self._truth, self._of_truth = truth, parts.source if truth == "source" else parts.target
        self._translator = None if segmenter is None else load_translator(segmenter)
        self._of_fake, self._name = parts.target, "no segmenter"
        if self._translator is not None and segmenter is not None:
            self._name = _described(self._translator, segmenter)
            if not self._translator.target.classes:
                raise TranslateError(f"{segmenter} makes no class maps; name a run that was trained to make some")
            if self._translator.source.channels != parts.target.channels:
                raise TranslateError(
                    f"{segmenter} segments images of {self._translator.source.channels} channels, and translations "
                    f"have {parts.target.channels}; train one on images like these"
                )
        elif not self._of_fake.classes:
            raise TranslateError("segmentation needs a segmenter for translations that are no class maps; name one")
        classes = {self._classes_of(self._of_truth), self._classes_of(self._of_fake)}
        if len(classes) > 1:
            few, many = sorted(classes)
            raise TranslateError(f"segmentation compares maps of {few} and of {many} classes; give those of one kind")
        self._count = classes.pop()
        self._confusions: list[Tensor] = []
        self._each = Average("pixel_accuracy")
        self._ceiling = Average("ceiling_accuracy")

    def _classes_of(self, domain: Domain) -> int:
        if domain.classes:
            return domain.classes
        assert self._translator is not None
        return self._translator.target.classes

    @property
    def protocol(self) -> str:
        """The segmenter, where the true classes come from, and the number of images."""
        what = f"the class maps of the {self._truth}"
        if not self._of_truth.classes:
            what = f"what it finds in the {self._truth}"
        return f"percent; {self._name}; truth: {what}; {self._count} classes; {self._each.count} images"

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Segment a batch's translations, and compare them with their true classes."""
        if "fake" not in batch:
            return
        truth = self._classes(batch[self._truth], self._of_truth)
        found = self._classes(batch["fake"], self._of_fake, known=True)
        self._confusions.append(confusion(found, truth, self._count).cpu())
        accuracy, there = _accuracies(self._confusions[-1])
        self._each.add(100 * accuracy, there)
        if self._truth == "source" and self._of_truth.classes and not self._of_fake.classes and "target" in batch:
            real = self._classes(batch["target"], self._of_fake)
            accuracy, there = _accuracies(confusion(real, truth, self._count).cpu())
            self._ceiling.add(100 * accuracy, there)

    def _classes(self, images: Tensor, domain: Domain, *, known: bool = False) -> Tensor:
        """The class of each pixel (N, H, W), -1 for none; with ``known`` each has one, as in a file."""
        if domain.classes:
            return indices(images, domain, known=known)
        assert self._translator is not None
        made = self._translator.translate(images).to(images.device)
        return indices(made, self._translator.target, known=True)

    def result(self) -> Mapping[str, float]:
        """Both scores of all pixels."""
        found = torch.cat(self._confusions).sum(0, keepdim=True).double()
        if not found.sum():
            raise TranslateError(f"segmentation finds no pixel with a class in the {self._truth}; give data with some")
        scores = {name: float(value[0]) for name, value in scores_of(found).items()}
        return {**scores, **self._ceiling.result()}

    def per_image(self) -> Mapping[str, Mapping[str, Tensor]]:
        """The accuracy of each image."""
        ceiling = {"target": {"ceiling_accuracy": self._ceiling.each}} if self._ceiling.count else {}
        return {"fake": {"pixel_accuracy": self._each.each}, **ceiling}

    def resampled(self, counts: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[np.float64]]:
        """Both scores of the pixels of each resample."""
        each = torch.cat(self._confusions).double()
        drawn = torch.from_numpy(counts["fake"]).double() @ each.flatten(1)
        return {name: value.numpy() for name, value in scores_of(drawn.unflatten(1, each.shape[1:])).items()}


def _described(translator: Translator, segmenter: Path) -> str:
    """The name of a segmenter, and a hash of its weights, or of its file if they are not at hand as tensors."""
    name = name_of(str(segmenter.resolve()))
    if translator.network.state_dict() or not segmenter.is_file():
        return f"{name}, weights {fingerprint(translator.network)}"
    with segmenter.open("rb") as file:
        return f"{name}, file {hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"


def indices(images: Tensor, domain: Domain, *, known: bool = False) -> Tensor:
    """The classes (N, H, W) of class maps (N, C, H, W) as tensors hold them; -1 for none, unless all are ``known``.

    A pixel without a class has no plane that is on, or, where some are ignored, no colour of the palette.

    >>> indices(torch.tensor([[[[1.0, -1.0]], [[-1.0, -1.0]]]]), Domain(2, classes=2)).tolist()
    [[[0, -1]]]
    """
    if domain.palette:
        colours = torch.tensor(domain.palette, device=images.device).float() / 127.5 - 1
        apart = torch.stack([(images - colour[:, None, None]).abs().sum(1) for colour in colours], dim=1)
        least, nearest = apart.min(1)
        # One that is ignored is black, which cannot be told from a black class.
        return nearest if known or domain.ignore is None else nearest.masked_fill(least > 1e-3, -1)
    highest, found = images.max(1)
    return found if known else found.masked_fill(highest <= 0, -1)


def confusion(found: Tensor, truth: Tensor, classes: int) -> Tensor:
    """How many pixels of each image (N, K, K) are of class i in truth and were found to be of class j.

    >>> confusion(torch.tensor([[[0, 1, 1]]]), torch.tensor([[[0, 0, -1]]]), 2).tolist()
    [[[1, 1], [0, 0]]]
    """
    there = (truth >= 0) & (found >= 0)
    pairs = torch.where(there, truth * classes + found, classes * classes).flatten(1)
    counts = torch.stack([torch.bincount(each, minlength=classes * classes + 1)[:-1] for each in pairs])
    return counts.view(-1, classes, classes)


def _accuracies(counts: Tensor) -> tuple[Tensor, Tensor]:
    """The share of right pixels of each image (N,), and which images have pixels with a class."""
    total = counts.sum((1, 2)).double()
    right = counts.diagonal(dim1=1, dim2=2).sum(1).double()
    return right / total.clamp(min=1), total > 0


def scores_of(counts: Tensor) -> dict[str, Tensor]:
    """Pixel accuracy and mean intersection over union, in percent (B,), of confusions (B, K, K).

    >>> {name: round(float(each), 3) for name, each in scores_of(torch.tensor([[[1.0, 1.0], [0.0, 2.0]]])).items()}
    {'pixel_accuracy': 75.0, 'mean_iou': 58.333}
    """
    right = counts.diagonal(dim1=1, dim2=2)
    union = counts.sum(1) + counts.sum(2) - right
    there = union > 0
    overlap = (right / union.clamp(min=1)).masked_fill(~there, 0)
    return {
        "pixel_accuracy": 100 * right.sum(1) / counts.sum((1, 2)),
        "mean_iou": 100 * overlap.sum(1) / there.sum(1),
    }
