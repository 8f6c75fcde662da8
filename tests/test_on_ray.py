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
from translate import checkpoint, images
from translate.conversion import convert
from translate.data import Domain
from translate.errors import TranslateError
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate.translator import contents

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


def same(one: Path, other: Path, count: int) -> None:
    assert len(files(one)) == len(files(other)) == count
    for name in files(one):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.usefixtures("trained")
def test_actors_are_given_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options and inputs for all, and from folders and tables, some of which lack an image."""
    file = taking.saved(tmp_path / "it.safetensors")
    source = many(tmp_path / "in", 6)
    names = [path.relative_to(source) for path in images.find(source)]
    for number, name in enumerate(names):
        size = images.read(source / name).pixels.shape[:2]
        if number != 5:
            save((tmp_path / "masks" / name).with_suffix(".png"), np.full((*size, 1), 40 * number, np.uint8))
        save((tmp_path / "references" / name).with_suffix(".png"), np.full((9, 5, 3), 30 * number, np.uint8))
    rows = [f"{name.as_posix()},{number},{number / 2}\n" for number, name in enumerate(names) if number != 4]
    (tmp_path / "text.csv").write_text("".join(rows))
    (tmp_path / "labels.csv").write_text("".join(f"{name.as_posix()},{n % 3}\n" for n, name in enumerate(names)))
    monkeypatch.chdir(tmp_path)
    alike = {"passes": 2, "label": "night", "text": "1,3", "reference": torch.full((3, 4, 4), 0.5)}
    own = {"mask": "masks", "label": "labels.csv", "reference": "references/", "text": "text.csv"}
    for number, (given, count) in enumerate([(alike, 6), (own, 4)]):
        options: dict[str, Any] = {"plugins": [taking.PLUGIN], "given": given, "device": "cpu"}
        one, two = tmp_path / f"{number}-one", tmp_path / f"{number}-two"
        alone = convert(file, source, one, **options)
        shared = convert(file, source, two, engine="ray", devices=2, **options)
        # Actors know files by their absolute names.
        first, second = (
            sorted(reason.replace(f"{tmp_path}/", "") for _, reason in done.failed) for done in (alone, shared)
        )
        assert first == second
        assert (alone.converted, len(alone.failed)) == (count, 6 - count)
        same(one, two, count)
    with pytest.raises(TranslateError, match="takes no 'lable'; did you mean label"):
        convert(file, source, tmp_path / "no", engine="ray", **{**options, "given": {"lable": 1}})


@pytest.mark.usefixtures("trained")
def test_actors_fill_what_is_transparent_and_draw_the_same_noise(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    for number in range(3):
        alpha = np.where(draws.random((16, 20)) < 0.3, 0, 255).astype(np.uint8)
        path = tmp_path / "in" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        images.write(path, images.Image(draws.integers(0, 256, (16, 20, 3), np.uint8), alpha))
    options: dict[str, Any] = {"generator": "unet(width=4, depth=2)", "gan": 0.0, "mask": "mask"}
    catalog = discover()
    parts: Any = CatalogParts(catalog, source=Domain(3), target=Domain(3), size=(16, 16))
    parts.aligned = {"mask": Domain(1)}
    torch.manual_seed(0)
    method, plugin = build_method(catalog, "pix2pix", options, parts), catalog.offer("methods", "pix2pix").plugin
    checkpoint.save(
        tmp_path / "it.safetensors", *contents(method, name="pix2pix", options=options, parts=parts, plugin=plugin)
    )
    noisy: dict[str, Any] = {"plugins": [taking.PLUGIN], "samples": 2, "seed": 5}
    for file, count, asked in (
        (tmp_path / "it.safetensors", 3, {"given": {"mask": "alpha"}}),
        (taking.saved(tmp_path / "noisy.safetensors", "noisy"), 6, noisy),
        (taking.saved(tmp_path / "drawing.safetensors", "drawing"), 6, noisy),
    ):
        one, two = tmp_path / f"{file.stem}-one", tmp_path / f"{file.stem}-two"
        convert(file, tmp_path / "in", one, device="cpu", **asked)
        convert(file, tmp_path / "in", two, device="cpu", engine="ray", devices=2, **asked)
        same(one, two, count)
