"""What an evaluation gives a network beside its images: by the user, or else by the data, row by row."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import taking
import torch
from taking import KEPT

import translate
from translate import images
from translate.assignments import Typed
from translate.data import Example
from translate.errors import TranslateError
from translate.evaluation import Evaluation
from translate.evaluation.inputs import Inputs, _size_of
from translate.given import read_given
from translate.row_inputs import RowInputs
from translate.saved import load_sampler
from translate.taken import Taken, Wanted

MASK = (taking.data(2) + 1) / 2
OWN = torch.tensor([1, 0, 2, 1, 0])
"""The classes of the rows as the network numbers them."""
TEXT = torch.tensor([0.5, 1.5, 2.5, 3.5, 4.5])
"""The means of the rows' vectors."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return taking.saved(tmp_path_factory.mktemp("evaluation") / "taking.safetensors")


def evaluate(file: Path, data: str = "beside", given: dict[str, Any] | None = None, **options: Any) -> Evaluation:
    asked = {"metrics": ["seen"], "batch": 2, "device": "cpu", "plugins": [taking.PLUGIN], **options}
    return translate.evaluate(file, data, given=given or {}, **asked)


def column(values: Any) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float32).view(-1, 1, 1, 1)


def test_the_data_gives_its_own_row_by_row(file: Path) -> None:
    found = evaluate(file)
    kept = KEPT["seen"]
    wanted = (taking.data(0) + 0.1 * column(OWN)) * MASK + 0.1 * column(TEXT)
    assert torch.allclose(kept["fake"], wanted, atol=1e-6)
    assert "given" not in found.protocol
    inputs = found.protocol["inputs"]
    assert list(inputs) == ["label", "mask", "text"]
    assert {each["from"] for each in inputs.values()} == {"the data"}
    assert inputs["label"]["classes"] == {"day": 2, "dusk": 1, "night": 2}
    stored = np.float32([[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]])
    assert inputs["text"] == {"from": "the data", "images": 5, "sha256": hashlib.sha256(stored.tobytes()).hexdigest()}
    assert len(kept["target"]) == 5
    assert (
        found.lines()[2]
        == "given: label from the data (2 day, 1 dusk, 2 night); mask from the data; text from the data"
    )
    # Nothing depends on how many images pass at once.
    again = evaluate(file, batch=5)
    assert torch.equal(KEPT["seen"]["fake"], kept["fake"])
    assert again.protocol == found.protocol


def test_what_is_given_stands_before_what_the_data_has(file: Path) -> None:
    found = evaluate(file, given={"label": "dusk", "text": [1.0, 3.0], "mask": None, "passes": 2})
    kept = KEPT["seen"]
    assert torch.allclose(kept["fake"], taking.data(0) / 2 + 0.2 + 0.2, atol=1e-6)
    assert set(found.protocol["given"]) == {"passes", "label", "text"}
    assert found.protocol["inputs"]["label"]["from"] == "one value"
    # What the network makes of one class is compared with targets of that class alone.
    assert torch.equal(kept["target"], taking.data(1)[[2]])
    assert found.protocol["targets"] == {"classes": ["dusk"], "images": 1}
    assert (
        "given: passes 2; label from one value (5 dusk); text from one value; compared with the 1 targets"
        in found.lines()[2]
    )


def test_nothing_can_be_given_by_a_word(file: Path) -> None:
    nothing = {name: Typed("none", "--with") for name in ("label", "mask", "text")}
    found = evaluate(file, given=nothing)
    assert torch.equal(KEPT["seen"]["fake"], taking.data(0))
    assert "inputs" not in found.protocol


def test_pairs_stay_row_by_row(file: Path) -> None:
    found = evaluate(file, given={"label": "night"}, metrics=["seen", "seen_pairs"])
    assert torch.equal(KEPT["seen"]["target"], taking.data(1)[[0, 3]])
    assert KEPT["seen"]["target_label"].tolist() == [0, 0]
    assert len(KEPT["seen"]["fake"]) == 5
    assert torch.equal(KEPT["seen_pairs"]["target"], taking.data(1))
    assert torch.equal(KEPT["seen_pairs"]["fake"], KEPT["seen"]["fake"])
    assert found.counts == {"source": 5, "target": 5, "fake": 5}


def test_unpaired_data_is_compared_by_class(file: Path) -> None:
    evaluate(file, "beside(paired=no, mask=no)", {"label": "day"}, limit=1)
    assert torch.equal(KEPT["seen"]["target"], taking.data(1)[[1]])
    evaluate(file, "beside(paired=no, mask=no)", {"label": [1, 1, 0, 0, 1]})
    assert torch.equal(KEPT["seen"]["target"], taking.data(1)[[0, 1, 3, 4]])
    assert torch.allclose(
        KEPT["seen"]["fake"], taking.data(0) + 0.1 * column([1, 1, 0, 0, 1]) + 0.1 * column(TEXT), atol=1e-6
    )


def test_the_classes_of_one_domain_are_targets(file: Path) -> None:
    found = evaluate(file, "beside(single=yes)", {"label": "day", "text": [0.0, 0.0]})
    assert torch.equal(KEPT["seen"]["target"], taking.data(1)[[1, 4]])
    assert len(KEPT["seen"]["source"]) == len(KEPT["seen"]["fake"]) == 5
    assert found.protocol["targets"] == {"classes": ["day"], "images": 2}
    evaluate(file, "beside(single=yes)")
    assert torch.allclose(KEPT["seen"]["fake"], taking.data(1) + 0.1 * column(OWN) + 0.1 * column(TEXT), atol=1e-6)
    assert len(KEPT["seen"]["target"]) == 5


def test_targets_without_classes_are_all_compared_and_told(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = evaluate(file, "beside(label=no)", {"label": "day"})
    assert len(KEPT["seen"]["target"]) == 5
    assert "targets" not in found.protocol
    assert "have no class that the network knows, so all are compared with those of label=day" in caplog.text


def test_folders_and_tables_are_matched_by_name(file: Path, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for number in range(5):
        images.write(tmp_path / "masks" / f"{number}.png", images.Image(taking.stored(4 - number, 2, 1), None))
    (tmp_path / "labels.csv").write_text("name,label\n4.jpg,day\n3,night\n2,dusk\n1,day\n0,day\nx,day\n")
    found = evaluate(file, given={"mask": tmp_path / "masks", "label": tmp_path / "labels.csv", "text": None})
    wanted = (taking.data(0) + 0.1 * column([0, 0, 2, 1, 0])) * MASK.flip(0)
    assert torch.allclose(KEPT["seen"]["fake"], wanted, atol=1e-6)
    inputs = found.protocol["inputs"]
    assert (inputs["mask"]["from"], inputs["label"]["from"]) == ("a folder", "rows")
    assert inputs["label"]["classes"] == {"day": 3, "dusk": 1, "night": 1}
    mine = taking.data(2).flip(0).contiguous().numpy()
    assert inputs["mask"]["sha256"] == hashlib.sha256(mine.tobytes()).hexdigest()
    # At another size both are resized.
    evaluate(file, given={"mask": tmp_path / "masks", "label": 0, "text": None}, at=(8, 8))
    assert KEPT["seen"]["fake"].shape == (5, 3, 8, 8)


@pytest.mark.parametrize(
    ("data", "given", "sentence"),
    [
        ("beside", {"label": [0, 1]}, "label has 2 rows without names, and the split 'test' of beside has 5 images"),
        ("beside", {"label": "TABLE"}, "the table .* has no row '1' for label; give it one"),
        ("beside", {"mask": "FOLDER"}, "its mask is missing; there is no .*1.png or of another suffix"),
        ("beside", {"label": "dawn"}, "label is a class, and none is called 'dawn'"),
        ("beside(count=2)", {"label": "dusk"}, "has no images of the target of the class dusk, with which those of"),
        ("beside", {"labels": 1}, "takes no 'labels'"),
        ("beside", {"passes": 0}, "passes must be"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    file: Path, tmp_path: Path, data: str, given: dict[str, Any], sentence: str
) -> None:
    (tmp_path / "TABLE.csv").write_text("0,day\n")
    (tmp_path / "FOLDER").mkdir()
    images.write(tmp_path / "FOLDER" / "0.png", images.Image(taking.stored(0, 2, 1), None))
    there = {"TABLE": tmp_path / "TABLE.csv", "FOLDER": tmp_path / "FOLDER"}
    given = {name: there.get(value, value) if isinstance(value, str) else value for name, value in given.items()}
    with pytest.raises(TranslateError, match=sentence) as caught:
        evaluate(file, data, given)
    assert "\n" not in str(caught.value)


def test_a_mask_of_another_size_than_its_file_is_refused(file: Path, tmp_path: Path) -> None:
    for side in ("a", "b"):
        for number in range(2):
            path = tmp_path / "data" / "test" / side / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            images.write(path, images.Image(taking.stored(number, 0), None))
    (tmp_path / "masks").mkdir()
    for number in range(2):
        images.write(tmp_path / "masks" / f"{number}.png", images.Image(np.zeros((8, 16, 1), np.uint8), None))
    with pytest.raises(TranslateError, match=r"0.png has 16 x 16 pixels, and its mask has 16 x 8; give one as large"):
        evaluate(file, str(tmp_path / "data"), {"mask": tmp_path / "masks"}, layout="folders(source=a, target=b)")


def test_one_mask_for_all_must_be_as_large_as_each(file: Path, tmp_path: Path) -> None:
    given = {"mask": np.zeros((8, 16), np.uint8), "label": None, "text": None}
    for region, width in (("whole", 16), ("left", 32)):
        path = tmp_path / f"{region}.png"
        images.write(path, images.Image(np.zeros((16, width, 3), np.uint8), None))
        for pixels in (path, images.read(path).pixels):
            example = Example(pixels, "it", region=region)  # type: ignore[arg-type]
            assert _size_of(example) == (16, 16)
    for side in ("a", "b"):
        path = tmp_path / "data" / "test" / side / "0.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, images.Image(taking.stored(0, 0), None))
    with pytest.raises(TranslateError, match=r"0.png has 16 x 16 pixels, and its mask has 16 x 8; give one as large"):
        evaluate(file, str(tmp_path / "data"), given, layout="folders(source=a, target=b)")


def test_what_must_be_given_may_come_from_the_data() -> None:
    taken = Taken({}, {"label": Wanted("label", "class", of="target", required=True)})
    listed = taking.beside()
    data = RowInputs("source", listed.splits["test"], listed.domains, paired=True)

    def read(given: Any, elsewhere: Any = ()) -> Any:
        return read_given(given, taken, "it", elsewhere=elsewhere)

    assert Inputs.of({}, taken, data, read, "the data").own == {"label"}
    bare = taking.beside(label=False)
    with pytest.raises(TranslateError, match="it needs label, a class of the target; give it with --with label=VALUE"):
        Inputs.of({}, taken, RowInputs("source", bare.splits["test"], bare.domains, paired=True), read, "the data")


def test_a_sampler_makes_what_belongs_to_the_real_images(file: Path) -> None:
    found = evaluate(file, direction="sample")
    made = load_sampler(file, plugins=[taking.PLUGIN], device="cpu")
    wanted = made.draw(range(5), given={"label": OWN, "text": torch.stack([TEXT - 0.5, TEXT + 0.5], 1)})
    assert torch.equal(KEPT["seen"]["fake"], wanted)
    assert found.protocol["inputs"]["label"]["classes"] == {"day": 2, "dusk": 1, "night": 2}
    evaluate(file, direction="sample", given={"label": "night", "text": [0.0, 0.0]})
    assert torch.equal(KEPT["seen"]["target"], taking.data(1)[[0, 3]])
    assert torch.equal(KEPT["seen"]["fake"], made.draw(range(2), given={"label": "night", "text": [0.0, 0.0]}))
    # What the data has goes with the images that are left.
    evaluate(file, direction="sample", given={"label": "night"})
    text = torch.tensor([[0.0, 1.0], [3.0, 4.0]])
    assert torch.equal(KEPT["seen"]["fake"], made.draw(range(2), given={"label": "night", "text": text}))
    assert KEPT["seen"]["source_label"].tolist() == [1, 1]
    # A table's rows set how many are made.
    evaluate(file, direction="sample", given={"label": [0, 1, 2, 2, 1, 0, 0], "text": [0.0, 0.0]})
    assert len(KEPT["seen"]["fake"]) == 7
    assert len(KEPT["seen"]["target"]) == 5


def test_noise_differs_from_image_to_image(tmp_path: Path) -> None:
    file = taking.saved(tmp_path / "noisy.safetensors", "noisy")
    found = evaluate(file, "beside", {"share": 1.0}, seed=3)
    fakes = KEPT["seen"]["fake"]
    assert found.protocol["seed"] == 3
    assert not torch.equal(fakes[0], fakes[1])
    evaluate(file, "beside", {"share": 1.0}, seed=3, batch=5)
    assert torch.equal(KEPT["seen"]["fake"], fakes)
    evaluate(file, "beside", {"share": 1.0}, seed=4)
    assert not torch.equal(KEPT["seen"]["fake"], fakes)
