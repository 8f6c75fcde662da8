"""One conversion of a folder of strange files: what is an image is converted, what is none is named or passed over."""

from __future__ import annotations

import os
import signal
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from test_conversion import Negative

from benchmarks.strange import Case, Right, cases, fill
from translate import images
from translate.conversion import Conversion, convert

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
ALL = cases()


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str], Conversion]:
    """The place, the names of the files that could be made, and what became of them."""

    def ring(*_: object) -> None:
        raise AssertionError("it waits for a pipe")

    place = tmp_path_factory.mktemp("strange")
    made = {case.name for case in fill(place / "in")}
    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(120)
    result = convert(Negative(), place / "in", place / "out", format="png")
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    return place, made, result


def test_there_are_many_and_hardly_one_that_cannot_be_made(converted: tuple[Path, set[str], Conversion]) -> None:
    _, made, result = converted
    assert len({case.name for case in ALL}) == len(ALL) > 240
    assert len(made) > len(ALL) - 10
    assert result.converted == sum(isinstance(case.outcome, Right) for case in ALL if case.name in made)
    assert len(result.failed) == sum(isinstance(case.outcome, str) for case in ALL if case.name in made)


@pytest.mark.parametrize("case", ALL, ids=lambda case: ascii(case.name[:60]))
def test_each_file_has_its_outcome(case: Case, converted: tuple[Path, set[str], Conversion]) -> None:
    place, made, result = converted
    if case.name not in made:
        pytest.skip("this file system has no such file")
    reasons = [reason for path, reason in result.failed if path == place / "in" / case.name]
    outputs = _outputs(place / "out" / case.name)
    if isinstance(case.outcome, Right):
        assert not reasons
        assert any(_is_negative(images.read(path), case.outcome) for path in outputs)
    elif case.outcome is None:
        assert not reasons  # and it has no output, since no more is written than there are images
    else:
        assert len(reasons) == 1
        assert case.outcome in reasons[0]
        assert len(reasons[0]) < 700
        assert not any(word in reasons[0] for word in ("Traceback", "Error:", "unpack_from"))


def test_no_two_share_an_output_and_nothing_else_is_written(converted: tuple[Path, set[str], Conversion]) -> None:
    place, _, result = converted
    hidden = place / "out" / ".translate"
    written = [path for path in (place / "out").rglob("*") if path.is_file() and hidden not in path.parents]
    assert len(written) == result.converted
    plain = {unicodedata.normalize("NFC", str(path)).casefold() for path in written}
    assert len(plain) >= len(written) - TWINS_THAT_MEET


TWINS_THAT_MEET = 3
"""Names that are one in some file systems only, since they differ in their Unicode form."""


def _outputs(path: Path) -> list[Path]:
    """The files that may be a file's output: in its folder, with its stem or whole name before the suffix."""
    if not path.parent.is_dir():
        return []
    wanted = {path.name.casefold(), path.stem.casefold()}
    return [
        each
        for each in path.parent.iterdir()
        if each.is_file() and ({each.stem.casefold(), Path(each.stem).stem.casefold(), each.name.casefold()} & wanted)
    ]


def _is_negative(found: images.Image, wanted: Right) -> bool:
    """Whether an output is what the translator makes of the expected pixels, at the depth that PNG has."""
    pixels: NDArray[Any] = wanted.pixels.repeat(3, 2) if wanted.pixels.shape[2] == 1 else wanted.pixels
    if pixels.dtype == np.float32:
        pixels = np.rint(pixels * 65535).astype(np.uint16)
    if found.pixels.dtype != pixels.dtype or found.pixels.shape != pixels.shape:
        return False
    most = np.iinfo(pixels.dtype).max
    close = abs(found.pixels.astype(int) - (most - pixels.astype(int))).max() <= max(wanted.apart, int(most > 255))
    if wanted.alpha is None or found.alpha is None:
        return bool(close) and (wanted.alpha is None) == (found.alpha is None)
    return bool(close) and bool((found.alpha == wanted.alpha).all())
