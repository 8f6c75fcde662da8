"""The page of a report in a real browser: what it shows, its controls, its keyboard, and that it asks for nothing."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from browser import CHROMIUM, Browser, browser
from reports import grid, log, make, row
from test_reporting import EVIL, kept_evaluation

from translate.reporting import report, watch

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

READY = "document.documentElement?.dataset.ready === 'true'"
CHART = "[...document.querySelectorAll('.chart')].find((each) => each.querySelector('h4').textContent === '{}')"


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make(tmp_path_factory.mktemp("reports") / "run", rows=5)
    log(run.folder, {"step": 20, "validation/psnr": 20.0}, {"step": 40, "validation/psnr": 24.0})
    return report([run.folder]).page


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("several")
    folders = [
        make(place / name, rows=count, batch=count, grids=range(0, count * 10, 10)).folder
        for name, count in (("a", 3), ("b", 6))
    ]
    return report(folders, output=place / "both.html").page


def opened(tab: Browser, page: Path, **more: Any) -> None:
    tab.open(page, **more)
    tab.until(READY)


def change(identifier: str, value: str, event: str = "input") -> str:
    return (
        f"{{ const each = document.getElementById('{identifier}'); each.value = '{value}';"
        f" each.dispatchEvent(new Event('{event}', {{ bubbles: true }})); }}"
    )


def drawn(tab: Browser, title: str) -> str:
    """What a chart shows, as the pixels of its canvas."""
    tab.ask("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    found: str = tab.ask(f"{CHART.format(title)}.querySelector('canvas').toDataURL()")
    return found


def refuse_wrong(tab: Browser) -> None:
    wrong = [each for each in tab.events if each["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")]
    assert not wrong
    asked = [each["params"]["request"]["url"] for each in tab.events if each["method"] == "Network.requestWillBeSent"]
    assert asked
    assert all(url.startswith(("file:", "data:")) for url in asked)


def test_everything_is_shown_and_nothing_is_asked_of_a_network(tab: Browser, page: Path) -> None:
    opened(tab, page, height=4000)
    titles = tab.ask("[...document.querySelectorAll('.chart h4')].map((each) => each.textContent)")
    wanted = ["psnr", "adversarial", "l1", "Learning rates", "Images per second", "Memory in use"]
    assert sorted(titles) == sorted(wanted)
    assert titles[0] == "psnr"
    tab.until("[...document.querySelectorAll('#grids img')].every((each) => each.complete && each.naturalWidth === 52)")
    legend = tab.ask(f"[...{CHART.format('adversarial')}.querySelectorAll('.legend button')].map((b) => b.textContent)")
    assert legend == ["discriminator0.5", "generator1.5"]
    foot = tab.ask(f"{CHART.format('psnr')}.querySelector('.foot').textContent")
    assert foot == "lowest 20 at step 20, highest 24 at 40"
    assert "Best psnr" in tab.ask("document.getElementById('summary').textContent")
    blank = "document.createElement('canvas').toDataURL()"
    for title in wanted:
        assert len(drawn(tab, title)) > 2 * len(tab.ask(blank))
    refuse_wrong(tab)
    tab.ask(
        "{ const made = document.createElement('script'); made.textContent = 'window.harmed = 1';"
        " document.body.append(made); }"
    )
    assert tab.ask("window.harmed") is None


def test_a_player_has_one_colour_in_all_charts(tab: Browser, page: Path) -> None:
    opened(tab, page, height=4000)
    colour = "[...document.querySelectorAll('.chart')].flatMap((chart) => [...chart.querySelectorAll('.legend button')]"
    colour += ".filter((each) => each.querySelector('span').textContent === '{}')"
    colour += ".map((each) => each.querySelector('i').style.borderTopColor))"
    tab.until(f"{colour.format('generator')}.every((each) => each)")
    generator, discriminator = (tab.ask(colour.format(name)) for name in ("generator", "discriminator"))
    assert (len(generator), len(set(generator)), len(set(discriminator))) == (3, 1, 1)
    assert generator[0] != discriminator[0]


def test_the_slider_goes_through_the_grids(tab: Browser, page: Path) -> None:
    opened(tab, page)
    source = "document.querySelector('#grids img').src.length + document.querySelector('#grids img').alt"
    assert tab.ask("document.getElementById('time-out').textContent") == "20"
    assert "at step 20: columns source, fake, target; 2 rows" in tab.ask(source)
    tab.ask("document.getElementById('time').focus()")
    tab.press("ArrowLeft")
    assert "at step 10:" in tab.ask(source)
    tab.press("Home")
    assert tab.ask("document.getElementById('time').getAttribute('aria-valuetext')") == "step 0"
    tab.ask("document.getElementById('play').click()")
    tab.until("document.getElementById('time-out').textContent === '20'")
    tab.until("document.getElementById('play').textContent === 'Play'")


def test_before_and_after_are_cut_out_of_the_grid(tab: Browser, page: Path) -> None:
    opened(tab, page)
    pixel = "[...document.getElementById('{}').getContext('2d').getImageData(9, 9, 1, 1).data].join()"
    tab.until(f"{pixel.format('before')} === '120,0,0,255'")
    assert tab.ask(pixel.format("after")) == "0,120,0,255"
    tab.ask(change("right", "2", "change"))
    assert tab.ask(pixel.format("after")) == "0,0,120,255"
    tab.ask(change("left", "3", "change"))  # the same column, at the first step
    tab.until(f"{pixel.format('before')} === '0,0,100,255'")
    assert tab.ask("document.getElementById('tag-left').textContent") == "target, step 0"
    tab.ask("document.getElementById('slider').focus()")
    tab.press("End")
    assert tab.ask("document.getElementById('before').style.clipPath") in ("inset(0px)", "inset(0px 0% 0px 0px)")
    told = tab.ask("document.getElementById('slider').getAttribute('aria-valuetext')")
    assert told == "100 % target, step 0, 0 % target, step 20"


def test_log_scale_smoothing_and_axis_change_the_curves(tab: Browser, page: Path) -> None:
    opened(tab, page, height=4000)
    seen = [drawn(tab, "l1")]
    for asked in (
        "document.getElementById('log').click()",
        change("smooth", "0.8"),
        change("axis", "seconds", "change"),
    ):
        tab.ask(asked)
        seen.append(drawn(tab, "l1"))
    assert len(set(seen)) == len(seen)
    assert tab.ask("document.getElementById('smooth-out').textContent") == "0.80"
    smooth = tab.ask(f"{CHART.format('adversarial')}.querySelectorAll('.legend b')[1].textContent")
    weights = [0.8**each for each in range(4, -1, -1)]
    mean = sum(weight * (1 + step / 10) for weight, step in zip(weights, range(1, 6), strict=True)) / sum(weights)
    assert float(smooth) == pytest.approx(mean, rel=1e-3)


def test_a_curve_is_read_and_zoomed_by_the_keyboard(tab: Browser, page: Path) -> None:
    opened(tab, page, height=4000)
    plot = f"{CHART.format('l1')}.querySelector('.plot')"
    before = drawn(tab, "l1")
    tab.ask(f"{plot}.focus()")
    foot = f"{CHART.format('l1')}.querySelector('.foot').textContent"
    for key, wanted in [("Home", "step 10"), ("ArrowRight", "step 20"), ("ArrowRight", "step 30"), ("ArrowLeft", "step 20"),
                        ("End", "step 50")]:  # fmt: skip
        tab.press(key)
        tab.until(f"{foot} === '{wanted}'")
    told = tab.ask(f"{plot}.getAttribute('aria-valuetext')")
    assert told == "step 50: generator 2"
    tab.press("ArrowLeft")
    tab.press("+")
    tab.until("!document.getElementById('reset').disabled")
    view = json.loads(tab.ask("JSON.stringify([charts.from, charts.until])"))
    assert view == [30, 50]
    assert drawn(tab, "l1") != before
    tab.press("Escape")
    tab.until("document.getElementById('reset').disabled")


def test_a_curve_is_zoomed_by_dragging_and_all_follow(tab: Browser, page: Path) -> None:
    opened(tab, page, height=4000)
    drawn(tab, "l1")
    box = tab.ask(
        f"(({{left, top, width}}) => [left, top, width])({CHART.format('l1')}.querySelector('.plot').getBoundingClientRect())"
    )
    left, top, width = box
    other = drawn(tab, "adversarial")
    for kind, share in (("mousePressed", 0.5), ("mouseMoved", 0.7), ("mouseReleased", 0.8)):
        more = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
        tab.call("Input.dispatchMouseEvent", type=kind, x=left + width * share, y=top + 60, buttons=1, **more)
    tab.until("!document.getElementById('reset').disabled")
    low, high = json.loads(tab.ask("JSON.stringify([charts.from, charts.until])"))
    assert 15 < low < high < 45
    assert drawn(tab, "adversarial") != other
    tab.ask("document.getElementById('reset').click()")
    assert tab.ask("charts.from") is None


def test_a_curve_is_hidden_by_its_legend_and_told_as_a_table(tab: Browser, page: Path) -> None:
    opened(tab, page, height=4000)
    before = drawn(tab, "adversarial")
    tab.ask(f"{CHART.format('adversarial')}.querySelector('.legend button').click()")
    assert drawn(tab, "adversarial") != before
    assert tab.ask(f"{CHART.format('adversarial')}.querySelector('.legend button').ariaPressed") == "false"
    tab.ask(f"{CHART.format('l1')}.querySelector('details').open = true")
    rows = (
        f"[...{CHART.format('l1')}.querySelectorAll('tr')].map((each) => [...each.children].map((c) => c.textContent))"
    )
    tab.until(f"{rows}.length === 6")
    assert tab.ask(rows) == [
        ["step", "generator"],
        ["10", "10"],
        ["20", "5"],
        ["30", "3.333"],
        ["40", "2.5"],
        ["50", "2"],
    ]


def test_labels_for_those_who_listen(tab: Browser, page: Path) -> None:
    opened(tab, page)
    tree = tab.call("Accessibility.getFullAXTree")["nodes"]
    names = {(each["role"]["value"], each.get("name", {}).get("value")) for each in tree if "role" in each}
    assert any(role == "slider" and (name or "").startswith("Step") for role, name in names)
    assert {("slider", "l1: position on the curve"), ("heading", "Samples"), ("navigation", "Sections")} <= names
    unnamed = [
        role for role, name in names if role in ("button", "slider", "combobox", "checkbox", "image") and not name
    ]
    assert not unnamed
    first = tab.ask("document.activeElement === document.body")
    assert first
    tab.press("Tab")
    assert tab.ask("document.activeElement.textContent") == "Skip to the report"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1400])
def test_both_schemes_and_widths(tab: Browser, page: Path, both: Path, dark: bool, width: int) -> None:
    for each in (page, both):
        opened(tab, each, width=width, dark=dark)
        colours = "['backgroundColor', 'color'].map((name) => getComputedStyle(document.body)[name])"
        ground, text = (sum(map(int, re.findall(r"\d+", found)[:3])) for found in tab.ask(colours))
        assert (ground < 200 < 600 < text) if dark else (text < 200 < 600 < ground)
        assert tab.ask("document.documentElement.scrollWidth <= innerWidth")
    tab.ask("document.getElementById('theme').click()")
    tab.ask("document.getElementById('theme').click()")
    assert tab.ask("document.getElementById('theme').textContent") == "Theme: dark"
    ground = sum(map(int, re.findall(r"\d+", tab.ask("getComputedStyle(document.body).backgroundColor"))[:3]))
    assert ground < 200
    tab.ask("document.getElementById('theme').click()")


def test_several_runs_lie_side_by_side(tab: Browser, both: Path) -> None:
    opened(tab, both, height=4000)
    assert tab.ask("document.getElementById('title').textContent") == "2 runs side by side"
    rows = tab.ask(
        "[...document.querySelectorAll('#differ-table tr')].map((each) => [...each.children].map((c) => c.textContent))"
    )
    assert rows == [["option", "a", "b"], ["batch", "3", "6"]]
    legend = tab.ask(f"[...{CHART.format('generator: l1')}.querySelectorAll('.legend span')].map((b) => b.textContent)")
    assert legend == ["a", "b"]
    captions = "[...document.querySelectorAll('figcaption')].map((each) => each.textContent)"
    # The cells are too narrow for the titles in the picture.
    assert tab.ask(captions) == ["a, step 20: source, fake, target", "b, step 50: source, fake, target"]
    tab.ask(change("time", "1"))
    assert [each.partition(":")[0] for each in tab.ask(captions)] == ["a, step 10", "b, step 10"]
    tab.ask(change("which", "1", "change"))
    tab.ask(change("time", "4"))
    assert tab.ask("document.getElementById('tag-right').textContent") == "fake, step 40"
    refuse_wrong(tab)


def test_scores_that_are_not_finite_and_of_many_runs_are_told(
    tab: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [make(tmp_path / f"run{number}", rows=1) for number in range(6)]
    for number, run in enumerate(made):
        log(run.folder, *({"step": step, "validation/psnr": 20.0 + number + step} for step in (20, 30)))
    log(made[0].folder, {"step": 40, "validation/psnr": "inf"}, {"step": 50, "validation/psnr": float("nan")})
    (made[0].folder / "best-psnr.safetensors").write_bytes(b"1234")
    facts = {"step": 40, "chosen": {"score": "psnr", "value": "inf", "split": "val"}}
    monkeypatch.setattr("translate.reporting.facts.read_header", lambda path: SimpleNamespace(facts=facts))
    opened(tab, report([made[0].folder]).page, height=4000)
    assert "Best psnrinfat step 40; kept, chosen on val" in tab.ask("document.getElementById('summary').textContent")
    foot = f"{CHART.format('psnr')}.querySelector('.foot').textContent"
    assert tab.ask(foot) == "lowest 40 at step 20, highest 50 at 30; 2 values not finite"
    opened(tab, report([run.folder for run in made], output=tmp_path / "all.html").page, height=4000)
    assert "psnr inf at 40 (kept" in tab.ask("document.getElementById('summary').textContent")
    found = tab.ask(foot)
    assert found.count("lowest") == 4
    assert found.endswith("the same of 2 more runs is left out here; 2 values not finite")
    refuse_wrong(tab)


def test_strange_names_and_empty_runs_are_shown_as_text(tab: Browser, tmp_path: Path) -> None:
    run = make(tmp_path / "<b>x", options={EVIL: EVIL}, rows=1, about=EVIL[:40])
    log(run.folder, row(20, **{EVIL: 1.0, f"generator/{EVIL}": 2.0}))
    grid(run, 30, columns=[EVIL, "fake", EVIL])
    opened(tab, report([run.folder]).page, height=5000)
    assert tab.ask("document.getElementById('title').textContent") == "<b>x"
    assert tab.ask("window.harmed") is None
    refuse_wrong(tab)
    empty = make(tmp_path / "empty", rows=0, grids=())
    opened(tab, report([empty.folder]).page)
    for identifier in ("samples-none", "curves-none"):
        assert tab.ask(f"!document.getElementById('{identifier}').hidden")
    refuse_wrong(tab)
    opened(tab, report([run.folder, empty.folder], output=tmp_path / "both.html").page)
    refuse_wrong(tab)


@pytest.mark.parametrize("width", [360, 1400])
def test_names_of_any_length_stay_in_the_window(tab: Browser, tmp_path: Path, width: int) -> None:
    long = "n" * 150
    runs = [make(tmp_path / f"{long}{number}", options={"x" * 300: "9" * 400}, about="w" * 900) for number in range(2)]
    for run in runs:
        log(run.folder, row(70, **{f"generator/{'t' * 300}": 1.0, f"validation/{'y' * 300}": 2.0}))
        grid(run, 30, columns=[long, "fake", long])
        (run.folder / "evaluations").mkdir()
        ((run.folder / "evaluations") / f"{long}.csv").write_text(f"image,{'s' * 200}\n{long * 3},1\n")
        ((run.folder / "evaluations") / f"{long}-other.csv").write_text("what\n")
    for page in (report([runs[0].folder]).page, report([run.folder for run in runs], output=tmp_path / "b.html").page):
        opened(tab, page, width=width, height=4000)
        tab.ask("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert tab.ask("document.documentElement.scrollWidth <= innerWidth")
        out = "[...document.querySelectorAll('main *')].filter((each) => each.getBoundingClientRect().right > innerWidth + 1"
        assert (
            tab.ask(f"{out} && each.checkVisibility() && !each.closest('.scroll')).map((each) => each.outerHTML)") == []
        )


def test_evaluations_show_their_images_and_the_guard_what_it_saw(tab: Browser, tmp_path: Path) -> None:
    runs = [make(tmp_path / name) for name in ("one", "two")]
    for number, run in enumerate(runs):
        kept_evaluation(run, "test", {"a": 1, "b": 2 + number, "c": 3}, ["c", "a"])
        kept_evaluation(run, "older", {"a": 1}, ["a"])
        os.utime((run.folder / "evaluations") / "older.json", (1, 1))
        for suffix in ("csv", "webp"):
            os.utime((run.folder / "evaluations") / f"older.{suffix}", (1, 1))
    lines = [
        {"step": 20, "seen": {"won:d": 0.97, "lost:d": 0.1}, "signs": ["won:d"]},
        {"step": 20, "warning": "won", "subject": "d", "text": "the discriminator has won", "advice": "slow it down"},
    ]
    (runs[0].folder / "guard.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    opened(tab, report([runs[0].folder]).page, height=4000)
    assert tab.ask("document.querySelector('.notes .guard .advice').textContent") == "What to do: slow it down"
    assert tab.ask("document.querySelector('tr.sign').textContent") == "wond0.9720beyond its threshold"
    assert "Warnings1see below" in tab.ask("document.getElementById('summary').textContent")
    titles = "[...document.querySelectorAll('#scores-body > .panel h4')].map((each) => each.textContent)"
    assert tab.ask(titles) == ["Best, highest", "Worst, lowest"]
    assert tab.ask("document.querySelector('#scores-body > details.older summary').textContent").startswith("older")
    # A cell tells its row by its brightness.
    cell = "document.querySelector('#scores-body td canvas')"
    tab.until(f"{cell}.width === 480")
    shown = f"[...{cell}.getContext('2d').getImageData(9, 9, 1, 1).data].slice(0, 3)"
    assert max(tab.ask(shown)) < 8
    opened(tab, report([run.folder for run in runs], output=tmp_path / "both.html").page, height=4000)
    rows = (
        "[...document.querySelectorAll('#scores-body .panel')].find((each) => each.textContent.includes('differ most'))"
    )
    assert tab.ask(f"{rows}.querySelector('tbody tr').textContent") == "b23"
    refuse_wrong(tab)


def test_many_rows_are_drawn_with_their_extremes(tab: Browser, tmp_path: Path) -> None:
    run = make(tmp_path / "run", rows=0, grids=())
    lines = [
        {"step": each, "generator/l1": 1.0 + (each == 5000) * 99, "seconds": 1.0 * each} for each in range(1, 10_001)
    ]
    log(run.folder, *lines)
    opened(tab, report([run.folder]).page)
    assert "lowest, mean and highest of each 5" in tab.ask("document.querySelector('.foot').textContent")
    high = "charts.all[0].lines[0].high.reduce((a, b) => Math.max(a, b))"
    assert tab.ask(high) == 100
    before = drawn(tab, "l1")
    tab.ask("charts.zoom(4990, 5010)")
    assert drawn(tab, "l1") != before
    refuse_wrong(tab)


def test_a_watched_run_shows_what_is_new(tab: Browser, tmp_path: Path) -> None:
    run = make(tmp_path / "run", rows=2, grids=(0, 10))
    server = watch(run.folder, port=0)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        tab.events.clear()
        tab.call("Page.navigate", url=server.url)
        tab.until(f"location.port === '{server.port}' && {READY}")
        tab.until("document.querySelector('#grids img').naturalWidth === 52")
        tab.ask("document.querySelector('.command button').focus()")
        # What comes before the page first asks, and is no step, is shown, too.
        (run.folder / "log.jsonl").write_text('{"kind": "told", "time": 1, "step": 20, "text": "told at once"}\n')
        tab.until("document.getElementById('notes').textContent.includes('told at once')")
        log(run.folder, row(30))
        grid(run, 20)
        tab.until("document.getElementById('summary').textContent.includes('30')")
        tab.until("document.getElementById('time-out').textContent === '20'")
        tab.until("document.querySelector('#grids img').src.endsWith('/grids/20')")
        assert tab.ask("document.activeElement.textContent") == "Copy"
        asked = [
            each["params"]["request"]["url"] for each in tab.events if each["method"] == "Network.requestWillBeSent"
        ]
        assert all(url.startswith((server.url, "data:")) for url in asked)
        wrong = [each for each in tab.events if each["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")]
        assert not wrong
    finally:
        server.close()
        thread.join(10)
    tab.until("document.getElementById('state').textContent === 'no connection'")
