"""Evaluation: every kind of run against numbers computed by hand, and what cannot be measured."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from translate.errors import TranslateError
from translate.evaluation import Evaluation, evaluate
from translate.training import fit
from translate.translator import Translator

TOY = '''
"""A toy whose every answer is known: grey images of three classes, inverted, drawn and classified."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from translate import hookimpl
from translate.data import Dataset, Domain, Example
from translate.method import Batch, Method, Update


@hookimpl
def methods():
    return {"toy": Toy}


@hookimpl
def datasets():
    return {"grey": grey}


@hookimpl
def feature_extractors():
    return {"mean": Mean}


@hookimpl
def metrics():
    return {"seen": Seen, "greedy": Greedy}


def grey(*, paired: bool = True, labels: bool = True, target: bool = True, wrong: int = 0, count: int = 12):
    """Images of the levels 0, 51 and 102, their class; the target is inverted and names its classes otherwise."""

    def side(invert: bool) -> list[Example]:
        listed = []
        for row in range(count):
            level = 51 * (row % 3)
            pixels = np.full((8, 8, 1), 255 - level if invert else level, np.uint8)
            label = 2 - row % 3 if invert else row % 3
            listed.append(Example(pixels, f"{row:02d}", label=(label + (invert and row < wrong)) % 3 if labels else -1))
        return listed

    sides = {"source": side(False), **({"target": side(True)} if target else {})}
    names = {"source": ("black", "dark", "grey"), "target": ("grey", "dark", "black")}
    domains = {each: Domain(1, labels=names[each] if labels else ()) for each in sides}
    return Dataset("grey", "grey()", paired and target, domains, {"train": sides, "test": sides, "bare": {}})


class Inverse(nn.Module):
    """Inverts, and is off by 0.1; a sample is off by noise."""

    def __init__(self) -> None:
        super().__init__()
        self.off = nn.Parameter(torch.tensor(0.0))

    def forward(self, image: Tensor, *, samples: int | None = None) -> Tensor:
        answer = 0.1 - image + 0 * self.off
        if samples is None:
            return answer
        return answer.repeat_interleave(samples, 0) + torch.randn(len(image) * samples, 1, 1, 1)

    def bits_per_dimension(self, image: Tensor, condition: Tensor) -> Tensor:
        return (image + condition).abs().mean((1, 2, 3)) + 2


class Drawn(Inverse):
    """One number of noise is the level."""

    noise = (1,)

    def forward(self, noise: Tensor) -> Tensor:
        return noise[:, :, None, None].expand(-1, 1, 8, 8) + 0 * self.off


class Told(Inverse):
    """The class of a target image by its level."""

    domain = "target"

    def forward(self, image: Tensor) -> Tensor:
        levels = torch.tensor([153.0, 204.0, 255.0]) / 127.5 - 1
        return -(image.mean((1, 2, 3))[:, None] - levels).abs() + 0 * self.off

    def features(self, image: Tensor) -> Tensor:
        return image.mean((2, 3))


class Mean(nn.Module):
    """The mean of an image."""

    channels = 1

    def forward(self, image: Tensor) -> Tensor:
        return image.mean((2, 3))


class Toy(Method):
    """Nothing is learned, all is known."""

    def __init__(self, parts) -> None:
        super().__init__()
        self.kept = nn.ModuleList([Inverse(), Inverse(), Drawn(), Told()])

    @property
    def players(self) -> Mapping[str, nn.Module]:
        return {"all": self.kept}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        return dict(zip(("forward", "backward", "sample", "classify"), self.kept, strict=True))

    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        yield Update("all", {"off": sum(each.off for each in self.kept)})


class Seen:
    """What a metric is handed."""

    needs = frozenset({"source"})
    wants = frozenset({"target_label"})
    protocol = "names of tensors"

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.largest = 0.0

    def update(self, batch) -> None:
        self.batches.append(sorted(batch))
        if "source" in batch:
            assert batch["source"].dtype == torch.float32
            self.largest = max(self.largest, batch["source"].abs().max().item())

    def result(self):
        together = sum(names == ["source", "target_label"] for names in self.batches)
        apart = sum(len(names) == 1 for names in self.batches)
        return {"together": together, "apart": apart, "largest": self.largest}


class Greedy:
    """Measures what psnr does."""

    needs = frozenset({"source"})
    protocol = ""

    def update(self, batch) -> None:
        pass

    def result(self):
        return {"psnr": math.nan}


import math
'''


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run, and the plugin's file."""
    folder = tmp_path_factory.mktemp("toy")
    plugin = folder / "toy.py"
    plugin.write_text(TOY, encoding="utf-8")
    plugins = [str(plugin)]
    run = fit("toy", "grey()", output=folder / "run", plugins=plugins, steps=1, size=8, load_size=8, batch=2)
    return run.folder, str(plugin)


def measure(toy: tuple[Path, str], data: str, metrics: Sequence[str], **options: Any) -> Evaluation:
    return evaluate(toy[0], data, metrics=metrics, plugins=[toy[1]], **options)


def test_a_likelihood_alone_is_that_of_the_pairs(toy: tuple[Path, str]) -> None:
    assert measure(toy, "grey()", ["bits_per_dim"], batch=5).scores["bits_per_dim"] == pytest.approx(2)


def test_a_batch_that_does_not_fit_is_split(toy: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = Translator.translate

    def translate(self: Translator, batch: torch.Tensor, **options: Any) -> torch.Tensor:
        seen.append(len(batch))
        return real(self, batch, **options)

    monkeypatch.setattr(Translator, "translate", translate)
    monkeypatch.setattr(Translator, "bytes_for", lambda self, size: 2**20)
    assert measure(toy, "grey()", ["l1"], batch=12, keep=False).scores["l1"] == pytest.approx(0.1)
    assert seen == [12]
    seen.clear()
    assert measure(toy, "grey()", ["l1"], batch=12, memory="5MB", at=16, keep=False).scores["l1"] == pytest.approx(0.1)
    assert seen == [5, 5, 2]
    with pytest.raises(
        TranslateError, match="64 x 64 pixels needs 1 MB for the network on cpu, and 100 KB may be used"
    ):
        measure(toy, "grey()", ["l1"], memory="100KB", at=64)
    with pytest.raises(TranslateError, match="1 bytes"):
        measure(toy, "grey()", ["classification_error"], direction="classify", memory=1)


def test_a_translator_of_pairs(toy: tuple[Path, str]) -> None:
    found = measure(toy, "grey()", ["l1", "psnr", "bits_per_dim"], batch=5)
    assert found.scores["l1"] == pytest.approx(0.1)
    assert found.scores["psnr"] == pytest.approx(10 * math.log10(4 / 0.01), abs=1e-4)
    assert found.scores["bits_per_dim"] == pytest.approx(2)
    assert found.counts == {"target": 12, "fake": 12, "bits": 12}
    assert found.protocol["size"] == "8x8"


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_content_accuracy_with_classes_named_otherwise(toy: tuple[Path, str], direction: str) -> None:
    """The classifier knows target images; the source's class 0 is the target's class 2, by name."""
    metric = f"content_accuracy(classifier='{toy[0]}')"
    found = measure(toy, "grey(wrong=3)", [metric], direction=direction)
    if direction == "forward":
        assert found.scores["content_accuracy"] == 100
        assert found.scores["ceiling"] == 75
        assert "12 labelled translated, 12 real" in found.protocol["metrics"]["content_accuracy"]
    else:  # all that is dark looks to the classifier like the darkest that it knows
        assert found.scores["content_accuracy"] == found.scores["ceiling"] == pytest.approx(100 / 3)


def test_a_classifier(toy: tuple[Path, str]) -> None:
    found = measure(toy, "grey(wrong=3)", ["classification_error"], direction="classify")
    assert found.scores["classification_error"] == 25
    assert found.counts == {"logits": 12}
    # Of data with one domain that one is taken: dark images, of which a third is of the class that all look like.
    alone = measure(toy, "grey(target=no)", ["classification_error"], direction="classify")
    assert alone.scores["classification_error"] == pytest.approx(200 / 3)
    assert (found.protocol["domain"], alone.protocol["domain"]) == ("target", "source")


def test_a_sampler(toy: tuple[Path, str]) -> None:
    from translate.saved import load_sampler
    from translate_metrics.distances import frechet

    found = measure(toy, "grey()", ["frechet(extractor=mean)"], direction="sample", seed=3, batch=5)
    drawn = load_sampler(toy[0], plugins=[toy[1]]).draw(range(12), 3).mean((2, 3)).numpy()
    real = torch.tensor([1, 0.6, 0.2]).repeat(4)[:, None].numpy()
    assert found.scores["frechet"] == pytest.approx(frechet(drawn, real), rel=1e-5)
    assert found.counts == {"target": 12, "fake": 12}
    assert (found.protocol["domain"], found.protocol["seed"]) == ("target", 3)
    assert measure(toy, "grey()", ["frechet(extractor=mean)"], direction="sample", seed=4).scores != found.scores
    with pytest.raises(TranslateError, match="training's size only"):
        measure(toy, "grey()", ["frechet(extractor=mean)"], direction="sample", at=16)


def test_samplers_and_classifiers_have_intervals_and_scores_of_each_image(toy: tuple[Path, str]) -> None:
    metrics = ["frechet(extractor=mean)", "kid(extractor=mean)"]
    drawn = measure(toy, "grey()", metrics, direction="sample", bootstrap=100, batch=5)
    for name in ("frechet", "kid"):
        low, high = drawn.intervals[name]
        assert low < drawn.scores[name] < high
    told = measure(toy, "grey(wrong=3)", ["classification_error"], direction="classify", bootstrap=100, batch=5)
    assert [row["classification_error"] for row in told.per_image] == [100] * 3 + [0] * 9
    assert {row["domain"] for row in told.per_image} == {"target"}
    low, high = told.intervals["classification_error"]
    assert 0 <= low < 25 < high <= 75
    # Labels that some images lack leave their cells empty.
    both = measure(toy, "grey()", [f"content_accuracy(classifier='{toy[0]}')", "l1"], bootstrap=100)
    assert both.per_image[0].keys() == {"run", "domain", "image", "content_accuracy", "untranslated", "l1"}
    assert both.per_image[-1]["ceiling"] == 100


def test_samples_do_not_depend_on_the_batch(toy: tuple[Path, str]) -> None:
    one, two = (measure(toy, "grey()", ["diversity"], batch=batch, samples=6).scores for batch in (1, 7))
    assert one == two
    assert one["diversity"] == pytest.approx(2 / math.sqrt(math.pi), abs=0.3)
    assert one["diversity_standard_error"] > 0  # the noise of each image is its own
    assert measure(toy, "grey()", ["diversity"], samples=6, seed=1).scores != one


def test_a_metric_gets_what_it_asks_for_and_nothing_else(toy: tuple[Path, str]) -> None:
    paired = measure(toy, "grey()", ["seen"], batch=4).scores
    assert paired == {"together": 3, "apart": 0, "largest": 1}
    unpaired = measure(toy, "grey(paired=no)", ["seen", "frechet(extractor=mean)"], batch=4).scores
    assert (unpaired["together"], unpaired["apart"]) == (0, 6)
    assert unpaired["frechet"] == pytest.approx(0.01)
    assert measure(toy, "grey(target=no)", ["seen"], batch=4).scores["apart"] == 3


def test_another_size_and_fewer_images(toy: tuple[Path, str]) -> None:
    found = measure(toy, "grey()", ["l1", "ssim"], at="16x12", limit=6)
    assert found.counts == {"target": 6, "fake": 6}
    assert found.protocol["size"] == "16x12"
    # Every second one: a sorted list would otherwise give its first class only.
    spread = measure(toy, "grey()", ["classification_error"], limit=4, direction="classify")
    assert spread.counts == {"logits": 4}


def test_it_is_told_in_lines_and_in_json(toy: tuple[Path, str]) -> None:
    found = measure(toy, "grey()", ["l1", "psnr", "kid(extractor=mean)"])
    lines = "\n".join(found.lines())
    assert lines.startswith("run (toy, forward) on grey, test\n12 target, 12 fake; 8x8, stretched")
    assert "psnr  26.021 ± " in lines
    assert "kid: mean, weights e3b0c44298fc1c14; 12 translated, 12 real images" in lines
    assert "psnr_standard_error" not in lines
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["protocol"]["layout"] == "grey()"
    assert len(told["protocol"]["weights_sha256"]) == 64
    assert told["scores"]["l1"] == pytest.approx(0.1)
    odd = Evaluation("x", {"psnr": math.inf, "kid": math.nan}, {}, {**found.protocol, "metrics": {}}).to_json()
    assert odd["scores"] == {"psnr": "inf", "kid": "nan"}


@pytest.mark.parametrize(
    ("data", "metrics", "options", "sentence"),
    [
        ("grey()", [], {}, "nothing to measure; name at least one --metric"),
        ("grey()", ["pnsr"], {}, r"there is no metric 'pnsr'; did you mean psnr\?"),
        ("grey()", ["psnr"], {"split": "tset"}, r"no split 'tset'; did you mean test\?"),
        ("grey()", ["psnr"], {"split": "bare"}, "the split 'bare' of grey has no source images to translate"),
        ("grey()", ["psnr"], {"direction": "forwards"}, r"no direction 'forwards'; did you mean forward\?"),
        ("grey()", ["psnr"], {"limit": 0}, "evaluate: limit must be a whole number >= 1"),
        ("grey()", ["frechet"], {}, "frechet needs the option 'extractor'"),
        ("grey(paired=no)", ["psnr"], {}, "psnr compares pairs, and the split 'test' of grey is not paired"),
        ("grey(target=no)", ["kid(extractor=mean)"], {}, "needs target images, and the split 'test' of grey has none"),
        ("grey(target=no)", ["seen"], {"direction": "backward"}, "has no target images to translate"),
        ("grey()", ["psnr"], {"direction": "sample"}, "images translated from a source|pairs of a source"),
        ("grey()", ["psnr"], {"direction": "classify"}, "try --direction forward or backward or sample"),
        ("grey()", ["classification_error"], {}, "needs a classifier's answers, which the direction 'forward'"),
        ("grey(labels=no)", ["classification_error"], {"direction": "classify"}, "needs the classes of images, and"),
        ("grey(count=1)", ["frechet(extractor=mean)"], {}, r"features \(1\)"),
        ("grey()", ["psnr", "greedy"], {}, "greedy measures psnr, which another metric has measured"),
    ],
)
def test_what_cannot_be_measured_is_told(
    toy: tuple[Path, str], data: str, metrics: list[str], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(TranslateError, match=sentence):
        measure(toy, data, metrics, **options)


def test_unlabelled_sources_have_no_content_accuracy(toy: tuple[Path, str]) -> None:
    with pytest.raises(TranslateError, match="names none of its source; give labelled data"):
        measure(toy, "grey(labels=no)", [f"content_accuracy(classifier='{toy[0]}')"])


def test_a_run_as_extractor(toy: tuple[Path, str]) -> None:
    found = measure(toy, "grey()", [f"frechet(extractor='{toy[0]}')"])
    assert found.scores["frechet"] == pytest.approx(0.01)
    assert found.protocol["metrics"]["frechet"].startswith("run, weights ")
    assert str(toy[0].parent) not in json.dumps(found.to_json())


def test_pix2pix_from_end_to_end(tmp_path: Path) -> None:
    run = fit(
        "pix2pix",
        "demo(size=16, count=4)",
        output=tmp_path / "run",
        steps=2,
        size=16,
        generator="unet(width=4)",
        discriminator="patch(width=4, receptive_field=16)",
    )
    found = evaluate(run.translator, "demo(size=16, count=4)", metrics=["l1", "psnr", "ssim"])
    assert 0 < found.scores["l1"] < 2
    assert -1 <= found.scores["ssim"] <= 1
    assert found.counts == {"target": 20, "fake": 20}
    assert found.subject == "run"
    assert evaluate(run.folder, "demo(size=16, count=4)", metrics=["diversity"], limit=2).scores["diversity"] > 0
    with pytest.raises(TranslateError, match="needs exact likelihoods"):
        evaluate(run.folder, "demo(size=16, count=4)", metrics=["bits_per_dim"])
