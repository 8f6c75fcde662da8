"""The subjects of an evaluation that are no translators: a sampler's images, or a classifier's logits of real ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from translate.errors import TranslateError
from translate.evaluation import answered
from translate.evaluation.inputs import Inputs
from translate.evaluation.resampling import Place
from translate.evaluation.subjects import Asked, Subject, given_by
from translate.given import stacked
from translate.row_inputs import RowInputs
from translate.saved import BATCH, Classifier, Sampler
from translate.sizes import Size
from translate.traits import Traits

if TYPE_CHECKING:
    from translate.evaluation import Metric


class Drawings(Subject):
    """A sampler's images, as many as there are real ones; and the real ones' likelihood, if the network computes it."""

    images_of: Mapping[str, str] = {"bits": "target"}

    def __init__(self, asked: Asked, network: Sampler) -> None:
        self.sampler = network
        self.device = self.sampler.device
        self._bits = Traits(self.sampler.network).bits_per_dimension
        self.gives = given_by(asked.direction, self.sampler.network)
        if asked.size != self.sampler.size:
            raise TranslateError("a sampler makes images of the training's size only; leave out --at")
        side = asked.only("target")
        super().__init__(asked, {"target": (side, self.sampler.domain)})
        self.metadata = {"domain": side, "seed": asked.seed}
        # Images are made by what belongs to the real ones that they are compared with.
        self.inputs = self._inputs_beside(asked.data(side))
        wanted = [self.sampler.taken.inputs[name] for name in self.inputs.given.names]
        self._by_class = next((each for each in wanted if each.kind == "class"), None)
        if self._by_class is not None:
            # The class that an image was made for stands in the place of its source's.
            self.gives |= {"source_label"}
            self.source = replace(self.source, labels=self._by_class.labels)

    def labelled(self, name: str) -> bool:
        """Whether any example has a label; what is made by class has one."""
        return (name == "source" and self._by_class is not None) or super().labelled(name)

    def _inputs_beside(self, data: RowInputs) -> Inputs:
        read = self.sampler.read_given
        return Inputs.of(self.asked.given, self.sampler.taken, data, read, self.asked.where, drawn=True)

    def _keep_targets(self, side: str, rows: Sequence[int]) -> None:
        super()._keep_targets(side, rows)
        split = self.asked.dataset.splits[self.asked.split]
        listed = {each: self.asked.examples(each, rows) for each in (split if self.asked.dataset.paired else [side])}
        self.inputs = self._inputs_beside(replace(self.asked.data(side), examples=listed))

    @property
    def _count(self) -> int:
        return self.inputs.count or len(self.examples["target"])

    def places(self, metric: Metric) -> dict[str, Place]:
        """Of which images the values are: the real ones, and those drawn by their numbers."""
        names = [str(number) for number in range(self._count)]
        drawn = Place("drawn", "drawn", names, np.arange(len(names)))
        return {**super().places(metric), "fake": drawn, "source": drawn}

    def batches(self, wanted: Set[str]) -> Iterator[dict[str, Tensor]]:
        """The real images, then the drawn ones."""
        count, step = self._count, self.asked.batch
        if wanted & {"target", "target_label", "bits"}:
            for found in self.read("target"):
                if self._bits is not None and "bits" in wanted:
                    bits, network = self._bits(found["target"]), self.sampler.network
                    found["bits"] = answered.numbers(bits, len(found["target"]), "bits_per_dimension", network)
                yield found
        if "fake" in wanted:
            for start in range(0, count, step):
                indices = range(start, min(start + step, count))
                at_once = min(BATCH, self.at_once)
                given, taken = self.inputs.given, self.sampler.taken
                tensors = stacked(given.numbered(indices), taken, self.device)
                self.inputs.note(tensors)
                made = {"fake": self.sampler.draw(indices, self.asked.seed, at_once=at_once, given=given)}
                if self._by_class is not None:
                    made["source_label"] = tensors[self._by_class.name]
                yield made
        if "training" in wanted:
            yield from self.read_training()

    def bytes_for(self, size: Size) -> int:
        """The bytes of one drawn image."""
        return self.sampler.bytes_for(size)


class Answers(Subject):
    """A classifier's logits of real images, from the domain of its training if the data has it."""

    images_of: Mapping[str, str] = {"logits": "source"}

    def __init__(self, asked: Asked, network: Classifier) -> None:
        if asked.given:
            name = next(iter(asked.given))
            raise TranslateError(f"evaluate: a classifier takes an image alone, so it cannot be given {name!r:.60}")
        self.gives = given_by(asked.direction, asked.saved.method.translators[asked.direction])
        self.classifier = network
        self.device = self.classifier.device
        side = asked.only(Traits(asked.saved.method.translators[asked.direction]).domain)
        super().__init__(asked, {"source": (side, self.classifier.domain)})
        self.target = self.classifier.domain
        self.metadata = {"domain": side}

    def batches(self, wanted: Set[str]) -> Iterator[dict[str, Tensor]]:
        """Logits with the images' labels."""
        for found in self.read("source"):
            answers = {"logits": self.classifier.logits(found["source"], self.at_once)}
            yield answers | ({"label": found["source_label"]} if "source_label" in found else {})

    def bytes_for(self, size: Size) -> int:
        """The bytes of the pass over one image."""
        return self.classifier.bytes_for(size)
