"""Evaluation: what a run has trained, measured on data by metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from translate.common_options import At, Device, Direction, Layout, NoiseSeed
from translate.errors import TranslateError
from translate.options import Option, asked_of

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Evaluation",
    "Metric",
    "evaluate",
]

ERROR = "_standard_error"


class Metric(Protocol):
    """What a metric's factory builds: takes batches on the device, answers scores.

    ``needs`` names the tensors of a batch that it reads, of these: ``source``, ``target`` and ``fake``, the
    translations, (N, C, H, W) float32 in [-1, 1]; ``source_label`` and ``target_label`` (N,) int64, -1 for none;
    ``samples`` (N, S, C, H, W), several translations of each source; ``bits`` (N,), what a network with a
    ``bits_per_dimension`` answers; of a classifier ``logits`` (N, K) and ``label``. Beside them ``pairs``: target i
    must belong to source i. An attribute ``wants``, where there is one, names what it reads if it is at hand.

    Nothing else is handed in. What comes in one batch belongs together, row by row. Of data without pairs, and of a
    sampler, the sides come in batches of their own.
    """

    needs: frozenset[str]

    @property
    def protocol(self) -> str:
        """How the score was taken, in words: read after ``result``."""
        ...

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Take one batch."""
        ...

    def result(self) -> Mapping[str, float]:
        """Scores by name; ``NAME_standard_error`` is the standard error of ``NAME``."""
        ...


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured. ``counts`` are the images of each kind that the metrics saw, ``protocol`` how it was done."""

    subject: str
    scores: Mapping[str, float]
    counts: Mapping[str, int]
    protocol: Mapping[str, Any]

    def lines(self) -> list[str]:
        """Tell it as lines of text for a terminal."""
        protocol = self.protocol
        seen = ", ".join(f"{count:,} {kind}" for kind, count in self.counts.items())
        which = f"{self.subject} ({protocol['method']}, {protocol['direction']})"
        lines = [
            f"{which} on {protocol['data']}, {protocol['split']}",
            f"{seen}; {protocol['size']}, {protocol['resize']}",
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

    def to_json(self) -> dict[str, Any]:
        """Tell it as JSON values; a number that is not finite becomes its name in text, such as ``inf``."""
        scores = {name: value if math.isfinite(value) else str(value) for name, value in self.scores.items()}
        return {
            "subject": self.subject,
            "scores": scores,
            "counts": dict(self.counts),
            "protocol": {**self.protocol, "metrics": dict(self.protocol["metrics"])},
        }


def _is_error(name: str, scores: Mapping[str, float]) -> bool:
    return name.endswith(ERROR) and name.removesuffix(ERROR) in scores


def evaluate(
    run: str | Path,
    data: str | Path,
    *,
    metrics: Annotated[
        Sequence[str],
        Option("what to measure; may be repeated", part="metrics", flag="--metric"),
    ],
    split: Annotated[str, Option("which of the data's splits: train, val or test")] = "test",
    layout: Layout = None,
    direction: Direction = None,
    at: At = None,
    limit: Annotated[int | None, Option("at most so many images of each domain, evenly spread", ge=1)] = None,
    batch: Annotated[int, Option("images at a time", ge=1)] = 32,
    samples: Annotated[int, Option("answers drawn for each image, for metrics of their diversity", ge=1)] = 8,
    seed: NoiseSeed = 0,
    device: Device = "auto",
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> Evaluation:
    """Measure a run's folder, or its ``translator.safetensors``, on a split of data.

    ``metrics`` are named as parts, such as ``frechet(extractor=squeezenet(weights='w.pth'))``. ``direction`` is what of
    the run is measured: ``forward`` (by default the first it keeps), ``backward``, ``sample``, ``classify``. ``at`` is
    the training's size unless given; ``samples`` is how many translations of one image a metric of samples gets, drawn
    from ``seed``.
    """
    asked = asked_of(evaluate, locals())
    if not asked["metrics"]:
        raise TranslateError("there is nothing to measure; name at least one --metric, such as psnr")
    # Imported here, so that what may be asked can be read without torch.
    from translate.evaluation.measuring import measure

    return Evaluation(**measure(Path(run), str(data), asked, plugins, no_plugins))
