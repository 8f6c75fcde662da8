"""The benchmark: its arithmetic, its rivals, and its command on the smallest of networks."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import translate
from translate.benchmark import commands, cost, feeding
from translate.benchmark.elsewhere import Action, elsewhere
from translate.benchmark.limits import limits
from translate.benchmark.report import Report
from translate.benchmark.timing import Ratio, in_turn, median_interval
from translate.cli import cli
from translate.errors import TranslateError

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "generator": "unet(width=2, depth=2)",
    "discriminator": "patch(width=2, receptive_field=16)",
    "size": 32,
    "rounds": 2,
}


def test_interval_of_the_median_covers_it() -> None:
    generator = np.random.default_rng(0)
    inside = [low <= 0 <= high for low, high in (median_interval(generator.normal(size=60)) for _ in range(400))]
    assert 0.93 <= np.mean(inside) <= 1
    assert median_interval([3.0, 1.0]) == (1.0, 3.0)


def test_rivals_take_turns_and_who_begins_changes() -> None:
    turns: list[str] = []
    ready: list[str] = []
    rivals = {name: lambda name=name: turns.append(name) for name in "ab"}
    found = in_turn(rivals, 3, CPU, before=ready.append)
    assert turns == ready == ["a", "b", "b", "a", "a", "b"]
    assert {name: len(values) for name, values in found.items()} == {"a": 3, "b": 3}
    assert str(Ratio(2.0, 1.5, 2.5)) == "2.00x (1.50 to 2.50)"


def count_and_tell(path: Path) -> Action:
    def act() -> None:
        with path.open("a") as told:
            told.write(f"{os.getpid()}\n")

    return act


def end() -> Action:
    return partial(os._exit, 3)


def test_a_rival_acts_in_a_process_of_its_own(tmp_path: Path) -> None:
    with elsewhere(partial(count_and_tell, tmp_path / "told")) as act:
        act()
        act()
    first, second = (tmp_path / "told").read_text().split()
    assert first == second != str(os.getpid())
    with elsewhere(end) as act, pytest.raises(TranslateError, match="the loop by hand has ended"):
        act()


def test_limits_are_of_this_machine() -> None:
    found = limits(CPU, tries=1)
    assert found.flops.keys() == {"float32", "bf16"}
    assert min(*found.flops.values(), found.bandwidth) > 1e8


def test_all_rivals_feed_the_same_kind_of_batch(tmp_path: Path) -> None:
    paths = feeding.made_up(tmp_path, 3, (48, 64))
    images = feeding.PillowImages(paths, 16)
    source, target = feeding.plain_loop(images, 2, CPU)()  # type: ignore[misc]
    assert source.shape == target.shape == (2, 3, 16, 16)
    assert -1 <= float(source.min()) < float(source.max()) <= 1
    found = feeding.feeding(paths, batch=1, size=16, device=CPU, rounds=1, steps=1)
    assert next(iter(found)) == feeding.PLAIN
    assert sum(name.startswith("translate") for name in found) == 3


def test_a_method_is_measured_beside_its_loop_by_hand() -> None:
    report = translate.bench("pix2pix", what=["steps"], **SMALL)
    (rows,) = report.parts.values()
    assert [row.name for row in rows] == ["by hand", "translate"]
    assert rows[0].ratio is None
    assert rows[1].ratio is not None
    assert rows[1].ratio.low <= rows[1].ratio.median <= rows[1].ratio.high
    assert "of the float32 peak" in rows[1].note
    assert sum(float(part.rpartition(" ")[2].rstrip("%")) for part in _shares(report)) == pytest.approx(100, abs=3)


def _shares(report: Report) -> list[str]:
    found: str = report.facts["where the step's time goes"]
    return found.split(", ")


def test_a_method_without_a_loop_is_measured_beside_the_plain_engine() -> None:
    report = translate.bench("gan", what=["steps"], memory_format="channels_last", **SMALL)
    assert [row.name for row in next(iter(report.parts.values()))] == ["translate", "by hand"]


def test_what_a_step_costs_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "in" / "train" / "source").mkdir(parents=True)
    (tmp_path / "in" / "train" / "target").mkdir()
    for side in ("source", "target"):
        feeding.made_up(tmp_path / "in" / "train" / side, 2, (48, 48))
    values = {**SMALL, "method": "pix2pix", "data": str(tmp_path / "in"), "batch": 2, "device": "cpu"}
    del values["rounds"]
    compared = cost.variations(values, tmp_path)
    assert list(compared)[:2] == ["32 px, batch 2", "32 px, batch 8"]
    assert len(list((tmp_path / "more" / "train" / "source").iterdir())) == 2 * cost.MORE
    peak, seconds = cost.measured({**values, **compared["32 px, batch 2, 10 times the images"]}, 2)
    assert 2**26 < peak < 2**33
    assert len(seconds) == 2
    with pytest.raises(TranslateError, match=r"^there is no generator 'unte'; did you mean unet"):
        cost.measured({**values, "generator": "unte"}, 1)


def test_the_command_keeps_its_numbers(tmp_path: Path) -> None:
    given = ["bench", "gan", "generator=shallow(width=2)", "discriminator=small_patch(width=2)", "--size", "32"]
    given += ["--what", "conversion", "--images", "2", "--rounds", "1", "--json", str(tmp_path / "b.json")]
    given += ["--rival", "float32", "--rival", "openvino-int8"]
    told = CliRunner().invoke(cli, given, catch_exceptions=False)
    assert told.exit_code == 0
    assert "conversion of 2 images, whole command" in told.output
    found = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    rows = found["parts"]["conversion of 2 images, whole command"]
    assert [row["name"] for row in rows] == [
        "a loop by hand",
        "translate convert",
        "translate convert --runtime openvino --precision int8",
    ]
    assert all(float(row["note"].split()[-5]) > 20 for row in rows[1:])
    assert float(rows[1]["note"].split()[-5]) > 80
    assert found["machine"]["torch"] == torch.__version__


@pytest.mark.parametrize("lacking", [None, "minutes"])
def test_the_ways_of_conversion_are_those_of_this_machine(monkeypatch: pytest.MonkeyPatch, lacking: str | None) -> None:
    monkeypatch.setattr(commands, "missing_compiler", lambda device: lacking)
    compiled = [] if lacking else ["compiled-float32", "compiled-bf16"]
    found = commands.available(torch.device("cpu"))
    assert found == ["float32", "bf16", *compiled, "openvino-float32", "openvino-bf16", "openvino-int8"]


def test_many_images_are_not_converted_by_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "MANY", 4)
    given = {"size": 32, "generator": "shallow(width=2)", "discriminator": "small_patch(width=2)", "device": "cpu"}
    report = translate.bench("gan", what=["conversion"], images=4, rounds=1, rival=["bf16"], **given)
    assert report.to_json()["asked"]["rival"] == ["bf16"]
    rows = report.parts["conversion of 4 images, whole command"]
    assert [row.name for row in rows] == ["a loop by hand", "translate convert --precision bf16"]
    assert rows[0].note == f"{1000 * rows[0].seconds / 4:.0f} ms for each image"
    assert "at 1,000 images" not in rows[1].note


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"what": ["stpes"]}, r"bench: what must be a list .* not \['stpes'\]; did you mean steps\?"),
        ({"rounds": 0}, "bench: rounds must be a whole number >= 1, not 0"),
        ({"rival": ["openvino-int4"]}, "converts in no way 'openvino-int4'; did you mean openvino-int8"),
        ({"nonsense": 1}, "has no option 'nonsense'"),
    ],
)
def test_what_cannot_be_measured_is_told(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TranslateError, match=sentence):
        translate.bench("gan", **{"what": ["steps"], **given})
    for data in ("nowhere", "demo(size=32)"):
        with pytest.raises(
            TranslateError, match=r"bench: there is no folder .*; name a folder of images, or leave out"
        ):
            translate.bench("pix2pix", data=data)
    with pytest.raises(TranslateError, match="'oops' is no NAME=VALUE"):
        CliRunner().invoke(cli, ["bench", "gan", "oops"], catch_exceptions=False)
