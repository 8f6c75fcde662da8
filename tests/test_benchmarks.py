"""The scoring code of the quality benchmark against closed forms, its table, and the step benchmark's arithmetic."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("benchmarks.quality", reason="the benchmarks are not part of every distribution")

from benchmarks import performance, step
from benchmarks.quality import (
    camvid,
    digits,
    digits_table,
    inpainting,
    inpainting_table,
    rivals,
    scores,
    squeezenet,
    table,
    three_domains,
)
from benchmarks.quality.picture import picture
from benchmarks.quality.rows import ROWS
from translate.benchmark.hardware import described, machine
from translate.data import Domain
from translate.errors import TranslateError
from translate.run import Config, Run
from translate.training import fit

ROOT = Path(__file__).parents[1]
DATA = ROOT / "../shared/data"
WEIGHTS = DATA / "weights/squeezenet1_0/squeezenet1_0_deepcompression.pth"
with_weights = pytest.mark.skipif(not WEIGHTS.exists(), reason="needs SqueezeNet's weights")


def photos(count: int = 2, side: int = 16, seed: int = 0) -> scores.Photos:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)


# --- distances of pairs ---------------------------------------------------------------------------------------------


def test_scores_of_equal_photos() -> None:
    same = photos()
    assert scores.l1(same, same) == 0
    assert scores.ssim(same, same) == pytest.approx(1)


def test_l1_does_not_wrap_around() -> None:
    black, white = np.zeros((1, 8, 8, 3), np.uint8), np.full((1, 8, 8, 3), 255, np.uint8)
    assert scores.l1(black, white) == scores.l1(white, black) == 255


def test_psnr_is_a_mean_of_decibels() -> None:
    real = np.full((2, 8, 8, 3), 100, np.uint8)
    fake = real.copy()
    fake[0] += 1
    fake[1] += 10
    # 20 log10(255) = 48.1308 dB for a difference of 1, and 20 less for 10.
    assert scores.psnr(fake, real) == pytest.approx(48.1308 - 10, abs=1e-3)


def test_ssim_of_two_constants() -> None:
    real, fake = np.full((1, 16, 16, 3), 100, np.uint8), np.full((1, 16, 16, 3), 150, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert scores.ssim(fake, real) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1), rel=1e-6)


# --- the feature network --------------------------------------------------------------------------------------------


@with_weights
def test_features_are_of_the_last_fire_module_of_photos_resized_to_224() -> None:
    network = squeezenet.load(WEIGHTS)
    found = squeezenet.features(network, torch.from_numpy(photos(11, 32)))
    assert found.shape == (11, 13 * 13, 512)
    assert bool((found >= 0).all())
    assert bool(found.any())
    large = torch.from_numpy(photos(1, 224))
    alone = network(large.permute(0, 3, 1, 2) / 127.5 - 1)[0]
    torch.testing.assert_close(squeezenet.features(network, large)[0].T, alone.flatten(1))


def test_missing_weights_are_told(tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match="there is no file of weights at"):
        squeezenet.load(tmp_path / "missing.pth")


# --- what a translator is compared with -----------------------------------------------------------------------------


def made_pairs(count: int, seed: int) -> rivals.Pairs:
    labels = torch.randint(3, (count, 8, 8), generator=torch.Generator().manual_seed(seed))
    planes = torch.nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2).float().mul(2).sub(1)
    return rivals.Pairs(planes, photos(count, 8, seed))


def test_baselines() -> None:
    train, test = made_pairs(6, 0), made_pairs(2, 1)
    assert np.array_equal(rivals.nearest(train, rivals.Pairs(train.sources[[4, 1]], test.photos)), train.photos[[4, 1]])
    mean = rivals.mean_photo(train, test)
    assert mean.shape == test.photos.shape
    assert np.abs(mean[1] - train.photos.mean(0)).max() <= 0.5
    drawn = rivals.drawn(train, test, seed=0)
    assert not np.array_equal(drawn[0], drawn[1])
    assert all(any(np.array_equal(photo, known) for known in train.photos) for photo in drawn)


def test_commands_are_told_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config("pix2pix", str(ROOT / "tests"), {"gan": 0.0, "matching_aware": True}, steps=20, seed=3)
    assert camvid.row_of(config) == "pix2pix --gan 0 --matching-aware"
    assert camvid.command_of(config) == "translate fit pix2pix tests --gan 0 --matching-aware --steps 20 --seed 3"
    monkeypatch.setattr(camvid, "ROOT", tmp_path / "far" / "away" / "still")
    assert (
        camvid.command_of(Config("pix2pix", str(tmp_path), steps=20))
        == f"translate fit pix2pix {tmp_path.name} --steps 20"
    )


def test_pictures_stay_out_of_the_repository(tmp_path: Path) -> None:
    pairs = made_pairs(3, 0)
    draw: Callable[[Path], None] = lambda path: picture(  # noqa: E731
        path, pairs, Domain(3, classes=3), {"mean": pairs.photos}, [0, 2], refused=tmp_path / "repository"
    )
    with pytest.raises(TranslateError, match="outside of it"):
        draw(tmp_path / "repository/docs/cars.png")
    draw(tmp_path / "cars.png")
    assert (tmp_path / "cars.png").stat().st_size > 0
    assert not (tmp_path / "repository").exists()


def a_part_of_camvid(folder: Path) -> Path:
    """Eight training and three test pairs, in a folder of links."""
    whole = DATA / "paired/camvid"
    if not whole.exists():
        pytest.skip("needs CamVid")
    for split, count in (("train", 8), ("test", 3)):
        for domain in ("label", "photo"):
            (folder / split / domain).mkdir(parents=True)
            for path in sorted((whole / split / domain).iterdir())[:count]:
                (folder / split / domain / path.name).symlink_to(path.resolve())
    return folder


@with_weights
def test_scoring_camvid_from_end_to_end(tmp_path: Path) -> None:
    data = a_part_of_camvid(tmp_path / "camvid")
    run = fit(
        "pix2pix",
        data,
        output=tmp_path / "run",
        steps=1,
        size=32,
        generator="unet(width=4)",
        discriminator="patch(receptive_field=16, width=4)",
        cache="stream",
    )
    common = ["--size", "32", "--data", str(data)]
    results_in = ["-o", str(tmp_path / "results")]
    assert camvid.main(["score", str(run.folder), *common, *results_in]) == 0
    assert camvid.main(["baselines", "--seeds", "0", *common, *results_in]) == 0
    assert camvid.main(["picture", str(tmp_path / "look.png"), str(run.folder), *common, "--count", "2"]) == 0
    assert (tmp_path / "look.png").stat().st_size > 0
    results = {each["row"]: each for each in table.read(tmp_path / "results")}
    assert len(results) == 5
    nearest, untrained = results["nearest label map's photo"]["scores"], results["untrained generator"]["scores"]
    assert nearest["frechet"] < untrained["frechet"]
    assert nearest["l1"] < untrained["l1"]
    assert str(tmp_path.parent) not in json.dumps(list(results.values()))
    assert "translate fit pix2pix" in table.render(list(results.values()))


def test_unfinished_runs_are_not_scored(tmp_path: Path) -> None:
    camvid.Run.create(tmp_path / "run", Config("pix2pix", "x"), steps=10, metadata={})
    with pytest.raises(TranslateError, match="has done 0 of 10 steps"):
        camvid.score(cast(camvid.Bench, None), [tmp_path / "run"], tmp_path)


def test_a_row_is_measured_once_for_each_thing_that_its_network_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class Found:
        def to_json(self) -> dict[str, Any]:
            return {"scores": {"psnr": float(len(asked))}, "split": "test"}

    def evaluated(_run: Any, data: str, **options: Any) -> Found:
        asked.append((options["given"], Path(data).name))
        return Found()

    row = ROWS["bridge-rotated"]
    measured = {name: dataclasses.replace(each, metrics=("psnr",)) for name, each in row.measured.items()}
    monkeypatch.setitem(ROWS, "tried", dataclasses.replace(row, measured=measured))
    monkeypatch.setattr(digits, "evaluate", evaluated)
    monkeypatch.setattr(digits, "prepared", lambda name, *_: tmp_path / name)
    monkeypatch.setattr(digits, "seconds_of", lambda _run: 60.0)
    monkeypatch.setattr(
        digits.Bench, "trained", lambda *_: Run.create(tmp_path / "run", Config("bridge", "x"), steps=1, metadata={})
    )
    path = digits.Bench(cast(digits.Digits, None), tmp_path, tmp_path / "results").score("tried", 0)
    result = json.loads(path.read_text(encoding="utf-8"))
    given = [{"passes": 1}, {"passes": 10}, {"passes": 10, "stochastic": False}]
    assert asked == [(each, "mnist-rotated") for each in given]
    assert result["scores"] == {"1-pass psnr": 1.0, "10-passes psnr": 2.0, "10-passes-without-noise psnr": 3.0}
    assert list(result["protocol"]) == list(measured)
    assert digits_table.titled("10-passes content_accuracy") == "10-passes: content accuracy, % \u2191"
    assert digits_table.spread([25.0], "10-passes psnr") == "25.00"


# --- holes ----------------------------------------------------------------------------------------------------------


def test_holes_are_filled_by_hand() -> None:
    photo = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    hole = np.zeros((5, 4), bool)
    hole[1:4, 1] = hole[2, 2] = True
    mean = inpainting.mean_fill(photo, hole)
    assert np.array_equal(mean[~hole], photo[~hole])
    assert np.abs(mean[hole].astype(float) - photo[~hole].mean(0)).max() <= 0.5
    near = inpainting.nearest_fill(photo, hole)
    assert np.array_equal(near[~hole], photo[~hole])
    assert np.array_equal(near[1, 1], photo[0, 1]) or np.array_equal(near[1, 1], photo[1, 0])
    assert any(np.array_equal(near[2, 2], each) for each in (photo[1, 2], photo[3, 2], photo[2, 3]))
    assert np.array_equal(near[2, 1], photo[2, 0])


def test_holes_are_scored_inside_alone() -> None:
    photos_of, holes = photos(2, 16, 0), np.zeros((2, 16, 16), bool)
    holes[0, 4:8, 4:8] = holes[1, :, :8] = True
    made = inpainting.Test(photos_of, holes)
    assert np.array_equal(made.emptied[holes], np.full((16 + 128, 3), 128))
    other = np.where(holes[..., None], photos_of, 255 - photos_of)
    assert np.array_equal(made.composed(other), photos_of)


def test_the_table_of_holes() -> None:
    assert inpainting_table.render([]) == "No results yet.\n"
    protocol = {
        "data": "d", "train_crops": 8, "test_crops": 4, "size": 64, "holes": "holes()", "hole_share": 0.1,
        "feature_network": "n", "feature_weights": "w", "feature_weights_sha256": "0" * 64, "feature_size": 224,
    }  # fmt: skip
    runs = [
        {
            "row": "pix2pix", "kind": "run", "seed": seed, "steps": 1000, "seconds": 60.0, "commands": ["one"],
            "protocol": protocol, "scores": {"psnr": 20.0 + seed, "features": 1.0},
        }
        for seed in (0, 1)
    ]  # fmt: skip
    plain = {**runs[0], "row": "nearest", "kind": "baseline", "steps": 0, "scores": {"psnr": 24.0, "features": 0.5}}
    text = inpainting_table.render([{key: plain[key] for key in plain if key != "seconds"}, *runs])
    assert text.index("| `pix2pix` | 1,000 | 1 | 2 | 20.50 ± 0.71 | 1.000 ± 0.000 |") < text.index("| nearest | - |")
    assert text.count("\none\n") == 1


# --- the table ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not table.RESULTS.exists(), reason="a source archive has no results")
def test_the_committed_table_is_that_of_the_result_files() -> None:
    assert table.main(["--check"]) == 0, "run python benchmarks/quality/table.py"


def test_committed_results_name_no_place_of_a_machine() -> None:
    for path in table.RESULTS.glob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"[\s\"'=]/\w", text), path.name


def result(row: str, seed: int | None, l1: float, **others: Any) -> dict[str, Any]:
    given = {
        "row": row,
        "kind": "run",
        "seed": seed,
        "steps": 2000,
        "commands": [f"translate fit {row} --seed {seed}"],
        "machine": {"cpu": "a", "cores": 2, "torch": "2", "threads": 2},
        "protocol": {
            "data": "d", "layout": "l", "train_pairs": 1, "test_pairs": 2, "size": [8, 8], "resize": "stretch",
            "feature_network": "n", "feature_weights": "w", "feature_weights_sha256": "0" * 64, "feature_size": 224,
            "feature_scale": "1", "frechet_samples": 5070, "kernel_samples": 30,
        },
        "scores": {"l1": l1, "psnr": 1.0, "ssim": 0.5, "frechet": 2.0, "kernel": 0.003, "kernel_error": 0.0002},
    }  # fmt: skip
    return {**given, **others}


def test_seeds_share_a_row_and_its_spread() -> None:
    results = [
        result("pix2pix", 0, 1.0, seconds=90.0),
        result("pix2pix", 1, 3.0, seconds=150.0),
        result("mean", None, 5.0, kind="baseline", steps=0),
    ]
    lines = table.render(results[::-1]).splitlines()
    assert lines[2].startswith("| `pix2pix` | 2,000 | 2.0 | 2 | 2.00 ± 1.41 | 1.00 ± 0.00 |")
    assert lines[3] == "| mean | - | - | - | 5.00 | 1.00 | 0.500 | 2.0 | 3.0 (± 0.2) |"


def test_another_protocol_is_refused(tmp_path: Path) -> None:
    first, second = result("a", 0, 1.0), result("b", 0, 1.0)
    second["protocol"] = {**second["protocol"], "size": [16, 16]}
    for each in (first, second):
        (tmp_path / f"{each['row']}.json").write_text(json.dumps(each), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"b\.json was scored by another protocol than a\.json"):
        table.read(tmp_path)


def test_the_page_keeps_its_words_around_the_table() -> None:
    page = f"before\n{table.FIRST}\nold\n{table.LAST}\nafter"
    new = table.filled(page, "new\n")
    assert new == f"before\n{table.FIRST}\n\nnew\n\n{table.LAST}\nafter"
    assert table.filled(new, "new\n") == new
    with pytest.raises(SystemExit, match="lacks the lines"):
        table.filled("nothing", "new\n")


# --- the step -------------------------------------------------------------------------------------------------------


def test_step_compares_the_same_mathematics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "step.json"
    given = ["--pairs", "4", "--warm-up", "2", "--size", "32", "--width", "4", "--json", str(path)]
    assert step.main(given) == 0
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["differing"] == []
    assert found["pairs"] == 4
    assert "the same weights to the last bit" in capsys.readouterr().out


def test_a_difference_would_be_found() -> None:
    arguments = step.parser().parse_args(["--size", "32", "--width", "4"])
    engine, plain = step.build(arguments, torch.device("cpu"))
    plain.l1 = 99.0
    batch = {name: torch.rand(1, 3, 32, 32) for name in ("source", "target")}
    step.compare(engine, plain, [batch], pairs=1, warm_up=0)
    assert any(name.startswith("generator/") for name in step.differing(engine, plain))


def test_machine_is_told() -> None:
    assert f"torch {torch.__version__}" in described(machine())


# --- performance ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not performance.RESULTS.exists(), reason="a source archive has no results")
def test_the_committed_page_is_that_of_the_performance_files() -> None:
    assert performance.main(["page", "--check"]) == 0, "run python -m benchmarks.performance page"


def test_performance_rows_become_a_table_for_each_machine() -> None:
    here = {"cpu": "C", "cores": 2, "device": "cpu", "torch": "2", "threads": 2, "python": "3"}
    rivals = [
        {"name": "by hand", "seconds": 2.0, "ratio": None, "note": ""},
        {"name": "translate", "seconds": 0.5, "ratio": {"median": 4.0, "low": 3.5, "high": 4.5}, "note": "n"},
    ]
    found = {"machine": here, "parts": {"step": rivals}, "facts": {"peak": "1"}, "command": "c", "date": "d"}
    lines = performance.render({"a": found, "b": {**found, "machine": {**here, "device": "G"}}}).splitlines()
    assert [line for line in lines if line.startswith("###")] == [
        "### C, 2 cores, cpu, torch 2, 2 threads",
        "### C, 2 cores, G, torch 2, 2 threads",
    ]
    assert "| step | by hand | 2.00 s |  |  |" in lines
    assert "|  | translate | 500.00 ms | 4.00 (3.50 to 4.50) | n |" in lines
    assert "- step: peak 1." in lines
    assert performance.command(performance.ROWS["pix2pix-16"]) == (
        "translate bench pix2pix --what steps --batch 16 --rounds 7"
    )


def test_three_domains_are_the_classes_of_one_set(tmp_path: Path) -> None:
    """Sets of plain images, whose gray is their row: labels, the digits of test images, and references apart."""
    rows = np.arange(4, dtype=np.uint8)
    plain = {"image": np.full((4, 16, 16), 10) + rows[:, None, None], "label": rows}
    sets = {
        name: tuple({**plain, "image": (plain["image"] + 50 * number).astype(np.uint8)} for _ in range(2))
        for number, name in enumerate(three_domains.NAMES)
    }
    with np.load(three_domains.prepare("domains", sets, tmp_path)) as found:
        assert found["x_train"].shape == (12, 32, 32)
        assert found["y_train"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
        assert found["x_train"][[0, 5, 11], 0, 0].tolist() == [10, 61, 113]
    with np.load(three_domains.prepare("domains-from-usps", sets, tmp_path)) as found:
        assert (found["y_test"].tolist(), found["x_test"][:, 0, 0].tolist()) == ([0, 1, 2, 3], [60, 61, 62, 63])
    with np.load(three_domains.prepare("domains-from-usps-to-inverted", sets, tmp_path)) as found:
        assert (found["y_test"].tolist(), found["x_test"][:, 0, 0].tolist()) == ([2] * 4, [60, 61, 62, 63])
    references = three_domains.prepare("domains-references-mnist", sets, tmp_path)
    assert len(list(references.iterdir())) == three_domains.MEASURED
    with Image.open(references / "000001.png") as image:
        assert image.getpixel((0, 0)) == 10 + (1 + three_domains.APART) % 4
    asked = ROWS["stargan"].measured
    assert len(asked) == 24
    assert asked["usps-mnist-by-reference"].given == {"label": 0, "reference": "{domains-references-mnist}"}
    assert asked["usps-mnist-by-label"].metrics == ("content_accuracy(classifier='{mnist}')",)
    assert asked["usps-mnist-by-label-domain"].data == "domains-from-usps-to-mnist"
