"""The scoring code of the quality benchmark against closed forms, its table, and the step benchmark's arithmetic."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("benchmarks.quality", reason="the benchmarks are not part of every distribution")

from benchmarks import machine, step
from benchmarks.quality import camvid, rivals, scores, squeezenet, table
from benchmarks.quality.picture import picture
from translate.data import Domain
from translate.errors import TranslateError
from translate.run import Config
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


# --- distances of sets ----------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-3, 3)] * 2, *[st.floats(0.01, 4)] * 2), min_size=1, max_size=5))
def test_frechet_of_independent_gaussians(sides: list[tuple[float, float, float, float]]) -> None:
    """Diagonal covariances: the sum of squared differences of means and of deviations; turned, the same."""
    first, second, deviation1, deviation2 = (np.array(each) for each in zip(*sides, strict=True))
    expected = ((first - second) ** 2).sum() + ((deviation1 - deviation2) ** 2).sum()
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(len(sides), len(sides))))
    found = scores.frechet_of_gaussians(
        turn @ first, turn @ np.diag(deviation1**2) @ turn.T, turn @ second, turn @ np.diag(deviation2**2) @ turn.T
    )
    assert found == pytest.approx(expected, abs=1e-6)


def test_frechet_of_covariances_that_do_not_commute() -> None:
    """In two dimensions tr (S1 S2)^(1/2) = sqrt(tr(S1 S2) + 2 sqrt(det(S1 S2)))."""
    first, second = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, -0.7], [-0.7, 3.0]])
    between = np.sqrt(np.trace(first @ second) + 2 * np.sqrt(np.linalg.det(first) * np.linalg.det(second)))
    expected = np.trace(first) + np.trace(second) - 2 * between
    assert scores.frechet_of_gaussians(np.zeros(2), first, np.zeros(2), second) == pytest.approx(expected)


def test_frechet_of_samples() -> None:
    generator = np.random.default_rng(0)
    samples = generator.normal(size=(400, 6))
    assert scores.frechet(samples, samples) == pytest.approx(0, abs=1e-9)
    assert scores.frechet(samples, samples + 2) == pytest.approx(6 * 4)
    few = generator.normal(size=(4, 6))  # rank-deficient: still finite, still zero to itself
    assert scores.frechet(few, few) == pytest.approx(0, abs=1e-6)


def test_kernel_distance_by_hand() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 5, 3))
    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]

    def kernel(a: Any, b: Any) -> float:
        return float((a @ b / 3 + 1) ** 3)

    def among(rows: list[tuple[int, int]]) -> float:
        terms = [kernel(x[i], x[j]) + kernel(y[i], y[j]) - kernel(x[i], y[j]) - kernel(x[j], y[i]) for i, j in rows]
        return float(np.mean(terms))

    found, error = scores.kernel_distance(x, y)
    assert found == pytest.approx(among(pairs))
    without = np.array([among([(i, j) for i, j in pairs if out not in (i, j)]) for out in range(5)])
    assert error == pytest.approx(np.sqrt(4 / 5 * ((without - without.mean()) ** 2).sum()))


def test_kernel_distance_of_equal_and_of_different_sets() -> None:
    generator = np.random.default_rng(0)
    same = generator.normal(size=(10, 4))
    assert scores.kernel_distance(same, same) == (0, 0)
    close = [scores.kernel_distance(*generator.normal(size=(2, 30, 4)))[0] for _ in range(60)]
    assert abs(np.mean(close)) < 4 * np.std(close) / np.sqrt(60)
    far, error = scores.kernel_distance(generator.normal(size=(30, 4)) + 2, generator.normal(size=(30, 4)))
    assert far > 3 * error > 0


# --- the feature network --------------------------------------------------------------------------------------------


def test_squeezenet_has_its_published_size() -> None:
    network = squeezenet.SqueezeNet()
    count = {name: sum(each.numel() for each in part.parameters()) for name, part in network.named_children()}
    assert count == {"features": 735_424, "classifier": 513_000}
    found = squeezenet.features(network.eval(), torch.from_numpy(photos(2)))
    assert found.shape == (2, 13 * 13, 512)
    assert bool((found >= 0).all())


@with_weights
def test_squeezenet_knows_a_cat_and_an_espresso() -> None:
    network = squeezenet.load(WEIGHTS)
    for photo, classes in ((skimage.data.chelsea(), {281, 282, 285}), (skimage.data.coffee(), {967})):
        chances = network(squeezenet.standardize(torch.from_numpy(photo.copy())[None])).softmax(1)[0]
        assert chances[list(classes)].sum().item() > 0.9


def test_wrong_weights_are_told(tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match="give their file with --weights"):
        squeezenet.load(tmp_path / "missing.pth")
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(TranslateError, match=r"other\.pth does not hold"):
        squeezenet.load(tmp_path / "other.pth")


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


def test_commands_are_told_as_typed(tmp_path: Path) -> None:
    config = Config("pix2pix", str(ROOT / "tests"), {"gan": 0.0, "matching_aware": True}, steps=20, seed=3)
    assert camvid.row_of(config) == "pix2pix --gan 0 --matching-aware"
    assert camvid.command_of(config) == "translate fit pix2pix tests --gan 0 --matching-aware --steps 20 --seed 3"
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
    camvid.Run.create(tmp_path / "run", Config("pix2pix", "x"), steps=10, facts={})
    with pytest.raises(TranslateError, match="has done 0 of 10 steps"):
        camvid.score(cast(camvid.Bench, None), [tmp_path / "run"], tmp_path)


# --- the table ------------------------------------------------------------------------------------------------------


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
        result("pix2pix", 0, 1.0),
        result("pix2pix", 1, 3.0),
        result("mean", None, 5.0, kind="baseline", steps=0),
    ]
    lines = table.render(results[::-1]).splitlines()
    assert lines[2].startswith("| `pix2pix` | 2,000 | 2 | 2.00 ± 1.41 | 1.00 ± 0.00 |")
    assert lines[3] == "| mean | - | - | 5.00 | 1.00 | 0.500 | 2.0 | 3.0 (± 0.2) |"


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


def test_interval_of_the_median_covers_it() -> None:
    generator = np.random.default_rng(0)
    inside = [low <= 0 <= high for low, high in (step.median_interval(generator.normal(size=60)) for _ in range(400))]
    assert 0.93 <= np.mean(inside) <= 1
    assert step.median_interval([3.0, 1.0]) == (1.0, 3.0)


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
    assert f"torch {torch.__version__}" in machine.described(machine.machine())
