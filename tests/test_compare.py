"""Two folders compared without a run, against numbers computed by hand."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from translate.cli import cli
from translate.errors import TranslateError
from translate.evaluation import compare

MEAN = """
from torch import nn

from translate import hookimpl


class Mean(nn.Module):
    channels = 1

    def forward(self, image):
        return image.mean((1, 2, 3))[:, None]


@hookimpl
def feature_extractors():
    return {"mean": Mean}
"""


def image(path: Path, level: int, size: tuple[int, int] = (12, 16), mode: str = "RGB") -> None:
    """A grey image of (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, level, np.uint8)).convert(mode).save(path)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Images of the levels 0, 51, 102 ... in subfolders, brighter by 51 in the truth, with other suffixes."""
    for row in range(4):
        image(tmp_path / "out" / f"{row % 2}" / f"{row}.png", 51 * row)
        image(tmp_path / "truth" / f"{row % 2}" / f"{row}.bmp", 51 * row + 51)
    return tmp_path / "out", tmp_path / "truth"


def test_pairs_by_name(folders: tuple[Path, Path], tmp_path: Path) -> None:
    table = tmp_path / "each.csv"
    found = compare(*folders, metrics=["l1", "psnr"], per_image=table, bootstrap=100, batch=3)
    assert found.scores["l1"] == pytest.approx(0.4)
    assert found.scores["psnr"] == pytest.approx(10 * np.log10(4 / 0.16), abs=1e-4)
    assert found.intervals["l1"] == pytest.approx((0.4, 0.4))
    assert found.counts == {"fake": 4, "target": 4}
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["domain"], row["image"]) for row in rows] == [("made", name) for name in ("0/0", "0/2", "1/1", "1/3")]
    assert found.lines()[0] == "out and truth"
    assert "12x16" in found.lines()[1]
    assert (found.protocol["paired"], found.protocol["resize"]) == (True, "not resized")
    json.dumps(found.to_json(), allow_nan=False)
    assert str(tmp_path) not in json.dumps(found.to_json())


def test_pairs_of_several_sizes_keep_theirs(folders: tuple[Path, Path]) -> None:
    out, truth = folders
    image(out / "wide.png", 0, (20, 30))
    image(truth / "wide.png", 255, (20, 30))
    found = compare(out, truth, metrics=["l1", "ssim"])
    assert found.scores["l1"] == pytest.approx((4 * 0.4 + 2) / 5)
    assert found.protocol["size"] == "the size of each pair"


def test_sets_need_no_names(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out, truth = folders
    plugin = tmp_path / "mean.py"
    plugin.write_text(MEAN, encoding="utf-8")
    paired = compare(out, truth, metrics=["frechet(extractor=mean)"], plugins=[str(plugin)])
    for row, file in enumerate(sorted(truth.rglob("*.bmp"))):
        file.rename(truth / f"other{row}.bmp")
    image(truth / "further.png", 153)
    found = compare(out, truth, metrics=["frechet(extractor=mean)"], plugins=[str(plugin)])
    # Levels -1, -0.6, -0.2, 0.2 and -0.6 ... 0.6: means 0.4 apart, the same variance; then one image more.
    assert paired.scores["frechet"] == pytest.approx(0.16, abs=1e-6)
    one, two = np.array([-1, -0.6, -0.2, 0.2]), np.array([-0.6, -0.2, 0.2, 0.6, 0.2])
    expected = (one.mean() - two.mean()) ** 2 + (one.std(ddof=1) - two.std(ddof=1)) ** 2
    assert found.scores["frechet"] == pytest.approx(expected, abs=1e-6)
    assert found.counts == {"fake": 4, "target": 5}


def test_depths_may_differ(tmp_path: Path) -> None:
    """Half of the range of 16 bits, and of 8 bits in the same folder, against white."""
    for row in range(3):
        image(tmp_path / "truth" / f"{row}.png", 255, mode="L")
    image(tmp_path / "out" / "0.png", 51, mode="L")
    for row in (1, 2):
        Image.fromarray(np.full((12, 16), 13107, np.uint16)).save(tmp_path / "out" / f"{row}.png")
    assert compare(tmp_path / "out", tmp_path / "truth", metrics=["l1"]).scores["l1"] == pytest.approx(1.6)


def test_two_images_are_a_pair(tmp_path: Path) -> None:
    image(tmp_path / "a.png", 0)
    image(tmp_path / "b.png", 255)
    assert compare(tmp_path / "a.png", tmp_path / "b.png", metrics=["l1"]).scores["l1"] == pytest.approx(2)


def test_what_is_done_to_images_is_told(folders: tuple[Path, Path]) -> None:
    out, truth = folders
    image(out / "0" / "0.png", 0, mode="L")
    image(truth / "1" / "1.bmp", 102, (24, 32))
    (truth / "1" / "3.bmp").unlink()
    image(truth / "1" / "3.png", 204, mode="RGBA")
    found = compare(out, truth, metrics=["l1"], at="12x16")
    assert found.scores["l1"] == pytest.approx(0.4)
    notes = [
        "1 of 8 images were resized to 12x16",
        "1 gray images were read as RGB",
        "the transparency of 1 images was dropped",
    ]
    assert found.protocol["notes"] == notes
    assert set(notes) <= set(found.lines())


def odd_size(out: Path, truth: Path) -> None:
    image(truth / "0" / "2.bmp", 0, (13, 16))


def without_partner(out: Path, truth: Path) -> None:
    image(out / "more.png", 0)
    image(out / "most.png", 0)


def twice(out: Path, truth: Path) -> None:
    image(truth / "0" / "0.png", 0)


def of_five(out: Path, truth: Path) -> None:
    np.save(truth / "0" / "0.npy", np.zeros((12, 16, 5), np.uint8))
    (truth / "0" / "0.bmp").unlink()


def of_floats(out: Path, truth: Path) -> None:
    np.save(truth / "0" / "0.npy", np.zeros((12, 16, 3), np.float32))
    (truth / "0" / "0.bmp").unlink()


def broken(out: Path, truth: Path) -> None:
    (truth / "0" / "0.bmp").write_bytes(b"BM")


@pytest.mark.parametrize(
    ("change", "metric", "sentence"),
    [
        (odd_size, "l1", r"2\.png has 12x16 pixels, and its partner .*2\.bmp has 13x16; give --at SIZE to resize all"),
        (without_partner, "l1", r"more\.png has no partner of its name in .*truth, nor have 1 more"),
        (twice, "psnr", "truth has several images of the name 0/0"),
        (of_five, "l1", "has 3 channels, and others have 5; compare images of one kind"),
        (of_floats, "l1", "images of floats and others of whole numbers"),
        (broken, "l1", r"0\.bmp"),
        (None, "diversity", "diversity needs a run or its data, and two folders have images alone"),
        (None, "bits_per_dim", "needs a run or its data"),
        (None, "pnsr", "there is no metric 'pnsr'; did you mean psnr"),
    ],
)
def test_what_cannot_be_compared_is_told(
    folders: tuple[Path, Path], change: Callable[[Path, Path], None] | None, metric: str, sentence: str
) -> None:
    if change is not None:
        change(*folders)
    with pytest.raises(TranslateError, match=sentence):
        compare(*folders, metrics=[metric])


def test_sets_of_several_sizes_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out, truth = folders
    plugin = tmp_path / "mean.py"
    plugin.write_text(MEAN, encoding="utf-8")
    image(out / "wide.png", 0, (20, 30))
    options: dict[str, Any] = {"metrics": ["frechet(extractor=mean)"], "plugins": [str(plugin)]}
    with pytest.raises(TranslateError, match=r"wide\.png has 20x30 pixels, and .* has 12x16, and metrics of sets"):
        compare(out, truth, **options)
    assert compare(out, truth, at=12, **options).protocol["size"] == "12x12"


def test_sets_of_several_sizes_are_compared_by_what_resizes_them(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Also of images of one name, which are no pairs if their sizes differ."""
    out, truth = folders
    plugin = tmp_path / "mean.py"
    plugin.write_text(MEAN.replace("channels = 1", "channels, resizes = 1, True"), encoding="utf-8")
    image(truth / "0" / "2.bmp", 153, (24, 32))
    metrics = ["frechet(extractor=mean)", "kid(extractor=mean)"]
    found = compare(out, truth, metrics=metrics, plugins=[str(plugin)], bootstrap=100)
    assert found.scores["frechet"] == pytest.approx(0.16, abs=1e-6)
    assert "not compared with its own target" not in found.protocol["metrics"]["kid"]
    assert found.protocol["size"] == "the size of each image"
    with pytest.raises(TranslateError, match=r"2\.png has 12x16 pixels, and its partner .*2\.bmp has 24x32"):
        compare(out, truth, metrics=[*metrics, "l1"], plugins=[str(plugin)])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_told(tmp_path: Path, value: float) -> None:
    for side in ("out", "truth"):
        (tmp_path / side).mkdir()
        for row in range(2):
            values = np.full((12, 16, 1), 0.5, np.float32)
            values[0, 0] = value if (side, row) == ("out", 1) else 0.5
            np.save(tmp_path / side / f"{row}.npy", values)
    try:
        found = compare(tmp_path / "out", tmp_path / "truth", metrics=["l1"])
    except TranslateError as error:
        assert "1.npy" in str(error)
    else:
        assert any(each.startswith("l1 is no number") for each in found.warnings)


def test_the_command(folders: tuple[Path, Path]) -> None:
    out, truth = map(str, folders)
    shown = CliRunner().invoke(cli, ["compare", out, truth, "--metric", "l1", "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["scores"]["l1"] == pytest.approx(0.4)
    lines = CliRunner().invoke(cli, ["compare", out, truth, "--metric", "l1"]).output
    assert "l1  0.4 ± " in lines
    assert CliRunner().invoke(cli, ["compare", out, truth]).exit_code == 2
    with pytest.raises(TranslateError, match="nothing to measure"):
        compare(out, truth, metrics=[])
    with pytest.raises(TranslateError, match="does not exist"):
        compare(out, "nowhere", metrics=["l1"])
