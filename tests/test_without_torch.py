"""From a file to pixels to a file, torch is imported only where a network of torch is used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import translate
from translate import images
from translate.data import Depth, Domain
from translate.programs.array_translator import padded, resized
from translate.reshaping import padded as padded_tensor
from translate.reshaping import resized as resized_tensor

WITHOUT = "import sys; sys.modules['torch'] = None; from translate.cli import main; main(sys.argv[1:])"
"""A command in whose process every import of torch fails."""

DOMAINS = [
    Domain(1),
    Domain(3, depth="uint16"),
    Domain(3, depth="float32", low=-2.0, high=5.0),
    Domain(1, depth="uint16", low=100.0, high=4095.0, ranged=True),
    Domain(4, classes=4),
    Domain(4, classes=4, ignore=3),
    Domain(3, classes=3, palette=((0, 0, 0), (255, 0, 0), (10, 200, 30))),
    Domain(3, classes=3, palette=((0, 0, 0), (255, 0, 0), (10, 200, 30)), ignore=255),
]


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
def test_arrays_are_computed_as_tensors_are(domain: Domain) -> None:
    random = np.random.default_rng(0)
    stored: np.ndarray[Any, Any]
    if domain.classes:
        stored = random.integers(0, domain.classes, (2, 1, 9, 11)).astype(np.uint8)
        stored[0, 0, 0, 0] = stored[0, 0, 0, 0] if domain.ignore is None else domain.ignore
    elif domain.depth == "float32":
        stored = random.uniform(-2, 5, (2, domain.channels, 9, 11)).astype(np.float32)
    else:
        largest = 255 if domain.depth == "uint8" else 65535
        # Every value that a file may hold.
        stored = np.resize(np.arange(largest + 1), (2, domain.channels, 256, 129)).astype(domain.depth)
    mine, theirs = images.normalize_array(stored, domain), images.normalize(torch.from_numpy(stored), domain)
    np.testing.assert_allclose(mine, theirs.numpy(), atol=1e-6, rtol=0)
    assert mine.dtype == np.float32
    depths: list[Depth] = ["uint8", "uint16", "float32"]
    answers = random.uniform(-1.1, 1.1, (2, domain.channels, 64, 33)).astype(np.float32)
    for depth in ["uint8"] if domain.classes else depths:
        kept = images.array_to_stored(answers.copy(), domain, depth)  # type: ignore[arg-type]
        wanted = images.to_stored(torch.from_numpy(answers), domain, depth).numpy()  # type: ignore[arg-type]
        assert kept.dtype == wanted.dtype
        # A level, where a value lies between two of them.
        np.testing.assert_allclose(kept.astype(float), wanted.astype(float), atol=1e-5 if depth == "float32" else 1)
        assert np.mean(kept != wanted) < (1 if depth == "float32" else 0.002)
        back = images.array_to_stored(images.normalize_array(kept, domain.at(depth)), domain, depth)  # type: ignore[arg-type]
        if not domain.classes and depth != "float32":
            assert np.array_equal(back, kept)


def test_what_is_not_finite_warns_of_nothing() -> None:
    made = images.array_to_stored(np.full((1, 1, 2, 2), np.nan, np.float32), Domain(1), "uint8")
    assert made.dtype == np.uint8


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 4, 8]))
def test_padding_is_that_of_tensors(height: int, width: int, multiple: int) -> None:
    batch = np.random.default_rng(1).uniform(-1, 1, (1, 2, height, width)).astype(np.float32)
    assert np.array_equal(padded(batch, multiple), padded_tensor(torch.from_numpy(batch), multiple).numpy())


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_resizing_is_that_of_tensors(height: int, width: int, to: int, across: int) -> None:
    batch = np.random.default_rng(1).uniform(-1, 1, (1, 2, height, width)).astype(np.float32)
    wanted = resized_tensor(torch.from_numpy(batch), (to, across)).numpy()
    np.testing.assert_allclose(resized(batch, (to, across)), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "module",
    ["images", "conversion.converting", "conversion.pipeline", "conversion.stored_plan", "gallery", "programs"],
)
def test_the_path_from_a_file_to_a_file_imports_no_torch(module: str) -> None:
    code = f"import sys, translate.{module}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def inverting(path: Path, sides: tuple[int | str, int | str] = ("h", "w")) -> Path:
    """An ONNX file that answers 255 - x."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, shape = onnx.helper, ["n", 3, *sides]
    nodes = [
        helper.make_node("Neg", ["image"], ["negative"]),
        helper.make_node("Add", ["negative", "full"], ["sum"]),
        helper.make_node("Clip", ["sum", "zero", "full"], ["answer"]),
    ]
    float32 = onnx.TensorProto.FLOAT
    constants = [onnx.numpy_helper.from_array(np.float32(value), name) for name, value in (("full", 255), ("zero", 0))]
    ends = [helper.make_tensor_value_info(name, float32, shape) for name in ("image", "answer")]
    built = helper.make_model(
        helper.make_graph(nodes, "test", ends[:1], ends[1:], constants), opset_imports=[helper.make_opsetid("", 17)]
    )
    built.ir_version = 8
    path.write_bytes(built.SerializeToString())
    return path


def strange_images(folder: Path) -> Path:
    """A folder of images with pages, transparency, more than 8 bits, gray, one row, and a broken one."""
    folder.mkdir()
    random = np.random.default_rng(0)
    images.write(folder / "plain.png", images.Image(random.integers(0, 256, (20, 27, 3), np.uint8)))
    images.write(folder / "row.png", images.Image(random.integers(0, 256, (1, 27, 3), np.uint8)))
    images.write(folder / "gray.jpg", images.Image(random.integers(0, 256, (20, 27, 1), np.uint8)))
    images.write(folder / "deep.tiff", images.Image(random.integers(0, 65536, (20, 27, 3), np.uint16)))
    alpha = random.integers(0, 256, (20, 27), np.uint8)
    images.write(
        folder / "clear.webp", images.Image(random.integers(0, 256, (20, 27, 3), np.uint8), alpha), quality=100
    )
    import PIL.Image

    frames = [PIL.Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)) for _ in range(3)]
    frames[0].save(folder / "moving.png", save_all=True, append_images=frames[1:])
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


def without_torch(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("sides", [("h", "w"), (24, 24)], ids=["any size", "fixed size"])
def test_a_program_converts_a_folder_without_torch_as_it_does_with(
    tmp_path: Path, sides: tuple[int | str, int | str]
) -> None:
    program, source = inverting(tmp_path / "m.onnx", sides), strange_images(tmp_path / "in")
    done = without_torch(
        "convert", program, source, tmp_path / "bare", "--gallery", "--report", tmp_path / "report.json", "--batch", "4"
    )
    assert done.returncode == 1, done.stderr
    assert "broken.jpg" in done.stderr
    assert "Traceback" not in done.stderr
    results = [image["result"] for image in json.loads((tmp_path / "report.json").read_text())["images"]]
    assert sorted(results) == ["converted"] * 6 + ["failed"]
    assert (tmp_path / "bare" / "gallery.html").stat().st_size > 1000
    own = translate.convert(translate.load(program), source, tmp_path / "torch")
    assert own.converted == 6
    outputs = {path.name for path in (tmp_path / "torch").iterdir() if path.suffix not in ("", ".html")}
    assert outputs == {"plain.png", "row.png", "gray.jpg", "deep.tiff", "clear.webp", "moving.png"}
    for name in outputs:
        mine, theirs = (images.load(tmp_path / folder / name).pixels for folder in ("bare", "torch"))
        assert mine.dtype == theirs.dtype
        assert np.abs(mine.astype(int) - theirs.astype(int)).max() <= 1
    if sides == ("h", "w"):
        given = images.load(source / "plain.png").pixels
        assert np.array_equal(images.load(tmp_path / "bare" / "plain.png").pixels, 255 - given)
    # It is one translator, whichever way it computes: nothing is left to do.
    again = translate.convert(translate.load(program), source, tmp_path / "bare")
    assert (again.converted, again.kept) == (0, 6)


def test_what_was_found_out_of_a_program_is_shown(tmp_path: Path) -> None:
    program = inverting(tmp_path / "m.onnx")
    with pytest.raises(translate.errors.TranslateError, match="says nothing of itself"):
        translate.show(program)
    translate.load(program)
    shown = translate.show(program)
    assert (shown.range, shown.layout, shown.size_multiple) == ("0..255", "NCHW", 1)


def test_plans_shards_and_single_images_need_no_torch(tmp_path: Path) -> None:
    program, source = inverting(tmp_path / "m.onnx"), strange_images(tmp_path / "in")
    (source / "broken.jpg").unlink()
    planned = without_torch("convert", program, source, tmp_path / "out", "--dry-run", "--json")
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["images"] == 6
    for shard in ("1/2", "2/2"):
        assert without_torch("convert", program, source, tmp_path / "out", "--shard", shard).returncode == 0
    kept = without_torch("convert", program, source, tmp_path / "out", "--verify")
    assert "6 images are converted already" in kept.stderr
    single = without_torch(
        "convert", program, source / "plain.png", tmp_path / "one.png", "--side-by-side", "--scale", "0.5"
    )
    assert single.returncode == 0, single.stderr
    assert images.load(tmp_path / "one.png").pixels.shape[0] == 10
    several = without_torch("convert", program, source / "plain.png", tmp_path / "two.png", "--samples", "2")
    assert several.returncode == 2
    assert "draws no noise" in several.stderr
