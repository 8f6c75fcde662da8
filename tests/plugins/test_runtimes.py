"""Runtimes: what they answer, against torch; what they cannot do, in a sentence."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import translate
from translate.compute.winograd import transformation_matrices
from translate.errors import TranslateError, UnfitError
from translate.libraries import openvino_core, openvino_library
from translate.plugins import discover
from translate.run import Run
from translate.runtime import MOST_SIZES, Runtime
from translate.translator import Translator
from translate_runtimes import fewer, openvino
from translate_runtimes.compiled import Compiled
from translate_runtimes.openvino import OpenVINO, exported
from translate_runtimes.quantized import Quantized, quantized, ranges

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "size": 32, "steps": 2, "batch": 2, "generator": "resnet(width=8, blocks=2)",
    "discriminator": "patch(width=4, receptive_field=16)",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return translate.fit("pix2pix", "demo(size=32, count=4)", output=tmp_path_factory.mktemp("runs") / "run", **SMALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of three sizes, and one that is broken."""
    place = tmp_path_factory.mktemp("images")
    draws = np.random.default_rng(0)
    for name, (height, width) in {"a": (32, 32), "b": (32, 32), "c": (41, 30), "d": (1, 5)}.items():
        PIL.Image.fromarray(draws.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(place / f"{name}.png")
    (place / "broken.png").write_bytes(b"no image")
    return place


def pixels(path: Path) -> np.ndarray[Any, Any]:
    with PIL.Image.open(path) as image:
        return np.asarray(image).astype(float)


def test_a_folder_comes_out_as_torch_has_it(run: Run, folder: Path, tmp_path: Path) -> None:
    translate.convert(run.folder, folder, tmp_path / "torch")
    fast = translate.convert(run.folder, folder, tmp_path / "fast", runtime="openvino")
    assert (fast.converted, [path.name for path, _ in fast.failed]) == (4, ["broken.png"])
    for name in "abcd":
        distance = np.abs(pixels(tmp_path / "fast" / f"{name}.png") - pixels(tmp_path / "torch" / f"{name}.png"))
        assert distance.max() <= 1


@pytest.mark.parametrize(("precision", "decibels"), [("bf16", 35), ("int8", 25)])
def test_fewer_bits_stay_near(run: Run, folder: Path, tmp_path: Path, precision: Any, decibels: float) -> None:
    translate.convert(run.folder, folder, tmp_path / "torch")
    result = translate.convert(run.folder, folder, tmp_path / "fast", runtime="openvino", precision=precision)
    assert result.converted == 4
    for name in "abc":
        off = pixels(tmp_path / "fast" / f"{name}.png") - pixels(tmp_path / "torch" / f"{name}.png")
        assert np.abs(off).max() > 0
        assert 20 * np.log10(255) - 10 * np.log10(np.square(off).mean()) > decibels


def test_int8_waits_for_images(run: Run) -> None:
    translator = translate.load(run.folder, runtime="openvino", precision="int8")
    assert translator.needs_calibration
    image = torch.rand(1, 3, 30, 33) * 2 - 1
    with pytest.raises(TranslateError, match="must see some images"):
        translator.translate(image)
    translator.calibrate([])
    assert translator.needs_calibration
    translator.calibrate([image])
    assert not translator.needs_calibration
    assert translator.translate(image).shape == image.shape
    plain = translate.load(run.folder)
    plain.calibrate([image])
    assert not plain.needs_calibration


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_weights_that_are_loaded_later_are_followed(run: Run, precision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[torch.Size] = []
    prepare = OpenVINO.prepare
    monkeypatch.setattr(OpenVINO, "prepare", lambda self, x: prepared.append(x.shape) or prepare(self, x))
    translator = translate.load(run.folder, runtime="openvino", precision=precision)
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    translator.calibrate([image])
    before = translator.translate(image)
    assert torch.equal(translator.translate(image), before)
    assert len(prepared) == 1
    state = {name: value * 1.5 for name, value in translator.network.state_dict().items()}
    translator.network.load_state_dict(state)
    translator.calibrate([image])
    found = translator.translate(image)
    assert len(prepared) == 2
    plain = translate.load(run.folder)
    plain.network.load_state_dict(state)
    wanted = plain.translate(image)
    assert (before - wanted).abs().mean() > 4 * (found - wanted).abs().mean()


def test_from_the_command_line(run: Run, folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "translate", "convert", str(run.folder), str(folder / "a.png")]
    done = subprocess.run(
        [*command, str(tmp_path / "a.png"), "--runtime", "openvino", "--precision", "int8"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "a.png").exists()
    wrong = subprocess.run([*command, str(tmp_path / "b.png"), "--runtime", "openvin"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "did you mean openvino?" in wrong.stderr


def test_what_cannot_be_is_told(run: Run, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match="add --runtime openvino"):
        translate.load(run.folder, precision="int8")
    with pytest.raises(TranslateError, match="compiled computes in float32 or bf16, not int8"):
        translate.load(run.folder, runtime="compiled", precision="int8")
    with pytest.raises(TranslateError, match="samples are drawn by torch alone"):
        translate.convert(run.folder, folder, tmp_path / "drawn", runtime="openvino", samples=2)
    with pytest.raises(TranslateError, match="on the CPU"):
        OpenVINO(nn.Identity(), "float32", torch.device("cuda"))


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(TranslateError, match=r"pip install 'image-translate\[openvino\]'"):
        translate.load(run.folder, runtime="openvino")


def test_nothing_is_reported_to_anyone() -> None:
    script = (
        "import socket, sys\n"
        "def refuse(*_): raise SystemExit('a connection')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "import torch\n"
        "from translate_runtimes.openvino import OpenVINO\n"
        "OpenVINO(torch.nn.Conv2d(1, 1, 1), 'float32', torch.device('cpu'))(torch.zeros(1, 1, 4, 4))\n"
        "assert sys.modules['openvino_telemetry'] is None\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_signals_arrive_after_several_networks_have_gone() -> None:
    """OpenVINO's cores change the stack on which signals are handled."""
    script = (
        "import gc, signal, subprocess\n"
        "import torch\n"
        "from translate_runtimes.openvino import OpenVINO\n"
        "heard = []\n"
        "signal.signal(signal.SIGCHLD, lambda *_: heard.append(1))\n"
        "def network():\n"
        "    found = OpenVINO(torch.nn.Conv2d(1, 1, 1), 'float32', torch.device('cpu'))\n"
        "    found(torch.zeros(1, 1, 4, 4))\n"
        "    return found\n"
        "kept = [network() for _ in range(3)]\n"
        "while kept:\n"
        "    del kept[0]\n"
        "    gc.collect()\n"
        "subprocess.run(['true'])\n"
        "assert heard\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Odd(nn.Module):
    """Computes with what no runtime knows."""

    def forward(self, x: Tensor) -> Tensor:
        """Sort the pixels by NumPy."""
        return torch.linalg.eigvals(x).real


def test_a_network_that_does_not_fit_ends_the_conversion(folder: Path, tmp_path: Path, run: Run) -> None:
    model = translate.load(run.folder)
    odd = Translator(
        Odd(), catalog=discover(), direction="forward", directions=["forward"], source=model.source,
        target=model.target, size=(32, 32), device=CPU, runtime="openvino",
    )  # fmt: skip
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    with pytest.raises(UnfitError, match="OpenVINO cannot run this network .*; leave --runtime out"):
        translate.convert(odd, folder, tmp_path / "out")
    assert (root.level, list(root.handlers)) == before


def test_wrong_answers_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = OpenVINO(nn.Conv2d(1, 1, 1), "float32", CPU)
    model = exported(runtime._library, nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 16, 16))
    monkeypatch.setattr(runtime._library, "convert_model", lambda _: model)
    with pytest.raises(UnfitError, match="off in float32"):
        runtime(torch.full((1, 1, 16, 16), 10.0))


def model_of(network: nn.Module, x: Tensor) -> Any:
    return exported(openvino_library(), network, x)


def kinds(model: Any) -> list[str]:
    return [each.get_type_name() for each in model.get_ordered_ops()]


@pytest.mark.parametrize(("precision", "off"), [("float32", 1e-5), ("bf16", 2e-2)])
@pytest.mark.parametrize("size", [(8, 12), (13, 7), (3, 3)])
@pytest.mark.parametrize("together", [1, 2000, 10**6])
def test_fewer_products_answer_the_same(
    monkeypatch: pytest.MonkeyPatch, precision: str, off: float, size: tuple[int, int], together: int
) -> None:
    tile = fewer.WORTH[precision].tile
    monkeypatch.setattr(fewer, "WORTH", {precision: fewer.Worth(tile, 4, 0)})
    monkeypatch.setattr(fewer, "TOGETHER", together)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(4, 6, 3, padding=(1, 2)), nn.ReLU(), nn.Conv2d(6, 5, 3)).eval()
    x = torch.randn(2, 4, *size)
    model = model_of(network, x)
    more = fewer.by_fewer_products(openvino_library(), model, precision)
    assert [each.shape for each in more] == [tuple(each.shape) for each in transformation_matrices(tile, x)[::2]]
    assert "Convolution" not in kinds(model)
    windows = 2 * (tile[0] + 2) * (tile[1] + 2)
    assert (kinds(model).count("Slice") >= 2 * windows) == (together < 10**6 and size[0] > 4)
    hint = {"INFERENCE_PRECISION_HINT": openvino.HINTS[precision]}
    found = openvino_core().compile_model(model, "CPU", hint)([x.numpy(), *more])[0]
    expected = network(x).detach()
    assert (torch.from_numpy(found) - expected).square().mean().sqrt() < off * expected.square().mean().sqrt()


@pytest.mark.parametrize(
    ("layer", "width", "precision"),
    [
        (nn.Conv2d(4, 4, 3, stride=2), 33, "float32"),
        (nn.Conv2d(4, 4, 3, dilation=2), 33, "float32"),
        (nn.Conv2d(4, 4, 5), 33, "float32"),
        (nn.Conv2d(4, 4, 3, groups=2), 33, "float32"),
        (nn.Conv2d(4, 3, 3), 33, "float32"),
        (nn.Conv2d(4, 4, 3), 9, "float32"),
        (nn.Conv2d(4, 4, 3), 33, "int8"),
    ],
)
def test_other_convolutions_stay(monkeypatch: pytest.MonkeyPatch, layer: nn.Module, width: int, precision: str) -> None:
    monkeypatch.setattr(fewer, "WORTH", {"float32": fewer.Worth((4, 4), 4, 4 * 7 * 8)})
    model = model_of(nn.Sequential(layer).eval(), torch.zeros(1, 4, 9, width))
    before = kinds(model)
    assert fewer.by_fewer_products(openvino_library(), model, precision) == []
    assert kinds(model) == before


def test_a_wide_network_is_run_by_fewer_products(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Conv2d(3, 128, 1), nn.ReLU(), nn.Conv2d(128, 128, 3, padding=1), nn.Conv2d(128, 3, 1))
    compiled: list[Any] = []
    real = openvino.by_fewer_products
    monkeypatch.setattr(openvino, "by_fewer_products", lambda *given: (compiled.append(given[1]), real(*given))[1])
    for side in (44, 48):
        x = torch.rand(1, 3, side, side)
        torch.testing.assert_close(OpenVINO(wide.eval(), "float32", CPU)(x), wide(x).detach(), atol=1e-5, rtol=1e-4)
    assert [kinds(model).count("Convolution") for model in compiled] == [3, 2]


def test_sizes_are_prepared_once_and_the_oldest_forgotten() -> None:
    class Counting(Runtime):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[int] = []

        def prepare(self, example: Tensor) -> Any:
            self.seen.append(example.shape[-1])
            return lambda batch: batch

    counting = Counting()
    for width in [*range(1, MOST_SIZES + 1), 1, MOST_SIZES + 1, 1, 2]:
        counting(torch.zeros(1, 1, 1, width))
    assert counting.seen == [*range(1, MOST_SIZES + 2), 2]


def test_ranges_hold_zero_and_all_that_came() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Conv2d(1, 1, 1))
    nn.init.constant_(network[0].weight, -2.0)  # type: ignore[arg-type]
    nn.init.constant_(network[0].bias, 0.0)  # type: ignore[arg-type]
    found = ranges(network, [torch.tensor([[[[0.5, 1.0]]]]), torch.tensor([[[[-1.5, 0.25]]]])])
    assert found == {"0": (-1.5, 1.0), "2": (0.0, 3.0)}


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 5, 3, padding=1), nn.ConvTranspose2d(3, 5, 4, 2, 1)])
def test_quantized_convolution_by_hand(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    x = torch.rand(1, 3, 6, 6) * 3 - 1
    network = nn.Sequential(layer)
    answer = quantized(network, ranges(network, [x]))(x)
    step = (x.max() - x.min()) / 255
    zero = torch.round(-x.min() / step)
    on_steps = (torch.clamp(torch.round(x / step + zero), 0, 255) - zero) * step
    axes = (0, 2, 3) if isinstance(layer, nn.ConvTranspose2d) else (1, 2, 3)
    scale = layer.weight.detach().abs().amax(axes, keepdim=True) / 127
    weight = torch.round(layer.weight.detach() / scale) * scale
    if isinstance(layer, nn.ConvTranspose2d):
        expected = F.conv_transpose2d(on_steps, weight, layer.bias, 2, 1)
    else:
        expected = F.conv2d(on_steps, weight, layer.bias, padding=1)
    torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-5)
    assert (on_steps - x).abs().max() <= step * 0.51
    assert type(network[0]) is type(layer)


def test_a_convolution_that_sees_nothing_stays() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 1))
    assert isinstance(quantized(network, {"0": (0.0, 0.0)})[0], nn.Conv2d)  # type: ignore[index]
    assert isinstance(quantized(network, {"0": (0.0, 1.0)})[0], Quantized)  # type: ignore[index]


def test_sizes_beyond_what_torch_keeps_are_answered_uncompiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    seen: list[nn.Module] = []
    monkeypatch.setattr(torch, "compile", lambda network, **_: (seen.append(network), network)[1])
    monkeypatch.setattr("translate_runtimes.compiled.missing_compiler", lambda device: None)
    network = nn.Conv2d(1, 1, 1)
    runtime = Compiled(network, "float32", CPU)
    for width in range(1, MOST_SIZES + 3):
        image = torch.rand(1, 1, 1, width)
        torch.testing.assert_close(runtime(image), network(image).detach())
    assert len(seen) == MOST_SIZES
