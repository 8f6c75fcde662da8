"""The gallery: what is kept while converting, the page made of it, and the page in a real browser where there is one."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from browser import CHROMIUM, Browser, browser
from numpy.typing import NDArray
from test_conversion import Negative, many, random_image, save

from translate import images
from translate.conversion import convert, kept_previews
from translate.conversion.kept_previews import UNREADABLE
from translate.conversion.plan import Task
from translate.data import Domain
from translate.errors import TranslateError
from translate.gallery import Gallery
from translate.images import Image
from translate.webpage import json_in_html, relative_url

EVIL = [
    "a b.png", "quote'\".png", "#1%41.png", "<script>alert(1)<.png", '"><img src=x onerror=alert(1)>.png', "&amp;.png",
    "new\nline.png", "\u202egnp.exe.png", "\u05e9\u05dc\u05d5\u05dd.png", "e\u0301.png", "\u00fc.png", "-o.png",
    "q?x=1&y.png", "javascript:alert(1).png", "\\back\\slash.png", "{{DATA}}.png", "\U0001f600.png",
    "</script><script>window.harmed=1<.png".replace("/", "\u2215"), os.fsdecode(b"bad\xff\xfe.png"), "\x1b[31m.png",
]  # fmt: skip


class Page(HTMLParser):
    """The elements of a page, its records, and its policy."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self._inside = ""
        self.source = path.read_text("ascii")
        self.feed(self.source)
        self.records: list[dict[str, Any]] = json.loads(self.text["records"])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("id") or tag

    def handle_data(self, data: str) -> None:
        self.text[self._inside] = self.text.get(self._inside, "") + data

    def named(self, name: str) -> dict[str, Any]:
        return next(each for each in self.records if each["name"] == name)


class Known(Negative):
    """A translator with an identity, so that what it has made is known again."""

    identity = "one"


def picture(seed: int = 0, shape: tuple[int, ...] = (12, 16, 3)) -> Image:
    return Image(random_image(shape, seed=seed))


def pixels_of(path: Path) -> NDArray[np.uint8]:
    return np.asarray(PIL.Image.open(path))


def linked(root: Path, link: str) -> Path:
    """The file that a browser finds for a link: it unquotes the bytes."""
    raw = re.sub(rb"%([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), link.encode("ascii"))
    return root / os.fsdecode(raw)


# --- what is kept and shown -------------------------------------------------------------------------------------------


def test_nothing_of_a_file_name_becomes_markup_and_each_link_finds_its_file(tmp_path: Path) -> None:
    for number, name in enumerate(EVIL):
        save(tmp_path / "in" / name, random_image((6, 8, 3), seed=number))
    result = convert(Negative(), tmp_path / "in", tmp_path / "out", gallery=True)
    assert result.converted == len(EVIL)
    page = Page(tmp_path / "out" / "gallery.html")
    assert len(page.records) == len(EVIL)
    # As many elements as in a page of none.
    Gallery(tmp_path / "empty").write()
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in Page(tmp_path / "empty" / "gallery.html").tags]
    found = set()
    for record in page.records:
        (shown, link), *_ = record["files"]
        assert shown.isprintable()
        file = linked(tmp_path / "out", link)
        assert record["after"] == [link]
        assert file.name in EVIL
        found.add(file.name)
        before = linked(tmp_path / "out", record["before"])
        wanted = random_image((6, 8, 3), seed=EVIL.index(file.name)).astype(int)
        assert abs(pixels_of(before).astype(int) - wanted).mean() < 30  # JPEG of noise
    assert found == set(EVIL)


def test_the_page_asks_nothing_of_a_network(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", random_image((6, 8, 3)))
    convert(Negative(), tmp_path / "in", tmp_path / "out", gallery=True)
    page = Page(tmp_path / "out" / "gallery.html")
    assert "://" not in page.source
    policy = next(each["content"] for tag, each in page.tags if tag == "meta" and "http-equiv" in each)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "'self' file: data:"
    assert all(re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", rules[name]) for name in ("script-src", "style-src"))


@pytest.mark.parametrize("text", ["</script>", "<!--", "&lt;", "\u2028", "\ud800", '"\\'])
def test_json_in_a_script_holds_no_markup(text: str) -> None:
    found = json_in_html([text])
    assert not set(found) & set("<>&\u2028")
    assert json.loads(found) == [text]


@pytest.mark.parametrize("path", ["//host/a.png", "a//b.png", "javascript:x", "..png"])
def test_a_link_stays_in_its_folder(path: str) -> None:
    assert relative_url(path).startswith("./")
    assert ":" not in relative_url(path)


def test_what_a_browser_cannot_show_has_previews(tmp_path: Path) -> None:
    given = {
        "deep.png": random_image((8, 8, 3), np.uint16), "f.tif": random_image((8, 8, 3), np.float32),
        "a.npy": random_image((8, 8, 3)), "t.tiff": random_image((8, 8, 3)),
    }  # fmt: skip
    for name, pixels in given.items():
        save(tmp_path / "in" / name, pixels)
    save(tmp_path / "in" / "wide.png", random_image((10, 1500, 3)))
    convert(Negative(), tmp_path / "in", tmp_path / "out", gallery=True)
    page = Page(tmp_path / "out" / "gallery.html")
    for name in (*given, "wide.png"):
        record = page.named(name)
        (after,) = record["after"]
        assert after != record["files"][0][1]
        assert after.startswith("./.translate/gallery/")
        assert linked(tmp_path / "out", record["files"][0][1]).exists()
    wide = page.named("wide.png")
    assert pixels_of(linked(tmp_path / "out", wide["after"][0])).shape == (7, 1024, 3)
    assert wide["size"] == [1500, 10]


def test_previews_show_depths_alike(tmp_path: Path) -> None:
    smooth = np.linspace(0, 1, 64, dtype=np.float32)[None, :, None].repeat(48, 0).repeat(3, 2)
    save(tmp_path / "in" / "f.tif", smooth)
    save(tmp_path / "in" / "s.png", np.rint(smooth * 65535).astype(np.uint16))
    convert(Negative(), tmp_path / "in", tmp_path / "out", gallery=True)
    page = Page(tmp_path / "out" / "gallery.html")
    for name in ("f.tif", "s.png"):
        record = page.named(name)
        before = pixels_of(linked(tmp_path / "out", record["before"])).astype(int)
        after = pixels_of(linked(tmp_path / "out", record["after"][0])).astype(int)
        assert abs(before - np.rint(smooth * 255)).max() <= 3
        assert abs(after - (255 - np.rint(smooth * 255))).max() <= 3


def test_transparency_stays_and_samples_are_all_there(tmp_path: Path) -> None:
    alpha = np.full((12, 16), 255, np.uint8)
    alpha[:6] = 0
    save(tmp_path / "in" / "a.png", random_image((12, 16, 3)), alpha)
    convert(Negative(), tmp_path / "in", tmp_path / "out", gallery=True, samples=3)
    record = Page(tmp_path / "out" / "gallery.html").named("a.png")
    assert record["alpha"] is True
    assert record["after"] == ["./a-1.png", "./a-2.png", "./a-3.png"]
    before = pixels_of(linked(tmp_path / "out", record["before"]))
    assert (before[..., 3] == alpha).all()
    thumbnail = pixels_of(linked(tmp_path / "out", record["thumbnail"]))
    assert thumbnail.shape == (12, 16 + 4 + 16, 4)
    assert not thumbnail[:, 16:20, 3].any()


def test_class_maps_are_coloured(tmp_path: Path) -> None:
    indices = np.zeros((16, 16, 1), np.uint8)
    indices[:8] = 1
    save(tmp_path / "in" / "a.png", indices)
    colours = ((200, 10, 10), (10, 10, 200))
    domain = Domain(3, classes=2, palette=colours)
    translator = Negative(domain, domain)
    translator.translate = lambda batch, **_: batch.flip(2)  # type: ignore[method-assign]
    convert(translator, tmp_path / "in", tmp_path / "out", gallery=True)
    record = Page(tmp_path / "out" / "gallery.html").named("a.png")
    before = pixels_of(linked(tmp_path / "out", record["before"])).astype(int)
    after = pixels_of(linked(tmp_path / "out", record["after"][0])).astype(int)
    assert abs(before[:6] - colours[1]).max() <= 4
    assert abs(after[:6] - colours[0]).max() <= 4


def test_failures_are_named_with_their_reasons(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", random_image((6, 8, 3)))
    (tmp_path / "in" / "b.png").write_bytes(b"no image <b>")
    (tmp_path / "in" / "inner").mkdir()
    (tmp_path / "in" / "inner" / "c.psd").write_bytes(b"")
    result = convert(Negative(), tmp_path / "in", tmp_path / "out", gallery=True)
    page = Page(tmp_path / "out" / "gallery.html")
    assert {each["name"]: each["reason"] for each in page.records if "reason" in each} == {
        path.relative_to(tmp_path / "in").as_posix(): reason for path, reason in result.failed
    }
    assert len(result.failed) == 2


def test_the_input_folder_may_go_and_a_lost_output_is_told(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name, random_image((6, 8, 3)))
    convert(Negative(), tmp_path / "in", tmp_path / "out", gallery=True)
    shutil.rmtree(tmp_path / "in")
    (tmp_path / "out" / "b.png").unlink()
    moved = (tmp_path / "out").rename(tmp_path / "moved")
    Gallery(moved).write()
    page = Page(moved / "gallery.html")
    for link in (page.named("a.png")["before"], page.named("a.png")["after"][0], page.named("a.png")["thumbnail"]):
        assert linked(moved, link).exists()
    assert page.named("b.png")["reason"] == "its output b.png is no longer there"


def test_a_single_image_has_its_page_beside_it(tmp_path: Path) -> None:
    save(tmp_path / "in.png", random_image((6, 8, 3)))
    convert(Negative(), tmp_path / "in.png", tmp_path / "place" / "out.png", gallery=True)
    assert Page(tmp_path / "place" / "gallery.html").named("in.png")["after"] == ["./out.png"]


# --- going on, and whose page it is -----------------------------------------------------------------------------------


def test_a_conversion_that_goes_on_extends_the_page(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", random_image((6, 8, 3)))
    (tmp_path / "in" / "b.png").write_bytes(b"nothing yet")
    convert(Negative(), tmp_path / "in", tmp_path / "out", gallery=True)
    (tmp_path / "in" / "a.png").unlink()
    save(tmp_path / "in" / "b.png", random_image((6, 8, 3)))
    convert(Negative(), tmp_path / "in", tmp_path / "out", gallery=True)
    page = Page(tmp_path / "out" / "gallery.html")
    assert [(each["name"], each.get("reason")) for each in page.records] == [("a.png", None), ("b.png", None)]


def shown_after(out: Path) -> dict[str, tuple[bool, int, str | None]]:
    """Of each image on the page: whether it has its input, how many outputs, and its reason; all links are there."""
    page = Page(out / "gallery.html")
    for record in page.records:
        for link in (record.get("before"), record.get("thumbnail"), *record.get("after", ())):
            assert link is None or linked(out, link).is_file(), link
    return {each["name"]: ("before" in each, len(each.get("after", ())), each.get("reason")) for each in page.records}


def previews(out: Path) -> list[str]:
    return sorted(path.name for path in (out / ".translate" / "gallery").rglob("*-*.jpg"))


@pytest.mark.parametrize("options", [
    {}, {"samples": 2}, {"side_by_side": True}, {"side_by_side": True, "samples": 2}, {"at": (30, 20)},
    {"format": "jpg"}, {"format": "npy"}, {"format": "tiff", "scale": 0.5},
])  # fmt: skip
def test_what_was_converted_before_is_shown_as_if_it_were_now(tmp_path: Path, options: dict[str, Any]) -> None:
    save(tmp_path / "in" / "a.png", random_image((12, 16, 3)))
    save(tmp_path / "in" / "deep.png", random_image((12, 16, 3), np.uint16))
    given = {"quality": 100, **options}
    convert(Known(), tmp_path / "in", tmp_path / "at-once", gallery=True, **given)
    convert(Known(), tmp_path / "in", tmp_path / "later", **given)
    assert not (tmp_path / "later" / ".translate" / "gallery").exists()
    result = convert(Known(), tmp_path / "in", tmp_path / "later", gallery=True, workers=2, **given)
    assert (result.converted, result.kept) == (0, 2)
    once, later = (Page(tmp_path / where / "gallery.html") for where in ("at-once", "later"))
    assert len(later.records) == 2
    for one, other in zip(once.records, later.records, strict=True):
        del one["seconds"]
        assert one == other
        for link in (one["before"], one["thumbnail"], *one["after"]):
            if link.endswith((".jpg", ".webp", ".png")):
                two = [pixels_of(linked(tmp_path / where, link)).astype(int) for where in ("at-once", "later")]
                assert abs(two[0] - two[1]).mean() < (8 if options.get("format") == "jpg" else 1), link


def test_class_maps_and_frames_that_were_converted_before_are_shown_alike(tmp_path: Path) -> None:
    labels = Domain(3, classes=3)
    save(tmp_path / "maps" / "m.png", random_image((6, 8, 1)) % 3)
    pages = [PIL.Image.fromarray(random_image((6, 8, 3), seed=number)) for number in range(3)]
    (tmp_path / "moving").mkdir()
    pages[0].save(tmp_path / "moving" / "p.tif", save_all=True, append_images=pages[1:])
    for where, domain in (("maps", labels), ("moving", Domain(3))):
        for out in ("once", "later"):
            convert(Known(domain, domain), tmp_path / where, tmp_path / where / ".." / f"{where}-{out}",
                    gallery=out == "once")  # fmt: skip
        convert(Known(domain, domain), tmp_path / where, tmp_path / f"{where}-later", gallery=True)
        (one,), (other,) = (Page(tmp_path / f"{where}-{out}" / "gallery.html").records for out in ("once", "later"))
        assert one.pop("seconds") > 0
        assert one == other
        for link in (one["before"], *one["after"]):
            assert (tmp_path / f"{where}-once" / link).read_bytes() == (tmp_path / f"{where}-later" / link).read_bytes()


def test_a_kept_image_that_cannot_be_read_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = many(tmp_path / "in", 4)
    convert(Known(), source, tmp_path / "out")
    output = tmp_path / "out" / "001.png"
    data, stat = bytearray(output.read_bytes()), output.stat()
    data[60] ^= 1
    output.write_bytes(data)
    os.utime(output, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    result = convert(Known(), source, tmp_path / "out", gallery=True, report=tmp_path / "report.json")
    assert (result.converted, result.kept, result.failed) == (0, 4, ())
    found = shown_after(tmp_path / "out")
    assert {name: each[:2] for name, each in found.items() if not each[2]} == dict.fromkeys(
        ("000.png", "002.png", "003.png"), (True, 1)
    )
    assert "001.png" in (found["001.png"][2] or "")
    assert f"1 image (001.png): {UNREADABLE}" in caplog.text
    rows = json.loads((tmp_path / "report.json").read_text())["images"]
    assert [row["warnings"] for row in rows] == [[], [UNREADABLE], [], []]


def test_kept_images_are_read_within_the_memory(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 3)
    save(source / "large.png", random_image((400, 400, 3)))
    convert(Known(), source, tmp_path / "out")
    small = 4 * 2**20
    convert(Known(), source, tmp_path / "out", gallery=True, memory=small)
    found = shown_after(tmp_path / "out")
    assert [name for name, each in found.items() if each[2]] == ["large.png"]
    assert "large.png needs" in (found["large.png"][2] or "")
    convert(Known(), source, tmp_path / "out", gallery=True)
    assert [name for name, each in shown_after(tmp_path / "out").items() if each[2]] == []


def test_kept_images_wait_for_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = many(tmp_path / "in", 6, sizes=((200, 200),))
    convert(Known(), source, tmp_path / "out")
    alone = kept_previews._need(Task(source / "000.png", "000.png", (tmp_path / "out" / "000.png",)))
    running: list[int] = []
    most: list[int] = []
    show = kept_previews._show

    def counted(task: Task, work: Any) -> None:
        running.append(1)
        most.append(len(running))
        show(task, work)
        running.pop()

    monkeypatch.setattr(kept_previews, "_show", counted)
    convert(Known(), source, tmp_path / "out", gallery=True, workers=4, memory=int(1.5 * alone))
    assert most == [1] * 6
    assert all(each[2] is None for each in shown_after(tmp_path / "out").values())


def test_pictures_of_outputs_that_were_made_otherwise_meanwhile_are_made_anew(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", random_image((1100, 8, 3)))
    convert(Known(), tmp_path / "in", tmp_path / "out", gallery=True)
    before = Page(tmp_path / "out" / "gallery.html").named("a.png")
    assert before["size"] == [8, 1100]
    convert(Known(), tmp_path / "in", tmp_path / "out", scale=0.99)
    convert(Known(), tmp_path / "in", tmp_path / "out", scale=0.99, gallery=True)
    assert Page(tmp_path / "out" / "gallery.html").named("a.png")["size"] == [8, 1089]


def test_what_is_shown_already_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = many(tmp_path / "in", 2)
    convert(Known(), source, tmp_path / "out", gallery=True)
    monkeypatch.setattr("translate.conversion.kept_previews.read", lambda *_: pytest.fail("it was read"))
    assert convert(Known(), source, tmp_path / "out", gallery=True).kept == 2


def test_the_page_says_how_long_each_image_took(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 2)
    convert(Negative(), source, tmp_path / "out", gallery=True, report=tmp_path / "report.json")
    rows = json.loads((tmp_path / "report.json").read_text())["images"]
    for row in rows:
        seconds = Page(tmp_path / "out" / "gallery.html").named(row["name"])["seconds"]
        assert sum(row["seconds"].values()) - row["seconds"]["write"] - 0.001 <= seconds
        assert seconds <= sum(row["seconds"].values()) + 0.001


def test_pictures_of_images_of_which_nothing_is_left_are_swept(tmp_path: Path) -> None:
    source, out = many(tmp_path / "in", 4), tmp_path / "out"
    (source / "broken.png").write_bytes(b"nothing")
    convert(Negative(), source, out, gallery=True)
    mine = out / ".translate" / "gallery" / previews(out)[0][:2]
    mine.mkdir(exist_ok=True)
    theirs = [mine / "notes.jpg", out / ".translate" / "gallery" / "0-1.jpg", out / "other.png"]
    for path in theirs:
        path.write_bytes(b"somebody's")
    for name in ("000.png", "001.png", "broken.png"):
        (source / name).unlink()
    (out / "000.png").unlink()
    convert(Negative(), str(source / "002.png*"), out, gallery=True)
    # Of 001.png the output is left, and of 003.png all, though it is not converted this time.
    assert sorted(shown_after(out)) == ["001.png", "002.png", "003.png"]
    assert len(previews(out)) == 3 * 2 + 1  # and 0-1.jpg
    assert all(path.read_bytes() == b"somebody's" for path in theirs)
    # A name that comes back is shown again.
    save(source / "000.png", random_image((6, 8, 3)))
    convert(Negative(), source, out, gallery=True)
    assert "000.png" in shown_after(out)


def test_previews_that_a_later_record_does_not_need_are_removed(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    gallery.add("a.png", before=picture(), after=[picture(), picture(1)])
    assert len(previews(tmp_path)) == 4
    gallery.add("a.png", before=picture(), after=[picture()])
    assert len(previews(tmp_path)) == 3
    gallery.add("a.png", reason="it is broken")
    assert previews(tmp_path) == []


def test_a_record_removes_no_previews_of_another_image(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    gallery.add("a.png", before=picture(), after=[picture()])
    gallery.add("b.png", source=tmp_path / "gone.png", before=picture(), after=[picture()])
    (file,) = (tmp_path / ".translate" / "gallery").glob("*.jsonl")
    one, other = map(json.loads, file.read_text().splitlines())
    file.write_text(json.dumps(one) + "\n" + json.dumps({**other, "shown": one["shown"]}) + "\n")
    Gallery(tmp_path).sweep(["a.png"])
    Gallery(tmp_path).write()
    assert sorted(shown_after(tmp_path)) == ["a.png"]
    assert len(previews(tmp_path)) == 6


def test_records_survive_a_kill_and_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    first = Gallery(tmp_path)
    for number in range(3):
        first.add(f"{number}.png", before=picture(number), after=[picture(number)], reason=None)
    # It is never closed, and no page was made: what a kill leaves.
    (file,) = (tmp_path / ".translate" / "gallery").glob("*.jsonl")
    with file.open("ab") as torn:
        torn.write(b'{"at": 1.0, "name": "torn.png", "outp')
    second = Gallery(tmp_path)
    second.add("3.png", reason="it is broken")
    second.write()
    assert [each["name"] for each in Page(tmp_path / "gallery.html").records] == ["0.png", "1.png", "2.png", "3.png"]


@pytest.mark.parametrize(
    "line",
    ["[]", "null", '{"at": 1}', "9" * 5000, "[" * 100_000, '{"at": 1, "name": 5, "outputs": [], "shown": {}}'],
)
def test_lines_that_are_no_records_are_passed_over(tmp_path: Path, line: str) -> None:
    Gallery(tmp_path)
    (tmp_path / ".translate" / "gallery" / "x.jsonl").write_text(line + "\n")
    Gallery(tmp_path).write()
    assert Page(tmp_path / "gallery.html").records == []


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), -1.0, 1e300])
def test_a_time_that_is_none_is_left_out(tmp_path: Path, seconds: float) -> None:
    """A browser refuses all records for one number that is not finite."""
    gallery = Gallery(tmp_path)
    gallery.add("a.png", before=picture(), after=[picture()], seconds=seconds)
    gallery.write()
    (record,) = Page(tmp_path / "gallery.html").records
    assert record["name"] == "a.png"
    assert "seconds" not in record


def test_records_name_no_other_previews(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    gallery.add("a.png", before=picture(), after=[picture()])
    (file,) = (tmp_path / ".translate" / "gallery").glob("*.jsonl")
    line = json.loads(file.read_text())
    for name in ("/etc/a.jpg", "../../x.jpg", "http:x"):
        line["shown"]["before"] = name
        file.write_text(json.dumps(line) + "\n")
        Gallery(tmp_path).write()
        assert Page(tmp_path / "gallery.html").records == []


def test_threads_add_at_the_same_time(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)

    def add(part: int) -> None:
        for number in range(20):
            gallery.add(f"{part}/{number}.png", before=picture(number), after=[picture(part)])

    threads = [threading.Thread(target=add, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gallery.write()
    assert len(Page(tmp_path / "gallery.html").records) == 80


def test_a_page_of_somebody_else_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", random_image((6, 8, 3)))
    page = tmp_path / "out" / "gallery.html"
    page.parent.mkdir()
    page.write_text("<h1>mine</h1>")
    with pytest.raises(TranslateError, match=r"gallery\.html was not made by --gallery and would be replaced"):
        convert(Negative(), tmp_path / "in", tmp_path / "out", gallery=True)
    assert page.read_text() == "<h1>mine</h1>"
    assert not (tmp_path / "out" / "a.png").exists()
    page.unlink()
    page.mkdir()
    with pytest.raises(TranslateError, match="was not made by"):
        Gallery(tmp_path / "out")
    page.rmdir()
    page.symlink_to(tmp_path / "nowhere")
    with pytest.raises(TranslateError, match="was not made by"):
        Gallery(tmp_path / "out")
    page.unlink()
    (tmp_path / "other" / ".translate").mkdir(parents=True)
    (tmp_path / "other" / ".translate" / "gallery").write_text("a file")
    with pytest.raises(TranslateError, match="cannot keep a gallery in"):
        Gallery(tmp_path / "other")


def test_the_page_is_made_where_a_conversion_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name, random_image((6, 8, 3)))
    translator = Negative()
    first: list[str] = []

    def tell(event: str, **metadata: Any) -> None:
        if event == "image_converted":
            first.append(metadata["source"].name)
            raise KeyboardInterrupt

    monkeypatch.setattr(translator.catalog, "tell", tell)
    with pytest.raises(KeyboardInterrupt):
        convert(translator, tmp_path / "in", tmp_path / "out", gallery=True, workers=1)
    assert Page(tmp_path / "out" / "gallery.html").named(first[0])


def test_without_being_asked_for_nothing_is_kept(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", random_image((6, 8, 3)))
    convert(Negative(), tmp_path / "in", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == ["a.png"]
    assert not (tmp_path / "out" / ".translate" / "gallery").exists()


# --- in a browser -----------------------------------------------------------------------------------------------------

SEARCH = (
    "document.getElementById('search').value = '{}'; "
    "document.getElementById('search').dispatchEvent(new Event('input'))"
)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("gallery")
    for number, name in enumerate(EVIL):
        save(place / "in" / name, random_image((6, 8, 3), seed=number))
    (place / "in" / "zz.png").write_bytes(b"")
    convert(Negative(), place / "in", place / "out", gallery=True)
    return place / "out" / "gallery.html"


@needs_browser
def test_a_browser_shows_every_picture_and_asks_for_nothing_else(tab: Browser, shown: Path) -> None:
    tab.open(shown)
    tab.until("document.querySelectorAll('#grid img').length === " + str(len(EVIL)))
    tab.until("[...document.querySelectorAll('#grid img')].every((each) => each.complete && each.naturalWidth)")
    for number in range(len(EVIL) + 1):
        tab.ask(f"document.querySelectorAll('.tile')[{number}].click()")
        failed = tab.ask("!document.getElementById('reason').hidden")
        if not failed:
            tab.until(
                "['before', 'after'].every((id) => { const each = document.getElementById(id);"
                " return each.complete && each.naturalWidth === 8; })"
            )
        tab.ask("document.getElementById('viewer').close()")
    wrong = [each for each in tab.events if each["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")]
    assert not wrong
    asked = [each["params"]["request"]["url"] for each in tab.events if each["method"] == "Network.requestWillBeSent"]
    assert asked
    assert all(url.startswith(("file:", "data:")) for url in asked)
    assert tab.ask("window.harmed") is None
    # The policy forbids what is elsewhere, and scripts that are not its own.
    blocked = "new Promise((done) => { const image = new Image(); image.onload = () => done('loaded');"
    blocked += " image.onerror = () => done('blocked'); image.src = 'http://127.0.0.1:9/x.png'; })"
    assert tab.ask(blocked) == "blocked"
    tab.until("true")
    assert any("Content Security Policy" in str(each) for each in tab.events if each["method"] == "Log.entryAdded")
    tab.ask("{ const made = document.createElement('script'); made.textContent = 'window.harmed = 1';"
            " document.body.append(made); }")  # fmt: skip
    assert tab.ask("window.harmed") is None


@needs_browser
def test_the_keyboard_does_everything(tab: Browser, shown: Path) -> None:
    tab.open(shown)
    place = "Number(document.activeElement.dataset.place)"
    tab.ask("document.querySelector('.tile').focus()")
    columns = tab.ask("getComputedStyle(document.getElementById('grid')).gridTemplateColumns.split(' ').length")
    for key, wanted in [("ArrowRight", 1), ("ArrowDown", 1 + columns), ("ArrowUp", 1), ("ArrowLeft", 0),
                        ("ArrowLeft", 0), ("End", len(EVIL)), ("Home", 0), ("ArrowRight", 1)]:  # fmt: skip
        tab.press(key)
        assert tab.ask(place) == wanted, key
    tab.press("Enter")
    assert tab.ask("document.getElementById('viewer').open")
    assert tab.ask("document.activeElement.id") == "slider"
    value, name = "document.getElementById('slider').value", "document.getElementById('name').textContent"
    for key, wanted in [("ArrowRight", "51"), ("ArrowLeft", "50"), ("Home", "0"), ("End", "100")]:
        tab.press(key)
        assert tab.ask(value) == wanted
        clip = tab.ask("document.getElementById('before').style.clipPath")
        assert clip in (f"inset(0px {100 - int(wanted)}% 0px 0px)", "inset(0px)")
    assert tab.ask("document.getElementById('slider').getAttribute('aria-valuetext')") == "100 % before, 0 % after"
    tab.press("ArrowDown")
    assert f"(3 of {len(EVIL) + 1})" in tab.ask(name)
    tab.press("ArrowUp")
    tab.press("ArrowUp")
    tab.press("ArrowUp")
    assert f"(1 of {len(EVIL) + 1})" in tab.ask(name)
    tab.press("Escape")
    assert not tab.ask("document.getElementById('viewer').open")
    tab.until(f"{place} === 0")  # the viewer tells later that it is closed


@needs_browser
def test_search_and_filter_and_labels(tab: Browser, shown: Path) -> None:
    tab.open(shown)
    tiles = "document.querySelectorAll('.tile').length"
    tab.ask(SEARCH.format("SCRIPT"))
    assert tab.ask(tiles) == 3  # two scripts and javascript:
    assert tab.ask("document.getElementById('count').textContent") == f"3 of {len(EVIL) + 1} images, 0 failed"
    tab.ask(SEARCH.format("\u00e9"))
    assert tab.ask(tiles) == 1  # which the name writes as two signs
    tab.ask(SEARCH.format("no such name"))
    assert tab.ask(tiles) == 0
    assert tab.ask("!document.getElementById('none').hidden")
    tab.ask(SEARCH.format(""))
    tab.ask(
        "{ const show = document.getElementById('show'); show.value = 'failed'; show.dispatchEvent(new Event('change')) }"
    )
    assert tab.ask(tiles) == 1
    assert "failed: " in tab.ask("document.querySelector('.tile').getAttribute('aria-label')")
    tab.ask("document.querySelector('.tile').click()")
    assert "is empty" in tab.ask("document.getElementById('reason').textContent")
    assert tab.ask("document.activeElement.id") == "close"
    tree = tab.call("Accessibility.getFullAXTree")["nodes"]
    names = {(each["role"]["value"], each.get("name", {}).get("value")) for each in tree if "role" in each}
    assert ("dialog", "zz.png (1 of 1)") in {(role, (name or "").strip()) for role, name in names}
    assert {("button", "Close"), ("button", "Next image"), ("button", "Previous image")} <= names


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1400])
def test_both_schemes_and_widths(tab: Browser, shown: Path, dark: bool, width: int) -> None:
    tab.open(shown, width=width, dark=dark)
    ground, text = (
        sum(map(int, re.findall(r"\d+", tab.ask(f"getComputedStyle(document.body).{each}"))[:3]))
        for each in ("backgroundColor", "color")
    )
    assert (ground < 200 < 600 < text) if dark else (text < 200 < 600 < ground)
    assert tab.ask("document.documentElement.scrollWidth <= innerWidth")
    tab.ask("document.querySelector('.tile').click()")
    assert tab.ask("document.getElementById('viewer').getBoundingClientRect().right <= innerWidth")
    assert tab.ask("document.documentElement.scrollWidth <= innerWidth")


@needs_browser
def test_ten_thousand_images_stay_usable(tab: Browser, tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    gallery.add("first.png", before=picture(), after=[picture()])
    (file,) = (tmp_path / ".translate" / "gallery").glob("*.jsonl")
    line = json.loads(file.read_text())
    lines = [json.dumps({**line, "name": f"{number:05}.png"}) for number in range(10_000)]
    file.write_text("\n".join(lines) + "\n")
    Gallery(tmp_path).write()
    tab.open(tmp_path / "gallery.html")
    made = tab.ask("document.querySelectorAll('.tile').length")
    assert made < 2500
    assert tab.ask("document.querySelector('li').getAttribute('aria-setsize')") == "10000"
    tab.ask("document.querySelector('.tile').focus()")
    tab.press("End")
    assert tab.ask("document.activeElement.textContent") == "09999.png"
    assert tab.ask("document.querySelectorAll('.tile').length") < 2500
    tab.ask("scrollTo(0, 0)")
    tab.until("document.querySelector('.tile').dataset.place < 9700")
    assert tab.ask("scrollY") > 1000  # what was at the top is still looked at
    tab.until("scrollTo(0, 0) || document.querySelector('.tile').dataset.place === '0'")
    tab.press("Home")
    assert tab.ask("document.activeElement.textContent") == "00000.png"
    loaded = {each["params"]["request"]["url"] for each in tab.events if each["method"] == "Network.requestWillBeSent"}
    assert len(loaded) < 10
    tab.ask(
        "document.getElementById('search').value = '7777'; document.getElementById('search').dispatchEvent(new Event('input'))"
    )
    assert tab.ask("document.querySelectorAll('.tile').length") == 1
    assert images.probe(next((tmp_path / ".translate" / "gallery").rglob("*-t.jpg"))).width == 36
