"""The subject of an evaluation that is a translator: its outputs for the sources, and the targets."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from translate.errors import TranslateError
from translate.evaluation import answered
from translate.evaluation.inputs import Inputs
from translate.evaluation.resampling import Place
from translate.evaluation.subjects import OF_CODES, Asked, Subject, given_by, reads
from translate.given import Ready
from translate.images import to_rgb
from translate.seeds import key, noise_of
from translate.sizes import Size
from translate.traits import Traits
from translate.translator import Translator

if TYPE_CHECKING:
    from translate.evaluation import Metric


class Translations(Subject):
    """A translator's outputs for the sources, and the targets."""

    def __init__(self, asked: Asked, network: Translator, back: Callable[[], Translator] | None) -> None:
        """``back`` gives the network of the direction that leads back, None if there is none."""
        self.translator = network
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
        module = self.translator.network
        self.inputs = Inputs.of(asked.given, taken, asked.data(names[0]), self.translator.read_given, asked.where)
        if self.translator.takes_noise:
            self.metadata = {**self.metadata, "seed": asked.seed}
        self.gives = given_by(asked.direction, module) | ({"samples"} if self.translator.takes_noise else set())
        traits = Traits(module)
        self._back = back
        if back is not None:
            self.gives |= {"cycle"}
        self._bits = traits.bits_per_dimension
        self._conditional = self._bits is not None and len(inspect.signature(self._bits).parameters) > 1
        if self._bits is not None:
            if self._conditional:
                # The likelihood of a target given its source needs pairs.
                self.of_pairs = frozenset({"pairs", "bits"})
            else:
                self.metadata = {**self.metadata, "bits_of": names[0]}
        self._unbounded = traits.unbounded
        self._variational, self._likelihood = traits.variational_pass, traits.negative_log_likelihood
        # Which of the batch's images the encoder is for; an autoencoder of the target may stand in any direction.
        own = traits.encodes or names[0]
        self._encoded = "source" if own == names[0] or "target" not in self.examples else "target"
        self._first = self._passed = self._coded = 0
        self.images_of = {"fake": "source", "samples": "source", "bits": "source", "encoded": self._encoded}

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
        if "training" in wanted:
            yield from self.read_training()

    def _with_codes(self, found: dict[str, Tensor], wanted: Set[str]) -> dict[str, Tensor]:
        """Add what an autoencoder says of its images; the noise of each depends on the seed and its index only."""
        if self._variational is None or self._encoded not in found or not wanted & OF_CODES:
            return found
        image, network = found[self._encoded], self.translator.network
        indices = range(self._coded, self._coded + len(image))
        self._coded += len(image)
        noise = noise_of(network, indices, self.asked.seed).to(self.device)
        passes = [
            answered.variational(self._variational(*part), part[0], network)
            for part in zip(image.split(self.at_once), noise.split(self.at_once), strict=True)
        ]
        found |= {"encoded": image, "divergence": torch.cat([kl for kl, _ in passes])}
        found["rebuilt"] = torch.cat([rebuilt for _, rebuilt in passes])
        if self._likelihood is not None:
            likelihood = self._likelihood(found["rebuilt"], image)
            found["reconstruction"] = answered.numbers(likelihood, len(image), "negative_log_likelihood", network)
        return found

    def _add_outputs(self, found: dict[str, Tensor], wanted: Set[str]) -> dict[str, Tensor]:
        source = found["source"]
        rows = range(self._passed, self._passed + len(source))
        self._first, self._passed = self._passed, rows.stop
        # The noise of an image depends on the seed and its row only.
        seeds = [key(self.asked.seed, row) for row in rows]
        ready = Ready()
        if wanted & {"fake", "samples", "cycle"}:
            ready = self.inputs.ready(rows, self.asked.size, self.device, self.asked.max_pixels)
        if wanted & {"fake", "cycle"}:
            made = []
            for start in range(0, len(source), self.at_once):
                part = slice(start, start + self.at_once)
                given = Ready(ready.options, {name: each[part] for name, each in ready.tensors.items()})
                made.append(self.translator.translate(source[part], seed=seeds[part], given=given))
            # Metrics see what a file would hold.
            found["fake"] = torch.cat(made).clamp_(-1, 1) if self._unbounded else torch.cat(made)
        if "cycle" in wanted:
            found["cycle"] = self._translated_back(found["fake"], seeds)
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
            network = self.translator.network
            found["bits"] = torch.cat([
                answered.numbers(self._bits(*part), len(part[0]), "bits_per_dimension", network) for part in parts
            ])  # fmt: skip
        return found

    def _translated_back(self, images: Tensor, seeds: list[int]) -> Tensor:
        """The translations of translations by the network of the other direction, each with its own noise."""
        assert self._back is not None
        other = self._back()
        starts = range(0, len(images), self.at_once)
        parts = [slice(start, start + self.at_once) for start in starts]
        back = torch.cat([other.translate(images[part], seed=seeds[part]) for part in parts])
        return back.clamp_(-1, 1) if Traits(other.network).unbounded else back

    def bytes_for(self, size: Size) -> int:
        """The bytes of a translation of one image."""
        given = self.inputs.given
        return self.translator.inference.bytes_for(size, given) if given else self.translator.bytes_for(size)

    def pictures(self, name: str, rows: Sequence[int]) -> dict[str, Tensor]:
        """Images of some rows to look at: a source with its translation and its target."""
        found = super().pictures(name, rows)
        if name != "source":
            return found
        made = []
        for row in rows:
            source = self._decoded({"source": [self.examples["source"][row]]})["source"]
            given = self.inputs.ready([row], self.asked.size, self.device, self.asked.max_pixels)
            made.append(self.translator.translate(source, seed=[key(self.asked.seed, row)], given=given))
        fake = to_rgb(torch.cat(made).clamp_(-1, 1), self.translator.target)
        return {"source": found["source"], "fake": fake, **found}

    def places(self, metric: Metric) -> dict[str, Place]:
        """Of which images the values are; one that compares sets has seen the targets of the chosen classes alone."""
        places = super().places(metric)
        if self._shown is not None and self.compares_sets(metric, reads(metric)):
            places["target"] = replace(places["target"], rows=np.array(self._shown, np.int64))
        return places

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
