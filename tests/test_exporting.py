"""Exporting: files that answer as torch does, hold what a program must know, or are not written."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from test_catalog import CATALOG, OFFERS, small
from torch import Tensor, nn

import translate
from translate import checkpoint
from translate.data import Domain
from translate.embedded import read_facts
from translate.errors import TranslateError
from translate.exporting import comparing, formats, writing
from translate.options import parse_call
from translate.parts import CatalogParts, build, build_method
from translate.run import Run
from translate.translator import contents

SUFFIXES = (".onnx", ".pt2", ".xml")
KINDS = {".onnx": "onnx", ".pt2": "torch", ".xml": "openvino"}
NEEDED = {".onnx": ("onnx", "onnxscript", "onnxruntime"), ".pt2": (), ".xml": ("openvino",)}
LICENCE, ABOUT = "CC-BY-4.0", "Zebras of \u00d6land,\nby hand"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose network draws noise (dropout) and has a convolution of few outputs."""
    return translate.fit(
        "cyclegan", "demo(size=32, count=4)", output=tmp_path_factory.mktemp("runs") / "run", size=32, steps=2,
        generator="resnet(width=16, blocks=1, dropout=0.5)", discriminator="patch(width=4, receptive_field=16)",
        licence=LICENCE, about=ABOUT,
    )  # fmt: skip


@pytest.fixture(scope="module", params=SUFFIXES)
def exported(
    request: pytest.FixtureRequest, run: Run, tmp_path_factory: pytest.TempPathFactory
) -> translate.exporting.Export:
    """The run in each format."""
    for name in NEEDED[request.param]:
        pytest.importorskip(name)
    return translate.export(run.folder, tmp_path_factory.mktemp("exported") / f"model{request.param}")


class Computed(nn.Module):
    """A network that an exported file computes."""

    size_multiple = 4

    def __init__(self, compute: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.compute = compute

    def forward(self, image: Tensor) -> Tensor:
        return self.compute(image)


def test_a_folder_comes_out_of_the_file_as_it_comes_out_of_torch(
    run: Run, exported: translate.exporting.Export, tmp_path: Path
) -> None:
    draws = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name, (height, width) in {"a": (32, 32), "b": (41, 30), "c": (7, 150)}.items():
        PIL.Image.fromarray(draws.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(
            tmp_path / "in" / f"{name}.png"
        )
    translate.convert(run.folder, tmp_path / "in", tmp_path / "torch")
    translator = translate.load(run.folder)
    translator.network = Computed(formats.WRITERS[exported.format].open(exported.files[0]))  # type: ignore[index]
    assert translate.convert(translator, tmp_path / "in", tmp_path / "file").converted == 3
    for name in "abc":
        one, two = (
            np.asarray(PIL.Image.open(tmp_path / place / f"{name}.png")).astype(int) for place in ("torch", "file")
        )
        assert np.abs(one - two).max() <= 1


def test_a_file_says_what_it_takes_and_whose_it_is(run: Run, exported: translate.exporting.Export) -> None:
    facts = read_facts(exported.files[0])
    assert facts is not None
    assert (facts.direction, facts.size, facts.size_multiple, facts.fixed_size) == ("forward", [32, 32], 4, None)
    assert (facts.range, facts.layout, facts.method) == ("-1..1", "NCHW", "cyclegan")
    assert (facts.licence, facts.about) == (LICENCE, ABOUT)
    assert facts.domains[0].channels == 3
    assert facts.versions["torch"] == torch.__version__
    assert set(NEEDED[exported.files[0].suffix]) <= facts.versions.keys()
    assert exported.format == KINDS[exported.files[0].suffix]
    assert 0 <= exported.difference < 1e-5


def test_a_file_holds_no_paths_of_this_machine(exported: translate.exporting.Export) -> None:
    for file in exported.files:
        content = file.read_bytes()
        for word in (b"site-packages", b"translate_networks", str(Path(__file__).parents[1]).encode(), b".py"):
            assert word not in content


def test_only_the_files_are_left(exported: translate.exporting.Export) -> None:
    assert sorted(exported.files[0].parent.iterdir()) == sorted(exported.files)
    assert [file.suffix for file in exported.files] == (
        [".xml", ".bin"] if exported.format == "openvino" else [exported.files[0].suffix]
    )
    with pytest.raises(TranslateError, match=r"model\.\w+( and 1 more)? exists? already"):
        translate.export("nowhere", exported.files[0])


CAPTURED: dict[str, Any] = {}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of torch that are captured once, written in no time, and answer as the network itself."""

    def capture(network: nn.Module, source: Domain, what: str, **further: Any) -> Any:
        if what not in CAPTURED:
            CAPTURED[what] = real(network, source, what, **further)
        return CAPTURED[what]

    real = writing.capture
    monkeypatch.setattr(writing, "capture", capture)

    def write(program: Any, path: Path, facts: str, _: Any) -> None:
        path.write_text(facts)
        networks[path.name] = program.network

    networks: dict[str, nn.Module] = {}
    stands_in = formats.Writer((".pt2",), dict, write, lambda path: networks[path.name])
    monkeypatch.setattr(writing, "WRITERS", {**formats.WRITERS, "torch": stands_in})


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda image, right: right + 0.002, r"the exported network is 0\.002 off torch's output in \[-1, 1\] at 32x32, and at most 0\.001"),
        (lambda image, right: right * float("nan"), "is nan off"),
        (lambda image, right: right[..., :-1], r"answers \(1, 3, 32, 31\) at 32x32, where torch answers \(1, 3, 32, 32\)"),
        (lambda image, right: right if len(image) == 1 else right.flip(0), "off torch's output .* at 16x36"),
        (lambda image, right: right if image.shape[-2:] == (32, 32) or len(image) == 2 else -right, "at 36x16"),
        (lambda image, right: 1 / 0, "ZeroDivisionError: division by zero; try another --format"),
    ],
)  # fmt: skip
def test_a_file_that_answers_otherwise_is_not_written(
    run: Run, quick: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: Any, told: str
) -> None:
    writer = writing.WRITERS["torch"]

    def opened(path: Path) -> Any:
        network = writer.open(path)
        return lambda image: answer(image, network(image))

    wrong = formats.Writer(writer.suffixes, writer.needs, writer.write, opened)
    monkeypatch.setattr(writing, "WRITERS", {"torch": wrong})
    (tmp_path / "old.pt2").write_text("old")
    with pytest.raises(TranslateError, match=f"old.pt2 was not written: .*{told}"):
        translate.export(run.folder, tmp_path / "old.pt2", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["old.pt2"]
    assert (tmp_path / "old.pt2").read_text() == "old"


def test_a_full_disk_is_one_sentence_and_leaves_what_was_there(
    run: Run, quick: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    writer = writing.WRITERS["torch"]
    monkeypatch.setattr(writing, "WRITERS", {"torch": formats.Writer(writer.suffixes, writer.needs, full, writer.open)})
    (tmp_path / "old.pt2").write_text("old")
    with pytest.raises(TranslateError, match=r"cannot write .*old\.pt2: No space left on device"):
        translate.export(run.folder, tmp_path / "old.pt2", overwrite=True)
    assert (tmp_path / "old.pt2").read_text() == "old"
    assert len([*tmp_path.iterdir()]) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of files")
@pytest.mark.parametrize("suffix", [pytest.param(".onnx", marks=pytest.mark.compiled), ".pt2", ".xml"])
def test_a_file_that_grows_too_large_for_the_disk_is_one_sentence(run: Run, tmp_path: Path, suffix: str) -> None:
    """Torch's own writer would end the process."""
    import resource

    for name in NEEDED[suffix]:
        pytest.importorskip(name)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(
            TranslateError, match=rf"cannot write .*model\{suffix}: .*; check its permissions and the disk"
        ):
            translate.export(run.folder, tmp_path / f"model{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not [*tmp_path.iterdir()]


def test_another_direction_takes_the_other_domain_and_noise_is_told(
    run: Run, quick: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = translate.export(run.folder, tmp_path / "back.pt2", direction="backward", step=1)
    assert made.direction == "backward"
    assert made.sizes == ((32, 32), (16, 36), (36, 16))
    assert "draws noise; its deterministic output is exported" in caplog.text
    assert translate.export(run.folder, tmp_path / "back.pt2", format="torch", overwrite=True).direction == "forward"


@pytest.mark.parametrize(
    ("name", "asked", "told"),
    [
        ("model", {}, r"'model' says no format; let it end in \.onnx, \.pt2 \(torch\) or \.xml"),
        ("model.safetensors", {}, "says no format"),
        ("model.onnx", {"format": "torch"}, r"the format torch ends in \.pt2; name it .*model\.pt2"),
        ("model.pt2", {"opset": 18}, "no ONNX file; leave it out"),
        ("model.onnx", {"opset": 3}, "opset must be a whole number >= 18"),
        ("none/model.pt2", {}, "there is no folder .*none for model.pt2; make it first"),
        ("folder.pt2", {"overwrite": True}, "is a folder or a device"),
        ("model.pt2", {"direction": "forwards"}, "has no direction 'forwards'; did you mean forward"),
        ("model.pt2", {"step": 7}, "has no checkpoint of step 7"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(
    run: Run, tmp_path: Path, name: str, asked: dict[str, Any], told: str
) -> None:
    (tmp_path / "folder.pt2").mkdir()
    with pytest.raises(TranslateError, match=told):
        translate.export(run.folder, tmp_path / name, **asked)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.pt2"]


@pytest.mark.parametrize(
    ("suffix", "library"), [(".onnx", "onnxscript"), (".onnx", "onnxruntime"), (".xml", "openvino")]
)
def test_a_missing_library_is_named_before_the_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, suffix: str, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        TranslateError, match=r"an export to \w+ needs .*; install it by pip install 'image-translate\["
    ):
        translate.export("nowhere", tmp_path / f"model{suffix}")


def saved(folder: Path, method: str, size: int = 32) -> Path:
    """A translator's file of a method with its initial weights."""
    torch.manual_seed(0)
    call = parse_call(method)
    parts = CatalogParts(
        CATALOG, source=Domain(3, labels=("a", "b")), target=Domain(3, labels=("a", "b")), size=(size, size)
    )
    built = build_method(CATALOG, call.name, call.options, parts)
    for name, buffer in built.named_buffers():
        if name.endswith("refined"):
            # As after the last stage.
            buffer.fill_(True)
    plugin = CATALOG.offer("methods", call.name).plugin
    tensors, metadata = contents(built, name=call.name, options=call.options, parts=parts, plugin=plugin)
    checkpoint.save(folder / "translator.safetensors", tensors, metadata)
    return folder / "translator.safetensors"


def test_only_networks_from_images_to_images_are_exported(tmp_path: Path) -> None:
    file = saved(tmp_path, small("methods", "sgan"))
    with pytest.raises(TranslateError, match=r"keeps no network from images to images.*; it has sample, classify"):
        translate.export(file, tmp_path / "model.pt2")
    with pytest.raises(TranslateError, match="the direction 'sample' of .* is a sampler; only networks from images"):
        translate.export(file, tmp_path / "model.pt2", direction="sample")


def test_a_network_that_no_file_can_hold_is_one_sentence(tmp_path: Path) -> None:
    file = saved(tmp_path, small("methods", "pixelcnn"))
    with pytest.raises(
        TranslateError, match=r"'forward' of .* cannot be exported: pixelcnn makes each value from those before"
    ):
        translate.export(file, tmp_path / "model.pt2")


class Odd(nn.Module):
    """Does something else for each value of the image."""

    def forward(self, image: Tensor) -> Tensor:
        return image if image.sum() > 0 else -image


def test_a_network_that_depends_on_its_values_is_one_sentence() -> None:
    with pytest.raises(TranslateError, match=r"^it cannot be exported: \w+: [^\n]{10,200}$"):
        writing.capture(Odd(), Domain(3), "it")


def test_sizes_and_images_of_the_comparison() -> None:
    pairs = comparing.sizes_to_compare((2048, 8), 32, None)
    assert pairs == [(1, (512, 32)), (2, (512, 64)), (1, (544, 32))]
    classes = comparing.example(Domain(4, classes=4), 2, (8, 12))
    assert classes.shape == (2, 4, 8, 12)
    assert torch.equal(classes.sum(1), torch.full((2, 8, 12), -2.0))
    image = comparing.example(Domain(3), 1, (32, 32))
    assert -1 <= image.min() < -0.5 < 0.5 < image.max() <= 1


def test_the_command_prints_one_line_and_no_chatter(run: Run, tmp_path: Path) -> None:
    """Exporters warn, log and print, also from C++."""
    for name in NEEDED[".onnx"]:
        pytest.importorskip(name)
    command = [sys.executable, "-m", "translate", "export", str(run.folder), str(tmp_path / "model.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (
        done.stderr
        == f"{run.folder} draws noise; its deterministic output is exported, which it has without --samples\n"
    )
    said, _, rest = done.stdout.partition(", at most ")
    assert said == f"exported forward to {tmp_path / 'model.onnx'}"
    assert rest.endswith(" off torch's output at 32x32, 16x36, 36x16\n")
    assert rest.count("\n") == 1


@pytest.mark.parametrize("exported", [".onnx"], indirect=True)
def test_the_recipe_of_the_docs_gives_the_same_picture(
    run: Run, exported: translate.exporting.Export, tmp_path: Path
) -> None:
    page = (Path(__file__).parents[1] / "docs" / "conversion.md").read_text(encoding="utf-8")
    recipe = next(block for block in page.split("```python\n") if "import onnxruntime" in block).partition("```")[0]
    shutil.copy(exported.files[0], tmp_path / "model.onnx")
    draws = np.random.default_rng(1)
    PIL.Image.fromarray(draws.integers(0, 256, (30, 41, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    subprocess.run([sys.executable, "-c", recipe], cwd=tmp_path, check=True)
    translate.convert(run.folder, tmp_path / "photo.png", tmp_path / "torch.png")
    one, two = (np.asarray(PIL.Image.open(tmp_path / name)).astype(int) for name in ("translated.png", "torch.png"))
    assert one.shape == (30, 41, 3)
    assert np.abs(one - two).max() <= 1


@pytest.mark.compiled
def test_an_opset_is_written_or_refused(run: Run, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    translate.export(run.folder, tmp_path / "model.onnx", opset=18)
    model = onnx.load(tmp_path / "model.onnx")
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 18)]
    sides = [each.dim_param or each.dim_value for each in model.graph.input[0].type.tensor_type.shape.dim]
    assert sides == ["batch", 3, "4*height_by_4", "4*width_by_4"]
    with pytest.raises(
        TranslateError, match=r"the exporter writes opset \d+ where 99 is asked for; leave --opset out$"
    ):
        translate.export(run.folder, tmp_path / "other.onnx", opset=99)


GENERATORS = [name for kind, name in OFFERS if kind == "generators"]
TRANSLATING = [
    "bridge", "cut", "cyclegan", "dtn", "fastcut", "flow", "gan", "pix2pix", "pix2pixhd", "stackgan", "stargan", "unit", "vae",
    "vaegan",
]  # fmt: skip


@pytest.mark.compiled
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator(name: str, suffix: str, tmp_path: Path) -> None:
    for needed in NEEDED[suffix]:
        pytest.importorskip(needed)
    file = saved(tmp_path, f"gan(generator={small('generators', name)!r}, discriminator='patch(width=4)')", 64)
    made = translate.export(file, tmp_path / f"model{suffix}")
    assert made.difference < 1e-5


@pytest.mark.compiled
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("method", TRANSLATING)
def test_every_method(method: str, suffix: str, tmp_path: Path) -> None:
    for needed in NEEDED[suffix]:
        pytest.importorskip(needed)
    file = saved(tmp_path, small("methods", method), 64)
    made = translate.export(file, tmp_path / f"model{suffix}")
    assert made.difference < 1e-5


@pytest.mark.parametrize(
    "name",
    [
        each if each in ("small_unet", "shallow") else pytest.param(each, marks=pytest.mark.compiled)
        for each in GENERATORS
    ],
)
def test_every_generator_is_captured_for_all_its_sizes(name: str) -> None:
    """Also for sides of one multiple, of which a U-Net makes a map of one pixel."""
    torch.manual_seed(0)
    network = build(CATALOG, "generators", small("generators", name), inputs=3, outputs=3, size=(64, 64)).eval()
    program = writing.capture(network, Domain(3), name)
    module = program.captured.module()
    least = program.size_multiple * (1 if "unet" in name else 2)
    for count, size in (
        (1, (max(least, 4), max(least, 4))),
        (3, (2 * program.size_multiple * 4, 12 * program.size_multiple)),
    ):
        image = comparing.example(Domain(3), count, size)
        with torch.no_grad():
            assert (module(image) - program.network(image)).abs().max() < 1e-5
