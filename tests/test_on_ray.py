"""Conversion on a real Ray of this machine: two actors, one of which is killed, and an image that kills its actor."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import taking
import torch
from test_conversion import files, many, save

import translate
from translate import images
from translate.conversion import convert
from translate.errors import TranslateError

ray = pytest.importorskip("ray", reason="ray is not installed")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.xdist_group("ray")]

PLUGIN = """
import os, time
import torch
from torch import nn
from translate import hookimpl
from translate.method import Method, Update

class Negative(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, image):
        if image.shape[-1] == 24:  # an image that kills its process
            os.kill(os.getpid(), 9)
        time.sleep(0.01)
        return -image * self.weight

class Negate(Method):
    def __init__(self, parts):
        super().__init__()
        self.generator = Negative()

    @property
    def players(self):
        return {"generator": self.generator}

    @property
    def translators(self):
        return {"forward": self.generator}

    def updates(self, batch, step):
        yield Update("generator", {"l1": (self.generator(batch["source"]) - batch["target"]).abs().mean() + 1})

@hookimpl
def methods():
    return {"negate": Negate}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    place = tmp_path_factory.mktemp("ray")
    plugin = place / "negate.py"
    plugin.write_text(PLUGIN)
    for side in "AB":
        for number in range(2):
            save(place / "data" / f"train{side}" / f"{number}.png", np.full((16, 16, 3), 128, np.uint8))
    translate.fit(
        "negate",
        place / "data",
        output=place / "run",
        plugins=[str(plugin)],
        steps=1,
        size=16,
        optimizer=["sgd(lr=1e-9)"],
    )
    yield place / "run", plugin
    ray.shutdown()


def test_a_killed_actor_costs_nothing_and_a_deadly_image_itself_alone(
    tmp_path: Path, trained: tuple[Path, Path]
) -> None:
    run, plugin = trained
    source = many(tmp_path / "in", 60)
    save(source / "deadly.png", np.zeros((16, 24, 3), np.uint8))
    (source / "broken.png").write_bytes(b"broken")
    killed: list[int] = []

    def kill() -> None:
        """Kill an actor that has written something."""
        manifest = tmp_path / "out" / ".translate" / "manifest"
        for _ in range(600):
            time.sleep(0.05)
            for file in manifest.glob("*.jsonl") if manifest.is_dir() else ():
                if file.stat().st_size > 0:
                    killed.append(int(file.stem.split("-")[-2]))
                    os.kill(killed[0], signal.SIGKILL)
                    return

    thread = threading.Thread(target=kill)
    thread.start()
    report = tmp_path / "report.json"
    options: dict[str, Any] = {"plugins": [str(plugin)], "engine": "ray", "devices": 2, "report": report}
    result = convert(run, source, tmp_path / "out", **options)
    thread.join()
    assert killed
    reasons = {path.name: reason for path, reason in result.failed}
    assert set(reasons) == {"deadly.png", "broken.png"}
    assert "the process that converted it died, 2 times" in reasons["deadly.png"]
    assert result.converted == 60
    assert len(files(tmp_path / "out")) == 60
    for path in sorted(source.glob("0*.png"))[::7]:
        difference = images.read(tmp_path / "out" / path.name).pixels.astype(int) - (255 - images.read(path).pixels)
        assert abs(difference).max() <= 1
    assert '"converted": 60' in report.read_text()
    # What is done is kept, whoever does the rest.
    (source / "deadly.png").unlink()
    again = convert(run, source, tmp_path / "out", plugins=[str(plugin)])
    assert (again.converted, again.kept) == (0, 60)


def test_what_is_wrong_for_all_ends_it_in_one_sentence(tmp_path: Path, trained: tuple[Path, Path]) -> None:
    run, plugin = trained
    source = many(tmp_path / "in", 3)
    with pytest.raises(TranslateError, match="one answer; leave out --samples"):
        convert(run, source, tmp_path / "out", plugins=[str(plugin)], engine="ray", samples=2)
    translator = translate.load(run, plugins=[str(plugin)])
    with pytest.raises(TranslateError, match="lies on one device"):
        convert(translator, source, tmp_path / "out2", engine="ray")


def test_a_cluster_that_is_not_there_is_one_sentence(
    tmp_path: Path, trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, plugin = trained
    many(tmp_path / "in", 1)

    def init(**_: Any) -> None:
        raise ConnectionError("ray.init() could not find it\nmore of it")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", f"ray://{address}")
        with pytest.raises(TranslateError, match=f"cluster 'ray://{address}', which RAY_ADDRESS names: .* find it$"):
            convert(run, tmp_path / "in", tmp_path / "out", plugins=[str(plugin)], engine="ray")
    # Now nobody listens there, and Ray is not asked: it would wait for minutes.
    monkeypatch.setattr(ray, "init", None)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(TranslateError, match=f"cluster '{address}', which RAY_ADDRESS names: .*refused"):
        convert(run, tmp_path / "in", tmp_path / "out", plugins=[str(plugin)], engine="ray")
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.delenv("RAY_ADDRESS")
    with pytest.raises(TranslateError, match="Ray does not start on this machine"):
        convert(run, tmp_path / "in", tmp_path / "out", plugins=[str(plugin)], engine="ray")


@pytest.mark.usefixtures("trained")
def test_actors_are_given_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = taking.saved(tmp_path / "it.safetensors")
    source = many(tmp_path / "in", 4)
    for path in images.find(source):
        place = tmp_path / "masks" / path.relative_to(source)
        size = images.read(path).pixels.shape[:2]
        save(place.with_suffix(".png"), np.full((*size, 1), 200, np.uint8))
    monkeypatch.chdir(tmp_path)
    given = {"passes": 2, "label": "night", "mask": "masks", "reference": torch.full((3, 4, 4), 0.5)}
    options: dict[str, Any] = {"plugins": [taking.PLUGIN], "given": given, "device": "cpu"}
    assert convert(file, source, tmp_path / "one", **options).converted == 4
    assert convert(file, source, tmp_path / "two", engine="ray", devices=2, **options).converted == 4
    for name in files(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert len(files(tmp_path / "two")) == 4
