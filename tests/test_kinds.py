"""Each kind of option and input by itself, in every way by which images are computed: all agree, or one sentence."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import taking
import torch
from test_given_elsewhere import Convolving, folder, made, masks
from test_together import Launched
from torch import Tensor

import translate
from translate import images
from translate.conversion import algorithms
from translate.saved import load_sampler

KINDS = ("option", "class", "image", "aligned", "vector", "noise")
COUNT = 8


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What a conversion is given of each kind, with a value of its own for each image."""
    root = tmp_path_factory.mktemp("kinds")
    folder(root / "in", COUNT, (24, 20))
    folder(root / "references", COUNT, (16, 16))
    masks(root / "masks", COUNT, (24, 20))
    labels = "".join(f"{number},{taking.LABELS[number % 3]}\n" for number in range(COUNT))
    (root / "labels.csv").write_text(labels)
    (root / "text.csv").write_text("".join(f"{number},{number / 4},{-number / 2}\n" for number in range(COUNT)))
    return {
        "in": {"path": root / "in"},
        "option": {"passes": 3},
        "class": {"label": str(root / "labels.csv")},
        "image": {"reference": str(root / "references")},
        "aligned": {"mask": str(root / "masks")},
        "vector": {"text": str(root / "text.csv")},
        "noise": {},
    }


def outputs(folder: Path) -> dict[str, Any]:
    return {path.name: images.read(path).pixels.astype(int) for path in images.find(folder)}


def alike(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether all images are the same but for rounding."""
    assert len(wanted) == COUNT
    return found.keys() == wanted.keys() and all(np.abs(found[name] - wanted[name]).max() <= 1 for name in wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_all_ways_agree(
    given: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    network, source = Convolving(), given["in"]["path"]
    options: dict[str, Any] = {"given": given[kind], "seed": 5}
    translator = made(network)
    translate.convert(translator, source, tmp_path / "one", batch=1, **options)
    wanted = outputs(tmp_path / "one")
    # It says something: without it, or with another seed, the images are others.
    translate.convert(translator, source, tmp_path / "without", batch=1, seed=5 if given[kind] else 6)
    assert not alike(outputs(tmp_path / "without"), wanted)
    translate.convert(translator, source, tmp_path / "eight", batch=8, **options)
    assert alike(outputs(tmp_path / "eight"), wanted)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 4)
        patch.setattr(torch, "set_num_threads", lambda _: None)
        translate.convert(translator, source, tmp_path / "lanes", workers=4, **options)
    assert alike(outputs(tmp_path / "lanes"), wanted)
    with monkeypatch.context() as patch:
        patch.setitem(algorithms.WHOLE_BYTES, "cpu", 1)
        translate.convert(translator, source, tmp_path / "parts", **options)
    assert alike(outputs(tmp_path / "parts"), wanted)
    translate.convert(made(network, runtime="openvino"), source, tmp_path / "openvino", **options)
    assert alike(outputs(tmp_path / "openvino"), wanted)


ROWS: dict[str, Any] = {
    "option": {"passes": 2},
    "class": {"label": [0, 1, 2, 0, 1, 2, 0, 1]},
    "image": {"reference": torch.linspace(-1, 1, COUNT * 3 * 256).view(COUNT, 3, 16, 16)},
    "aligned": {"mask": torch.linspace(-1, 1, COUNT * 99).view(COUNT, 1, 9, 11)},
    "vector": {"text": torch.linspace(-1, 1, COUNT * 2).view(COUNT, 2)},
    "noise": {},
}


@pytest.mark.parametrize("kind", KINDS)
def test_threads_and_batches_answer_as_one_image_alone(kind: str) -> None:
    translator = made(Convolving())
    batch = torch.rand(COUNT, 3, 9, 11, generator=torch.Generator().manual_seed(0)) * 2 - 1
    seeds = list(range(COUNT))
    before = torch.get_rng_state()

    def alone(row: int) -> Tensor:
        own = {name: value if name == "passes" else value[row : row + 1] for name, value in ROWS[kind].items()}
        return translator.translate(batch[row : row + 1], given=own, seed=row)

    wanted = torch.cat([alone(row) for row in range(COUNT)])
    assert torch.allclose(translator.translate(batch, given=ROWS[kind], seed=seeds), wanted, atol=1e-5)
    with ThreadPoolExecutor(4) as pool:
        assert torch.equal(torch.cat(list(pool.map(alone, range(COUNT)))), wanted)
    assert torch.equal(torch.get_rng_state(), before)


def test_two_devices_answer_as_one(
    given: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("translate.conversion.together.launch", Launched())
    files = {name: taking.saved(tmp_path / f"{name}.safetensors", name) for name in ("taking", "noisy")}
    for kind in ("image", "noise"):  # the others have a test of their own
        file = files["noisy" if kind == "noise" else "taking"]
        options: dict[str, Any] = {"given": given[kind], "plugins": [taking.PLUGIN], "device": "cpu", "seed": 5}
        for devices in (1, 2):
            translate.convert(file, given["in"]["path"], tmp_path / f"{kind}-{devices}", devices=devices, **options)
        assert alike(outputs(tmp_path / f"{kind}-2"), outputs(tmp_path / f"{kind}-1")), kind


def test_a_sampler_s_image_depends_on_seed_number_and_row_alone(tmp_path: Path) -> None:
    file = taking.saved(tmp_path / "it.safetensors")
    sampler = load_sampler(file, plugins=[taking.PLUGIN], device="cpu")
    rows = {"label": ROWS["class"]["label"], "text": ROWS["vector"]["text"], "power": 2}
    whole = sampler.draw(range(COUNT), 3, given=rows)
    for at_once in (1, 3):
        assert torch.allclose(sampler.draw(range(COUNT), 3, given=rows, at_once=at_once), whole, atol=1e-6)
    # In another order, and alone.
    assert torch.allclose(sampler.draw([6, 1], 3, given=rows), whole[[6, 1]], atol=1e-6)
    assert not torch.allclose(sampler.draw(range(COUNT), 4, given=rows), whole)
    np.save(tmp_path / "text.npy", rows["text"].numpy())
    options: dict[str, Any] = {"plugins": [taking.PLUGIN], "device": "cpu", "seed": 3}
    table = {"text": str(tmp_path / "text.npy"), "label": "night"}
    made_of_table = translate.sample(file, tmp_path / "table", given=table, **options)
    assert len(made_of_table) == COUNT
    fewer = translate.sample(file, tmp_path / "fewer", given=table, count=2, **options)
    assert [path.read_bytes() for path in fewer] == [path.read_bytes() for path in made_of_table[:2]]
    one = sampler.draw([5], 3, given={"label": 1, "text": rows["text"].numpy()})
    assert np.abs(images.read(made_of_table[5]).pixels.astype(int) - int((float(one.mean()) + 1) * 127.5)).max() <= 1
