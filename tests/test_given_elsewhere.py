"""What a network is given beside its image, where something else computes it: runtimes, parts, exports, processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import taking
import torch
from test_together import Launched
from torch import Tensor, nn

import translate
from translate import images
from translate.conversion import algorithms
from translate.data import Domain
from translate.errors import TranslateError, UnfitError
from translate.given import Ready, with_noise
from translate.options import Option
from translate.plugins import discover
from translate.runtime import Runtime
from translate.taken import Input
from translate.translator import Translator


class Convolving(nn.Module):
    """Convolutions and a normalization over an image with its mask and its noise, shifted by a class and a vector."""

    size_multiple = 2

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(7, 8, 3, padding=1)
        self.norm = nn.GroupNorm(8, 8)
        self.last = nn.Conv2d(8, 3, 3, padding=1)
        self.of_class = nn.Embedding(3, 8)
        self.of_text = nn.Linear(2, 8)

    def forward(
        self,
        image: Tensor,
        *,
        passes: Annotated[int, Option("how often", ge=1)] = 1,
        label: Annotated[Tensor | None, Input("class", of="target")] = None,
        reference: Annotated[Tensor | None, Input("image", of="target")] = None,
        mask: Annotated[Tensor | None, Input("aligned")] = None,
        text: Annotated[Tensor | None, Input("vector")] = None,
        noise: Annotated[Tensor, Input("noise")],
    ) -> Tensor:
        if mask is None:
            mask = torch.zeros_like(image[:, :1])
        for _ in range(passes):
            x = self.norm(self.first(torch.cat([image, mask, noise], 1)))
            if label is not None:
                x = x + self.of_class(label)[:, :, None, None]
            if text is not None:
                x = x + self.of_text(text)[:, :, None, None]
            if reference is not None:
                x = x * (1 + reference.mean((1, 2, 3), keepdim=True))
            image = torch.tanh(self.last(torch.relu(x)))
        return image


def made(network: nn.Module, **options: Any) -> Translator:
    target = Domain(3, labels=taking.LABELS)
    return Translator(
        network, catalog=discover(), direction="forward", directions=("forward",), source=Domain(3), target=target,
        size=(16, 16), device=torch.device("cpu"), **options,
    )  # fmt: skip


def batch(count: int = 2, height: int = 22, width: int = 31) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


GIVEN: list[dict[str, Any]] = [
    {"passes": 2},
    {"label": [0, 2], "mask": torch.ones(2, 1, 22, 31), "text": [0.5, -1.0]},
    {"reference": torch.full((3, 9, 9), 0.5), "label": "night", "passes": 3},
]


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("runtime", ["openvino", pytest.param("compiled", marks=pytest.mark.compiled)])
def test_runtimes_answer_as_torch_does(runtime: str) -> None:
    network = Convolving()
    plain, other = made(network), made(network, runtime=runtime)
    for given in GIVEN:
        wanted = plain.translate(batch(), given=given, seed=4)
        assert torch.allclose(other.translate(batch(), given=given, seed=4), wanted, atol=1e-3), given
        assert torch.equal(other.translate(batch(), given=given, seed=4), other.translate(batch(), given=given, seed=4))
    # Other options are not what was prepared for these.
    assert not torch.allclose(other.translate(batch(), given={"passes": 2}), other.translate(batch()), atol=1e-2)
    samples = other.translate(batch(), samples=2, seed=4)
    assert torch.allclose(samples, plain.translate(batch(), samples=2, seed=4), atol=1e-3)


def test_what_a_runtime_cannot_take_is_refused() -> None:
    class Old(Runtime):
        def __init__(self, network: nn.Module, precision: str, device: torch.device) -> None:
            super().__init__()
            self.network = network

        def prepare(self, example: Tensor) -> Callable[[Tensor], Tensor]:  # type: ignore[override]
            return self.network

    assert not Old(nn.Identity(), "float32", torch.device("cpu")).takes_inputs
    catalog = discover()
    offer = catalog.offer("runtimes", "openvino")
    taken = taking.Taking()
    old = made(taken, runtime="openvino")
    old.inference._runtimes[""].runtime.__class__ = type("Old", (Old,), {})  # type: ignore[attr-defined]
    assert offer.load() is not Old
    with pytest.raises(UnfitError, match="the runtime openvino takes images alone, and this translator is given label"):
        old.translate(batch(), given={"label": 1})
    assert torch.allclose(
        made(taken, runtime="openvino").translate(batch(), given={"passes": 2}), batch() / 2, atol=1e-5
    )
    with pytest.raises(UnfitError, match="the noise of this translator is drawn by torch alone; leave out --runtime"):
        made(taking.Drawing(), runtime="openvino").translate(batch())
    with pytest.raises(UnfitError, match="int8 is calibrated on images alone, and this translator is given label"):
        made(taken, runtime="openvino", precision="int8").translate(batch(), given={"label": 1})


def test_int8_is_calibrated_for_its_options(tmp_path: Path) -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, image: Tensor, *, gain: Annotated[float, Option("a gain")] = 1.0) -> Tensor:
            return torch.tanh(self.conv(image) * gain)

    network = Plain()
    int8, plain = made(network, runtime="openvino", precision="int8"), made(network)
    folder(tmp_path / "in")
    for gain in (1.0, 0.25):
        out = tmp_path / str(gain)
        assert translate.convert(int8, tmp_path / "in", out, given={"gain": gain}).converted == 3
        translate.convert(plain, tmp_path / "in", tmp_path / f"plain-{gain}", given={"gain": gain})
        found, wanted = (images.read(place / "0.png").pixels.astype(int) for place in (out, tmp_path / f"plain-{gain}"))
        assert np.abs(found - wanted).max() < 12


def folder(root: Path, count: int = 3, size: tuple[int, int] = (64, 48)) -> None:
    generator = np.random.default_rng(0)
    for number in range(count):
        root.mkdir(parents=True, exist_ok=True)
        images.write(root / f"{number}.png", images.Image(generator.integers(0, 256, (*size, 3), np.uint8)))


def masks(root: Path, count: int = 3, size: tuple[int, int] = (64, 48)) -> None:
    generator = np.random.default_rng(1)
    for number in range(count):
        root.mkdir(parents=True, exist_ok=True)
        images.write(root / f"{number}.png", images.Image(generator.integers(0, 256, (*size, 1), np.uint8)))


@pytest.mark.parametrize("algorithm", ["strips", "passes"])
def test_large_images_are_cut_with_what_they_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    translator = made(Convolving())
    folder(tmp_path / "in")
    masks(tmp_path / "masks")
    (tmp_path / "labels.csv").write_text("0,day\n1,night\n2,dusk\n")
    given = {"mask": tmp_path / "masks", "label": tmp_path / "labels.csv", "text": "0.3,0.6", "passes": 2}
    if algorithm == "strips":
        # Passes take the mean of a reference for a statistic of the image, and refuse the network.
        given |= {"reference": tmp_path / "in" / "0.png"}
    translate.convert(translator, tmp_path / "in", tmp_path / "whole", given=given, seed=5)
    used: list[str] = []
    from translate.large import InParts

    own = InParts.translate

    def noted(self: InParts, picture: Any, how: Any, *before: Any) -> None:
        used.append(how)
        own(self, picture, how, *before)

    monkeypatch.setattr(InParts, "translate", noted)
    monkeypatch.setitem(algorithms.WHOLE_BYTES, "cpu", 1)
    if algorithm == "passes":
        monkeypatch.setattr(InParts, "_try_strips", refuse)
        monkeypatch.setattr("translate.large.TILE_BYTES", 2**20)
    done = translate.convert(translator, tmp_path / "in", tmp_path / "parts", given=given, seed=5)
    assert done.converted == 3
    assert used == [algorithm] * 3
    for number in range(3):
        whole, parts = (
            images.read(tmp_path / each / f"{number}.png").pixels.astype(int) for each in ("whole", "parts")
        )
        assert np.abs(whole - parts).max() <= 1
    other = images.read(tmp_path / "parts" / "1.png").pixels.astype(int)
    translate.convert(translator, tmp_path / "in" / "1.png", tmp_path / "1.png", given={**given, "label": 0}, seed=5)
    assert np.abs(images.read(tmp_path / "1.png").pixels.astype(int) - other).max() > 3


def refuse(*_: object) -> None:
    raise TranslateError("no")


def test_noise_inside_is_never_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(algorithms.WHOLE_BYTES, "cpu", 1)
    assert made(taking.Drawing()).in_parts is None
    folder(tmp_path / "in", 1)
    assert translate.convert(made(taking.Drawing()), tmp_path / "in", tmp_path / "out").converted == 1


class Coloured(nn.Module):
    """An image through a convolution and a normalization, shifted by three numbers that are drawn for it."""

    noise = (3,)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.GroupNorm(8, 8)
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def forward(
        self,
        image: Tensor,
        *,
        share: Annotated[float, Option("of the colour", ge=0)] = 0.3,
        colour: Annotated[Tensor, Input("latent", help="what is added")],
    ) -> Tensor:
        x = self.last(torch.relu(self.norm(self.first(image))))
        return torch.tanh(x + share * colour[:, :, None, None])


def test_latents_depend_on_seed_and_sample_alone() -> None:
    translator = made(Coloured())
    x, seeds = batch(8), list(range(8))
    before = torch.get_rng_state()
    whole = translator.translate(x, samples=3, seed=seeds)
    rows = [translator.translate(x[row : row + 1], samples=3, seed=row) for row in seeds]
    assert torch.allclose(whole, torch.cat(rows), atol=1e-5)
    assert torch.allclose(translator.translate(x, seed=seeds), whole.view(8, 3, *x.shape[1:])[:, 0], atol=1e-5)
    assert not torch.allclose(whole[0], whole[1], atol=1e-2)
    assert not torch.allclose(whole[1], whole[2], atol=1e-2)
    # One of a larger image is the same; what is given is not drawn.
    plain = translator.translate(x[:1], given={"share": 0})
    drawn = (torch.atanh(translator.translate(x[:1], seed=5)) - torch.atanh(plain)).mean((2, 3)) / 0.3
    wide = batch(1, 40, 31)
    other = torch.atanh(translator.translate(wide, seed=5)) - torch.atanh(
        translator.translate(wide, given={"share": 0})
    )
    assert torch.allclose(other.mean((2, 3)) / 0.3, drawn, atol=1e-3)
    given = translator.translate(x[:1], given={"colour": [0.0, 0.0, 0.0]})
    assert torch.allclose(given, plain, atol=1e-6)
    many = torch.stack(
        [with_noise(x[:1], Ready(), translator.taken, [seed], None)[1].tensors["colour"] for seed in range(2000)]
    )
    assert abs(float(many.mean())) < 0.05
    assert abs(float(many.std()) - 1) < 0.05
    assert abs(float(torch.corrcoef(many[:, 0].T)[0, 1])) < 0.08
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(TranslateError, match="colour has 2 numbers, and 3 are needed"):
        translator.translate(x, given={"colour": [0.0, 0.0]})


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("runtime", ["openvino", pytest.param("compiled", marks=pytest.mark.compiled)])
def test_runtimes_take_latents(runtime: str) -> None:
    network = Coloured()
    plain, other = made(network), made(network, runtime=runtime)
    for samples in (None, 2):
        wanted = plain.translate(batch(), samples=samples, seed=[3, 4])
        assert torch.allclose(other.translate(batch(), samples=samples, seed=[3, 4]), wanted, atol=1e-3)


@pytest.mark.parametrize("algorithm", ["strips", "passes"])
def test_all_parts_of_a_large_image_have_one_latent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    translator = made(Coloured())
    folder(tmp_path / "in")
    translate.convert(translator, tmp_path / "in", tmp_path / "whole", seed=5)
    monkeypatch.setitem(algorithms.WHOLE_BYTES, "cpu", 1)
    if algorithm == "passes":
        monkeypatch.setattr("translate.large.InParts._try_strips", refuse)
        monkeypatch.setattr("translate.large.TILE_BYTES", 2**20)
    assert translate.convert(translator, tmp_path / "in", tmp_path / "parts", seed=5).converted == 3
    pixels = [
        [images.read(tmp_path / each / f"{number}.png").pixels.astype(int) for number in range(3)]
        for each in ("whole", "parts")
    ]
    for whole, parts in zip(*pixels, strict=True):
        assert np.abs(whole - parts).max() <= 1
    # Each image has its own.
    means = [whole.mean((0, 1)) for whole in pixels[0]]
    assert np.abs(means[0] - means[1]).max() > 5


def file_of(tmp_path: Path, network: str = "taking") -> Path:
    return taking.saved(tmp_path / f"{network}.safetensors", network)


def export(file: Path, target: Path, **options: Any) -> Any:
    for name in {".onnx": ("onnx", "onnxscript", "onnxruntime"), ".xml": ("openvino",)}.get(target.suffix, ()):
        pytest.importorskip(name)
    return translate.export(file, target, plugins=[taking.PLUGIN], **options)


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".xml"])
def test_exports_take_inputs_and_hold_options(tmp_path: Path, suffix: str) -> None:
    file, target = file_of(tmp_path), tmp_path / f"it{suffix}"
    done = export(file, target, given={"passes": 3}, inputs=["label", "mask", "reference", "text"])
    assert done.difference < 1e-4
    found = translate.show(target)
    assert list(found.takes["forward"]["inputs"]) == ["label", "reference", "mask", "text"]
    assert found.fixed == {"passes": 3}
    assert "passes=3" in "\n".join(found.lines())
    if suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
        x = batch(2, 8, 12).numpy()
        fed = {
            "image": x, "label": np.array([0, 2]), "reference": np.full((2, 3, 16, 16), 0.5, np.float32),
            "mask": np.ones((2, 1, 8, 12), np.float32), "text": np.array([[1, 3], [0, 0]], np.float32),
        }  # fmt: skip
        (answer,) = session.run(["translation"], fed)
        shift = np.array([0.05 + 0.2, 0.2 + 0.05], np.float32).reshape(2, 1, 1, 1)
        assert np.allclose(answer, x / 4 + shift, atol=1e-5)


def same_within_a_level(one: Path, other: Path) -> bool:
    names = {path.name for path in images.find(one)}
    assert names == {path.name for path in images.find(other)}
    assert names
    pairs = [(images.read(one / name).pixels, images.read(other / name).pixels) for name in names]
    return all(a.shape == b.shape and np.abs(a.astype(int) - b.astype(int)).max() <= 1 for a, b in pairs)


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_exported_files_are_converted_with_what_they_take(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("onnxruntime" if suffix == ".onnx" else "openvino")
    file, target = file_of(tmp_path), tmp_path / f"it{suffix}"
    export(file, target, given={"passes": 2}, inputs=["label", "mask", "text"])
    folder(tmp_path / "in", 4)
    masks(tmp_path / "masks", 4)
    (tmp_path / "labels.csv").write_text("".join(f"{number},{taking.LABELS[number % 3]}\n" for number in range(4)))
    given: dict[str, Any] = {"mask": tmp_path / "masks", "label": tmp_path / "labels.csv", "text": "1,3"}
    own: dict[str, Any] = {"device": "cpu", "plugins": [taking.PLUGIN]}
    translate.convert(file, tmp_path / "in", tmp_path / "torch", given={**given, "passes": 2}, **own)
    for name, batch_size in (("one", 1), ("eight", 8)):
        done = translate.convert(target, tmp_path / "in", tmp_path / name, given=given, batch=batch_size)
        assert (done.converted, done.failed) == (4, ())
        assert same_within_a_level(tmp_path / "torch", tmp_path / name)
    loaded, wanted = translate.load(target), translate.load(file, **own)
    x, mine = batch(2, 13, 10), {"mask": torch.ones(2, 1, 13, 10), "label": [0, 2], "text": [1.0, 3.0]}
    assert torch.allclose(loaded.translate(x, given=mine), wanted.translate(x, given={**mine, "passes": 2}), atol=1e-4)
    for refused, sentence in [
        (
            {"mask": tmp_path / "masks", "text": "1,3"},
            "needs label, a class of the target: day, night, dusk; give it with",
        ),
        ({**given, "passes": 3}, "holds the option passes as it was exported; leave it out"),
        ({**given, "lable": 1}, "takes no 'lable'; did you mean label"),
        ({**given, "label": "dawn"}, "label is a class, and none is called 'dawn'"),
        ({**given, "text": "1,2,3"}, "text has 3 numbers, and 2 are needed"),
    ]:
        with pytest.raises(TranslateError, match=sentence):
            translate.convert(target, tmp_path / "in", tmp_path / "no", given=refused)
    assert not list((tmp_path / "no").glob("*.png"))


def test_an_exported_file_draws_the_noise_of_its_network(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    file, target = file_of(tmp_path, "noisy"), tmp_path / "it.onnx"
    export(file, target)
    folder(tmp_path / "in", 3)
    own: dict[str, Any] = {"device": "cpu", "plugins": [taking.PLUGIN]}
    for name, options in {"plain": {"seed": 3}, "samples": {"seed": 3, "samples": 2}}.items():
        translate.convert(file, tmp_path / "in", tmp_path / f"torch-{name}", **options, **own)
        translate.convert(target, tmp_path / "in", tmp_path / f"onnx-{name}", **options)
        assert same_within_a_level(tmp_path / f"torch-{name}", tmp_path / f"onnx-{name}")


def test_a_file_that_takes_other_than_it_says_is_one_sentence(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    file, target = file_of(tmp_path), tmp_path / "it.onnx"
    export(file, target, inputs=["label", "text"])
    model = onnx.load(str(target))
    (entry,) = [each for each in model.metadata_props if each.key == "translate"]
    told = entry.value
    for old, new, sentence in [
        ('"label": {', '"lable": {', "says that it takes lable, .* and has no such input; export it again"),
        ('"kind": "class"', '"kind": "vector"', r"says that it takes label, .* and has tensor\(int64\) of the shape"),
        ('"length": 2', '"length": 3', "says that it takes text, a vector of the text of 3 numbers, and has"),
    ]:
        assert old in told
        entry.value = told.replace(old, new)
        onnx.save(model, str(tmp_path / "other.onnx"))
        with pytest.raises(TranslateError, match=sentence):
            translate.load(tmp_path / "other.onnx")


def test_an_export_without_inputs_says_what_it_leaves_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    export(file_of(tmp_path), tmp_path / "it.pt2", given={"kind": "invert"})
    assert "without the inputs label, reference, mask, text; --with NAME exports one" in caplog.text
    assert translate.show(tmp_path / "it.pt2").takes == {}
    export(file_of(tmp_path, "noisy"), tmp_path / "noisy.pt2")
    assert list(translate.show(tmp_path / "noisy.pt2").takes["forward"]["inputs"]) == ["noise"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"given": {"pases": 1}}, "takes no 'pases'; did you mean passes"),
        ({"given": {"passes": 0}}, "passes must be a whole number >= 1"),
        ({"given": {"label": 1}}, "label is an input of the network; let the file take it by --with label"),
        ({"inputs": ["passes"]}, "passes is an option of the network; fix it with --set passes=VALUE"),
        ({"inputs": ["lable"]}, "takes no 'lable'; did you mean label"),
    ],
)
def test_wrong_exports_are_one_sentence(tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TranslateError, match=sentence):
        export(file_of(tmp_path), tmp_path / "it.pt2", **options)
    assert not (tmp_path / "it.pt2").exists()


def test_noise_inside_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match="draws noise in every pass, so a file would answer otherwise each time"):
        export(file_of(tmp_path, "drawing"), tmp_path / "it.pt2")


def test_a_program_takes_an_image_alone(tmp_path: Path) -> None:
    target = tmp_path / "it.onnx"
    export(file_of(tmp_path), target)
    folder(tmp_path / "in", 1)
    with pytest.raises(TranslateError, match="takes an image alone, so it cannot be given 'passes'"):
        translate.convert(target, tmp_path / "in", tmp_path / "out", given={"passes": 2})


def test_several_devices_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launched = Launched()
    monkeypatch.setattr("translate.conversion.together.launch", launched)
    file = file_of(tmp_path)
    folder(tmp_path / "in", 4)
    masks(tmp_path / "masks", 4)
    given = {"passes": 2, "label": "night", "mask": str(tmp_path / "masks"), "text": "1,3"}
    options: dict[str, Any] = {"given": given, "plugins": [taking.PLUGIN], "device": "cpu"}
    assert translate.convert(file, tmp_path / "in", tmp_path / "one", **options).converted == 4
    assert translate.convert(file, tmp_path / "in", tmp_path / "two", devices=2, **options).converted == 4
    for path in images.find(tmp_path / "one"):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert {"--set=passes=2", "--with=label=night", f"--with=mask={tmp_path / 'masks'}"} <= set(launched.calls[0][0])
    options["given"] = {"mask": np.zeros((64, 48), np.uint8)}
    with pytest.raises(TranslateError, match="mask is given as ndarray, which cannot be handed to other processes"):
        translate.convert(file, tmp_path / "in", tmp_path / "no", devices=2, **options)
