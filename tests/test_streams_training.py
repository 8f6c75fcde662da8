"""Trainings that ask for masks, vectors and references: exact resume, the run's fingerprint, and what is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import translate
from translate import checkpoint
from translate.cli import main
from translate.errors import StoppedError, TranslateError
from translate.fingerprint import NAME, Listing
from translate.inspection import export, inspect
from translate.layouts import open_dataset
from translate.method import Needs
from translate.parts import SavedMethod
from translate.plugins import discover
from translate.run import Run
from translate.testing import check_dataset, check_method

METHOD = """
from typing import Annotated
import torch
from torch import nn
from translate import hookimpl
from translate.errors import TranslateError
from translate.method import Method, Needs, Update
from translate.options import Option

class Masked(Method):
    '''Pairs inside of masks, beside vectors.'''
    def __init__(self, parts, *, asks: Annotated[str, Option("aligned, vectors, references, with spaces")] = ""):
        super().__init__()
        if parts.source.channels != parts.target.channels:
            raise TranslateError("this needs domains of the same channels")
        self.asks = asks.split()
        self.network = nn.Conv2d(parts.source.channels, parts.target.channels, 1)
        self.words = nn.Linear(parts.vectors["text"], parts.target.channels) if "vectors" in self.asks else None
        self.depth = parts.aligned["mask"].channels if "aligned" in self.asks else 0
        self.names = parts.domains
    @property
    def needs(self):
        return Needs(
            paired=True,
            aligned=frozenset({"mask"} if "aligned" in self.asks else ()),
            vectors=frozenset({"text", "mismatched_text"} if "vectors" in self.asks else ()),
            references="references" in self.asks,
        )
    @property
    def players(self): return {"network": nn.ModuleList([self.network, *([self.words] if self.words else [])])}
    @property
    def translators(self): return {"forward": nn.Sequential(self.network, nn.Tanh())}
    def updates(self, batch, step):
        difference = (self.network(batch["source"]) - batch["target"]).square()
        if self.depth:
            assert batch["mask"].shape[1] == self.depth
            difference = difference * (batch["mask"][:, -1:] + 1)
        terms = {"l": difference.mean()}
        if self.words:
            right, wrong = self.words(batch["text"]), self.words(batch["mismatched_text"])
            terms["w"] = (right - batch["target"].mean((2, 3))).square().mean() + wrong.square().mean()
        if "references" in self.asks:
            one, two = (self.network(batch[name]).mean() for name in ("reference", "reference2"))
            terms["r"] = (one - two).square() * (1 + batch["reference_label"].float().mean())
        yield Update("network", terms)

@hookimpl
def methods(): return {"masked": Masked}
"""

EVERYTHING = "aligned vectors references"
DEMO = "demo(size=16, count=8, aligned=mask, vectors=text)"


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    (tmp_path / "masked.py").write_text(METHOD)
    return str(tmp_path / "masked.py")


def fit(plugin: str, data: str | Path, folder: Path, **options: Any) -> Run:
    common: dict[str, Any] = {
        "size": 16, "load_size": (18, 18), "steps": 6, "batch": 2, "log_every": 1, "save_every": 100, "keep": 9,
        "sample_every": 100, "optimizer": ["sgd(lr=0.1, momentum=0.5)"], "plugins": [plugin], "seed": 3,
    }  # fmt: skip
    return translate.fit("masked", data, output=folder, **{**common, **options})


def back_to(run: Run, step: int, folder: Path) -> Path:
    shutil.copytree(run.folder, folder)
    for path in Run.open(folder).checkpoints:
        if int(path.stem[5:]) > step:
            path.unlink()
    return folder


def equal(one: Run, two: Run) -> bool:
    first, second = (checkpoint.load(run.checkpoints[-1])[0] for run in (one, two))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def photo(path: Path, value: int, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(value).integers(0, 256, (16, 18, 3), np.uint8)
    image = Pillow.fromarray(pixels).convert(mode)
    (image.point(lambda level: 255 if level > 127 else 0) if mode == "L" else image).save(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for number in range(8):
        for side in ("source", "target"):
            photo(root / "train" / side / f"{number}.png", number)
        photo(root / "train" / "mask" / f"{number}.png", number, "L")
    (root / "text.csv").write_text("".join(f"{number}.png,{number},{number % 3},1\n" for number in range(8)))
    return root


LAYOUT = "folders(aligned=mask, vectors=text)"


def test_a_training_with_all_streams_resumes_to_the_bit(plugin: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"asks": EVERYTHING, "accumulate": 2, "augment": ("affine(rotate=20)",)}
    run = fit(plugin, DEMO, tmp_path / "run", save_every=2, **options)
    resumed = translate.resume(back_to(run, 2, tmp_path / "half"))
    assert equal(run, resumed)
    other = fit(plugin, DEMO, tmp_path / "other", cache="stream", workers=3, **options)
    assert equal(run, other)
    # The translator knows what its method was built from, and nothing else.
    metadata = checkpoint.load(run.translator)[1]
    assert metadata["vectors"] == {"text": 5}
    assert metadata["aligned"]["mask"]["channels"] == 1
    method: Any = SavedMethod.open(run.folder, discover(extra=[plugin])).method
    assert method.depth == 1
    assert method.names == ("day", "sunset", "night")
    assert translate.load(run.folder, plugins=[plugin]).translate(torch.zeros(1, 3, 20, 20)).shape == (1, 3, 20, 20)
    plain = fit(plugin, DEMO, tmp_path / "plain", steps=1)
    assert not {"vectors", "aligned"} & checkpoint.load(plain.translator)[1].keys()


def test_a_method_with_streams_keeps_the_contracts(plugin: str) -> None:
    check_method(f"masked(asks='{EVERYTHING}')", plugins=[plugin])
    check_dataset(DEMO)


def test_streams_that_nobody_asks_for_change_nothing(plugin: str, tmp_path: Path, data: Path) -> None:
    folder = back_to(fit(plugin, data, tmp_path / "run", save_every=2), 2, tmp_path / "half")
    config = json.loads((folder / "config.json").read_text())
    assert set(config["domains"]) == {"source", "target"}
    # The same run, of data that lists a mask and vectors now.
    config["config"]["layout"] = LAYOUT
    (folder / "config.json").write_text(json.dumps(config))
    dataset = open_dataset(discover(), str(data), LAYOUT)
    assert set(dataset.domains) == {"source", "target", "mask"}
    assert Listing.of(dataset, Needs()).fingerprint == config["data"]
    assert equal(translate.resume(folder), Run.open(tmp_path / "run"))
    (data / "train" / "mask" / "3.png").unlink()
    (data / "text.csv").write_text("0.png,1\n1.png,2\n")
    shutil.rmtree(folder)
    folder = back_to(Run.open(tmp_path / "run"), 2, folder)
    assert equal(translate.resume(folder), Run.open(tmp_path / "run"))


def test_streams_that_were_asked_for_must_not_change(plugin: str, tmp_path: Path, data: Path) -> None:
    run = fit(plugin, data, tmp_path / "run", asks="aligned vectors", layout=LAYOUT, save_every=2)
    listing = (run.folder / NAME).read_text().splitlines()
    assert json.loads(listing[0])[0] == "source"
    assert "mask" in [json.loads(line)[0] for line in listing if len(json.loads(line)) == 3]
    folder = back_to(run, 2, tmp_path / "half")
    assert equal(translate.resume(folder), run)
    folder = back_to(run, 2, tmp_path / "third")
    text = (data / "text.csv").read_text()
    (data / "text.csv").write_text(text.replace("3.png,3", "3.png,9"))
    with pytest.raises(TranslateError, match=r"other vectors of 1 target image \(3\); go on with it"):
        translate.resume(folder)
    (data / "text.csv").write_text(text.replace(",1\n", ",1,1\n"))
    with pytest.raises(TranslateError, match=r"do not fit: its target had vectors \(text of 3 numbers\), and they are"):
        translate.resume(folder)
    (data / "text.csv").write_text(text)
    (data / "train" / "mask" / "5.png").unlink()
    with pytest.raises(TranslateError, match=r"other content of 1 mask image \(5\); go on with it"):
        translate.resume(folder)
    resumed = translate.resume(folder, changed_data=True)
    assert resumed.step == 6
    shutil.rmtree(data / "train" / "mask")
    with pytest.raises(TranslateError, match="there is no folder 'mask' for aligned=mask"):
        translate.resume(folder)


def test_a_missing_mask_is_left_out_or_stops(
    plugin: str, tmp_path: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (data / "train" / "mask" / "5.png").unlink()
    for cache in ("device", "stream"):
        caplog.clear()
        run = fit(plugin, data, tmp_path / cache, asks="aligned", layout=LAYOUT, cache=cache, steps=8)
        (told,) = [text for text in caplog.messages if text.startswith("left out")]
        assert f"the pair 5: {data / 'train/source/5.png'} has no partner in {data / 'train/mask'}" in told
        assert checkpoint.load(run.checkpoints[-1])[1]["left_out"] == {"source": {"5": "5"}}
    with pytest.raises(TranslateError, match="has no partner in"):
        fit(plugin, data, tmp_path / "no", asks="aligned", layout=LAYOUT, broken="stop", cache="device")
    with pytest.raises(StoppedError, match="has no partner in"):
        fit(plugin, data, tmp_path / "stop", asks="aligned", layout=LAYOUT, broken="stop", cache="stream", steps=12)
    assert fit(plugin, data, tmp_path / "plain", layout=LAYOUT, broken="stop").step == 6


@pytest.mark.parametrize(
    ("asks", "layout", "message"),
    [
        (
            "aligned", None,
            "masked: the method needs 'mask'|needs 'mask' among the aligned streams, and the data has none",
        ),
        ("vectors", None, "needs 'text' among the vectors, and the data has none"),
        ("references", None, "masked needs references, two images of one class, and the target of photos has no labels"),
    ],
)  # fmt: skip
def test_what_data_lacks_is_said_before_a_training(
    plugin: str, tmp_path: Path, data: Path, asks: str, layout: str | None, message: str
) -> None:
    with pytest.raises(TranslateError, match=message) as caught:
        fit(plugin, data, tmp_path / "run", asks=asks, layout=layout)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_the_option_to_paste_names_the_stream(plugin: str, tmp_path: Path, data: Path) -> None:
    source = METHOD.replace('parts.aligned["mask"].channels', "1").replace('parts.vectors["text"]', "3")
    Path(plugin).write_text(source)
    for asks, option in (("aligned", "aligned=mask"), ("vectors", "vectors=text")):
        with pytest.raises(TranslateError) as caught:
            fit(plugin, data, tmp_path / "run", asks=asks)
        layout = str(caught.value).partition('--layout "')[2].partition('"')[0]
        assert option.partition("=")[0] in layout
        assert fit(plugin, data, tmp_path / asks, asks=asks, layout=layout, steps=1).step == 1


def test_data_tells_of_streams_and_checks_them(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["data", str(data), "--layout", LAYOUT, *arguments])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    code, said = run()
    assert code == 0
    assert "train source: vectors text, of 3 numbers each, 1 an image, of all images" in said
    assert "mask: gray images of 8 bits" in said
    assert "aligned with the source" in said
    (data / "train" / "mask" / "1.png").unlink()
    Pillow.new("L", (9, 8)).save(data / "train" / "mask" / "2.png")
    photo(data / "train" / "mask" / "3.png", 3)
    (data / "train" / "mask" / "4.png").write_bytes(b"no image")
    photo(data / "train" / "mask" / "99.png", 3, "L")
    for arguments in ((), ("--full",)):
        code, said = run(*arguments)
        assert code == 1
        assert f"{data / 'train/source/1.png'} has no partner in {data / 'train/mask'}" in said
        assert f"{data / 'train/mask/2.png'} has 8 x 9 pixels, and the image that it belongs to 16 x 18" in said
        assert f"{data / 'train/mask/4.png'}" in said
        assert "1 file (99.png) of mask belongs to no image of the source" in said
    found = json.loads(run("--json")[1])
    assert found["aligned"] == {"mask": "source"}
    assert str(data / "train/mask/2.png") in found["unlike"]
    assert found["splits"]["train"]["target"]["vectors"]["text"] == {
        "width": 3, "images": 8, "fewest": 1, "most": 1, "wrong": "",
    }  # fmt: skip
    (data / "text.csv").write_text("0.png,nan,1,2\n")
    code, said = run()
    assert code == 1
    assert "holds values that are not finite" in said


def test_other_channels_are_told(data: Path) -> None:
    for number in range(3, 8):
        shutil.copy(data / "train" / "source" / f"{number}.png", data / "train" / "mask" / f"{number}.png")
    dataset = open_dataset(discover(), str(data), LAYOUT)
    found = inspect(dataset)
    assert set(found.unlike) == {str(data / "train" / "mask" / f"{number}.png") for number in range(3)}
    assert "has 1 channels, and most of mask have 3" in next(iter(found.unlike.values()))


def test_an_export_is_read_again_with_its_streams(data: Path, tmp_path: Path) -> None:
    dataset = open_dataset(discover(), str(data), LAYOUT)
    export(dataset, tmp_path / "copy")
    again = open_dataset(discover(), str(tmp_path / "copy"), LAYOUT)
    assert again.domains["mask"] == dataset.domains["mask"]
    for one, two in zip(dataset.splits["train"]["target"], again.splits["train"]["target"], strict=True):
        assert one.name == two.name
        assert np.array_equal(one.extras["text"], two.extras["text"])
