"""The contract checks of datasets and metrics, and of hooks that offer no parts: layouts, commands, observers."""

from __future__ import annotations

import inspect
import io
import logging
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from translate import images
from translate.columns import Made
from translate.data import Domain, Example, check_stream_name
from translate.errors import TranslateError
from translate.evaluation import opened
from translate.listed import check_listed
from translate.options import parse_call
from translate.parts import build
from translate.plugins import Catalog, Plugin, discover
from translate.run import Config, Run, Scalars
from translate.seeds import seed_step
from translate.streams import Vectors
from translate.testing.networks import parts_of

TREES: Mapping[str, tuple[str, ...]] = {
    "pairs": ("train/source", "train/target", "val/source", "val/target"),
    "sides": ("a", "b"),
    "splits": ("trainA", "trainB", "testA", "testB"),
    "classes": ("train/cat", "train/dog"),
    "flat": ("",),
    "empty": (),
}
"""Folders that layouts are tried on, each with its sub-folders of three images."""

COUNT = 3
SIZE = 32


def check_dataset(part: str, *, plugins: Sequence[str] = ()) -> None:
    """Check what a dataset lists: domains, splits, pairs, labels, streams, and that its first examples can be read.

    A layout of folders is tried on small folders of several shapes. It may refuse a folder in one sentence.
    """
    catalog = discover(extra=plugins)
    factory = catalog.offer("datasets", parse_call(part).name).load()
    if "root" not in inspect.signature(factory).parameters:
        _check_listing(part, build(catalog, "datasets", part), build(catalog, "datasets", part))
        return
    with tempfile.TemporaryDirectory(prefix="translate-") as place:
        for name, root in make_trees(Path(place)).items():
            try:
                first, second = (build(catalog, "datasets", part, root=root) for _ in range(2))
            except TranslateError:
                continue
            except Exception as error:
                raise AssertionError(
                    f"{part}: a folder that it cannot read ({name}) must be refused by a TranslateError, "
                    f"not {type(error).__name__}: {error}"
                ) from error
            _check_listing(part, first, second)


def make_trees(place: Path) -> dict[str, Path]:
    """Make the folders of ``TREES`` with images of 32 x 32 pixels."""
    pixels = np.linspace(0, 255, SIZE * SIZE * 3).reshape(SIZE, SIZE, 3).astype(np.uint8)
    for name, folders in TREES.items():
        (place / name).mkdir()
        for folder in folders:
            (place / name / folder).mkdir(parents=True, exist_ok=True)
            for number in range(COUNT):
                images.write(place / name / folder / f"{number}.png", images.Image(pixels, None))
    return {name: place / name for name in TREES}


def _check_listing(part: str, dataset: Any, again: Any) -> None:
    try:
        check_listed(dataset, part)
    except TranslateError as error:
        raise AssertionError(f"{part}: {error}") from error
    assert dataset.problems or dataset.splits.get("train", {}).get("source"), f"{part}: it trains on nothing"
    for split, sides in dataset.splits.items():
        lengths = {name: len(examples) for name, examples in sides.items()}
        for name, partner in dataset.aligned.items():
            assert lengths.get(name, 0) in (0, lengths.get(partner, 0)), (
                f"{part}: {split} has {lengths[name]} images of {name}, which belong to those of the {partner}, of "
                f"which there are {lengths.get(partner, 0)}"
            )
        for name, examples in sides.items():
            _check_examples(f"{part}: {split} {name}", examples, dataset.domains[name])
            _check_vectors(f"{part}: {split} {name}", examples)
            same = [each.name for each in again.splits[split][name]]
            assert [each.name for each in examples] == same, f"{part}: {split} {name} is listed in another order"


def _check_examples(where: str, examples: Sequence[Example], domain: Domain) -> None:
    for example in examples:
        fits = isinstance(example.label, int) and example.label < max(len(domain.labels), 1)
        assert fits, f"{where}: the label {example.label!r:.60} is none of {len(domain.labels)}"
    for example in examples[:2]:
        stored = images.read_example(example, domain)
        wanted = 1 if domain.classes else domain.channels
        assert stored.ndim == 3, f"{where}: pixels of {example.name} are {stored.shape}"
        assert stored.shape[2] == wanted, f"{where}: {example.name} has {stored.shape[2]} planes, not {wanted}"


def _check_vectors(where: str, examples: Sequence[Example]) -> None:
    """Check that vectors of one name are numbers, and all of one width."""
    try:
        for name in sorted({each for example in examples for each in example.extras}, key=str):
            check_stream_name(name, "a kind of vectors")
            Vectors.of([example for example in examples if name in example.extras], name)
    except TranslateError as error:
        raise AssertionError(f"{where}: {error}") from error


def check_metric(part: str, *, plugins: Sequence[str] = ()) -> None:
    """Check a metric's needs, its scores of two batches, its protocol, and that it changes no tensor that it is given.

    It may refuse the data in one sentence.
    """
    catalog = discover(extra=plugins)
    built = []
    for _ in range(2):
        # An extractor without a file has weights that are drawn.
        seed_step(0, 0)
        parts, load_translator = parts_of(catalog, (SIZE, SIZE), 3, 3), partial(opened, catalog, device="cpu")
        built.append(build(catalog, "metrics", part, parts=parts, load_translator=load_translator))
    first, second = built
    needs = getattr(first, "needs", None)
    assert isinstance(needs, (set, frozenset)), f"{part}: needs must be a set of names, not {needs!r:.60}"
    wants: frozenset[str] = getattr(first, "wants", frozenset())
    made = _measured(torch.Generator().manual_seed(0))
    unknown = sorted(map(str, (needs | wants) - made.keys() - {"pairs"}))
    assert not unknown, f"{part}: nothing is called {unknown[0]!r}; there are {', '.join(sorted(made))} and pairs"
    read = {name: value for name, value in made.items() if name in needs | wants}
    before = {name: value.clone() for name, value in read.items()}
    scores = []
    if hasattr(first, "prepare_resampling"):
        first.prepare_resampling()
    for metric in (first, second):
        try:
            with torch.no_grad():
                # The images of the training come after all others.
                for _ in range(2):
                    metric.update({name: value for name, value in read.items() if name != "training"})
                if "training" in read:
                    for _ in range(2):
                        metric.update({"training": read["training"]})
            scores.append(metric.result())
        except TranslateError:
            return
    assert all(torch.equal(before[name], read[name]) for name in read), f"{part}: it changes the tensors it is given"
    assert isinstance(scores[0], Mapping), f"{part}: result must be scores by name, not {scores[0]!r:.60}"
    assert scores[0], f"{part}: it has no score"
    for name, value in scores[0].items():
        assert isinstance(name, str), f"{part}: {name!r:.60} is no name of a score"
        assert isinstance(value, (int, float)), f"{part}: {name} is {value!r:.60} and no number"
    assert dict(scores[0]) == dict(scores[1]), f"{part}: the same images have other scores the second time"
    better: Mapping[str, str] = getattr(first, "better", {})
    for name, which in better.items():
        assert name in scores[0], f"{part}: better names {name!r:.60}, which is none of its scores"
        assert which in ("higher", "lower"), f"{part}: {name} is better {which!r:.60}, and not higher or lower"
    _check_resampling(part, first, scores[0], {name: 2 * len(each) for name, each in made.items()})
    assert isinstance(first.protocol, str), f"{part}: its protocol must be a text"
    assert first.protocol, f"{part}: its protocol says nothing"


def _check_resampling(part: str, metric: Any, scores: Mapping[str, float], rows: Mapping[str, int]) -> None:
    """Check that there is a value for each image, and that a resample with each image once has the scores."""
    for kind, found in (metric.per_image() if getattr(metric, "per_image", None) else {}).items():
        for name, values in found.items():
            assert kind in rows, f"{part}: per_image gives {name} for {kind!r:.60}, which no tensor is called"
            assert len(values) == rows[kind], f"{part}: per_image gives {len(values)} {name} for {rows[kind]} images"
    if getattr(metric, "resampled", None):
        counts = {kind: np.ones((2, count), np.int32) for kind, count in rows.items()}
        for name, draws in metric.resampled(counts).items():
            assert name in scores, f"{part}: resampled gives {name!r:.60}, which is none of its scores"
            assert np.shape(draws) == (2,), f"{part}: {name} has {np.shape(draws)} values for 2 resamples"
            once = float(draws[0])
            assert math.isclose(once, scores[name], rel_tol=1e-3, abs_tol=1e-6) or once != once, (
                f"{part}: with each image once, resampled gives {once} for {name}, and its score is {scores[name]}"
            )


def _measured(generator: torch.Generator, count: int = 6) -> dict[str, torch.Tensor]:
    """One batch of all that a metric may ask for."""
    made = {
        name: torch.rand((count, 3, SIZE, SIZE), generator=generator) * 2 - 1
        for name in ("source", "target", "fake", "cycle", "training")
    }
    made["samples"] = torch.rand((count, 4, 3, SIZE, SIZE), generator=generator) * 2 - 1
    made["bits"] = torch.rand(count, generator=generator) * 8
    for name in ("encoded", "rebuilt"):
        made[name] = torch.rand((count, 3, SIZE, SIZE), generator=generator) * 2 - 1
    for name in ("divergence", "reconstruction"):
        made[name] = torch.rand(count, generator=generator) * 8
    made["logits"] = torch.randn((count, 3), generator=generator)
    return made | {name: torch.arange(count) % 3 for name in ("source_label", "target_label", "label")}


def check_hooks(plugin: Plugin, catalog: Catalog) -> None:
    """Check what a plugin's hooks answer, its commands, the layouts that it recognizes, and its observers.

    Whatever would cost a user one line of warning is an ``AssertionError`` here.
    """
    with _warnings() as warned, tempfile.TemporaryDirectory(prefix="translate-") as place:
        alone = catalog.only(plugin)
        for kind in alone.kinds:
            alone.offers(kind)
        for root in make_trees(Path(place)).values():
            for _, calls in alone.ask("recognize", root=root):
                for call in calls:
                    _check_listing(call, *(build(alone, "datasets", call, root=root) for _ in range(2)))
        for _, commands in alone.ask("commands"):
            for command in commands:
                said = io.StringIO()
                with redirect_stdout(said):
                    command.main(["--help"], prog_name=f"translate {command.name}", standalone_mode=False)
                assert said.getvalue().strip(), f"the command {command.name} has no help"
        for event, arguments in _events(Path(place)):
            alone.tell(event, **arguments)
    assert not warned, warned[0]


def _events(place: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """A small training and a small conversion, as observers hear of them."""
    run = Run(place / "run", Config(method="pix2pix", data="demo"), step=1, steps=2)
    run.samples.mkdir(parents=True)
    shown = {name: torch.zeros((4, 3, SIZE, SIZE), dtype=torch.uint8) for name in ("source", "fake", "target")}
    terms = {"generator/l1": 0.5}
    yield "images_decoded", {"done": 1, "total": 2}
    yield "images_decoded", {"done": 2, "total": 2}
    yield "run_started", {"run": run, "examples": {"source": shown["source"], "target": shown["target"]}}
    yield "step_passed", {"run": run}
    yield "step_ended", {"run": run, "scalars": Scalars(1, terms, images_per_second=1.0, seconds_left=1.0, memory=1)}
    yield "validation_ended", {"run": run, "scores": {"psnr": 20.0}, "is_best": True}
    made = {"fake": Made("forward", "source", "target", "target", held_out=True)}
    real = {name: shown[name] for name in ("source", "target")}
    yield "samples_drawn", {"run": run, "images": shown, "made": made, "real": real}
    yield "checkpoint_saved", {"run": run, "path": run.folder / "checkpoints" / "step-00000001.safetensors"}
    for reason in ("finished", "interrupted", "failed"):
        yield "run_ended", {"run": run, "reason": reason}
    yield "conversion_started", {"total": 2, "verb": "convert"}
    yield "image_converted", {"source": place / "1.png", "error": None, "bottleneck": "decode"}
    yield "image_converted", {"source": place / "2.png", "error": "it is broken", "bottleneck": ""}
    yield "conversion_ended", {}


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect the warnings of ``translate``."""
    told: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING:
                told.append(record.getMessage())

    handler = Collector()
    logger = logging.getLogger("translate")
    logger.addHandler(handler)
    try:
        yield told
    finally:
        logger.removeHandler(handler)
