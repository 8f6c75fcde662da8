"""Reports: what is read of a run, the page's data, lists of runs, and the page that a training writes."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import time
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from forking import Forked
from reports import grid, log, make, row
from test_words import Command
from test_words import run as command  # noqa: F401 - a fixture

import translate
from translate import changes, images
from translate.errors import TranslateError
from translate.lock import locked
from translate.reporting import RunReport, report, runs, writing
from translate.reporting import grids as grids_module
from translate.reporting.comparing import differences
from translate.reporting.facts import RunFacts
from translate.reporting.grids import spread
from translate.reporting.series import Series
from translate.run import Config, Run

EVIL = "</script><script>window.harmed=1</script><img src=x onerror=window.harmed=1>\x1b[31m\u202e{{SCRIPT}}"


class Page(HTMLParser):
    """The elements of a report and its data."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._text = ""
        self._inside = False
        self.source = path.read_text("ascii")
        self.feed(self.source)
        self.content: dict[str, Any] = json.loads(self._text)
        self.runs: list[dict[str, Any]] = self.content["runs"]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("id") == "content"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self._text += data


def page_of(*folders: Path, output: Path | None = None) -> Page:
    return Page(report(folders, output=output).page)


def curve_of(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for table in found["tables"] for each in table["curves"] if each["name"] == name)


# --- curves -----------------------------------------------------------------------------------------------------------


def test_rows_are_read_as_they_come(tmp_path: Path) -> None:
    series = Series(tmp_path)
    series.read()
    assert (series.rows, series.last_step, series.curves()) == (0, 0, [])
    log(tmp_path, row(10), row(20))
    series.read()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 30, "generator/l1": 7')
    series.read()
    assert series.last_step == 20
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write("}\n")
    series.read()
    assert (series.rows, series.last_step, series.unreadable) == (3, 30, 0)
    (first, second) = sorted(series.curves(), key=lambda table: -table["rows"])
    assert first["step"] == [10, 20, 30]
    assert [each["name"] for each in first["curves"]] == ["generator/l1"]
    assert first["curves"][0]["mean"] == [10, 5, 7]
    assert second["step"] == [10, 20]
    assert second["seconds"] == [20, 40]


def test_a_log_that_was_cut_back_is_read_anew(tmp_path: Path) -> None:
    from translate import metrics_file

    series = Series(tmp_path)
    log(tmp_path, *map(row, (10, 20, 30)))
    series.read()
    metrics_file.cut(tmp_path, 10)
    log(tmp_path, row(20, **{"generator/l1": 9.0}))
    series.read()
    assert series.rows == 2
    assert curve_of({"tables": series.curves()}, "generator/l1")["mean"] == [10, 9]


def test_lines_that_are_no_rows_are_counted_and_later_values_of_a_step_count(tmp_path: Path) -> None:
    run = make(tmp_path / "run", rows=2)
    with (run.folder / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 30, "a"{"step": 40}\n\xff\xfe\n[1]\n' + b'{"step": 1' + b"0" * 400 + b"}\n\n")
    log(run.folder, {"step": 10, "validation/psnr": 20.0}, {"step": 20, "validation/psnr": 25.0, "generator/l1": None})
    (found,) = page_of(run.folder).runs
    assert curve_of(found, "validation/psnr")["mean"] == [20, 25]
    assert curve_of(found, "generator/l1")["mean"] == [10, 5]
    assert any("4 lines that cannot be read" in note["text"] for note in found["notes"])
    assert found["best"] == {"score": "psnr", "better": "higher", "value": 25, "step": 20}


def test_values_that_are_no_numbers_are_no_points(tmp_path: Path) -> None:
    log(
        tmp_path, {"step": 1, "a": float("inf"), "b": True, "c": "1", "d": [1], "e": 1}, {"step": 2, "a": 10**400},
        {"step": 3, "a": 2.0, "e": float("nan")}, {"step": 4, "e": 3},
    )  # fmt: skip
    series = Series(tmp_path)
    series.read()
    found = {"tables": series.curves()}
    assert {each["name"] for table in found["tables"] for each in table["curves"]} == {"a", "e"}
    assert curve_of(found, "a") == {
        "name": "a", "last": 2, "lowest": 2, "low_at": 3, "highest": 2, "high_at": 3, "not_finite": 2,
        "mean": [None, None, 2],
    }  # fmt: skip
    # A line ends at a value that is not finite, and goes on over a row that has none.
    assert (curve_of(found, "e")["mean"], curve_of(found, "e")["not_finite"]) == ([1, None, 3], 1)


def test_of_many_rows_the_lowest_the_mean_and_the_highest_are_kept(tmp_path: Path) -> None:
    count = 10_000
    lines = [{"step": each + 1, "l": 1.0} for each in range(count)]
    lines[7777]["l"], lines[1234]["l"] = 50.0, -3.0
    log(tmp_path, *lines)
    series = Series(tmp_path)
    series.read()
    (table,) = series.curves()
    (curve,) = table["curves"]
    assert (table["rows"], table["each"], len(table["step"]), len(curve["mean"])) == (count, 5, 2000, 2000)
    assert table["step"][-1] == count
    assert (curve["highest"], curve["high_at"], curve["lowest"], curve["low_at"]) == (50, 7778, -3, 1235)
    assert (curve["high"][7777 // 5], curve["mean"][7777 // 5], curve["low"][7777 // 5]) == (50, pytest.approx(10.8), 1)
    assert min(curve["low"]) == -3
    assert sum(curve["high"]) == 1999 + 50


def test_scalars_are_bounded_and_what_is_left_out_is_named(tmp_path: Path) -> None:
    run = make(tmp_path / "run", rows=0)
    log(run.folder, {"step": 1, **{f"a/{each}": 1.0 for each in range(300)}})
    (found,) = page_of(run.folder).runs
    assert sum(len(table["curves"]) for table in found["tables"]) < 210
    assert any("scalars are not drawn" in note["text"] for note in found["notes"])


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_what_is_held_stays_held_as_grids_come() -> None:
    for count in range(1, 300):
        chosen = spread(count, 16)
        assert chosen[0] == 0
        assert chosen[-1] == count - 1
        assert len(chosen) <= 17
        assert set(spread(count + 1, 16)) - {count} <= set(chosen)


def test_pictures_are_held_up_to_a_limit_and_the_others_are_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("translate.reporting.writing.MOST", 4)
    run = make(tmp_path / "a #run", grids=range(0, 40, 2))
    result = report([run.folder])
    (found,) = Page(result.page).runs
    listed = found["grids"]["list"]
    assert [each["step"] for each in listed] == [*range(0, 40, 2)]
    held = [each["step"] for each in listed if each["src"].startswith("data:image/png;base64,")]
    assert held == [0, 8, 16, 24, 32, 38]
    assert found["grids"]["held"] == len(held)
    assert result.linked == 14
    assert listed[1]["src"] == "./samples/step-00000002.png"
    elsewhere = page_of(run.folder, output=tmp_path / "page.html")
    assert elsewhere.runs[0]["grids"]["list"][1]["src"] == "./a%20%23run/samples/step-00000002.png"


def test_large_grids_are_scaled_and_each_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(tmp_path / "run", grids=())
    noise = np.random.default_rng(0).integers(0, 256, (400, 2000, 3)).astype(np.uint8)
    images.write(run.samples / "step-00000001.png", images.Image(noise))
    (run.samples / "step-00000002.png").write_bytes(b"no picture")
    (run.samples / "mine.png").write_bytes(b"not of the run")
    facts, loaded = RunFacts(run.folder), []
    load = grids_module.load
    monkeypatch.setattr(grids_module, "load", lambda path, **more: loaded.append(path.name) or load(path, **more))
    for _ in range(2):
        found = facts.collect(run.folder, most=9, room=10**9)["grids"]
        assert [each["step"] for each in found["list"]] == [1, 2]
        assert found["list"][0]["src"].startswith("data:image/webp;base64,")
        assert found["list"][1]["src"].startswith("./samples/")
        assert "layout" not in found
    assert loaded == ["step-00000001.png"]


@pytest.mark.parametrize(
    "layout", [{"columns": 3}, {"rows": 0}, {"width": "16"}, {"columns": ["a"] * 300}, {"gap": -1}, {"top": 10**9}]
)
def test_a_layout_that_makes_no_sense_is_left_out(layout: dict[str, Any], tmp_path: Path) -> None:
    run = make(tmp_path / "run", grids=())
    grid(run, 1, **layout)
    assert "layout" not in page_of(run.folder).runs[0]["grids"]


# --- the page ---------------------------------------------------------------------------------------------------------


def test_nothing_of_a_file_becomes_markup(tmp_path: Path) -> None:
    calm = page_of(make(tmp_path / "calm").folder)
    run = make(
        tmp_path / "<b>a&b", options={"generator": EVIL, EVIL: [EVIL]}, about="</script>", optimizer=(EVIL[:50],)
    )
    log(run.folder, row(70, **{EVIL: 1.0, f"generator/{EVIL}": 2.0, f"validation/{EVIL}": 3.0}))
    grid(run, 30, columns=[EVIL, EVIL, EVIL])
    log_line = {"kind": "told", "time": 1, "step": 1, "level": "warning", "text": EVIL}
    (run.folder / "log.jsonl").write_text(json.dumps(log_line) + "\n[\nnull\n")
    changes.record(run.folder, 1, EVIL[:20].replace("\x1b", ""), EVIL, [EVIL])
    (run.folder / "evaluations").mkdir()
    (run.folder / "evaluations" / "<i>.json").write_text(json.dumps({"scores": {EVIL: EVIL}, "protocol": {EVIL: 1}}))
    (run.folder / "evaluations" / "t.csv").write_text(f'image,ssim\n"{EVIL}",0.5\n')
    page = page_of(run.folder)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in calm.tags]
    assert "<img src=x" not in page.source
    assert "://" not in page.source

    def texts(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [each for pair in value.items() for part in pair for each in texts(part)]
        return [each for part in value for each in texts(part)] if isinstance(value, list) else [str(value)]

    found = texts(page.content)
    assert any("window.harmed" in each for each in found)
    assert all(each.isprintable() for each in found)


def test_the_policy_allows_nothing_else(tmp_path: Path) -> None:
    page = page_of(make(tmp_path / "run").folder)
    policy = next(each["content"] for tag, each in page.tags if tag == "meta" and "http-equiv" in each)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert all(re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", rules[name]) for name in ("script-src", "style-src"))


def test_an_empty_run_has_a_report(tmp_path: Path) -> None:
    Run.create(tmp_path / "run", Config("pix2pix", "photos"), steps=5, metadata={})
    (found,) = page_of(tmp_path / "run").runs
    assert (found["step"], found["state"], found["tables"], found["grids"]["list"]) == (0, "stopped", [], [])
    assert ["go on", f"translate fit --resume {tmp_path / 'run'}"] in found["commands"]


@pytest.mark.parametrize(
    ("roles", "paired", "validate", "metrics"),
    [
        ({"forward": "translator"}, True, (), "--metric ssim"),
        ({"forward": "translator"}, None, (), "--metric ssim"),
        ({"forward": "translator", "backward": "translator"}, False, (), "--metric 'kid(extractor=EXTRACTOR)'"),
        ({"sample": "sampler"}, True, (), "--metric 'kid(extractor=EXTRACTOR)'"),
        ({"classify": "classifier"}, False, (), "--metric classification_error"),
        ({"forward": "translator"}, False, ("l1, copy_distance(k=3)",), "--metric l1 --metric 'copy_distance(k=3)'"),
    ],
)
def test_the_command_that_measures_names_metrics_that_fit(
    roles: dict[str, str],
    paired: bool | None,
    validate: tuple[str, ...],
    metrics: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("translate.description.show", lambda _: SimpleNamespace(directions=roles))
    said = {} if paired is None else {"paired": paired}
    Run.create(tmp_path / "run", Config("m", "photos", validate=validate), steps=5, metadata=said)
    commands = dict(page_of(tmp_path / "run").runs[0]["commands"])
    assert commands["measure it"] == f"translate evaluate {tmp_path / 'run'} photos {metrics}"


def test_a_page_of_another_kind_is_not_replaced(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    page = tmp_path / "page.html"
    page.write_text("mine")
    with pytest.raises(TranslateError, match="is no report and would be replaced"):
        report([run.folder], output=page)
    assert page.read_text() == "mine"
    report([run.folder], output=page, overwrite=True)
    report([run.folder], output=page)
    with pytest.raises(TranslateError, match="is not a run"):
        report([tmp_path / "nothing"], output=page)
    with pytest.raises(TranslateError, match="cannot write"):
        report([run.folder], output=tmp_path / "nowhere" / "page.html")


def test_runs_lie_side_by_side_with_the_options_that_differ(tmp_path: Path) -> None:
    one = make(tmp_path / "a" / "run", batch=4, options={"generator": "unet"})
    two = make(tmp_path / "b" / "run", options={"l1": 10})
    # A run that is named twice, also by a link, is one.
    (tmp_path / "again").symlink_to(one.folder)
    (tmp_path / "c").mkdir()
    page = page_of(
        one.folder, two.folder, one.folder, tmp_path / "again", tmp_path / "c" / ".." / "b" / "run",
        output=tmp_path / "both.html",
    )  # fmt: skip
    assert [each["name"] for each in page.runs] == ["a/run", "b/run"]
    assert page.content["differ"] == [["generator", ["unet", None]], ["batch", ["4", "1"]], ["l1", [None, "10"]]]
    assert differences([{"method": "a", "data": "x", "options": []}] * 2) == []


def test_evaluations_are_shown_with_the_best_and_the_worst_images(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    (run.folder / "evaluations").mkdir()
    scores = {"ssim": 0.512345678, "ssim_standard_error": 0.01, "fid": "inf"}
    ((run.folder / "evaluations") / "test.json").write_text(
        json.dumps({"scores": scores, "protocol": {"split": "test"}})
    )
    lines = ["image,psnr,note", *(f"{each}.png,{each},x" for each in range(20)), "bad.png,nan,x", "short"]
    ((run.folder / "evaluations") / "images.csv").write_text("\n".join(lines))
    ((run.folder / "evaluations") / "broken.json").write_text("{")
    ((run.folder / "evaluations") / "other.json").write_text("[]")
    ((run.folder / "evaluations") / "texts.csv").write_text("image,note\na,b\n")
    found = page_of(run.folder).content["evaluations"]
    scored, table = sorted(found["list"], key=lambda each: "images" in each)
    assert scored["scores"] == [["ssim", "0.51235", "0.01"], ["fid", "inf", ""]]
    assert scored["protocol"] == [["split", "test"]]
    (ranked,) = table["images"]
    assert (ranked["name"], ranked["count"], len(ranked["lowest"])) == ("psnr", 20, 6)
    assert (ranked["lowest"][0], ranked["highest"][0]) == (["0.png", "0", None], ["19.png", "19", None])
    assert [each.partition(",")[0] for each in sorted(found["left_out"])] == ["broken.json", "other.json", "texts.csv"]


def kept_evaluation(run: Run, name: str, values: dict[str, float], rows: list[str]) -> None:
    """An evaluation with pictures, as ``evaluate`` keeps it: a cell tells its row by its brightness."""
    (run.folder / "evaluations").mkdir(exist_ok=True)
    layout = {"columns": ["source", "fake"], "rows": [["test", row] for row in rows], "height": 6, "width": 8, "gap": 2}
    pixels = np.repeat(np.arange(len(rows), dtype=np.uint8)[:, None, None] * 40, 8, 0).repeat(20, 1).repeat(3, 2)
    found = {"scores": {"psnr": 20.0}, "better": {"psnr": "higher"}, "pictures": layout}
    ((run.folder / "evaluations") / f"{name}.json").write_text(json.dumps(found))
    images.write((run.folder / "evaluations") / f"{name}.webp", images.Image(pixels))
    lines = ["run,domain,image,psnr", *(f"run,test,{image},{value}" for image, value in values.items())]
    ((run.folder / "evaluations") / f"{name}.csv").write_text("\n".join(lines))


def test_images_of_evaluations_are_shown_and_those_in_which_runs_differ_most(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one"), make(tmp_path / "two")
    kept_evaluation(one, "test", {"a": 1, "b": 2, "c": 3}, ["c", "a"])
    kept_evaluation(two, "test", {"a": 1.5, "c": 9, "d": 4}, ["d"])
    found = page_of(one.folder, two.folder, output=tmp_path / "both.html").content["evaluations"]
    first = found["list"][0]
    assert first["pictures"]["src"].startswith("data:image/webp;base64,")
    assert (first["pictures"]["columns"], first["pictures"]["width"]) == (["source", "fake"], 8)
    (ranked,) = first["images"]
    assert (ranked["better"], ranked["highest"]) == ("higher", [["c", "3", 0], ["b", "2", None], ["a", "1", 1]])
    (apart,) = found["apart"]
    assert (apart["score"], apart["runs"], apart["entries"], apart["count"]) == ("psnr", [0, 1], [0, 1], 2)
    assert apart["images"] == [["c", ["3", "9"], [0, None]], ["a", ["1", "1.5"], [1, None]]]
    assert page_of(one.folder).content["evaluations"]["apart"] == []


@pytest.mark.parametrize("fault", ["none", "png", "small", "names", "large"])
def test_pictures_of_evaluations_that_make_no_sense_are_named(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path / "run")
    kept_evaluation(run, "test", {"a": 1}, ["a", "b"])
    picture = (run.folder / "evaluations") / "test.webp"
    if fault == "none":
        picture.unlink()
    elif fault == "png":
        images.write(tmp_path / "x.png", images.Image(np.zeros((16, 20, 3), np.uint8)))
        picture.write_bytes((tmp_path / "x.png").read_bytes())
    elif fault == "small":
        images.write(picture, images.Image(np.zeros((8, 20, 3), np.uint8)))
    elif fault == "names":
        path = (run.folder / "evaluations") / "test.json"
        path.write_text(path.read_text().replace('["test", "a"]', '["test"]'))
    else:
        monkeypatch.setattr("translate.reporting.evaluations.MOST_PICTURES_BYTES", 10)
    found = page_of(run.folder).content["evaluations"]
    assert "pictures" not in found["list"][0]
    assert found["list"][0]["images"][0]["lowest"] == [["a", "1", None]]
    assert found["left_out"] == ["the pictures of test, which are missing, damaged or too large"]


def test_what_the_guard_wrote_is_in_a_report_that_is_made_anew(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    warning = {"step": 20, "warning": "won", "subject": "d", "text": "the discriminator has won", "advice": "slow it"}
    seen = {"step": 20, "seen": {"won:d": 0.97, "odd": "x"}, "signs": ["won:d"], "balances": {}}
    lines = [json.dumps(seen), json.dumps(warning), "{", "[1]", '{"step": true, "seen": {}}', '{"step": 3, "seen": 4}']
    (run.folder / "guard.jsonl").write_text("\n".join([*lines, json.dumps(warning)[:30]]))
    told = {"kind": "told", "time": 1, "step": 20, "level": "warning"}
    said = f"at step 20 {warning['text']}; what to do: slow it"
    (run.folder / "log.jsonl").write_text(
        "".join(json.dumps({**told, "text": each}) + "\n" for each in (said, "other"))
    )
    facts = RunFacts(run.folder)
    for _ in range(2):
        found = facts.collect(run.folder, most=9, room=10**9)
        assert [(each["kind"], each["text"]) for each in found["notes"]] == [
            ("guard", "the discriminator has won"), ("warning", "other"),
        ]  # fmt: skip
        assert found["notes"][0]["advice"] == "slow it"
        assert found["guard"] == {"looks": 1, "step": 20, "warnings": 1, "seen": [["won", "d", "0.97", 20, True]]}
    with (run.folder / "guard.jsonl").open("a") as file:
        file.write(
            json.dumps(warning)[30:] + "\n" + json.dumps({"step": 30, "seen": {"won:d": 0.5}, "signs": []}) + "\n"
        )
    assert facts.collect(run.folder, most=9, room=10**9)["guard"] == {
        "looks": 2, "step": 30, "warnings": 2, "seen": [["won", "d", "0.5", 30, False]],
    }  # fmt: skip
    (run.folder / "guard.jsonl").unlink()
    (run.folder / "guard.jsonl").mkdir()
    found = page_of(run.folder).runs[0]
    assert found["guard"] is None
    assert any("guard.jsonl" in each["text"] for each in found["notes"])


# --- while a run trains -----------------------------------------------------------------------------------------------


def test_a_training_writes_its_report_and_what_was_told(tmp_path: Path) -> None:
    options: dict[str, Any] = {"size": 16, "load_size": 16, "steps": 4, "log_every": 1, "save_every": 2}
    networks = {"generator": "small_unet(width=2)", "discriminator": "mlp"}
    run = translate.fit("gan", "demo(size=16, count=4)", output=tmp_path / "run", **options, **networks)
    (found,) = Page(run.folder / "report.html").runs
    assert (found["state"], found["step"], found["steps"]) == ("finished", 4, 4)
    assert [each["step"] for each in found["grids"]["list"]] == [0, 1, 2, 3, 4]
    assert found["grids"]["layout"]["columns"] == ["source", "fake", "target"]
    assert curve_of(found, "memory")["last"] > 2**20
    assert {name for name, _ in found["environment"]} >= {"machine", "torch", "device", "plugin"}
    listed = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    assert [each["kind"] for each in listed] == ["begin", "end"]
    before = {path: path.read_bytes() for path in run.folder.rglob("*.safetensors")}
    blocked = {**options, **networks, "no_plugins": ["report"], "output": tmp_path / "other"}
    other = translate.fit("gan", "demo(size=16, count=4)", **blocked)
    assert not (other.folder / "report.html").exists()
    assert not (other.folder / "log.jsonl").exists()
    weights = [translate.run.Run.open(each.folder).checkpoints[-1] for each in (run, other)]
    sizes = [each.stat().st_size for each in weights]
    assert before
    assert abs(sizes[0] - sizes[1]) < 64


def test_a_report_takes_its_share_of_the_time_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, now, written = make(tmp_path / "run"), [100.0], []

    def write(page: Path, content: dict[str, Any], cure: str) -> int:
        written.append((now[0], content["runs"][0]["state"]))
        now[0] += 2.0
        return 0

    monkeypatch.setattr("translate.reporting.writing._write", write)
    found = RunReport(run, clock=lambda: now[0], used=lambda: now[0])
    found.begin()
    for passed in (1.0, 1.0, 150.0, 60.0, 1.0):
        now[0] += passed
        found.update()
    found.end("interrupted")
    assert [state for _, state in written] == ["running", "running", "stopped"]
    assert written[1][0] - written[0][0] >= 200


def test_what_a_training_tells_is_kept_with_its_step(tmp_path: Path) -> None:
    run = make(tmp_path / "run", rows=6)
    found = RunReport(run)
    found.begin()
    run.step = 20
    logging.getLogger("translate").warning("the discriminator has won: %s", "\x1b[31mlower its rate")
    found.end("failed")
    logging.getLogger("translate").warning("not of this run")
    (shown,) = Page(run.folder / "report.html").runs
    told = [note for note in shown["notes"] if note["kind"] == "warning"]
    assert [(note["step"], note["text"]) for note in told] == [
        (20, "the discriminator has won: \\x1b[31mlower its rate")
    ]
    assert any(note["kind"] == "ended" for note in shown["notes"])
    assert shown["state"] == "stopped"


def test_a_report_that_somebody_else_has_put_there_stays(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    (run.folder / "report.html").write_text("mine")
    with pytest.raises(TranslateError, match="is not replaced"):
        RunReport(run).begin()
    assert (run.folder / "report.html").read_text() == "mine"


# --- lists of runs ----------------------------------------------------------------------------------------------------


def test_runs_are_listed_with_their_states(tmp_path: Path) -> None:
    make(tmp_path / "stopped", rows=3)
    make(tmp_path / "deep" / "er" / "finished", rows=6)
    log(tmp_path / "stopped", {"step": 30, "validation/l1": 0.5}, {"step": 20, "validation/l1": 0.25})
    damaged = make(tmp_path / "damaged")
    (damaged.folder / "config.json").write_text("{")
    lost = make(tmp_path / "lost")
    (lost.folder / "config.json").unlink()
    (lost.folder / "checkpoints" / "step-00000010.safetensors").write_bytes(b"")
    (tmp_path / "no run").mkdir()
    running = make(tmp_path / "running", rows=1)
    with locked(running.folder):
        found = {each.folder.name: each for each in runs(tmp_path)}
    assert {name: each.state for name, each in found.items()} == {
        "stopped": "stopped", "finished": "finished", "damaged": "damaged", "lost": "damaged", "running": "running",
    }  # fmt: skip
    assert (found["stopped"].step, found["stopped"].steps, found["stopped"].method) == (30, 60, "pix2pix")
    assert found["stopped"].best == {"score": "l1", "better": "lower", "value": 0.25, "step": 20}
    own = sum(path.stat().st_size for path in (tmp_path / "stopped").rglob("*") if path.is_file())
    assert found["stopped"].size == own
    assert "config.json" in found["damaged"].problem
    with pytest.raises(TranslateError, match="cannot list"):
        runs(tmp_path / "nothing")


def test_the_commands_print_for_people_and_scripts(tmp_path: Path, command: Command) -> None:  # noqa: F811
    folder = make(tmp_path / "one run", rows=2).folder
    line = command("runs", tmp_path).stdout
    assert line.count("\n") == 1
    assert line.split("\t")[:5] == [str(folder), "stopped", "pix2pix", "photos", "20/60"]
    (listed,) = json.loads(command("runs", tmp_path, "--json").stdout)
    assert (listed["folder"], listed["state"], listed["step"]) == (str(folder), "stopped", 20)
    assert command("report", folder).stdout.startswith(f"wrote {folder / 'report.html'}, ")
    command("report", folder, "-o", tmp_path / "a.html")
    assert (tmp_path / "a.html").exists()
    assert "is not a run" in command("report", tmp_path, code=2).stderr
    assert "standard output" in command("report", folder, "-o", "-", code=2).stderr
    assert "cannot list" in command("runs", tmp_path / "none", code=2).stderr
    assert command("runs", tmp_path / "one run" / "samples").stdout == ""


def test_links_to_runs_are_followed_and_what_cannot_be_listed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away, place = make(tmp_path / "disk" / "away"), tmp_path / "runs"
    here = make(place / "here")
    (place / "closed" / "inner").mkdir(parents=True)
    (place / "away").symlink_to(away.folder)
    (place / "again").symlink_to(here.folder)
    (place / "around").symlink_to(place)
    (place / "elsewhere").symlink_to(tmp_path / "disk")  # a folder of runs, which may be any folder
    (place / "itself").symlink_to(place / "itself")
    scan = os.scandir

    def refuse(folder: Any) -> Any:
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert [each.folder for each in runs(place)] == [place / "away", place / "here"]
    assert caplog.messages == [f"{place / 'closed'} is left out, which cannot be looked into: Permission denied"]


def test_lists_and_reports_need_no_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    folder = make(tmp_path / "run").folder
    code = "import sys; sys.modules['torch'] = None; from translate.cli import main; main(sys.argv[1:])"
    for asked in (["runs", str(tmp_path)], ["report", str(folder)]):
        done = subprocess.run([sys.executable, "-c", code, *asked], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_a_run_that_was_killed_is_told_as_stopped(tmp_path: Path) -> None:
    options = ["--size", "16", "--steps", "100000", "--log-every", "1", "--sample-every", "5", "--save-every", "5"]
    networks = ["--generator", "small_unet(width=2)", "--discriminator", "mlp"]
    process = Forked("fit", "gan", "demo(size=16, count=4)", "-o", tmp_path / "run", *options, *networks)
    until = time.monotonic() + 100
    page = tmp_path / "run" / "report.html"
    while not page.exists() or Page(page).runs[0]["rows"] < 1:
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.02)
    assert [each.state for each in runs(tmp_path)] == ["running"]
    process.kill()
    process.wait()
    assert Page(page).runs[0]["state"] == "running"  # as it was when it was written
    (found,) = page_of(tmp_path / "run").runs
    assert (found["state"], runs(tmp_path)[0].state) == ("stopped", "stopped")
    assert found["step"] > 0


def test_a_standard_error_is_a_band_around_its_score(tmp_path: Path) -> None:
    made = make(tmp_path / "run", rows=2)
    log(
        made.folder,
        {"step": 20, "validation/psnr": 20.0, "validation/psnr_standard_error": 0.5, "validation/kid": "nan"},
        # A score that is infinite has no standard error, and one of a single image has none, either.
        {"step": 30, "validation/psnr": "inf"},
        {"step": 40, "validation/psnr": 21.0},
        {"step": 50, "validation/psnr": 22.0, "validation/psnr_standard_error": "nan"},
    )
    (found,) = page_of(made.folder).runs
    curve = curve_of(found, "validation/psnr")
    assert (curve["low"], curve["high"], curve["error"]) == ([19.5, None, 21, 22], [20.5, None, 21, 22], True)
    assert (curve["mean"], curve["not_finite"], found["best"]["value"]) == ([20, None, 21, 22], 1, 22)
    # A score that never was a number is told, not left out.
    kid = curve_of(found, "validation/kid")
    assert (kid["mean"], kid["not_finite"], "lowest" in kid) == ([None], 1, False)
    names = {each["name"] for table in found["tables"] for each in table["curves"] if "validation" in each["name"]}
    assert names == {"validation/psnr", "validation/kid"}


def test_what_was_kept_as_the_best_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(tmp_path / "a run", rows=2)
    log(made.folder, {"step": 20, "validation/l1": 0.5})
    best = made.folder / "best-kid.safetensors"
    best.write_bytes(b"1234")
    assert runs(tmp_path)[0].best == {"score": "l1", "better": "lower", "value": 0.5, "step": 20}
    facts = {"step": 10, "chosen": {"score": "kid", "value": 0.25, "split": "val"}}
    monkeypatch.setattr("translate.reporting.facts.read_header", lambda path: SimpleNamespace(facts=facts))
    wanted = {"score": "kid", "value": 0.25, "step": 10, "split": "val", "file": "best-kid.safetensors"}
    assert runs(tmp_path)[0].best == wanted
    (found,) = page_of(made.folder).runs
    assert found["best"] == wanted
    assert ["with the best kid", f"translate convert '{best}' IN OUT --gallery"] in found["commands"]
    assert ["best-kid.safetensors", 4] in found["files"]


def test_a_training_that_ended_before_its_last_step_is_finished(tmp_path: Path) -> None:
    made = make(tmp_path / "run", rows=3)
    made.step = 30
    found = RunReport(made)
    found.begin()
    found.end("finished")
    assert runs(tmp_path)[0].state == "finished"
    log(made.folder, row(40))
    assert runs(tmp_path)[0].state == "stopped"


def test_a_report_that_cannot_be_written_is_told_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made, write = make(tmp_path / "run"), writing.atomic.write

    def full(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", str(path))

    found = RunReport(made, used=lambda: 0.0)
    found.begin()
    monkeypatch.setattr(writing.atomic, "write", full)
    found.update()
    found.update()
    assert [record.getMessage() for record in caplog.records] == [
        f"the report is not written: cannot write {made.folder / 'report.html'}: No space left on device; "
        "it is tried again, and --no-plugin report leaves it out"
    ]
    monkeypatch.setattr(writing.atomic, "write", write)
    found.update()
    assert (made.folder / "report.html").exists()
    shutil.rmtree(made.folder)
    found.end("failed")
    assert len(caplog.records) == 1


def test_a_log_that_was_emptied_in_place_is_read_anew(tmp_path: Path) -> None:
    series = Series(tmp_path)
    log(tmp_path, *map(row, (10, 20, 30)))
    series.read()
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 5, "a": 1}) + "\n")
    series.read()
    assert (series.rows, series.last_step) == (1, 5)


def texts_of(folder: Path) -> list[str]:
    return [note["text"] for note in page_of(folder).runs[0]["notes"]]


def test_lines_of_no_journal_do_not_break_the_page(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    strange: list[dict[str, Any]] = [
        {"time": float("inf"), "step": 1}, {"time": float("nan"), "step": 1}, {"time": -1, "step": 1},
        {"time": 10**400, "step": 1}, {"time": 1e300, "step": 1}, {"time": 1, "step": float("inf")},
        {"time": 1, "step": 2**60}, {"time": 1}, {"time": 1, "step": -1}, {"time": [1], "step": 1},
    ]  # fmt: skip
    lines = [{"kind": "told", "text": "strange", **each} for each in strange]
    lines.append({"kind": "told", "time": 1.5e9, "step": 3, "level": "warning", "text": "sound"})
    (run.folder / "log.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    assert texts_of(run.folder) == ["sound"]


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    run = make(tmp_path / "run", grids=(0, 10, 20))
    (run.folder / "log.jsonl").mkdir()
    (run.samples / "step-00000010.png").write_bytes(b"no picture")
    page = page_of(run.folder)
    assert [note["text"] for note in page.runs[0]["notes"]] == [
        "log.jsonl cannot be read, in which what was told is kept: Is a directory",
        "1 of the sample grids cannot be read, so the page lacks them",
    ]
    shutil.rmtree(run.samples)
    run.samples.write_text("no folder")
    assert texts_of(run.folder)[1:] == ["the sample grids cannot be read: Not a directory"]


def test_of_very_many_grids_the_last_are_listed_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path / "run", grids=(0, 10, 20))
    monkeypatch.setattr("translate.reporting.facts.MOST_LISTED", 2)
    page = page_of(run.folder)
    assert [each["step"] for each in page.runs[0]["grids"]["list"]] == [10, 20]
    assert [note["text"] for note in page.runs[0]["notes"]] == ["of 3 sample grids the last 2 are shown"]
