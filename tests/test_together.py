"""Work that several devices share, with ranks that run one after another in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from test_training import MEAN
from torch import Tensor

import translate
from translate import images
from translate.cli import cli
from translate.launching import LostError
from translate.plugins import Catalog
from translate.ranks import ProcessGroup
from translate.run import Config, Run
from translate.setup import Setup

PLUGIN = (
    MEAN
    + """
import os
from pathlib import Path

def note(text):
    with Path(__file__).with_name("told.txt").open("a") as file:
        file.write(f"{os.environ.get('RANK', 'parent')} {text}\\n")

@hookimpl
def conversion_started(total): note(f"of {total}")

@hookimpl
def image_converted(source, error): note(f"{source.name} {'fails' if error else 'done'}")
"""
)

SMALL: dict[str, Any] = {"size": 16, "steps": 2, "log_every": 1}


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plugin") / "means_of_ranks.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture(scope="module")
def run(plugin: Path) -> Run:
    return translate.fit("mean", "demo(size=16, count=4)", output=plugin.parent / "run", plugins=[str(plugin)], **SMALL)


class Launched:
    """Stands for ``launch``: runs the ranks in their order, and notes what they were told."""

    def __init__(self, lost_after: int | None = None) -> None:
        self.calls: list[tuple[list[str], int]] = []
        self.lost_after = lost_after

    def __call__(
        self,
        arguments: Sequence[str],
        count: int,
        environment: Mapping[str, str] | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        self.calls.append((list(arguments), count))
        for rank in range(count):
            with pytest.MonkeyPatch.context() as patch:
                for name, value in {**(environment or {}), "RANK": str(rank), "WORLD_SIZE": str(count)}.items():
                    patch.setenv(name, value)
                assert cli.main(list(arguments), standalone_mode=False) in (None, 0, 1)
            # Not after the last one: the end comes between two looks.
            if meanwhile is not None and rank < count - 1:
                meanwhile()
            if rank == self.lost_after:
                raise LostError(f"rank {rank} was ended")


def folder(path: Path, count: int) -> Path:
    path.mkdir()
    draws = np.random.default_rng(0)
    for number in range(count):
        images.write(path / f"{number}.png", images.Image(draws.integers(0, 256, (12, 10, 3), dtype=np.uint8), None))
    (path / "broken.png").write_bytes(b"no image")
    return path


def told(plugin: Path) -> list[str]:
    path = plugin.with_name("told.txt")
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def test_devices_share_a_conversion(run: Run, plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers, the report and what observers are told are those of one device."""
    launched = Launched()
    monkeypatch.setattr("translate.conversion.together.launch", launched)
    source = folder(tmp_path / "in", 5)
    given: dict[str, Any] = {
        "at": (8, 12), "format": "tiff", "max_pixels": 500, "plugins": [str(plugin)], "no_plugins": ["console"],
    }  # fmt: skip
    alone = translate.convert(run.folder, source, tmp_path / "alone", **given)
    assert sorted(told(plugin)) == sorted(
        ["parent of 6", "parent broken.png fails", *(f"parent {number}.png done" for number in range(5))]
    )
    together = translate.convert(run.folder, source, tmp_path / "together", devices=2, **given)
    assert (together.converted, together.failed) == (alone.converted, alone.failed)
    assert together.converted == 5
    assert together.target == tmp_path / "together"
    for path in images.find(tmp_path / "alone"):
        assert path.read_bytes() == (tmp_path / "together" / path.name).read_bytes()
        assert images.read(path).pixels.shape == (8, 12, 3)
    # Each image once, by this process and none of the ranks.
    lines = [line for line in told(plugin) if " of " not in line]
    assert sorted(lines) == sorted(["parent broken.png fails", *(f"parent {number}.png done" for number in range(5))])
    ((arguments, count),) = launched.calls
    assert count == 2
    assert arguments[:3] == [f"--plugin={plugin}", "--no-plugin=console", "convert"]
    assert arguments[-4:] == ["--", str(run.folder), str(source), str(tmp_path / "together")]
    assert {"--at=8x12", "--format=tiff", "--max-pixels=500"} <= set(arguments[3:-4])
    assert not any(argument.startswith("--devices") for argument in arguments)


def test_names_that_begin_with_a_dash_are_names_for_each_device(
    run: Run, plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("translate.conversion.together.launch", Launched())
    source = folder(tmp_path / "-in", 2)
    (source / "broken.png").unlink()
    monkeypatch.chdir(tmp_path)
    result = translate.convert(run.folder, "-in", "-out", devices=2, plugins=[str(plugin)])
    assert (result.converted, len(images.find(tmp_path / "-out"))) == (2, 2)


def test_what_is_not_kept_is_told_once_for_all_devices(
    run: Run, plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("translate.conversion.together.launch", Launched())
    (tmp_path / "in").mkdir()
    for number in range(3):
        PIL.Image.new("RGB", (8, 8)).save(tmp_path / "in" / f"{number}.jpg", comment=b"hello")
    given: dict[str, Any] = {"gps": True, "suffix": "_b", "format": "webp", "plugins": [str(plugin)]}
    caplog.clear()
    result = translate.convert(run.folder, tmp_path / "in", tmp_path / "out", devices=2, **given)
    assert result.converted == 3
    assert [message for message in caplog.messages if "kept" in message] == [
        "3 images (0.jpg, 1.jpg, 2.jpg): comments in the file are not kept"
    ]
    assert (tmp_path / "out" / "2_b.webp").exists()


def test_devices_share_a_gallery(run: Run, plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launched = Launched()
    monkeypatch.setattr("translate.conversion.together.launch", launched)
    source = folder(tmp_path / "in", 5)
    translate.convert(
        run.folder, source, tmp_path / "out", devices=2, gallery=True, side_by_side=True, plugins=[str(plugin)]
    )
    page = (tmp_path / "out" / "gallery.html").read_text()
    assert [page.count(f'{{"name":"{name}.png"') for name in (0, 1, 2, 3, 4, "broken")] == [1] * 6
    assert all(images.probe(path).width == 10 + 8 + 10 for path in images.find(tmp_path / "out"))
    translate.convert(run.folder, source, tmp_path / "plain", devices=2, plugins=[str(plugin)])
    assert not (tmp_path / "plain" / ".translate" / "gallery").exists()
    told(plugin)


def test_what_was_converted_before_a_device_died_is_counted(
    run: Run, plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("translate.conversion.together.launch", Launched(lost_after=0))
    with pytest.raises(
        LostError, match="rank 0 was ended; 3 images were converted or named, run the same command again to go on"
    ):
        translate.convert(run.folder, folder(tmp_path / "in", 5), tmp_path / "out", devices=2, plugins=[str(plugin)])


def test_each_device_has_a_fit_of_its_own(plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ranks are told the whole config; what they have written is the run that the caller gets."""
    configs: list[dict[str, Any]] = []

    def launch(arguments: Sequence[str], count: int, *, stop_timeout: float) -> None:
        assert count == 3
        assert list(arguments[:4]) == ["--no-plugin=console", f"--plugin={plugin}", "fit", "--config"]
        assert list(arguments[5:]) == ["-o", str(tmp_path / "run")]
        configs.append(json.loads(Path(arguments[4]).read_text()))
        alone = {**configs[0], "devices": 1}
        translate.fit(alone.pop("method"), alone.pop("data"), output=tmp_path / "run", **alone)

    monkeypatch.setattr("translate.launching.launch", launch)
    given = {**SMALL, "devices": 3, "plugins": [str(plugin)], "no_plugins": ["console"]}
    made = translate.fit("mean", "demo(size=16, count=4)", output=tmp_path / "run", **given)
    assert len(configs) == 1
    assert (made.folder, made.step, made.steps) == (tmp_path / "run", 2, 2)
    assert configs[0]["plugins"] == [str(plugin)]
    assert (configs[0]["devices"], configs[0]["steps"]) == (3, 2)


class Silent(ProcessGroup):
    """The second of two ranks, whose collectives do nothing."""

    def __init__(self) -> None:
        super().__init__(1, 2)

    def all_reduce_mean(self, tensors: Sequence[Tensor]) -> Callable[[], None]:
        return lambda: None

    def all_gather(self, tensor: Tensor) -> list[Tensor]:
        return [tensor, tensor]

    def broadcast(self, tensors: Any) -> None:
        pass

    def highest_delayed(self, level: int) -> int:
        return level

    def close(self) -> None:
        pass


def test_a_rank_other_than_the_main_one_trains_and_writes_nothing(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("translate.setup.join", lambda device: Silent())
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    events: list[str] = []
    monkeypatch.setattr(Catalog, "tell", lambda self, event, **arguments: events.append(event))
    place = tmp_path / "run"
    made = translate.fit("mean", "demo(size=16, count=4)", output=place, plugins=[str(plugin)], devices=2, **SMALL)
    assert (made.folder, made.step, made.steps, made.config.method) == (place, 2, 2, "mean")
    assert not place.exists()
    assert not events


def test_a_rank_sees_its_own_batches(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ranks of one image each see what one device with a batch of two sees, and none an image twice."""
    values = {"method": "mean", "data": "demo(size=16, count=4)", "plugins": (str(plugin),), **SMALL}
    found: list[Tensor] = []
    for group in (ProcessGroup(0, 2), Silent()):
        monkeypatch.setattr("translate.setup.join", lambda device, group=group: group)
        group.broadcast = lambda tensors: None  # type: ignore[method-assign]
        group.all_gather_text = lambda text: [text, ""]  # type: ignore[method-assign]
        made = Setup.make(Config.from_values({**values, "steps": None, "epochs": 2}))
        assert made.steps == 4
        assert made.metadata["ranks"] == 2
        assert made.engine.group is group
        with made.loader() as loader:
            found.append(loader.batch(0)["source"])
    monkeypatch.setattr("translate.setup.join", lambda device: ProcessGroup())
    with Setup.make(Config.from_values({**values, "batch": 2})).loader() as loader:
        assert torch.equal(torch.cat(found), loader.batch(0)["source"])


def test_a_run_goes_on_upon_its_devices(run: Run, plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(
        "translate.launching.launch", lambda arguments, count, **_: calls.append([*arguments, str(count)])
    )
    path = run.folder / "config.json"
    text = path.read_text()
    path.write_text(text.replace('"devices": 1', '"devices": 2'))
    try:
        translate.resume(run.folder, steps=3, no_plugins=["console"], plugins=[str(plugin)])
    finally:
        path.write_text(text)
    wanted = ["--no-plugin=console", f"--plugin={plugin}", "fit", "--steps", "3", "--resume", str(run.folder), "2"]
    assert calls == [wanted]
    assert "RANK" not in os.environ


def test_a_run_goes_on_upon_more_devices_with_what_was_asked(
    run: Run, plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(
        "translate.launching.launch", lambda arguments, count, **_: calls.append([*arguments, str(count)])
    )
    translate.resume(run.folder, plugins=[str(plugin)], devices=3, flip=False, optimizer=["adam", "network=sgd"])
    flags = ["--devices", "3", "--no-flip", "--optimizer", "adam", "--optimizer", "network=sgd"]
    assert calls == [[f"--plugin={plugin}", "fit", *flags, "--resume", str(run.folder), "3"]]
