"""Intervals, scores of each image, and runs side by side, against numbers computed by hand."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from translate.cli import cli
from translate.errors import TranslateError
from translate.evaluation import evaluate
from translate.evaluation.resampling import Place, Resamples, Values, draws_of, interval, values_of
from translate.testing import check_metric
from translate.training import fit
from translate_metrics.kernels import cubic_discrepancy

PLUGIN = '''
"""Translators that add a constant, to data whose target is the source, but for a known difference in each row."""

import numpy as np
import torch
from torch import nn

from translate import hookimpl
from translate.data import Dataset, Domain, Example
from translate.method import Method, Update


@hookimpl
def methods():
    return {"plus": Plus}


@hookimpl
def datasets():
    return {"steps": steps, "maps": maps}


@hookimpl
def feature_extractors():
    return {"mean": Mean}


@hookimpl
def metrics():
    return {"short": Short, "mute": Mute}


def maps(*, count: int = 4):
    """Photos of the levels of ``steps``, and maps of two classes: the left half and the right half."""
    halves = np.zeros((8, 8), np.uint8)
    halves[:, 4:] = 1
    photos = [Example(np.full((8, 8, 1), row / 100, np.float32), f"{row:02d}") for row in range(count)]
    sides = {"source": photos, "target": [Example(halves, f"{row:02d}") for row in range(count)]}
    domains = {"source": Domain(1, depth="float32", low=-1), "target": Domain(2, classes=2)}
    return Dataset("maps", "maps()", True, domains, {"train": sides, "test": sides})


def steps(*, count: int = 40, paired: bool = True, channels: int = 1, seen: int = 0):
    """The target of row i is brighter by i / 100 than the source; ``seen`` of the rows are the training's."""

    def side(bright):
        return [
            Example(np.full((8, 8, channels), row / 100 if bright else 0, np.float32), f"{row:02d}")
            for row in range(count)
        ]

    sides = {"source": side(False), "target": side(True)}
    domains = {each: Domain(channels, depth="float32", low=-1) for each in sides}
    some = {name: listed[:seen] if seen else listed for name, listed in sides.items()}
    return Dataset("steps", "steps()", paired, domains, {"train": some, "test": sides})


class Shift(nn.Module):
    def __init__(self, by) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by), requires_grad=True)

    def forward(self, image):
        return image + self.by


class Mean(nn.Module):
    channels = 1

    def forward(self, image):
        return image.mean((2, 3))


class Plus(Method):
    """Adds a number."""

    def __init__(self, parts, *, by: float = 0.0) -> None:
        super().__init__()
        self.shift = Shift(by)
        self.back = Shift(-by / 2)

    @property
    def players(self):
        return {"shift": nn.ModuleList([self.shift, self.back])}

    @property
    def translators(self):
        return {"forward": self.shift, "backward": self.back}

    def updates(self, batch, step):
        yield Update("shift", {"none": 0 * (self.shift.by + self.back.by)})


class Short:
    """Says less than there is."""

    needs = frozenset({"fake"})
    protocol = "words"

    def update(self, batch):
        pass

    def result(self):
        return {"short": 1.0}

    def per_image(self):
        return {"fake": {"short": [1.0]}}


class Mute(Short):
    """Cannot be resampled."""

    def result(self):
        return {"mute": 1.0}

    per_image = None
'''


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with the runs ``zero`` and ``tenth``, which add 0 and 0.1, and the plugin's file."""
    folder = tmp_path_factory.mktemp("plus")
    plugin = folder / "plus.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    for name, by in (("zero", 0.0), ("tenth", 0.1)):
        options: dict[str, Any] = {"plugins": [str(plugin)], "steps": 1, "size": 8, "load_size": 8, "batch": 2}
        fit("plus", "steps()", output=folder / name, by=by, **options)
    return folder, str(plugin)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_has_the_scores_of_each_image(runs: tuple[Path, str], tmp_path: Path) -> None:
    folder, plugin = runs
    table = tmp_path / "scores.csv"
    found = evaluate(
        folder / "zero", "steps()", metrics=["l1", "psnr"], plugins=[plugin], per_image=table, batch=7, limit=20
    )
    rows = rows_of(table)
    assert [row["image"] for row in rows] == [f"{row:02d}" for row in range(0, 40, 2)]
    assert {(row["run"], row["domain"]) for row in rows} == {("zero", "source")}
    assert [float(row["l1"]) for row in rows] == pytest.approx([row / 100 for row in range(0, 40, 2)], abs=1e-6)
    assert rows[0]["psnr"] == "inf"
    assert float(rows[5]["psnr"]) == pytest.approx(10 * math.log10(4 / 0.01), abs=1e-3)
    assert [row["l1"] for row in found.per_image] == [float(row["l1"]) for row in rows]
    with pytest.raises(TranslateError, match="exists already; name another place, or replace it with --overwrite"):
        evaluate(folder / "zero", "steps()", metrics=["l1"], plugins=[plugin], per_image=table)
    evaluate(folder / "zero", "steps()", metrics=["l1"], plugins=[plugin], per_image=table, overwrite=True)
    assert len(rows_of(table)) == 40
    for place, sentence in (("-", "not to standard output"), (str(tmp_path), "is a folder"), ("no/t.csv", "no folder")):
        with pytest.raises(TranslateError, match=sentence):
            evaluate(folder / "zero", "steps()", metrics=["l1"], plugins=[plugin], per_image=Path(place))


def test_an_interval_of_a_mean_is_that_of_its_resamples(runs: tuple[Path, str]) -> None:
    folder, plugin = runs
    found = evaluate(folder / "zero", "steps()", metrics=["l1"], plugins=[plugin], bootstrap=4000, seed=3)
    low, high = found.intervals["l1"]
    # The mean of 40 values 0, 0.01 ... 0.39; its deviation under resampling is the root of their variance over 40.
    deviation = np.std(np.arange(40) / 100) / math.sqrt(40)
    assert (low, high) == pytest.approx((0.195 - 1.96 * deviation, 0.195 + 1.96 * deviation), abs=0.12 * deviation)
    again, other = (
        evaluate(folder / "zero", "steps()", metrics=["l1"], plugins=[plugin], bootstrap=4000, seed=seed).intervals
        for seed in (3, 4)
    )
    assert again == found.intervals != other
    assert found.protocol["bootstrap"]["resamples"] == 4000
    assert found.to_json()["intervals"] == {"l1": [low, high]}
    assert f"l1  0.195 ± 0.018 [{low:.4g}, {high:.4g}]" in "\n".join(found.lines())


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("positions", ["no", "yes"])
def test_set_distances_resample_images(runs: tuple[Path, str], paired: bool, positions: str) -> None:
    folder, plugin = runs
    data = f"steps(paired={'yes' if paired else 'no'})"
    metrics = [f"frechet(extractor=mean, positions={positions})", "kid(extractor=mean)"]
    found = evaluate(folder / "tenth", data, metrics=metrics, plugins=[plugin], bootstrap=200, seed=1)
    # All translations are alike, at 0.1: the distance is (mean - 0.1)^2 + variance of the targets of a resample.
    values = np.arange(40) / 100
    unit = "pairs" if paired else "target"
    counts = Resamples(200, 1).counts(Place(unit, "target", [""] * 40, np.arange(40)))
    means = counts @ values / 40
    draws = (means - 0.1) ** 2 + (counts * (values - means[:, None]) ** 2).sum(1) / 39
    estimate = (values.mean() - 0.1) ** 2 + values.var(ddof=1)
    assert found.scores["frechet"] == pytest.approx(estimate, rel=1e-5)
    assert found.intervals["frechet"] == pytest.approx(interval(draws + estimate - draws.mean()), rel=1e-4)
    low, high = found.intervals["kid"]
    assert low < found.scores["kid"] < high


@pytest.mark.parametrize("paired", [True, False])
def test_kid_is_resampled_as_its_definition_says(paired: bool) -> None:
    """Of three samples, whose variance is not known: each drawn so often, and the rest of the kernel by pairs."""
    x, y = np.random.default_rng(0).normal(size=(2, 3, 2)) + np.array([0, 1])[:, None, None]
    found = cubic_discrepancy(x, y, paired=paired)
    assert math.isnan(found.error)
    apart = [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)]

    def parts(k: Any) -> Any:
        """The mean, the effect of each sample on it, and the rest of each pair."""
        mean = np.mean([k(i, j) for i, j in apart])
        # Each row without its diagonal is twice the mean and the row's effect, since all effects add up to 0.
        effects = np.array([sum(k(i, j) for j in range(3) if j != i) - 2 * mean for i in range(3)])
        return mean, effects, lambda d: sum(d[i] * d[j] * (k(i, j) - mean - effects[i] - effects[j]) for i, j in apart)

    def kernel(one: Any, two: Any) -> Any:
        return lambda i, j: (one[i] @ two[j] / 2 + 1) ** 3

    xx, yy, xy = kernel(x, x), kernel(y, y), kernel(x, y)
    d, e = np.array([1, 0, -1]), np.array([-1, 2, -1])
    if paired:
        value, effects, rest = parts(lambda i, j: xx(i, j) + yy(i, j) - xy(i, j) - xy(j, i))
        expected, e = value + 2 * d @ effects / 3 + rest(d) / 6, d
    else:
        (of_x, x_effects, x_rest), (of_y, y_effects, y_rest) = parts(xx), parts(yy)
        across = np.array([[xy(i, j) for j in range(3)] for i in range(3)])
        value = of_x + of_y - 2 * across.mean()
        expected = value + 2 * d @ (x_effects - across.mean(1)) / 3 + 2 * e @ (y_effects - across.mean(0)) / 3
        expected += (x_rest(d) + y_rest(e)) / 6 - 2 * d @ across @ e / 9
    draws = found.resampled((np.array([0 * d, d]) + 1, np.array([0 * e, e]) + 1))
    assert found.value == pytest.approx(value)
    assert draws.tolist() == pytest.approx([value, expected])


def drawn(generator: np.random.Generator, count: int, resamples: int = 200) -> Any:
    """How often each of the images is drawn in each resample."""
    return np.stack([np.bincount(row, minlength=count) for row in generator.integers(0, count, (resamples, count))])


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("apart", [0.0, 1.0])
def test_resamples_of_kid_lie_as_far_apart_as_those_of_many_sets(paired: bool, apart: float) -> None:
    """Of sets of one distribution, too, where plain resamples lie 1.7 times as far apart."""
    generator = np.random.default_rng(0)
    values, spreads = [], []
    for _ in range(150):
        x, y = generator.normal(size=(2, 40, 6))
        found = cubic_discrepancy(x, y + apart, paired=paired)
        counts = drawn(generator, 40)
        draws = found.resampled((counts, counts if paired else drawn(generator, 40)))
        assert draws.std() == pytest.approx(found.error, rel=0.25)
        values.append(found.value)
        spreads.append(draws.var())
    assert 0.85 < math.sqrt(np.mean(spreads)) / np.std(values) < 1.2


def test_runs_are_compared_on_the_same_images(runs: tuple[Path, str], tmp_path: Path) -> None:
    folder, plugin = runs
    table = tmp_path / "both.csv"
    found = evaluate(
        folder / "zero",
        "steps()",
        metrics=["l1", "kid(extractor=mean)"],
        plugins=[plugin],
        against=[folder / "tenth", folder / "zero"],
        per_image=table,
    )
    assert found.protocol["bootstrap"]["resamples"] == 1000
    second, third = found.against
    assert [found.subject, second.subject, third.subject] == ["zero", "tenth", "zero (3)"]
    values = np.arange(40) / 100
    gain = np.abs(values - 0.1) - values
    assert second.differences["l1"]["difference"] == pytest.approx(gain.mean(), abs=1e-6)
    low, high = second.differences["l1"]["interval"]
    half = 1.96 * gain.std() / math.sqrt(40)
    assert (low, high) == pytest.approx((gain.mean() - half, gain.mean() + half), abs=0.15 * half)
    # Pairs make it narrower than either interval alone, and a run does not differ from itself.
    assert high - low < found.intervals["l1"][1] - found.intervals["l1"][0]
    assert third.differences["l1"] == {"difference": 0, "interval": (0, 0)}
    assert second.differences["kid"]["interval"][1] < 0
    rows = rows_of(table)
    assert [row["run"] for row in rows[::40]] == ["zero", "tenth", "zero (3)"]
    told = "\n".join(found.lines())
    assert "against tenth (plus, forward)" in told
    assert f"{gain.mean():+.5g} [" in told
    assert json.loads(json.dumps(found.to_json()))["against"][0]["differences"]["l1"]["interval"] == [low, high]


def test_the_command_takes_several_runs(runs: tuple[Path, str], tmp_path: Path) -> None:
    folder, plugin = runs
    table = tmp_path / "each.csv"
    arguments = ["-p", plugin, "evaluate", str(folder / "zero"), str(folder / "tenth"), "steps()", "--metric", "l1"]
    shown = CliRunner().invoke(cli, [*arguments, "--bootstrap", "100", "--per-image", str(table)])
    assert shown.exit_code == 0, shown.output
    assert "100 resamples" in shown.output
    assert len(rows_of(table)) == 80
    alone = CliRunner().invoke(cli, ["-p", plugin, "evaluate", str(folder / "zero"), "--metric", "l1"])
    assert alone.exit_code == 2


def test_runs_that_cannot_be_compared_are_refused(runs: tuple[Path, str], tmp_path: Path) -> None:
    folder, plugin = runs
    options: dict[str, Any] = {"plugins": [plugin], "steps": 1, "batch": 2}
    fit("plus", "steps()", output=tmp_path / "large", size=16, load_size=16, **options)
    with pytest.raises(
        TranslateError, match="zero and large cannot be compared: their size differ, 8x8 and 16x16; set"
    ):
        evaluate(folder / "zero", "steps()", metrics=["l1"], plugins=[plugin], against=[tmp_path / "large"])
    found = evaluate(folder / "zero", "steps()", metrics=["l1"], plugins=[plugin], against=[tmp_path / "large"], at=8)
    assert found.against[0].differences["l1"]["difference"] == 0


def test_there_and_back(runs: tuple[Path, str]) -> None:
    folder, plugin = runs
    for direction, data in (("forward", "steps()"), ("backward", "steps(paired=no)")):
        found = evaluate(
            folder / "tenth",
            data,
            metrics=["cycle_error"],
            plugins=[plugin],
            direction=direction,
            batch=7,
            bootstrap=100,
        )
        assert found.scores["cycle_error"] == pytest.approx(0.05, abs=1e-6)
        assert {row["domain"] for row in found.per_image} == {"source" if direction == "forward" else "target"}


def test_there_and_back_with_weights_that_change(runs: tuple[Path, str]) -> None:
    """A training measures the same networks again after each round."""
    from translate.evaluation import Asked, Measurement
    from translate.layouts import open_dataset
    from translate.parts import SavedMethod
    from translate.plugins import discover

    folder, plugin = runs
    catalog = discover(extra=[plugin])
    saved = SavedMethod.open(folder / "tenth", catalog)
    asked = Asked(saved, "forward", open_dataset(catalog, "steps()", None), "test", None, (8, 8), 16, 1, 0)
    measurement = Measurement(asked, "cpu")
    assert not measurement.fitting(["cycle_error"])[1]
    with torch.no_grad():
        saved.method.translators["backward"].by.fill_(0.3)
    assert measurement.scores(["cycle_error"]).values["cycle_error"] == pytest.approx(0.4, abs=1e-6)
    with torch.no_grad():
        saved.method.translators["forward"].by.fill_(0.5)
    assert measurement.scores(["cycle_error"]).values["cycle_error"] == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize("paired", ["yes", "no"])
def test_copies_of_the_training_images(runs: tuple[Path, str], paired: str) -> None:
    folder, plugin = runs
    data = f"steps(paired={paired}, seen=10)"
    found = evaluate(folder / "tenth", data, metrics=["copy_distance"], plugins=[plugin], batch=16, bootstrap=100)
    # All translations are at 0.1, and the training images at 0 to 0.09; the rows above lie 0.01 to 0.3 from it.
    assert found.scores["copy_distance_made"] == pytest.approx(0.01, abs=1e-6)
    assert found.scores["copy_distance_real"] == pytest.approx(sum(range(1, 31)) / 100 / 40, abs=1e-6)
    assert found.counts == {"target": 40, "fake": 40, "training": 10}
    assert set(found.intervals) == {"copy_distance", "copy_distance_made", "copy_distance_real", "copies"}
    with pytest.raises(TranslateError, match="copy_distance compares with the images of the training, and those are"):
        evaluate(folder / "tenth", data, metrics=["copy_distance"], plugins=[plugin], split="train")


def test_a_run_that_segments(runs: tuple[Path, str], tmp_path: Path) -> None:
    folder, plugin = runs
    from translate.translator import load

    segmenter = fit(
        "pix2pix",
        "maps()",
        output=tmp_path / "segmenter",
        plugins=[plugin],
        steps=1,
        size=8,
        load_size=8,
        batch=2,
        generator="unet(width=4, depth=2)",
        discriminator="patch(width=4, receptive_field=16)",
    )
    found = evaluate(
        folder / "tenth",
        "steps(count=8)",
        metrics=[f"segmentation(segmenter={str(segmenter.folder)!r}, truth=target)"],
        plugins=[plugin],
        bootstrap=100,
    )
    network = load(segmenter.folder)
    levels = torch.arange(8)[:, None, None, None] / 100
    made, truth = (
        network.translate(each.expand(8, 1, 8, 8)).argmax(1) for each in (torch.full((8, 1, 1, 1), 0.1), levels)
    )
    assert found.scores["pixel_accuracy"] == pytest.approx(100 * (made == truth).double().mean().item())
    assert "segmenter, weights" in found.protocol["metrics"]["pixel_accuracy"]
    with pytest.raises(TranslateError, match="makes no class maps"):
        evaluate(
            folder / "tenth", "steps()", metrics=[f"segmentation(segmenter={str(folder / 'zero')!r})"], plugins=[plugin]
        )


def test_small_samples_are_told(runs: tuple[Path, str]) -> None:
    folder, plugin = runs
    metrics = ["l1", "frechet(extractor=mean)", "mute"]
    few = evaluate(folder / "tenth", "steps(count=8)", metrics=metrics, plugins=[plugin], bootstrap=100)
    assert few.warnings == (
        "frechet rests on 8 samples of 1 features, and is too large with fewer than 10: compare it only with distances "
        "of as many samples, or use kid",
        "mute has no interval, since its scores cannot be resampled",
        "l1: 8 images are few; from 30 on standard errors and intervals can be relied on",
    )
    assert few.to_json()["warnings"] == list(few.warnings)
    assert few.lines()[-2] == f"warning: {few.warnings[-1]}"
    assert evaluate(folder / "tenth", "steps()", metrics=metrics, plugins=[plugin]).warnings == ()
    with pytest.raises(TranslateError, match="bootstrap must be a whole number >= 100"):
        evaluate(folder / "tenth", "steps()", metrics=["l1"], plugins=[plugin], bootstrap=99)


def test_a_score_that_is_not_finite_has_no_interval(runs: tuple[Path, str]) -> None:
    folder, plugin = runs
    found = evaluate(folder / "zero", "steps()", metrics=["psnr"], plugins=[plugin], bootstrap=100)
    assert found.scores["psnr"] == math.inf
    assert found.warnings == ("psnr has no interval, since its scores are not finite",)


def test_a_metric_that_does_not_keep_its_word_is_told(runs: tuple[Path, str]) -> None:
    folder, plugin = runs
    with pytest.raises(AssertionError, match="short: per_image gives 1 short for 12 images"):
        check_metric("short", plugins=[plugin])
    with pytest.raises(TranslateError, match="short gives 1 values of short for the 'fake' images, of which there are"):
        evaluate(folder / "zero", "steps()", metrics=["short"], plugins=[plugin])


class Odd:
    """A metric of which the methods are given."""

    needs = frozenset({"fake"})
    protocol = "-"

    def __init__(self, **methods: Any) -> None:
        vars(self).update(methods)

    def update(self, batch: Mapping[str, torch.Tensor]) -> None:
        raise AssertionError

    def result(self) -> Mapping[str, float]:
        return {"odd": 2.0}


def test_what_cannot_be_drawn_has_no_interval() -> None:
    place = Place("pairs", "source", ["a", "b", "c", "d"], np.arange(4))
    resamples, places = Resamples(100, 0), {"fake": place}
    with pytest.raises(TranslateError, match=r"odd gives \(3,\) resampled values of 'odd'"):
        draws_of("odd", Odd(resampled=lambda counts: {"odd": [1, 2, 3]}), {"odd": 2.0}, {}, places, resamples)
    # Two of four images have no value: resamples without the others have none, and the rest is used.
    values = Values(place, np.array([1.0, 3.0, math.nan, math.nan]))
    means = resamples.means(values)
    assert {round(each, 3) for each in means[np.isfinite(means)]} <= {1, 3, 2, 1.667, 2.333, 1.5, 2.5}
    assert interval(np.array([math.nan, math.nan, 1.0])) is None
    # A mean that is not finite has none.
    assert draws_of("odd", Odd(), {"odd": math.inf}, {"odd": values}, places, resamples) == {}
    given = values_of("odd", Odd(per_image=lambda: {"fake": {"odd": [1, 2, 3, 4]}}), places)
    assert given["odd"].values.tolist() == [1, 2, 3, 4]
    with pytest.raises(TranslateError, match="for the 'drawn' images, of which there are none"):
        values_of("odd", Odd(per_image=lambda: {"drawn": {"odd": [1.0]}}), places)
