"""The tutorial, followed from its first command to its last; but trained briefly."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from forking import Forked, ran
from test_docs import DOCS, blocks

from translate.run import Run

PAGE = DOCS / "tutorial.md"
SMALLER = {"unet(width=32)": "unet(width=4)", "demo(size=64)": "demo(size=32, count=8)", "size 64": "size 32"}
LENGTHS = {"1500": "6", "2000": "8"}
"""The page's numbers of steps, and those of the test."""


def briefly(command: str) -> list[str]:
    """The words of a command, with fewer steps, smaller networks and a port of its own."""
    for long, short in SMALLER.items():
        command = command.replace(long, short)
    words = shlex.split(command)
    words = [LENGTHS.get(word, word) if before == "--steps" else word for before, word in pairwise(["", *words])]
    if "--size" in words:
        words += [word for each in ("log", "save", "sample", "validate") for word in (f"--{each}-every", "6")]
    return [*words, "--port", "0"] if words[1] == "watch" else words


def watched(words: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    """What a command prints that goes on until somebody ends it."""
    process = Forked(*words, cwd=folder, env=environment)
    try:
        end = time.monotonic() + 60
        while "http://" not in process.written():
            assert process.poll() is None, process.written("err")
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0, process.written("err")
        return process.written()
    finally:
        process.kill()


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each command of the page prints, and the folder in which all of them ran."""
    folder = tmp_path_factory.mktemp("tutorial")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    found = {"": str(folder)}
    for command in (line for block in blocks(PAGE, "console") for line in block.splitlines()):
        program, *words = briefly(command)
        assert program == "translate"
        if words[0] == "watch":
            found[command] = watched(words, folder, environment)
            continue
        done = ran(*words, cwd=folder, env=environment)
        assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
        found[command] = done.stdout + done.stderr
    return found


def told(outputs: Mapping[str, str], part: str) -> str:
    return next(output for command, output in outputs.items() if part in command)


def test_every_command_of_the_tutorial_ends_well(outputs: Mapping[str, str]) -> None:
    assert len(outputs) > 10
    assert "runs/maps" in told(outputs, "watch")


def test_the_data_are_what_the_tutorial_says(outputs: Mapping[str, str]) -> None:
    shown = told(outputs, "data pairs")
    assert "folders" in shown
    assert "source" in shown
    assert "target" in shown


def test_the_runs_have_what_the_tutorial_names(outputs: Mapping[str, str]) -> None:
    folder = Path(outputs[""])
    maps, plain = Run.open(folder / "runs" / "maps"), Run.open(folder / "runs" / "plain")
    assert [each.metrics[-1]["step"] for each in (maps, plain)] == [8, 6]
    assert "generator/l1" in maps.metrics[-1]
    assert "validation/psnr" in maps.metrics[-1]
    files = "runs/maps/report.html runs/maps/translator.safetensors look.png one.png scores.csv compared.html"
    for file in files.split():
        assert (folder / file).is_file(), file
    names = {path.name for path in (folder / "pairs" / "test" / "source").iterdir()}
    assert {path.name for path in (folder / "converted").glob("[!.]*")} == names


def test_the_scores_are_those_that_the_tutorial_speaks_of(outputs: Mapping[str, str]) -> None:
    assert "±" in told(outputs, "--metric ssim")
    both = told(outputs, "runs/maps runs/plain pairs")
    assert "psnr" in both
    assert "against plain (regression" in both
