"""Config and run: what was asked, and what a folder holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translate.asked_optimizers import as_meant
from translate.config_file import read_config
from translate.errors import TranslateError
from translate.outputs import free_folder
from translate.run import Config, Run, Scalars
from translate.sizes import parse_size


def config(**values: object) -> Config:
    return Config.from_values({"method": "pix2pix", "data": "photos", **values})


def test_core_and_method_options_are_told_apart() -> None:
    made = config(steps="10", size="64x32", l1=5, augment=["jitter(hue=0.1)"], clip_norm="none")
    assert made.steps == 10
    assert made.size == (64, 32)
    assert made.options == {"l1": 5}
    assert made.augment == ("jitter(hue=0.1)",)
    assert made.clip_norm is None


def test_json_and_back() -> None:
    made = config(steps=10, size=64, init="a/b", l1=5.0, optimizer=("adam(lr=0.1)",), plugins=("x.py",), load_size=72)
    assert Config.from_values(json.loads(json.dumps(made.to_json()))) == made


def test_an_optimizer_that_was_asked_for_is_told_from_the_default_of_early_files() -> None:
    asked = config(optimizer=("adam", "critic=sgd")).to_json()
    assert asked["optimizer"] == ["adam()", "critic=sgd"]
    assert as_meant(asked)["optimizer"] == asked["optimizer"]
    assert config().to_json()["optimizer"] == []
    assert as_meant({"optimizer": ["adam"], "steps": 1}) == {"optimizer": [], "steps": 1}
    # What is no list is refused where options are checked.
    assert as_meant({"optimizer": 3}) == {"optimizer": 3}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "steps must be a whole number >= 1"),
        ({"precision": "fp16"}, "'float32' or 'bf16'"),
        ({"ema": 1.0}, "ema must be a number >= 0 and < 1"),
        ({"size": "12x"}, "a size is 256 or HEIGHTxWIDTH"),
        ({"size": 0}, "a size is 256"),
        ({"data": None}, "data is missing"),
    ],
)
def test_wrong_values_are_one_sentence(values: dict[str, object], message: str) -> None:
    with pytest.raises(TranslateError) as caught:
        config(**values)
    assert message in str(caught.value)


@given(st.integers(1, 9999), st.integers(1, 9999))
def test_sizes(height: int, width: int) -> None:
    assert parse_size(f"{height}x{width}") == parse_size([height, width]) == (height, width)
    assert parse_size(height) == (height, height)


def test_config_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("method: pix2pix\nlog-every: 5\nsize: 64\n")
    assert read_config(tmp_path / "a.yaml") == {"method": "pix2pix", "log_every": 5, "size": 64}
    (tmp_path / "a.json").write_text('{"steps": 3}')
    assert read_config(tmp_path / "a.json") == {"steps": 3}
    for content, message in (
        ("[1, 2]", "names and values"),
        ("a: [", "neither YAML nor JSON"),
        ("\x00", "neither YAML"),
    ):
        (tmp_path / "bad.yaml").write_text(content)
        with pytest.raises(TranslateError, match=message):
            read_config(tmp_path / "bad.yaml")
    with pytest.raises(TranslateError, match="cannot read the config"):
        read_config(tmp_path / "none.yaml")


def test_a_run_is_made_once_and_opened_again(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", config(steps=7), steps=7, metadata={"versions": {"torch": "2"}})
    assert json.loads((run.folder / "config.json").read_text())["versions"] == {"torch": "2"}
    with pytest.raises(TranslateError, match=r"already holds a run; go on with `translate fit --resume"):
        Run.create(tmp_path / "run", config(), steps=7, metadata={})
    again = Run.open(tmp_path / "run")
    assert again.config == run.config
    assert again.steps == 7
    with pytest.raises(TranslateError, match="is not a run"):
        Run.open(tmp_path)
    (run.folder / "config.json").write_text("{}")
    with pytest.raises(TranslateError, match="is damaged"):
        Run.open(tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(TranslateError, match="cannot make the run's folder"):
        Run.create(tmp_path / "file" / "run", config(), steps=7, metadata={})


def test_the_log_forgets_what_lies_after_a_checkpoint(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", config(), steps=9, metadata={})
    for step in (2, 4, 6):
        run.record(Scalars(step, {"generator/l1": step / 2}, 1.0, 1.0, 0))
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "gener')
    assert [line["step"] for line in run.metrics] == [2, 4, 6]
    run.forget_after(4)
    assert [line["generator/l1"] for line in run.metrics] == [1.0, 2.0]


def test_free_folders(tmp_path: Path) -> None:
    assert free_folder(tmp_path, "a") == tmp_path / "a"
    (tmp_path / "a").mkdir()
    (tmp_path / "a-2").mkdir()
    assert free_folder(tmp_path, "a") == tmp_path / "a-3"
