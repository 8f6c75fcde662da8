"""Subjects of an evaluation: what all have in common, and which tensors each gives to metrics."""

from __future__ import annotations

import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from translate.data import Dataset, Domain, Example
from translate.errors import TranslateError
from translate.evaluation.inputs import Inputs, of_classes
from translate.evaluation.resampling import Place
from translate.images import to_rgb
from translate.loader import decode_all, normalize
from translate.memory import images_at_once
from translate.method import role_of
from translate.parts import SavedMethod
from translate.row_inputs import RowInputs
from translate.sizes import Size
from translate.traits import Traits

if TYPE_CHECKING:
    from translate.evaluation import Metric

log = logging.getLogger("translate")


@dataclass(frozen=True, slots=True)
class Asked:
    """The request of an evaluation: the saved method, the data, and the checked options."""

    saved: SavedMethod
    direction: str
    dataset: Dataset
    split: str
    limit: int | None
    size: Size
    batch: int
    samples: int
    seed: int
    memory: int | None = None
    max_pixels: int | None = None
    given: Mapping[str, Any] = field(default_factory=dict)

    def examples(self, side: str, rows: Sequence[int] | None = None) -> list[Example]:
        """A domain's examples, or those of some ``rows``: all, or ``limit`` evenly spaced ones."""
        listed = self.dataset.splits[self.split].get(side, ())
        listed = listed if rows is None else [listed[row] for row in rows]
        count = len(listed) if self.limit is None else min(self.limit, len(listed))
        return [listed[row * len(listed) // count] for row in range(count)]

    def data(self, image: str, *, thinned: bool = True) -> RowInputs:
        """What there is beside the images of a domain, for those of ``examples`` or for all."""
        dataset = self.dataset
        split = dataset.splits[self.split]
        listed = {side: self.examples(side) if thinned else list(split[side]) for side in split}
        return RowInputs(image, listed, dataset.domains, dataset.aligned, dataset.paired)

    @property
    def where(self) -> str:
        """The split and the data, as a sentence names them."""
        return f"the split {self.split!r} of {self.dataset.name}"

    def only(self, side: str) -> str:
        """``side`` if the data has that domain, otherwise the data's first domain."""
        listed = self.dataset.splits[self.split]
        return side if side in listed else next(iter(listed), side)


_words = {
    "pairs": "pairs of a source and its target",
    "bits": "exact likelihoods",
    "samples": "several translations of one image",
    "divergence": "the codes of a variational autoencoder",
    "encoded": "the codes of a variational autoencoder",
    "rebuilt": "the codes of a variational autoencoder",
    "reconstruction": "a likelihood of values that an autoencoder was trained by",
    "logits": "a classifier's answers",
    "label": "a classifier's answers",
    "cycle": "images translated back to the source",
    "training": "a translator or a sampler, whose images may be copies,",
}


TRAINING = "train"
"""The split that a training sees."""

OF_CODES = frozenset({"encoded", "divergence", "rebuilt", "reconstruction"})
"""The tensors of a variational autoencoder's pass."""


def given_by(direction: str, module: nn.Module) -> frozenset[str]:
    """The tensors that a direction's network can provide to metrics, by its role and traits."""
    traits = Traits(module)
    match role_of(direction):
        case "classifier":
            return frozenset({"logits", "label"})
        case "sampler":
            return frozenset(
                {"fake", "target", "target_label", "training", *(["bits"] if traits.bits_per_dimension else [])}
            )
    gives = {"source", "target", "fake", "pairs", "source_label", "target_label", "training"}
    if "samples" in inspect.signature(module.forward).parameters:
        gives.add("samples")
    if traits.bits_per_dimension is not None:
        gives.add("bits")
    if traits.variational_pass is not None:
        gives |= {"divergence", "encoded", "rebuilt"}
        gives |= {"reconstruction"} if traits.negative_log_likelihood is not None else set()
    return frozenset(gives)


def reads(metric: Metric) -> frozenset[str]:
    """The tensors that a metric reads, if they are there."""
    wants: frozenset[str] = getattr(metric, "wants", frozenset())
    return metric.needs | wants


class Subject(ABC):
    """What is measured: knows which tensors it can provide to metrics, and makes the batches."""

    gives: frozenset[str]
    of_pairs = frozenset({"pairs"})
    """The needs that only paired data can meet."""
    device: torch.device
    metadata: Mapping[str, Any]
    """Further entries of the protocol."""
    images_of: Mapping[str, str] = {}
    """The name in ``examples`` of the images that a kind of tensors is of."""
    inputs = Inputs()
    """What the network is given beside each image."""
    _shown: Sequence[int] | None = None
    """The rows of pairs whose targets are of the classes that are asked for; None for all."""

    def __init__(self, asked: Asked, sides: Mapping[str, tuple[str, Domain]]) -> None:
        """``sides`` maps a name in the batch to a domain of the data and to the ``Domain`` of the training.

        Images are read as in training; the names of the classes come from the data.
        """
        self.asked = asked
        self.metadata = {}
        self.sides = {name: side for name, (side, _) in sides.items()}
        self.examples = {name: asked.examples(side) for name, (side, _) in sides.items() if asked.examples(side)}
        if not self.examples:
            raise TranslateError(f"{asked.where} has no images to evaluate on")
        named = asked.dataset.domains
        self.domains = {
            name: replace(as_trained, labels=named[side].labels if side in named else as_trained.labels)
            for name, (side, as_trained) in sides.items()
        }
        only = next(iter(self.domains.values()))
        self.source, self.target = self.domains.get("source", only), self.domains.get("target", only)

    def lacks(self, need: str) -> str | None:
        """The reason why this subject cannot meet a metric's need, to follow the metric's name; None if it can."""
        data = self.asked.where
        if need not in self.gives:
            modules = self.asked.saved.method.translators
            others = [each for each, module in modules.items() if need in given_by(each, module)]
            instead = f"try --direction {' or '.join(others)}, or another metric" if others else "choose another metric"
            if need == "reconstruction" and "rebuilt" in self.gives:
                instead = "give the metric one, such as likelihood=laplace"
            what = _words.get(need, "images translated from a source")
            return f"needs {what}, which the direction {self.asked.direction!r} does not give; {instead}"
        if need in self.of_pairs and not (self.asked.dataset.paired and len(self.examples) == 2):
            return f"compares pairs, and {data} is not paired; choose a metric of sets, such as kid"
        if need in ("source", "target") and need not in self.examples:
            return f"needs {need} images, and {data} has none; give data with both domains"
        if need == "training" and self.asked.split == TRAINING:
            return "compares with the images of the training, and those are measured here; choose another --split"
        if need == "training" and not self._training():
            return f"compares with the images of the training, and {self.asked.dataset.name} lists none of the target"
        if need.endswith("label"):
            side = need.removesuffix("label").rstrip("_") or "source"
            if not self.labelled(side):
                return f"needs the classes of images, and {data} names none of its {side}; give labelled data"
        return None

    def labelled(self, name: str) -> bool:
        """Whether any example has a label."""
        return any(example.label >= 0 for example in self.examples.get(name, ()))

    def facts(self) -> dict[str, Any]:
        """Further entries of the protocol; they are read after the last batch."""
        return {**self.metadata, **self.inputs.facts()}

    def _keep_targets(self, side: str, rows: Sequence[int]) -> None:
        """Compare with some rows of a domain alone."""
        self.examples["target"] = self.asked.examples(side, rows)

    def parts_of(self, batch: Mapping[str, Tensor], metric: Metric) -> Iterator[dict[str, Tensor]]:
        """The tensors of a batch that a metric reads, in the batches in which it gets them."""
        read = reads(metric)
        yield {name: tensor for name, tensor in batch.items() if name in read}

    def places(self, metric: Metric) -> dict[str, Place]:
        """Of which images the values are that a metric gives for each of a kind."""
        places = {name: self._place(name) for name in self.examples}
        return places | {kind: places[name] for kind, name in self.images_of.items() if name in places}

    def _place(self, name: str) -> Place:
        # Images of a pair are drawn together.
        unit = "pairs" if self.asked.dataset.paired and len(self.examples) == 2 else name
        names = [each.name for each in self.examples[name]]
        return Place(unit, self.sides[name], names, np.arange(len(names)))

    def compares_sets(self, metric: Metric, read: Set[str]) -> bool:
        """Whether a metric has targets among what it ``read``s, and not as those of pairs or of an autoencoder."""
        return "target" in read and not metric.needs & (self.of_pairs | OF_CODES)

    def choose_targets(self, metrics: Collection[Metric]) -> None:
        """Let metrics of sets compare with targets of the classes that the user gives, if the network makes them.

        Raises ``TranslateError`` if there are none.
        """
        asked, found = self.asked, self.inputs.classes
        compare = [each for each in metrics if self.compares_sets(each, reads(each))]
        if found is None or not compare or "target" not in self.examples:
            return
        (wanted, classes), side = found, self.sides["target"]
        paired = asked.dataset.paired and len(self.examples) == 2
        data = asked.data(side, thinned=paired)
        if data.home(wanted.of) != side:
            return
        labels = [wanted.labels[each] if each < len(wanted.labels) else str(each) for each in sorted(classes)]
        rows = of_classes(data, side, wanted, classes)
        if rows is None:
            log.warning(
                "the images of the %s of %s have no class that the network knows, so all are compared with those of "
                "%s=%s", side, asked.dataset.name, wanted.name, ", ".join(labels),
            )  # fmt: skip
            return
        if not rows and not any(self.compares_sets(each, each.needs) for each in compare):
            return
        if not rows:
            raise TranslateError(
                f"{asked.where} has no images of the {side} of the class {' or '.join(labels)}, with which those of "
                f"{wanted.name} would be compared; give another class, or data with some"
            )
        if paired:
            self._shown = rows
        else:
            self._keep_targets(side, rows)
        images = len(rows if paired else self.examples["target"])
        self.metadata = {**self.metadata, "targets": {"classes": labels, "images": images}}

    @cached_property
    def at_once(self) -> int:
        """How many images of a batch the network may take at once, for the memory that may be used."""
        asked = self.asked
        return images_at_once(asked.batch, asked.size, self.bytes_for, memory=asked.memory, device=str(self.device))

    @abstractmethod
    def bytes_for(self, size: Size) -> int:
        """The bytes of the network's pass over one image."""

    @abstractmethod
    def batches(self, wanted: Set[str]) -> Iterator[dict[str, Tensor]]:
        """All batches, with the tensors in ``wanted``."""

    def read(self, *names: str) -> Iterator[dict[str, Tensor]]:
        """Images and labels of the named domains, row by row, in batches on the device."""
        for start in range(0, len(self.examples[names[0]]), self.asked.batch):
            chunk = {name: self.examples[name][start : start + self.asked.batch] for name in names}
            found = self._decoded(chunk)
            for name in names:
                if self.labelled(name):
                    labels = [example.label for example in chunk[name]]
                    found[f"{name}_label"] = torch.tensor(labels, device=self.device)
            yield found

    def read_training(self) -> Iterator[dict[str, Tensor]]:
        """The images of the training of the domain that is compared with, all of them, in batches on the device."""
        listed = self._training()
        for start in range(0, len(listed), self.asked.batch):
            yield {"training": self._decoded({"target": listed[start : start + self.asked.batch]})["target"]}

    def _training(self) -> Sequence[Example]:
        """The examples of the training, none if the data lists none."""
        return self.asked.dataset.splits.get(TRAINING, {}).get(self.sides.get("target", ""), ())

    def pictures(self, name: str, rows: Sequence[int]) -> dict[str, Tensor]:
        """Images of some rows to look at, (N, 3, H, W) uint8 on the CPU by kind: those of ``name`` and its pair's."""
        together = self.asked.dataset.paired and len(self.examples) == 2
        found = self._decoded({
            each: [listed[row] for row in rows]
            for each, listed in self.examples.items()
            if each == name or together
        })  # fmt: skip
        return {each: to_rgb(images, self.domains[each]) for each, images in found.items()}

    def _decoded(self, chunk: Mapping[str, Sequence[Example]]) -> dict[str, Tensor]:
        """The images of examples by the name of their domain, on the device, in [-1, 1]."""
        decoded = decode_all(
            chunk,
            self.domains,
            size=self.asked.size,
            resize="stretch",
            device=torch.device("cpu"),
            memory=self.asked.memory,
            max_pixels=self.asked.max_pixels,
        )
        return {name: normalize(saved.to(self.device), self.domains[name]) for name, saved in decoded.items()}
