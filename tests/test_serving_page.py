"""The page of the server in a real browser, where there is one: it draws, sends, shows, and asks nobody else."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import taking
from browser import CHROMIUM, Browser, browser
from served import Served, serving

from translate.data import Domain

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

PALETTE = ((0, 0, 0), (255, 0, 0), (0, 0, 255))
TRANSLATED = "document.getElementById('status').textContent.startsWith('Translated')"


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(taking.saved(tmp_path_factory.mktemp("page") / "taking.safetensors", size=(32, 48))) as served:
        yield served


@pytest.fixture
def page(tab: Browser, server: Served) -> Iterator[Browser]:
    """The page, of which nothing may go wrong, and which may ask its server alone."""
    tab.open(server.url)
    yield tab
    wrong = [each for each in tab.events if each["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")]
    wrong += [each for each in tab.events if each["method"] == "Runtime.consoleAPICalled"]
    assert not wrong
    asked = [each["params"]["request"]["url"] for each in tab.events if each["method"] == "Network.requestWillBeSent"]
    assert server.url in asked
    assert all(url.startswith((server.url, "data:", "blob:")) for url in asked)


def drop(tab: Browser, data: bytes, name: str, place: str = "#easel") -> None:
    """Drop a file on an element."""
    text = base64.b64encode(data).decode()
    tab.ask(
        "{ const transfer = new DataTransfer();"
        f" const bytes = Uint8Array.from(atob('{text}'), (each) => each.charCodeAt(0));"
        f" transfer.items.add(new File([bytes], '{name}', {{ type: 'image/png' }}));"
        f" document.querySelector('{place}').dispatchEvent("
        "new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true })) }"
    )


def png(pixels: Any) -> bytes:
    made = io.BytesIO()
    PIL.Image.fromarray(np.asarray(pixels, np.uint8)).save(made, "png")
    return made.getvalue()


def downloaded(tab: Browser) -> np.ndarray[Any, Any]:
    """The pixels of the translation that is shown, once nothing more is asked for."""
    tab.until("document.getElementById('output').getAttribute('aria-busy') === 'false'")
    width, height, text = tab.ask(
        "(() => { const each = document.getElementById('after'), copy = document.createElement('canvas');"
        " copy.width = each.width; copy.height = each.height;"
        " const context = copy.getContext('2d', { willReadFrequently: true }); context.drawImage(each, 0, 0);"
        " const found = context.getImageData(0, 0, each.width, each.height).data;"
        " return [each.width, each.height, btoa(String.fromCharCode(...found))] })()"
    )
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)[..., :3]


def put(tab: Browser, field: str, value: str) -> None:
    """Type a value, and wait for its answer."""
    tab.ask("document.getElementById('status').textContent = ''")
    tab.ask(
        f"{{ const each = document.getElementById('field-{field}'); each.value = {value!r};"
        " each.dispatchEvent(new Event('change', { bubbles: true })) }"
    )
    tab.until(TRANSLATED)


def box(tab: Browser, selector: str) -> tuple[float, float, float, float]:
    found = tab.ask(
        f"(() => {{ const each = document.querySelector('{selector}'); each.scrollIntoView({{block: 'center'}});"
        " const box = each.getBoundingClientRect(); return [box.x, box.y, box.width, box.height] })()"
    )
    return found[0], found[1], found[2], found[3]


def test_a_dropped_image_is_translated(page: Browser) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3))
    drop(page, png(pixels), "noise.png")
    page.until(TRANSLATED)
    assert np.array_equal(downloaded(page), pixels)
    sizes = "['before', 'after'].map((id) => [document.getElementById(id).width, document.getElementById(id).height])"
    assert page.ask(sizes) == [[30, 20], [30, 20]]
    assert page.ask("document.getElementById('download').download") == "translated.png"


def test_the_slider_shows_both_sides(page: Browser) -> None:
    drop(page, png(np.zeros((20, 30, 3))), "black.png")
    page.until(TRANSLATED)
    page.ask("document.getElementById('slider').focus()")
    for key, share in (("ArrowRight", "51"), ("Home", "0"), ("End", "100")):
        page.press(key)
        assert page.ask("document.getElementById('slider').value") == share
        clip = page.ask("document.getElementById('before').style.clipPath")
        assert clip in (f"inset(0px {100 - int(share)}% 0px 0px)", "inset(0px)")
    x, y, width, height = box(page, "#pair")
    page.drag((x + width * 0.3, y + height / 2))
    assert abs(int(page.ask("document.getElementById('slider').value")) - 30) <= 4


def test_drawing_is_translated_as_one_draws(page: Browser, server: Served) -> None:
    before = server.metric("translate_images_total")
    page.ask("document.getElementById('new').click()")
    page.until(TRANSLATED)
    assert (downloaded(page) == 255).all()
    x, y, width, height = box(page, "#sheet")
    page.ask("document.getElementById('status').textContent = ''")
    page.drag(*[(x + width * each / 20, y + height / 2) for each in range(4, 17)])
    page.until(TRANSLATED + " && !document.getElementById('undo').disabled")
    drawn = downloaded(page)
    assert drawn.shape == (32, 48, 3)
    assert drawn[16, 24].max() < 40
    assert drawn[2, 24].min() == 255
    assert 1 < server.metric("translate_images_total") - before < 20
    page.ask("document.getElementById('undo').click()")
    page.until(TRANSLATED)
    assert (downloaded(page) == 255).all()


def test_the_keyboard_paints(page: Browser) -> None:
    page.ask("document.getElementById('new').click()")
    page.until(TRANSLATED)
    page.ask("document.querySelector('#sheet canvas').focus()")
    page.press("ArrowRight")
    page.ask("document.getElementById('status').textContent = ''")
    page.call("Input.dispatchKeyEvent", type="keyDown", key=" ", code="Space", windowsVirtualKeyCode=32)
    page.call("Input.dispatchKeyEvent", type="keyUp", key=" ", code="Space", windowsVirtualKeyCode=32)
    page.until(TRANSLATED)
    assert 0 < (downloaded(page) < 40).mean() < 0.3


def test_options_and_inputs_are_controls(page: Browser) -> None:
    drop(page, png(np.full((20, 30, 3), 200)), "gray.png")
    page.until(TRANSLATED)
    names = page.ask("[...document.querySelectorAll('#options label')].map((each) => each.textContent)")
    assert names[:7] == ["label", "reference", "mask", "text", "passes", "shift", "kind"]
    put(page, "kind", "invert")
    assert downloaded(page)[0, 0, 0] == 55
    put(page, "kind", "keep")
    put(page, "label", "2")
    assert downloaded(page)[0, 0, 0] == 226  # a tenth of 2 on a scale of -1 to 1
    put(page, "label", "")
    put(page, "text", "1, 3")
    assert downloaded(page)[0, 0, 0] == 226
    put(page, "text", "")
    page.ask("document.getElementById('status').textContent = ''")
    drop(page, png(np.full((8, 8, 3), 255)), "white.png", "#options .zone")
    page.until(TRANSLATED)
    assert downloaded(page)[0, 0, 0] == 213
    page.ask("{ const each = document.getElementById('field-passes'); each.value = 500;"
             " each.dispatchEvent(new Event('change', { bubbles: true })) }")  # fmt: skip
    page.until("document.getElementById('status').classList.contains('bad')")
    assert "passes" in page.ask("document.getElementById('status').textContent")
    # The browser tells of an answer that is no success.
    page.events[:] = [each for each in page.events if each["method"] != "Log.entryAdded"]


def test_a_mask_is_painted_over_the_image(page: Browser) -> None:
    drop(page, png(np.full((40, 40, 3), 255)), "white.png")
    page.until(TRANSLATED)
    page.ask("document.querySelector('#layers button[value=mask]').click()")
    x, y, width, height = box(page, "#sheet")
    page.ask("document.getElementById('status').textContent = ''")
    page.drag((x + width / 2, y + height / 2))
    page.until(TRANSLATED)
    answer = downloaded(page)
    # What the mask covers stays, and what it does not is multiplied by nothing.
    assert answer[20, 20, 0] == 255
    assert answer[2, 2, 0] in (127, 128)


def test_maps_are_drawn_in_the_colours_of_their_classes(tab: Browser, tmp_path: Path) -> None:
    mapped = taking.saved(tmp_path / "maps.safetensors", source=Domain(3, classes=3, palette=PALETTE))
    with serving(mapped) as served:
        tab.open(served.url)
        swatches = "[...document.querySelectorAll('.swatch')].map((each) => getComputedStyle(each).backgroundColor)"
        assert tab.ask(swatches) == ["rgb(0, 0, 0)", "rgb(255, 0, 0)", "rgb(0, 0, 255)"]
        tab.ask("document.getElementById('new').click()")
        tab.until(TRANSLATED)
        tab.ask("document.querySelectorAll('.swatch')[2].click()")
        x, y, width, height = box(tab, "#sheet")
        tab.ask("document.getElementById('status').textContent = ''")
        tab.drag((x + width / 2, y + height / 2), (x + width / 2, y + height * 0.8))
        tab.until(TRANSLATED)
        found = {tuple(each) for each in downloaded(tab).reshape(-1, 3).tolist()}
        assert found == {(0, 0, 0), (0, 0, 255)}
        tab.ask("document.getElementById('status').textContent = ''")
        drop(tab, png(np.arange(12).reshape(3, 4) % 3), "map.png")
        tab.until(TRANSLATED)
        assert downloaded(tab)[0].tolist() == [[0, 0, 0], [255, 0, 0], [0, 0, 255], [0, 0, 0]]
        wrong = [each for each in tab.events if each["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")]
        assert not wrong


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1400])
def test_both_schemes_and_widths(tab: Browser, server: Served, dark: bool, width: int) -> None:
    tab.open(server.url, width=width, dark=dark)
    tab.ask("document.getElementById('new').click()")
    tab.until(TRANSLATED)
    ground, text = (
        sum(map(int, re.findall(r"\d+", tab.ask(f"getComputedStyle(document.body).{each}"))[:3]))
        for each in ("backgroundColor", "color")
    )
    assert (ground < 200 < 600 < text) if dark else (text < 200 < 600 < ground)
    assert tab.ask("document.documentElement.scrollWidth <= innerWidth")
    tree = tab.call("Accessibility.getFullAXTree")["nodes"]
    unnamed = [
        each["role"]["value"]
        for each in tree
        if each.get("role", {}).get("value") in ("button", "slider", "combobox", "spinbutton", "textbox", "radio")
        and not each.get("name", {}).get("value")
    ]
    assert not unnamed


def test_the_policy_blocks_other_places_and_scripts(tab: Browser, server: Served) -> None:
    tab.open(server.url)
    blocked = "fetch('http://127.0.0.1:9/').then(() => 'loaded', () => 'blocked')"
    assert tab.ask(blocked) == "blocked"
    tab.ask("{ const made = document.createElement('script'); made.textContent = 'window.harmed = 1';"
            " document.body.append(made); }")  # fmt: skip
    assert tab.ask("window.harmed") is None
    assert any("Content Security Policy" in str(each) for each in tab.events if each["method"] == "Log.entryAdded")
