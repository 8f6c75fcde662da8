"""Subjects of an evaluation: a translator's outputs, a sampler's images or a classifier's logits, with real data."""

from __future__ import annotations

import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from translate import translator
from translate.data import Dataset, Domain, Example
from translate.errors import TranslateError
from translate.evaluation.inputs import Inputs, of_classes
from translate.given import Ready, stacked
from translate.loader import decode_all, normalize
from translate.memory import images_at_once
from translate.method import role_of
from translate.parts import SavedMethod
from translate.row_inputs import RowInputs
from translate.saved import BATCH, load_classifier, load_sampler
from translate.seeds import key, noise_of
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
}


OF_CODES = frozenset({"encoded", "divergence", "rebuilt", "reconstruction"})
"""The tensors of a variational autoencoder's pass."""


def given_by(direction: str, module: nn.Module) -> frozenset[str]:
    """The tensors that a direction's network can provide to metrics, by its role and traits."""
    traits = Traits(module)
    match role_of(direction):
        case "classifier":
            return frozenset({"logits", "label"})
        case "sampler":
            return frozenset({"fake", "target", "target_label", *(["bits"] if traits.bits_per_dimension else [])})
    gives = {"source", "target", "fake", "pairs", "source_label", "target_label"}
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
            decoded = decode_all(
                chunk,
                self.domains,
                size=self.asked.size,
                resize="stretch",
                device=torch.device("cpu"),
                memory=self.asked.memory,
                max_pixels=self.asked.max_pixels,
            )
            found = {name: normalize(saved.to(self.device), self.domains[name]) for name, saved in decoded.items()}
            for name in names:
                if self.labelled(name):
                    labels = [example.label for example in chunk[name]]
                    found[f"{name}_label"] = torch.tensor(labels, device=self.device)
            yield found


class Translations(Subject):
    """A translator's outputs for the sources, and the targets."""

    def __init__(self, asked: Asked, **loading: Any) -> None:
        self.translator = translator.load(asked.saved.path, direction=asked.direction, **loading)
        self.device = self.translator.device
        backward = asked.direction == "backward"
        names = ("target", "source") if backward else ("source", "target")
        if not asked.examples(names[0]):
            raise TranslateError(
                f"{asked.where} has no {names[0]} images to translate in the direction {asked.direction!r}; give data "
                "with some"
            )
        trained, taken = (self.translator.source, self.translator.target), self.translator.taken
        sides = dict(zip(("source", "target"), zip(names, trained, strict=True), strict=True))
        by_class = any(each.kind == "class" for each in taken.inputs.values())
        if by_class and not asked.examples(names[1]):
            # Classes of the only domain are domains of their own.
            sides["target"] = (names[0], self.translator.target)
        super().__init__(asked, sides)
        network = self.translator.network
        self.inputs = Inputs.of(asked.given, taken, asked.data(names[0]), self.translator.read_given, asked.where)
        if self.translator.takes_noise:
            self.metadata = {**self.metadata, "seed": asked.seed}
        self.gives = given_by(asked.direction, network) | ({"samples"} if self.translator.takes_noise else set())
        self._bits = Traits(network).bits_per_dimension
        self._conditional = self._bits is not None and len(inspect.signature(self._bits).parameters) > 1
        if self._bits is not None:
            if self._conditional:
                # The likelihood of a target given its source needs pairs.
                self.of_pairs = frozenset({"pairs", "bits"})
            else:
                self.metadata = {**self.metadata, "bits_of": names[0]}
        traits = Traits(network)
        self._unbounded = traits.unbounded
        self._variational, self._likelihood = traits.variational_pass, traits.negative_log_likelihood
        # Which of the batch's images the encoder is for; an autoencoder of the target may stand in any direction.
        own = traits.encodes or names[0]
        self._encoded = "source" if own == names[0] or "target" not in self.examples else "target"
        self._first = self._passed = self._coded = 0

    def batches(self, wanted: Set[str]) -> Iterator[dict[str, Tensor]]:
        """Pairs in common batches; for unpaired data the sources first, then the targets."""
        of_target = {"target", "target_label", "pairs", *(["bits"] if self._conditional else [])}
        of_target |= OF_CODES if self._encoded == "target" else set()
        with_target = "target" in self.examples and bool(wanted & of_target)
        together = with_target and self.asked.dataset.paired
        for found in self.read("source", "target") if together else self.read("source"):
            yield self._with_codes(self._add_outputs(found, wanted), wanted)
        if with_target and not together:
            for found in self.read("target"):
                yield self._with_codes(found, wanted)

    def _with_codes(self, found: dict[str, Tensor], wanted: Set[str]) -> dict[str, Tensor]:
        """Add what an autoencoder says of its images; the noise of each depends on the seed and its index only."""
        if self._variational is None or self._encoded not in found or not wanted & OF_CODES:
            return found
        image, network = found[self._encoded], self.translator.network
        indices = range(self._coded, self._coded + len(image))
        self._coded += len(image)
        noise = noise_of(network, indices, self.asked.seed).to(self.device)
        passes = [
            self._variational(*part) for part in zip(image.split(self.at_once), noise.split(self.at_once), strict=True)
        ]
        found |= {"encoded": image, "divergence": torch.cat([kl for kl, _ in passes])}
        found["rebuilt"] = torch.cat([rebuilt for _, rebuilt in passes])
        if self._likelihood is not None:
            found["reconstruction"] = self._likelihood(found["rebuilt"], image)
        return found

    def _add_outputs(self, found: dict[str, Tensor], wanted: Set[str]) -> dict[str, Tensor]:
        source = found["source"]
        rows = range(self._passed, self._passed + len(source))
        self._first, self._passed = self._passed, rows.stop
        # The noise of an image depends on the seed and its row only.
        seeds = [key(self.asked.seed, row) for row in rows]
        ready = Ready()
        if wanted & {"fake", "samples"}:
            ready = self.inputs.ready(rows, self.asked.size, self.device, self.asked.max_pixels)
        if "fake" in wanted:
            made = []
            for start in range(0, len(source), self.at_once):
                part = slice(start, start + self.at_once)
                given = Ready(ready.options, {name: each[part] for name, each in ready.tensors.items()})
                made.append(self.translator.translate(source[part], seed=seeds[part], given=given))
            # Metrics see what a file would hold.
            found["fake"] = torch.cat(made).clamp_(-1, 1) if self._unbounded else torch.cat(made)
        if "samples" in wanted:
            found["samples"] = torch.stack([
                self.translator.translate(
                    source[row : row + 1], samples=self.asked.samples, seed=seed, given=ready.row(row)
                )
                for row, seed in enumerate(seeds)
            ])  # fmt: skip
        if "bits" in wanted:
            assert self._bits is not None
            about = (found["target"], source) if self._conditional else (source,)
            parts = zip(*(images.split(self.at_once) for images in about), strict=True)
            found["bits"] = torch.cat([self._bits(*part) for part in parts])
        return found

    def bytes_for(self, size: Size) -> int:
        """The bytes of a translation of one image."""
        given = self.inputs.given
        return self.translator.inference.bytes_for(size, given) if given else self.translator.bytes_for(size)

    def parts_of(self, batch: Mapping[str, Tensor], metric: Metric) -> Iterator[dict[str, Tensor]]:
        """The tensors of a batch; one that compares sets gets the targets of the chosen classes beside the fakes."""
        found = next(super().parts_of(batch, metric))
        if self._shown is None or not self.compares_sets(metric, found.keys()):
            yield found
            return
        of_target = {name: found.pop(name) for name in ("target", "target_label") if name in found}
        yield found
        rows = [row - self._first for row in self._shown if self._first <= row < self._passed]
        if rows and of_target:
            yield {name: each[rows] for name, each in of_target.items()}


class Drawings(Subject):
    """A sampler's images, as many as there are real ones; and the real ones' likelihood, if the network computes it."""

    def __init__(self, asked: Asked, **loading: Any) -> None:
        self.sampler = load_sampler(asked.saved.path, **loading)
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

    def batches(self, wanted: Set[str]) -> Iterator[dict[str, Tensor]]:
        """The real images, then the drawn ones."""
        count, step = self.inputs.count or len(self.examples["target"]), self.asked.batch
        if wanted & {"target", "target_label", "bits"}:
            for found in self.read("target"):
                yield found | ({"bits": self._bits(found["target"])} if self._bits and "bits" in wanted else {})
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

    def bytes_for(self, size: Size) -> int:
        """The bytes of one drawn image."""
        return self.sampler.bytes_for(size)


class Answers(Subject):
    """A classifier's logits of real images, from the domain of its training if the data has it."""

    def __init__(self, asked: Asked, **loading: Any) -> None:
        if asked.given:
            name = next(iter(asked.given))
            raise TranslateError(f"evaluate: a classifier takes an image alone, so it cannot be given {name!r:.60}")
        self.gives = given_by(asked.direction, asked.saved.method.translators[asked.direction])
        self.classifier = load_classifier(asked.saved.path, **loading)
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


def subject_of(asked: Asked, **loading: Any) -> Subject:
    """Load the network to measure; ``loading`` holds keyword arguments of its loader."""
    roles: dict[str, Callable[..., Subject]] = {
        "translator": Translations,
        "sampler": Drawings,
        "classifier": Answers,
    }
    return roles[role_of(asked.direction)](asked, **loading)
