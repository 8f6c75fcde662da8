"""Evaluation: measure a trained network on a split of data with metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from translate.common_options import At, Device, Direction, Given, Layout, NoiseSeed, Step
from translate.errors import TranslateError
from translate.memory import MAX_PIXELS, MaxPixels, Memory
from translate.options import Option, asked_of
from translate.paths import expanded
from translate.terminal import printable

if TYPE_CHECKING:
    from torch import Tensor

    from translate.evaluation.measurement import Measurement as Measurement
    from translate.evaluation.subjects import Asked as Asked

__all__ = [
    "Evaluation",
    "Metric",
    "evaluate",
]

ERROR = "_standard_error"


class Metric(Protocol):
    """A metric, as its factory builds it: ``update`` takes batches on the device, ``result`` returns scores.

    ``needs`` names the tensors of a batch that the metric reads: ``source``, ``target`` and ``fake`` (the
    translations), (N, C, H, W) float32 in [-1, 1]; ``source_label`` and ``target_label`` (N,) int64, -1 for none;
    ``samples`` (N, S, C, H, W), several translations of each source; ``bits`` (N,), the result of a network's
    ``bits_per_dimension``; of a variational autoencoder ``encoded``, the images (N, C, H, W) that it encodes,
    ``divergence`` (N,), ``rebuilt`` (N, C, H, W) and ``reconstruction`` (N,), as its traits ``variational_pass`` and
    ``negative_log_likelihood`` give them; for a classifier ``logits`` (N, K) and ``label``. ``needs`` may also hold
    ``pairs``: target i must belong to source i. An optional attribute ``wants`` names tensors that are passed if they
    are available.

    No other tensors are passed. The rows of one batch belong together. Source and target of unpaired data, and the real
    and drawn images of a sampler, come in separate batches.

    An optional attribute ``better`` says of its scores, by name, whether ``higher`` or ``lower`` values are better:
    ``{"psnr": "higher"}``. By such a score a training can keep its best checkpoint.
    """

    needs: frozenset[str]

    @property
    def protocol(self) -> str:
        """How the scores were computed, in words; it is read after ``result``."""
        ...

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Accumulate one batch."""
        ...

    def result(self) -> Mapping[str, float]:
        """Scores by name; ``NAME_standard_error`` is the standard error of ``NAME``."""
        ...


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of an evaluation: scores, the number of images of each kind, and the protocol of the measurement."""

    subject: str
    scores: Mapping[str, float]
    counts: Mapping[str, int]
    protocol: Mapping[str, Any]

    def lines(self) -> list[str]:
        """The result as lines of text for a terminal."""
        protocol = self.protocol
        seen = ", ".join(f"{count:,} {kind}" for kind, count in self.counts.items())
        which = f"{self.subject} ({protocol['method']}, {protocol['direction']})"
        lines = [
            f"{which} on {protocol['data']}, {protocol['split']}",
            f"{seen}; {protocol['size']}, {protocol['resize']}",
            *self._given(),
            "",
        ]
        rows = []
        for name, value in self.scores.items():
            if not _is_error(name, self.scores):
                error = self.scores.get(name + ERROR)
                shown = f"{value:.5g}" + ("" if error is None else f" ± {error:.2g}")
                rows.append((name, shown))
        widths = [max((len(cell) for cell in column), default=0) for column in zip(*rows, strict=True)]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        return [*lines, "", *(f"{name}: {how}" for name, how in protocol["metrics"].items())]

    def _given(self) -> list[str]:
        """What the network was given beside its images, in a line; none if that was nothing."""
        inputs: Mapping[str, Mapping[str, Any]] = self.protocol.get("inputs", {})
        told = [f"{name} {value}" for name, value in self.protocol.get("given", {}).items() if name not in inputs]
        for name, each in inputs.items():
            classes = ", ".join(f"{count:,} {printable(label, 40)}" for label, count in each.get("classes", {}).items())
            told.append(f"{name} from {each['from']}" + (f" ({classes})" if classes else ""))
        if targets := self.protocol.get("targets"):
            told.append(
                f"compared with the {targets['images']:,} targets of {printable(', '.join(targets['classes']))}"
            )
        return [f"given: {'; '.join(told)}"] if told else []

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values; a number that is not finite becomes text, such as ``inf``."""
        scores = {name: value if math.isfinite(value) else str(value) for name, value in self.scores.items()}
        return {
            "subject": self.subject,
            "scores": scores,
            "counts": dict(self.counts),
            "protocol": {**self.protocol, "metrics": dict(self.protocol["metrics"])},
        }


def __getattr__(name: str) -> Any:
    # Imported on first use: they need torch, and a verb's options are read without.
    if name == "Asked":
        from translate.evaluation.subjects import Asked

        return Asked
    if name == "Measurement":
        from translate.evaluation.measurement import Measurement

        return Measurement
    raise AttributeError(f"module 'translate.evaluation' has no attribute {name!r}")


def _is_error(name: str, scores: Mapping[str, float]) -> bool:
    return name.endswith(ERROR) and name.removesuffix(ERROR) in scores


def evaluate(
    run: str | Path,
    data: str | Path,
    *,
    metrics: Annotated[
        Sequence[str],
        Option("metric to compute; may be repeated", part="metrics", flag="--metric"),
    ],
    split: Annotated[str, Option("split of the data: train, val or test")] = "test",
    step: Step = None,
    layout: Layout = None,
    direction: Direction = None,
    at: At = None,
    limit: Annotated[int | None, Option("largest number of images of each domain, evenly spaced", ge=1)] = None,
    batch: Annotated[int, Option("batch size", ge=1)] = 32,
    samples: Annotated[int, Option("outputs sampled for each image, for diversity metrics", ge=1)] = 8,
    seed: NoiseSeed = 0,
    given: Given = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    memory: Memory = None,
    device: Device = "auto",
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> Evaluation:
    """Measure a run's folder, its ``translator.safetensors`` or one of its checkpoints, on a split of data.

    ``step`` chooses a checkpoint of a run's folder, by default the last weights.

    ``metrics`` are parts, such as ``frechet(extractor=squeezenet(weights='w.pth'))``. ``direction`` chooses the network
    to measure: ``forward``, ``backward``, ``sample`` or ``classify``, by default the run's first. ``at`` is the size
    (height, width) of the images, by default the training size. ``samples`` is the number of translations of each image
    for metrics of samples, with noise from ``seed``. ``memory`` is the most that decoding may take at a time.

    ``given`` holds by name what the network takes beside its image: options, and inputs, for all images or for each
    from a folder or a table, by the names of the images. An input that is not given is the data's own, row by row:
    its aligned streams, vectors and classes, unless it is given as None. Metrics of sets compare what is made of given
    classes with targets of these classes. The protocol holds all of it.
    """
    asked = asked_of(evaluate, locals())
    if not asked["metrics"]:
        raise TranslateError("there is nothing to measure; name at least one --metric, such as psnr")
    # Imported here, so that the options can be read without torch.
    from translate.evaluation.measuring import measure

    return Evaluation(**measure(expanded(run), str(data), asked, plugins, no_plugins))
