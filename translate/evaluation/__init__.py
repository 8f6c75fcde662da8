"""Evaluation: measure a trained network on a split of data with metrics."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from translate.best import as_json
from translate.common_options import At, Device, Direction, Given, Layout, Overwrite, Step
from translate.errors import TranslateError
from translate.memory import MAX_PIXELS, MaxPixels, Memory
from translate.options import Option, asked_of
from translate.paths import expanded
from translate.terminal import printable

if TYPE_CHECKING:
    from torch import Tensor

    from translate.evaluation.measurement import Measurement as Measurement
    from translate.evaluation.measurement import Scores as Scores
    from translate.evaluation.opening import opened as opened
    from translate.evaluation.subjects import Asked as Asked

__all__ = [
    "Evaluation",
    "Metric",
    "compare",
    "evaluate",
]

_INNER = {"Asked": "subjects", "Measurement": "measurement", "Scores": "measurement", "opened": "opening"}

EVALUATIONS = "evaluations"
"""The folder of a run in which evaluations are kept: JSON files, tables of scores by image, and pictures."""

ERROR = "_standard_error"
"""The end of the name of a score that is the standard error of the one before it."""

Metrics = Annotated[Sequence[str], Option("metric to compute; may be repeated", part="metrics", flag="--metric")]
Bootstrap = Annotated[
    int | None,
    Option("resamples of the images for 95 % intervals, such as 1000 (default: none; 1000 with several runs)", ge=100),
]
PerImage = Annotated[Path | None, Option("write the scores of each image to this CSV file")]


class Metric(Protocol):
    """A metric, as its factory builds it: ``update`` takes batches on the device, ``result`` returns scores.

    ``needs`` names the tensors of a batch that the metric reads: ``source``, ``target`` and ``fake`` (the
    translations), (N, C, H, W) float32 in [-1, 1]; ``source_label`` and ``target_label`` (N,) int64, -1 for none;
    ``samples`` (N, S, C, H, W), several translations of each source; ``cycle``, the translations back to the source by
    the network of the other direction; ``training``, all images of the target's domain of the split ``train``, after
    all others; ``bits`` (N,), the result of a network's ``bits_per_dimension``; of a variational autoencoder
    ``encoded``, the images (N, C, H, W) that it encodes, ``divergence`` (N,), ``rebuilt`` (N, C, H, W) and
    ``reconstruction`` (N,), as its traits ``variational_pass`` and ``negative_log_likelihood`` give them; for a
    classifier ``logits`` (N, K) and ``label``. ``needs`` may also hold ``pairs``: target i must belong to source i. An
    optional attribute ``wants`` names tensors that are passed if they are available.

    No other tensors are passed. The rows of one batch belong together. Source and target of unpaired data, and the real
    and drawn images of a sampler, come in separate batches.

    Optional methods are called after ``result``. ``per_image`` returns the values of which scores are means, one for
    each image in order, NaN for one that is left out, by the kind of tensors that they are of and by score: ``{"fake":
    {"psnr": values}}``. ``resampled(counts)`` is for scores of sets: of each kind of images it gets how often each is
    drawn in each resample, (B, N) int32, and returns each score of all resamples (B,). ``prepare_resampling()`` is
    called before the first batch, if intervals are asked for. ``warnings`` are sentences on samples that are too small.

    An optional attribute ``better`` says of its scores, by name, whether ``higher`` or ``lower`` values are better:
    ``{"psnr": "higher"}``. By such a score a training can keep its best checkpoint. Another is ``any_size``: true if a
    metric of sets may get images of several sizes, each batch of one.
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
    """The result of an evaluation: scores, the number of images of each kind, and the protocol of the measurement.

    ``intervals`` hold 95 % of the resamples of a score's images, where they were asked for; ``warnings`` are sentences
    on samples that are too small. ``per_image`` has a row for each image: its run, domain and name, and its scores.
    ``against`` are the evaluations of further runs on the same images, each with its ``differences`` from this one:
    by score the ``difference`` and the ``interval`` of it, None for none. ``kept`` is the file in the run's folder in
    which all of it lies, None for none.
    """

    subject: str
    scores: Mapping[str, float]
    counts: Mapping[str, int]
    protocol: Mapping[str, Any]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    per_image: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    differences: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    against: Sequence[Evaluation] = ()
    kept: Path | None = None

    def lines(self) -> list[str]:
        """The result as lines of text for a terminal."""
        protocol = self.protocol
        seen = ", ".join(f"{count:,} {kind}" for kind, count in self.counts.items())
        where = f"on {protocol['data']}, {protocol['split']}" if "split" in protocol else f"and {protocol['data']}"
        lines = [
            f"{self._which()} {where}",
            *(f"against {each._which()}" for each in self.against),
            f"{seen}; {protocol['size']}, {protocol['resize']}",
            *self._given(),
            *protocol.get("notes", ()),
            "",
        ]
        rows = [("", self.subject, *(cell for each in self.against for cell in (each.subject, "difference")))]
        rows = rows if self.against else []
        for name in self.scores:
            if not is_error(name, self.scores):
                beside = (cell for each in self.against for cell in (each._shown(name), each._difference(name)))
                rows.append((name, self._shown(name), *beside))
        widths = [max((len(cell) for cell in column), default=0) for column in zip(*rows, strict=True)]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        lines += ["", *(f"{name}: {how}" for name, how in protocol["metrics"].items())]
        if "bootstrap" in protocol:
            found = protocol["bootstrap"]
            lines.append(f"[a, b]: {found['interval']}; {found['resamples']:,} resamples")
        warned = dict.fromkeys(each for one in (self, *self.against) for each in one.warnings)
        lines += [f"warning: {each}" for each in warned]
        return [*lines, *(f"kept in {each.kept}" for each in (self, *self.against) if each.kept is not None)]

    def _which(self) -> str:
        """What was measured, in words."""
        method, direction = (self.protocol.get(each) for each in ("method", "direction"))
        return self.subject if method is None else f"{self.subject} ({method}, {direction})"

    def _shown(self, name: str) -> str:
        """A score with its standard error, and its interval if there is one."""
        if name not in self.scores:
            return "-"
        error = self.scores.get(name + ERROR)
        return (
            f"{self.scores[name]:.5g}" + ("" if error is None else f" ± {error:.2g}") + _span(self.intervals.get(name))
        )

    def _difference(self, name: str) -> str:
        found = self.differences.get(name)
        return "-" if found is None else f"{found['difference']:+.5g}{_span(found.get('interval'))}"

    def _given(self) -> list[str]:
        """What the network was given beside its images, in a line; none if that was nothing."""
        inputs: Mapping[str, Mapping[str, Any]] = self.protocol.get("inputs", {})
        parts = [f"{name} {value}" for name, value in self.protocol.get("given", {}).items() if name not in inputs]
        for name, each in inputs.items():
            beside = ", ".join(f"{count:,} {printable(label, 40)}" for label, count in each.get("classes", {}).items())
            if whole := each.get("without_a_hole"):
                beside = f"which marks nothing in {whole:,} of {each['images']:,}"
            parts.append(f"{name} from {each['from']}" + (f" ({beside})" if beside else ""))
        if targets := self.protocol.get("targets"):
            parts.append(
                f"compared with the {targets['images']:,} targets of {printable(', '.join(targets['classes']))}"
            )
        return [f"given: {'; '.join(parts)}"] if parts else []

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values; a number that is not finite becomes text, such as ``inf``."""
        found: dict[str, Any] = {
            "subject": self.subject,
            "scores": {name: as_json(value) for name, value in self.scores.items()},
            "counts": dict(self.counts),
            "protocol": {**self.protocol, "metrics": dict(self.protocol["metrics"])},
        }
        if self.intervals:
            found["intervals"] = {name: list(each) for name, each in self.intervals.items()}
        if self.warnings:
            found["warnings"] = list(self.warnings)
        if self.differences:
            found["differences"] = {
                name: {key: list(value) if isinstance(value, tuple) else as_json(value) for key, value in each.items()}
                for name, each in self.differences.items()
            }
        if self.against:
            found["against"] = [each.to_json() for each in self.against]
        return found


def __getattr__(name: str) -> Any:
    # Imported on first use: they need torch, and a verb's options are read without.
    if name not in _INNER:
        raise AttributeError(f"module 'translate.evaluation' has no attribute {name!r}")
    return getattr(import_module(f"translate.evaluation.{_INNER[name]}"), name)


def _refuse_no_metric(asked: Mapping[str, Any]) -> None:
    if not asked["metrics"]:
        raise TranslateError("there is nothing to measure; name at least one --metric, such as psnr")


def _span(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" [{interval[0]:.4g}, {interval[1]:.4g}]"


def is_error(name: str, scores: Container[str]) -> bool:
    """Whether a score is the standard error of another one."""
    return name.endswith(ERROR) and name.removesuffix(ERROR) in scores


def evaluate(
    run: str | Path,
    data: str | Path,
    *,
    metrics: Metrics,
    split: Annotated[str, Option("split of the data: train, val or test")] = "test",
    step: Step = None,
    layout: Layout = None,
    direction: Direction = None,
    at: At = None,
    limit: Annotated[int | None, Option("largest number of images of each domain, evenly spaced", ge=1)] = None,
    batch: Annotated[int, Option("batch size", ge=1)] = 32,
    samples: Annotated[int, Option("outputs sampled for each image, for diversity metrics", ge=1)] = 8,
    bootstrap: Bootstrap = None,
    seed: Annotated[int, Option("seed of the network's noise, and of the resamples")] = 0,
    per_image: PerImage = None,
    overwrite: Overwrite = False,
    keep: Annotated[
        bool, Option("keep the result in RUN/evaluations, with a table and pictures, where the run's report finds it")
    ] = True,
    given: Given = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    memory: Memory = None,
    device: Device = "auto",
    against: Sequence[str | Path] = (),
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> Evaluation:
    """Measure a run's folder, its ``translator.safetensors`` or one of its checkpoints, on a split of data.

    ``against`` are further runs, which are measured on the same images and compared with it.

    ``step`` chooses a checkpoint of a run's folder, by default the last weights.

    ``metrics`` are parts, such as ``frechet(extractor=squeezenet(weights='w.pth'))``. ``direction`` chooses the network
    to measure: ``forward``, ``backward``, ``sample`` or ``classify``, by default the run's first. ``at`` is the size
    (height, width) of the images, by default the training size. ``samples`` is the number of translations of each image
    for metrics of samples, with noise from ``seed``. ``memory`` is the most that decoding may take at a time.

    ``given`` holds by name what the network takes beside its image: options, and inputs, for all images or for each
    from a folder or a table, by the names of the images. An input that is not given is the data's own, row by row:
    its aligned streams, vectors and classes, unless it is given as None. Metrics of sets compare what is made of given
    classes with targets of these classes. The protocol holds all of it.

    ``bootstrap`` is the number of resamples of the images behind the ``intervals``, by ``seed``; the same images are
    drawn for all runs. ``per_image`` is a CSV file for the scores of each image.

    The result is kept in the folder ``evaluations`` of the run, if the network lies in a run's folder and ``keep`` is
    not False: as JSON, with the scores of each image as CSV and a picture of the images for which a score is highest
    and lowest. It gets a name of its own, so nothing is replaced; where the folder cannot be written, that is told.
    """
    asked = asked_of(evaluate, locals())
    _refuse_no_metric(asked)
    # Imported here, so that the options can be read without torch.
    from translate.evaluation.measuring import measure_all

    runs = [expanded(each) for each in (run, *against)]
    first, *others = measure_all(runs, str(data), asked, plugins, no_plugins)
    return Evaluation(**first, against=tuple(Evaluation(**each) for each in others))


def compare(
    made: str | Path,
    truth: str | Path,
    *,
    metrics: Metrics,
    at: At = None,
    batch: Annotated[int, Option("batch size", ge=1)] = 32,
    bootstrap: Annotated[int | None, Option("resamples of the images for 95 % intervals, such as 1000", ge=100)] = None,
    seed: Annotated[int, Option("seed of the resamples")] = 0,
    per_image: PerImage = None,
    overwrite: Overwrite = False,
    max_pixels: MaxPixels = MAX_PIXELS,
    memory: Memory = None,
    device: Device = "auto",
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> Evaluation:
    """Measure the images of one folder against those of another, whatever program has made them.

    They are pairs if each has a partner of its path below the folder, without suffix; otherwise only metrics of sets
    fit. Two images may be given instead of folders. Images keep their size unless ``at`` is given: then all are resized
    to it. Raises ``TranslateError`` where sizes or channels do not let them be compared, and for metrics that need a
    run.
    """
    asked = asked_of(compare, locals())
    _refuse_no_metric(asked)
    from translate.evaluation.comparing import compare_folders

    return Evaluation(**compare_folders(expanded(made), expanded(truth), asked, plugins, no_plugins))
