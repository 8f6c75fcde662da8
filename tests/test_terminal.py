"""What comes from files, names and plugins cannot control a terminal, whatever door it comes through."""

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import translate
from translate import images
from translate.terminal import LONGEST, printable

BAD = "\x1b]0;owned\x07\x1b[2J"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Grüße 北京 😀", "Grüße 北京 😀"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("bell\x07", r"bell\x07"),
        ("a\rb", r"a\rb"),
        ("a\nb", r"a\nb"),
        ("a\tb", r"a\tb"),
        ("\x9b2J", r"\x9b2J"),
        ("exe\u202egnp.jpg", r"exe\u202egnp.jpg"),
        ("line\u2028break", r"line\u2028break"),
        ("\udcff.png", r"\udcff.png"),
    ],
)
def test_controls_are_escaped_and_letters_stay(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(max_size=3000))
def test_nothing_that_is_shown_controls(text: str) -> None:
    shown = printable(text)
    assert not any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") for letter in shown)


def test_long_texts_are_cut_and_say_so() -> None:
    shown = printable("a" * 10**6 + "end")
    assert len(shown) < LONGEST + 60
    assert shown.startswith("aaa")
    assert f"({10**6 + 3 - LONGEST} characters left out)" in shown
    assert shown.endswith("end")


def run(*arguments: str | Path, cwd: Path, code: int, encoding: str = "utf-8") -> str:
    done = subprocess.run(
        [sys.executable, "-m", "translate", *map(str, arguments)], capture_output=True, check=False, cwd=cwd,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert done.returncode == code, done
    return (done.stdout + done.stderr).decode(encoding)


@pytest.mark.parametrize(
    "arguments",
    [
        ["fit", "pix2pix", f"no{BAD}where"],
        [f"fi{BAD}t"],
        ["fit", f"pix{BAD}", "demo"],
        ["fit", "pix2pix", "demo", f"--ste{BAD}ps", "3"],
        ["fit", "pix2pix", "demo", "--generator", f"unet(norm='{BAD}')"],
        ["convert", f"no{BAD}", "a", "b"],
        ["data", f"demo(siz{BAD}e=3)"],
        ["plugins", f"une{BAD}t"],
        ["-p", f"mine{BAD}.py", "plugins"],
    ],
)
def test_what_was_typed_is_shown_escaped(arguments: list[str], tmp_path: Path) -> None:
    shown = run(*arguments, cwd=tmp_path, code=2)
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "x1b" in shown


def test_names_of_files_are_shown_escaped(tmp_path: Path) -> None:
    made = translate.fit(
        "pix2pix", "demo(size=32)", size=32, steps=1, generator="unet(width=2)",
        discriminator="patch(width=2, receptive_field=16)", output=tmp_path / "run",
    )  # fmt: skip
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"broken{BAD}\n.png").write_bytes(b"no image")
    shown = run("convert", made.folder, tmp_path / "in", tmp_path / "out", cwd=tmp_path, code=1)
    assert "\x1b" not in shown
    assert r"broken\x1b]0;owned\x07\x1b[2J\n.png" in shown


def test_a_pipe_that_lacks_letters_gets_escapes(tmp_path: Path) -> None:
    shown = run("convert", "北京", "a", "b", cwd=tmp_path, code=2, encoding="cp1252")
    assert r"\u5317\u4eac" in shown


def test_the_api_is_listed_and_says_what_it_is(tmp_path: Path) -> None:
    assert {"fit", "convert", "load", "evaluate", "sample", "classify", "encode", "bench", "resume"} <= set(
        dir(translate)
    )
    made = translate.fit(
        "pix2pix", "demo(size=32)", size=32, steps=1, generator="unet(width=2)",
        discriminator="patch(width=2, receptive_field=16)", output=tmp_path / "run",
    )  # fmt: skip
    assert repr(made) == f"<Run {tmp_path / 'run'}: pix2pix on demo(size=32), step 1 of 1>"
    found = repr(translate.load(made.folder))
    assert found == "<Translator forward: RGB -> RGB, trained at 32x32, on cpu in float32>"
    images.write(tmp_path / "a.png", images.Image(np.zeros((8, 8, 3), np.uint8)))
    assert "converted=1" in repr(translate.convert(made.folder, tmp_path / "a.png", tmp_path / "b.png"))
