"""Images to calibrate on: chosen once, kept with the outputs, and part of what outputs are known by."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from tests.test_conversion import Negative, many, random_image, save
from translate.conversion import convert
from translate.conversion.batch import Work
from translate.conversion.calibration import COUNT, FILE, calibrate, calibration_for
from translate.conversion.lines import line_of, read_lines
from translate.conversion.loading import prepare_actor
from translate.conversion.manifest import FOLDER
from translate.conversion.plan import Shard, Task
from translate.errors import TranslateError
from translate.options import declared_by


class Calibrated(Negative):
    """A translator whose outputs depend on what it was calibrated on, as those of int8 do."""

    identity = "int8"

    def __init__(self) -> None:
        super().__init__(multiple=1)
        self.needs_calibration = True
        self.means: list[float] = []

    def calibrate(self, batches: Iterable[Tensor], /) -> None:
        self.means = [float(batch.mean()) for batch in batches]
        self.needs_calibration = False

    def translate(self, batch: Tensor, /, *, samples: int | None = None, seed: int = 0) -> Tensor:
        assert self.means
        return -batch * (0.5 + sum(abs(mean) for mean in self.means) / len(self.means))


def pixels_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def grow(source: Path, count: int) -> None:
    for number in range(count):
        save(source / f"!{number:03}.png", random_image((5, 6, 3), seed=1000 + number))


def run(source: Path, target: Path, **options: object) -> tuple[int, int]:
    result = convert(Calibrated(), source, target, **options)  # type: ignore[arg-type]
    assert not result.failed
    return result.converted, result.kept


def test_a_plan_that_grows_keeps_its_calibration(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 40)
    assert run(source, tmp_path / "out") == (40, 0)
    grow(source, 30)
    assert run(source, tmp_path / "out") == (30, 40)
    grown = pixels_of(tmp_path / "out")
    # Old and new images were made alike: all of them anew give the same.
    assert run(source, tmp_path / "out", again=True) == (70, 0)
    assert pixels_of(tmp_path / "out") == grown
    # Other images would have been chosen from the whole, with other outputs.
    run(source, tmp_path / "other")
    assert pixels_of(tmp_path / "other") != grown


def test_shards_of_a_growing_plan_agree(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 9)
    run(source, tmp_path / "out", shard=Shard(1, 2))
    grow(source, 9)
    run(source, tmp_path / "out", shard=Shard(2, 2))
    assert run(source, tmp_path / "out") == (4, 14)
    shards = pixels_of(tmp_path / "out")
    run(source, tmp_path / "out", again=True)
    assert pixels_of(tmp_path / "out") == shards


def test_a_part_of_the_images_is_calibrated_as_the_whole(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 12)
    run(source, tmp_path / "out")
    whole = pixels_of(tmp_path / "out")
    result = convert(Calibrated(), str(source / "00[1-3].png"), tmp_path / "out", again=True)
    assert result.converted == 3
    assert pixels_of(tmp_path / "out") == whole


def remove(path: Path) -> None:
    path.unlink()


def replace_by_another(path: Path) -> None:
    save(path, random_image((5, 6, 3), seed=77))


@pytest.mark.parametrize("harm", [remove, replace_by_another])
def test_a_pick_that_is_gone_or_changed_is_told_and_all_is_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None]
) -> None:
    source = many(tmp_path / "in", 6)
    run(source, tmp_path / "out")
    harm(source / "002.png")
    caplog.clear()
    result = convert(Calibrated(), source, tmp_path / "out")
    assert result.kept == 0
    assert "002.png, which outputs were calibrated on, is gone, has changed" in caplog.text
    assert "their outputs were calibrated on other images" in caplog.text
    # The new choice is kept in its turn.
    caplog.clear()
    assert convert(Calibrated(), source, tmp_path / "out").converted == 0
    assert "calibrated" not in caplog.text


def test_images_that_moved_or_were_touched_are_still_the_same(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 6)
    run(source, tmp_path / "out")
    (source / "001.png").touch()
    assert run(source, tmp_path / "out") == (0, 6)
    shutil.copytree(source, tmp_path / "moved")
    shutil.rmtree(source)
    assert run(tmp_path / "moved", tmp_path / "out") == (0, 6)
    assert len(list(read_lines(tmp_path / "out" / FOLDER / FILE))) == 1


def test_an_earlier_choice_that_is_whole_again_does_not_win_over_the_last(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 6)
    run(source, tmp_path / "out")
    aside = (source / "002.png").rename(tmp_path / "002.png")
    assert run(source, tmp_path / "out") == (5, 0)
    aside.rename(source / "002.png")
    assert run(source, tmp_path / "out") == (1, 5)


def test_a_translator_that_was_calibrated_for_one_folder_is_known_by_it_in_the_next(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 4)
    translator = Calibrated()
    assert convert(translator, source, tmp_path / "out").converted == 4
    assert convert(translator, source, tmp_path / "out").kept == 4
    grow(source, 2)
    assert convert(translator, source, tmp_path / "other").converted == 6
    # The other folder has no choice yet, and its outputs are not those of one made there.
    assert run(source, tmp_path / "other") == (6, 0)


def test_a_translator_calibrated_by_its_owner_keeps_nothing(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 2)
    for _ in range(2):
        translator = Calibrated()
        translator.precision = "int8"  # type: ignore[attr-defined]
        translator.means, translator.needs_calibration = [0.1], False
        assert convert(translator, source, tmp_path / "out").converted == 2


def test_a_dry_run_and_a_single_image_keep_no_choice(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 3)
    convert(Calibrated(), source, tmp_path / "out", dry_run=True)
    assert not (tmp_path / "out").exists()
    run(source / "000.png", tmp_path / "one.png")
    assert not (tmp_path / FOLDER).exists()


@pytest.mark.parametrize("line", [
    {"picks": []}, {"picks": [["a"]]}, {"picks": [["a.png", "/a\0b", 1, 2, "x"]]}, {"picks": 3}, {"other": 1},
    {"picks": [["a.png", "\udbff.png", 1, 2, "x"]]}, {"picks": [["a.png", "a.png", [], 2, "x"]]},
])  # fmt: skip
def test_lines_of_another_kind_are_passed_over(tmp_path: Path, line: dict[str, object]) -> None:
    source = many(tmp_path / "in", 2)
    run(source, tmp_path / "out")
    path = tmp_path / "out" / FOLDER / FILE
    path.write_bytes(path.read_bytes() + line_of(line) + b'{"picks": torn')
    assert run(source, tmp_path / "out") == (0, 2)


def test_no_fewer_images_are_calibrated_on_than_were_chosen(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 3)
    work = Work(Calibrated())
    tasks = [Task(source / f"{number:03}.png", f"{number:03}.png", (tmp_path / "x.png",)) for number in range(3)]
    chosen = calibration_for(tasks, None, work, silent=False)
    assert len(chosen.tasks) == 3 <= COUNT
    (source / "001.png").write_bytes(b"broken")
    with pytest.raises(TranslateError, match=r"001\.png cannot be read any more, and outputs are calibrated on it"):
        calibrate(chosen, work)


def test_the_choice_lists_names_and_hashes(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 2)
    run(source, tmp_path / "out")
    (line,) = (tmp_path / "out" / FOLDER / FILE).read_bytes().splitlines()
    picks = json.loads(line)["picks"]
    assert [pick[0] for pick in picks] == ["000.png", "001.png"]
    assert all(len(pick[4]) == 32 for pick in picks)
    assert np.unique([pick[4] for pick in picks]).size == 2


def test_one_process_chooses_for_several_devices_within_the_share_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = many(tmp_path / "in", 3)
    save(source / "large.png", random_image((300, 300, 3)))
    memory = 7 * 2**20
    kept: list[list[str]] = []

    def together(_run: Path, _sources: object, target: Path, *_: object, **__: object) -> Iterator[object]:
        (line,) = read_lines(target / FOLDER / FILE)
        kept.append([pick[0] for pick in line["picks"]])
        yield from ()

    monkeypatch.setattr("translate.conversion.converting.load_asked", lambda *_: Calibrated())
    monkeypatch.setattr("translate.conversion.converting.convert_together", together)
    convert(tmp_path / "run", source, tmp_path / "one", devices=1, memory=memory)
    convert(tmp_path / "run", source, tmp_path / "two", devices=2, memory=memory)
    (line,) = read_lines(tmp_path / "one" / FOLDER / FILE)
    assert [pick[0] for pick in line["picks"]] == ["000.png", "001.png", "002.png", "large.png"]
    assert kept == [["000.png", "001.png", "002.png"]]


def test_a_process_of_several_takes_what_was_chosen_for_all(tmp_path: Path) -> None:
    source = many(tmp_path / "in", 3)
    run(source, tmp_path / "out")
    tasks = [Task(source / f"{number:03}.png", f"{number:03}.png", (tmp_path / "x.png",)) for number in range(3)]
    little = Work(Calibrated(), memory=1)
    given = calibration_for(tasks, tmp_path / "out", little, share=True, silent=True)
    assert len(given.tasks) == 3
    assert len(list(read_lines(tmp_path / "out" / FOLDER / FILE))) == 1
    assert not calibration_for(tasks, tmp_path / "out", little, store=False, silent=True).tasks


def test_an_actor_is_calibrated_on_what_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = many(tmp_path / "in", 3)
    tasks = [Task(source / f"{number:03}.png", f"{number:03}.png", (tmp_path / "x.png",)) for number in range(3)]
    given = calibration_for(tasks[1:], None, Work(Calibrated()), silent=True)
    assert all(task.source.is_absolute() for task in given.tasks)
    monkeypatch.setattr("translate.conversion.loading.load_asked", lambda *_: Calibrated())
    asked = {name: option.default for name, option in declared_by(convert).items()} | {"devices": 2}
    work = prepare_actor(tmp_path / "run", asked, tmp_path, copy.deepcopy(given), (), ())
    assert isinstance(work.translator, Calibrated)
    assert len(work.translator.means) == 2
