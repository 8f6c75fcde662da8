"""The pages of the gallery: each runs in its quick form, draws its pictures, and the tables tell what the pages hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

pytest.importorskip("benchmarks.gallery", reason="the benchmarks are not part of every distribution")

from benchmarks.gallery import __main__ as gallery
from benchmarks.gallery import index, pictures
from benchmarks.gallery import pages as reading
from benchmarks.gallery.made import scores_of
from benchmarks.gallery.running import quick, run
from translate import images
from translate.cli import cli
from translate.errors import TranslateError
from translate.plugins import OURS, discover

PAGES = reading.pages()


def in_this_process(words: Sequence[str], folder: Path) -> tuple[int, str, str]:
    """Run a command in a folder without the seconds that another process would take for its imports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = CliRunner().invoke(cli, list(words[1:]))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_page_runs_in_its_quick_form(page: reading.Page, tmp_path: Path) -> None:
    text = gallery.make(page, tmp_path / "work", tmp_path / "pictures", runner=in_this_process, is_quick=True)
    assert re.search(r"^\d+\.\d minutes of one core", text, re.MULTILINE)
    for picture in page.pictures:
        path = tmp_path / "pictures" / picture.file
        assert f"![{picture.shows}]({picture.file})" in text
        assert images.read(path).pixels.std() > 1
        assert path.stat().st_size <= pictures.LARGEST
    if page.figure:
        assert re.search(rf"^{page.figure} +\S", text, re.MULTILINE), text
    # What is done is not done again.
    again = run(page, tmp_path / "work", runner=lambda words, folder: (1, "", "again"), is_quick=True)
    assert len(again) == len(page.commands)


def test_every_method_and_every_application_has_a_page() -> None:
    shown = {words[2] for page in PAGES for words in page.commands if words[1] == "fit"}
    assert shown == {name for name, offer in discover().offers("methods").items() if offer.plugin.distribution == OURS}


def test_the_pictures_of_pages_are_there_and_small() -> None:
    for page in PAGES:
        text = reading.made_in(page)
        for picture in page.pictures:
            path = reading.FOLDER / picture.file
            assert path.exists() == bool(text), f"{path} is there, or {page.name} was made, but not both"
            if text:
                assert path.stat().st_size <= pictures.LARGEST
                assert f"]({picture.file})" in text
    kept = {f"images/{path.name}" for path in (reading.FOLDER / "images").glob("*")}
    assert kept <= {picture.file for page in PAGES for picture in page.pictures}


def test_the_first_page_lists_all_pages() -> None:
    text = (reading.FOLDER / "README.md").read_text(encoding="utf-8")
    assert index.table() in text, "run python -m benchmarks.gallery --index"
    for page in PAGES:
        assert f"({page.name}.md)" in text


def page_of(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    return path


WHOLE = """# A page

<!-- made: python -m benchmarks.gallery -->
<!-- end -->

```console
translate fit gan "demo(size=64)" \\
  --steps 900 -o run
translate convert run a b
```

<!-- picture
file: images/a.webp
shows: Two folders
columns: {one: a, two: b}
figure: psnr
-->
"""


def test_a_page_is_read_and_filled(tmp_path: Path) -> None:
    page = reading.read(page_of(tmp_path, WHOLE))
    assert (page.title, page.figure) == ("A page", "psnr")
    assert page.commands == [
        ["translate", "fit", "gan", "demo(size=64)", "--steps", "900", "-o", "run"],
        ["translate", "convert", "run", "a", "b"],
    ]
    assert page.pictures[0].columns == {"one": "a", "two": "b"}
    assert reading.made_in(page) == ""
    reading.write_made(page, "once")
    reading.write_made(page, "3.2 minutes of one core\n\npsnr   18.2 ± 0.3")
    assert reading.made_in(page) == "3.2 minutes of one core\n\npsnr   18.2 ± 0.3"
    assert index.row(page) == "| [A page](page.md) | [`gan`](../methods/gan.md) | 3.2 | psnr 18.2 ± 0.3 |"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("translate convert run a b", "rm -r /"), "commands.*others than those of translate"),
        (("columns:", "rows:"), "asks for a picture that is none; give its file"),
        (("shows: Two folders\n", ""), "asks for a picture that is none"),
        (("<!-- end -->", ""), "has no place for what is made"),
    ],
)
def test_a_page_that_cannot_be_run_is_refused(change: tuple[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match=said):
        reading.write_made(reading.read(page_of(tmp_path, WHOLE.replace(*change))), "text")


def test_pages_are_asked_for_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert [page.name for page in reading.pages(["map-to-photo"])] == ["map-to-photo"]
    assert gallery.main(["no-page"]) == 2
    assert "there is no page 'no-page'" in capsys.readouterr().err


def test_a_command_that_fails_ends_the_page(tmp_path: Path) -> None:
    page = reading.read(page_of(tmp_path, WHOLE))
    calls: list[Sequence[str]] = []

    def second_fails(words: Sequence[str], folder: Path) -> tuple[int, str, str]:
        calls.append(words)
        return (2, "", "error: no folder a") if words[1] == "convert" else (0, "", "")

    for expected in (2, 3):  # what went well stays done
        with pytest.raises(TranslateError, match="convert run a b ended with 2: error: no folder a"):
            run(page, tmp_path / "work", runner=second_fails)
        assert len(calls) == expected
    changed = reading.read(page_of(tmp_path, WHOLE.replace("900", "901")))
    with pytest.raises(TranslateError, match="holds what other commands of page have made; remove it"):
        run(changed, tmp_path / "work", runner=second_fails)


def test_the_quick_form_is_quick() -> None:
    words = [
        "translate",
        "fit",
        "gan",
        "demo(task=map, size=64, count=900, held_out=90)",
        "--size",
        "64",
        "--steps",
        "9",
    ]
    assert quick(words) == [
        "translate", "fit", "gan", "demo(task=map, size=32, count=8, held_out=5)", "--size", "32", "--steps", "2"
    ]  # fmt: skip
    assert quick(["--generator", "unet(width=64)", "--batch", "32"]) == ["--generator", "unet(width=8)", "--batch", "4"]


def test_only_head_and_scores_are_taken_of_an_evaluation() -> None:
    printed = "runs/a (gan, forward) on demo, test\n20 source; 64x64\n\npsnr  18.2 ± 0.3\nssim  0.5\n\npsnr: decibels\n"
    assert scores_of(printed)[-2:] == ["psnr  18.2 ± 0.3", "ssim  0.5"]
