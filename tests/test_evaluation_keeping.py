"""What an evaluation keeps in the folder of its run: scores, a table, pictures, and nothing that was there before."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from test_evaluation_intervals import runs  # noqa: F401 - a fixture

from translate import images
from translate.cli import cli
from translate.evaluation import Evaluation, evaluate
from translate.evaluation.extremes import EACH
from translate.reporting import report
from translate.run import Run

CHECKPOINT = "step-00000001.safetensors"


@pytest.fixture
def run(runs: tuple[Path, str], tmp_path: Path) -> tuple[Run, str]:  # noqa: F811
    """A run that no evaluation has seen, and its plugin."""
    folder, plugin = runs
    shutil.copytree(folder / "tenth", tmp_path / "tenth", ignore=shutil.ignore_patterns("evaluations"))
    return Run.open(tmp_path / "tenth"), plugin


def measured(found: tuple[Run, str], data: str = "steps()", **options: Any) -> Evaluation:
    folder, plugin = found
    return evaluate(folder.folder, data, plugins=[plugin], **{"metrics": ["l1", "psnr"], **options})


def names(run: Run) -> list[str]:
    return (
        sorted(path.name for path in (run.folder / "evaluations").iterdir())
        if (run.folder / "evaluations").is_dir()
        else []
    )


def test_an_evaluation_is_kept_with_its_table_and_its_pictures(run: tuple[Run, str]) -> None:
    found = measured(run)
    place = run[0].folder / "evaluations"
    assert names(run[0]) == [f"test-step-00000001{suffix}" for suffix in (".csv", ".json", ".webp")]
    assert found.kept == place / "test-step-00000001.json"
    assert found.lines()[-1] == f"kept in {found.kept}"
    kept = json.loads(found.kept.read_text())
    assert kept["scores"] == found.to_json()["scores"]
    assert kept["protocol"]["weights_sha256"] == found.protocol["weights_sha256"]
    assert kept["better"] == {"l1": "lower", "psnr": "higher"}
    with (place / "test-step-00000001.csv").open() as file:
        assert [float(row["l1"]) for row in csv.DictReader(file)] == [row["l1"] for row in found.per_image]
    layout = kept["pictures"]
    assert layout["columns"] == ["source", "fake", "target"]
    # 0.1 is added to the source, and row i of the target is i / 100 brighter: row 10 fits, row 39 is farthest.
    rows = [name for _, name in layout["rows"]]
    assert rows[0] == "10"
    assert {"39", "38", "37", "36", "35", "34"} <= set(rows)
    assert len(rows) <= 2 * 2 * EACH
    picture = images.load(place / "test-step-00000001.webp").pixels
    top = rows.index("39") * (layout["height"] + layout["gap"])
    cells = [
        picture[top : top + layout["height"], left : left + layout["width"]].mean() / 255
        for left in range(0, picture.shape[1], layout["width"] + layout["gap"])
    ]
    # Values from -1 to 1 are shown from black to white.
    assert cells == pytest.approx([0.5, 0.55, 0.695], abs=0.02)
    entry = json.loads(_data(report([run[0].folder]).page))["evaluations"]["list"][0]
    l1 = next(each for each in entry["images"] if each["name"] == "l1")
    assert (l1["better"], l1["lowest"][0][0], l1["lowest"][0][2]) == ("lower", "10", 0)
    assert l1["highest"][0] == ["39", "0.29", rows.index("39")]


def _data(page: Path) -> str:
    text = page.read_text("ascii")
    return text.partition('id="content">')[2].partition("</script>")[0]


def test_nothing_is_replaced_and_nothing_kept_twice(run: tuple[Run, str]) -> None:
    first = measured(run, metrics=["l1"])
    assert measured(run, metrics=["l1"]).kept == first.kept
    before = {path: path.read_bytes() for path in (run[0].folder / "evaluations").iterdir()}
    other = measured(run, metrics=["psnr"])
    assert other.kept == (run[0].folder / "evaluations") / "test-step-00000001-2.json"
    # A table of the user's own has the next name.
    ((run[0].folder / "evaluations") / "test-step-00000001-3.csv").write_text("mine")
    assert measured(run, limit=8).kept == (run[0].folder / "evaluations") / "test-step-00000001-4.json"
    assert all(path.read_bytes() == data for path, data in before.items())
    assert ((run[0].folder / "evaluations") / "test-step-00000001-3.csv").read_text() == "mine"


def test_names_say_what_was_measured(run: tuple[Run, str]) -> None:
    folder, plugin = run
    checkpoint = folder.checkpoints[-1]
    shutil.copy(folder.translator, folder.folder / "best-backward-psnr.safetensors")
    for network, options in (
        (folder.folder, {"split": "train", "direction": "backward"}),
        (checkpoint, {}),
        (folder.folder / "best-backward-psnr.safetensors", {"metrics": ["psnr"]}),
    ):
        evaluate(network, "steps()", plugins=[plugin], **{"metrics": ["l1"], **options})
    stems = {name.partition(".")[0] for name in names(folder)}
    assert stems == {"train-backward-step-00000001", "test-step-00000001", "test-best-backward-psnr"}


def test_a_file_outside_of_a_run_and_one_that_is_not_to_be_kept_leave_nothing(
    run: tuple[Run, str],
    tmp_path: Path,
) -> None:
    folder, plugin = run
    assert measured(run, keep=False).kept is None
    alone = tmp_path / "alone" / "translator.safetensors"
    alone.parent.mkdir()
    shutil.copy(folder.translator, alone)
    assert evaluate(alone, "steps()", metrics=["l1"], plugins=[plugin]).kept is None
    assert names(folder) == []
    assert [path.name for path in alone.parent.iterdir()] == ["translator.safetensors"]


@pytest.mark.parametrize("fault", ["file", "full"])
def test_where_it_cannot_be_kept_the_scores_are_told_all_the_same(
    run: tuple[Run, str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    if fault == "file":
        (run[0].folder / "evaluations").write_text("mine")
    else:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("translate.evaluation.per_image.put", full)
    found = measured(run)
    assert found.kept is None
    assert found.scores["l1"] > 0
    assert "the evaluation is not kept in" in caplog.text
    if fault == "full":
        assert names(run[0]) == []
    else:
        assert (run[0].folder / "evaluations").read_text() == "mine"


def test_the_command_keeps_each_run_for_itself(runs: tuple[Path, str], tmp_path: Path) -> None:  # noqa: F811
    folder, plugin = runs
    for name in ("zero", "tenth"):
        shutil.copytree(folder / name, tmp_path / name, ignore=shutil.ignore_patterns("evaluations"))
    both = [str(tmp_path / name) for name in ("zero", "tenth")]
    result = CliRunner().invoke(cli, ["-p", plugin, "evaluate", *both, "steps()", "--metric", "l1"])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-2:] == [
        f"kept in {each}{os.sep}evaluations{os.sep}test-step-00000001.json" for each in both
    ]
    for each in both:
        kept = json.loads((Path(each) / "evaluations" / "test-step-00000001.json").read_text())
        assert kept.keys() >= {"scores", "intervals"}
        assert "differences" not in kept
    result = CliRunner().invoke(cli, ["-p", plugin, "evaluate", both[0], "steps()", "--metric", "l1", "--no-keep"])
    assert "kept in" not in result.output
    assert np.isfinite(float(result.output.split("l1", 1)[1].split()[0]))


def test_runs_of_one_name_are_told_apart_and_each_keeps_its_own(run: tuple[Run, str], tmp_path: Path) -> None:
    twin = tmp_path / "other" / "tenth"
    shutil.copytree(run[0].folder, twin)
    measured((Run.open(twin), run[1]), metrics=["l1"], bootstrap=100)
    both = measured(run, metrics=["l1"], bootstrap=100, against=[twin, run[0].folder / "checkpoints" / CHECKPOINT])
    (other, step) = both.against
    assert other.subject == "other/tenth"
    assert both.subject == f"{tmp_path.name}/tenth"
    assert step.subject == f"tenth/{Path(CHECKPOINT).stem}"
    assert {row["run"] for row in other.per_image} == {"other/tenth"}
    # What lies in a run names that run alone, so it is what measuring that run alone has kept.
    assert other.kept == twin / "evaluations" / f"test-{Path(CHECKPOINT).stem}.json"
    assert names(Run.open(twin)) == [f"test-{Path(CHECKPOINT).stem}{suffix}" for suffix in (".csv", ".json", ".webp")]
    assert both.kept is not None
    assert json.loads(both.kept.read_text())["subject"] == "tenth"
    assert both.kept.with_suffix(".csv").read_text().splitlines()[1].startswith("tenth,")
