"""ONNX files: opened, found out and converted with; and what is refused. Built here, or the two shared networks."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reference_generators import resnet, seeded

import translate
from translate import images
from translate.cli import main
from translate.data import Domain
from translate.errors import TranslateError, UnfitError
from translate.exported import Facts
from translate.programs.protobuf import WireError, fields

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402 - it may be missing

DATA = Path(__file__).parents[2] / "shared" / "data" / "generators"
IMAGE = ("n", 3, "h", "w")


def model(
    *steps: tuple[str, dict[str, Any]],
    shape: Sequence[Any] = IMAGE,
    to: Sequence[Any] | None = None,
    kind: int = TensorProto.FLOAT,
    constants: dict[str, Any] | None = None,
    more: Sequence[str] = (),
) -> Any:
    """A model of steps in a row, each an operation with attributes; ``inputs`` among them are further inputs."""
    nodes, name = [], "image"
    for number, (operation, attributes) in enumerate(steps):
        others = attributes.pop("inputs", [])
        made = f"x{number}"
        nodes.append(helper.make_node(operation, [name, *others], [made], **attributes))
        name = made
    tensors = [numpy_helper.from_array(np.asarray(value), key) for key, value in (constants or {}).items()]
    given = [helper.make_tensor_value_info("image", kind, list(shape))]
    given += [helper.make_tensor_value_info(each, TensorProto.FLOAT, [1]) for each in more]
    out = [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(to or shape))]
    graph = helper.make_graph(nodes, "test", given, out, tensors)
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("odd", 1)])
    built.ir_version = 8
    return built


def halves(x: float = 0.5) -> dict[str, Any]:
    return {"half": np.float32(x), "one": np.float32(1), "zero": np.float32(0), "full": np.float32(255)}


def inverting() -> Any:
    """1 - x: in range for 0..1 alone."""
    return model(("Neg", {}), ("Add", {"inputs": ["one"]}), constants=halves())


def put(built: Any, path: Path) -> Path:
    path.write_bytes(built if isinstance(built, bytes) else built.SerializeToString())
    return path


def picture(path: Path, size: tuple[int, int] = (20, 27), channels: int = 3) -> np.ndarray:
    pixels = np.random.default_rng(3).integers(0, 256, (*size, channels), dtype=np.uint8)
    images.write(path, images.Image(pixels))
    return pixels


def test_a_folder_is_converted_and_what_was_taken_is_told_and_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = put(inverting(), tmp_path / "model.onnx")
    (tmp_path / "in").mkdir()
    pixels = picture(tmp_path / "in" / "a.png")
    result = translate.convert(path, tmp_path / "in", tmp_path / "out")
    assert result.converted == 1
    np.testing.assert_allclose(images.load(tmp_path / "out" / "a.png").pixels, 255 - pixels, atol=1)
    assert caplog.messages == [
        f"{path}: took it for 3 -> 3 channels, NCHW, any sides, range 0..1 (the only one whose answers stay in it); "
        "noted in model.onnx.json, where it can be changed"
    ]
    noted = (tmp_path / "model.onnx.json").read_text()
    assert Facts.from_json(noted).range == "0..1"
    caplog.clear()
    translate.load(path)
    assert not caplog.messages
    assert (tmp_path / "model.onnx.json").read_text() == noted
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in", "model.onnx", "model.onnx.json", "out"]


@pytest.mark.parametrize(
    ("built", "facts", "answer"),
    [
        (lambda: model(("Tanh", {})), ("-1..1", "NCHW", 1, None), lambda x: np.tanh(x)),
        (lambda: model(("Sigmoid", {}), ("Identity", {})), ("0..1", "NCHW", 1, None), lambda x: 2 / (1 + np.exp(-(x + 1) / 2)) - 1),
        (
            lambda: model(("Neg", {}), ("Add", {"inputs": ["full"]}), ("Clip", {"inputs": ["zero", "full"]}), constants=halves()),
            ("0..255", "NCHW", 1, None),
            lambda x: -x,
        ),
        (lambda: model(("Tanh", {}), shape=("n", "h", "w", 3)), ("-1..1", "NHWC", 1, None), np.tanh),
        (lambda: model(("Tanh", {}), shape=(1, 3, 24, 40)), ("-1..1", "NCHW", 1, [24, 40]), None),
        (
            lambda: model(("AveragePool", {"kernel_shape": [4, 4], "strides": [4, 4]}),
                          ("Resize", {"inputs": ["", "scales"], "mode": "nearest"}), ("Tanh", {}),
                          constants={"scales": np.array([1, 1, 4, 4], np.float32)}),
            ("-1..1", "NCHW", 4, None),
            None,
        ),
    ],
    ids=["tanh", "sigmoid", "clip", "nhwc", "fixed", "multiple"],
)  # fmt: skip
def test_what_a_file_takes_is_found_out(
    built: Callable[[], Any], facts: tuple[Any, ...], answer: Callable[[Any], Any] | None, tmp_path: Path
) -> None:
    translator = translate.load(put(built(), tmp_path / "m.onnx"))
    found = Facts.from_json((tmp_path / "m.onnx.json").read_text())
    assert (found.range, found.layout, found.size_multiple, found.fixed_size) == facts
    x = torch.rand(2, 3, 21, 30) * 2 - 1
    made = translator.translate(x)
    assert made.shape == x.shape
    if answer is not None:
        np.testing.assert_allclose(made.numpy(), answer(x.numpy()), atol=1e-4)


def test_bytes_go_in_where_a_file_takes_them(tmp_path: Path) -> None:
    built = model(("Cast", {"to": TensorProto.FLOAT}), ("Neg", {}), ("Add", {"inputs": ["full"]}),
                  shape=("n", "h", "w", 3), kind=TensorProto.UINT8, constants=halves())  # fmt: skip
    translator = translate.load(put(built, tmp_path / "m.onnx"))
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    np.testing.assert_array_equal(translator(pixels), 255 - pixels)


@pytest.mark.parametrize(
    ("last", "range_", "level"),
    [("Tanh", "-1..1", 225), ("Sigmoid", "0..1", 186), ("Sin", "-1..1", 235), ("Div", None, 0)],
)
def test_what_takes_bytes_may_answer_in_another_range(
    last: str, range_: str | None, level: int, tmp_path: Path
) -> None:
    scale = {"scale": np.float32(1 / 64), "middle": np.float32(64)}
    built = model(("Cast", {"to": TensorProto.FLOAT}), ("Sub", {"inputs": ["middle"]}), ("Mul", {"inputs": ["scale"]}),
                  (last, {}), kind=TensorProto.UINT8, constants=scale)  # fmt: skip
    if last == "Div":  # between 0 and 1, which lies in -1 to 1 as well
        built = model(("Cast", {"to": TensorProto.FLOAT}), ("Div", {"inputs": ["full"]}),
                      kind=TensorProto.UINT8, constants=halves())  # fmt: skip
    path = put(built, tmp_path / "m.onnx")
    if range_ is None:
        with pytest.raises(TranslateError, match=r"give --range 0\.\.255,-1\.\.1, 0\.\.255,0\.\.1 or 0\.\.255$"):
            translate.load(path)
        return
    made = translate.load(path)(np.full((16, 16, 3), 128, np.uint8))
    assert abs(int(made[0, 0, 0]) - level) <= 1
    found = Facts.from_json((tmp_path / "m.onnx.json").read_text())
    assert (found.range, found.output_range) == ("0..255", range_)


def test_an_image_among_the_outputs_comes_before_a_number(tmp_path: Path) -> None:
    built = model(("Tanh", {}))
    built.graph.node.append(helper.make_node("ReduceMean", ["image"], ["score"], keepdims=0))
    built.graph.output.insert(0, helper.make_tensor_value_info("score", TensorProto.FLOAT, []))
    x = torch.rand(1, 3, 9, 12) * 2 - 1
    torch.testing.assert_close(translate.load(put(built, tmp_path / "m.onnx")).translate(x), x.tanh())


def test_two_ranges_and_a_layout_are_taken_as_asked(tmp_path: Path) -> None:
    built = model(("Add", {"inputs": ["half"]}), shape=("a", "b", "c", "d"), constants=halves())
    path = put(built, tmp_path / "m.onnx")
    with pytest.raises(TranslateError, match="does not tell its layout; give --layout NCHW or NHWC"):
        translate.load(path)
    with pytest.raises(TranslateError, match=r"does not tell its range .*; give --range -1..1, 0..1 or 0..255"):
        translate.load(put(model(("Identity", {})), tmp_path / "same.onnx"))
    translator = translate.load(path, layout="NCHW", range="0..1,-1..1")
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(translator.translate(x), (x + 1) / 2 + 0.5)
    noted = (tmp_path / "m.onnx.json").read_bytes()
    other = translate.load(path, range="0..255")
    torch.testing.assert_close(other.translate(x), x + 1 / 255, atol=1e-5, rtol=0)
    assert (tmp_path / "m.onnx.json").read_bytes() == noted, "what was asked for once is not kept over what was noted"
    for wrong in ("0..2", "0..1,", "0..1,5", "x"):
        with pytest.raises(TranslateError, match="a range is one of"):
            translate.load(path, range=wrong)


def test_a_file_that_was_exported_says_itself_what_it_takes(tmp_path: Path) -> None:
    built = model(("Neg", {}))
    gray = asdict(Domain(3, "uint16", 0.0, 4095.0, ranged=True))
    facts = Facts(format_version=1, direction="backward", source=gray, target=gray, size=[64, 96], size_multiple=8)
    entry = built.metadata_props.add()
    entry.key, entry.value = "translate", facts.to_json()
    path = put(built, tmp_path / "m.onnx")
    translator = translate.load(path, direction="backward")
    assert (translator.direction, translator.size, translator.size_multiple) == ("backward", (64, 96), 8)
    assert translator.source == Domain(3, "uint16", 0.0, 4095.0, ranged=True)
    assert not (tmp_path / "m.onnx.json").exists()
    x = torch.rand(1, 3, 20, 20) * 2 - 1
    torch.testing.assert_close(translator.translate(x), -x)
    with pytest.raises(TranslateError, match="has no direction 'forward'; it translates backward"):
        translate.load(path, direction="forward")
    with pytest.raises(TranslateError, match="says itself which range and layout"):
        translate.load(path, range="0..1")
    for text, told in [
        ("{", "is damaged, or no exported network: it is no JSON"),
        (facts.to_json().replace('"layout"', '"way"'), "way: extra inputs are not permitted"),
        (facts.model_copy(update={"layout": "NHWC"}).to_json(), "does not fit what is noted of it"),
        (facts.model_copy(update={"output": "y"}).to_json(), "has no output 'y'"),
    ]:
        built.metadata_props[0].value = text
        with pytest.raises(TranslateError, match=told):
            translate.load(put(built, tmp_path / "m.onnx"))


def test_what_lies_beside_a_file_is_never_written_over(tmp_path: Path) -> None:
    path = put(inverting(), tmp_path / "m.onnx")
    translate.load(path)
    beside = tmp_path / "m.onnx.json"
    sound = json.loads(beside.read_text())
    for text, told in [
        ('{"mine": 1}', "does not say what m.onnx takes: "),
        ("not json", "it is no JSON"),
        (json.dumps(sound | {"extra": 1}), "extra: extra inputs are not permitted"),
        (json.dumps(sound | {"range": "0..7"}), "range: input should be"),
        (json.dumps(sound | {"size_multiple": 2**20}), "size_multiple: "),
        (json.dumps(sound | {"sha256": "0"}), "was noted of another file than m.onnx is now"),
    ]:
        beside.write_text(text)
        with pytest.raises(TranslateError, match=told):
            translate.load(path)
        assert beside.read_text() == text
    sound["range"] = "0..255"
    del sound["sha256"]
    beside.write_text(json.dumps(sound))
    x = torch.rand(1, 3, 8, 8) * 2 - 1
    torch.testing.assert_close(translate.load(path).translate(x), (1 - (x + 1) * 127.5) / 127.5 - 1, atol=1e-4, rtol=0)


def test_a_place_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "link", refuse)
    path = put(inverting(), tmp_path / "m.onnx")
    assert translate.load(path).target.channels == 3
    assert "not noted in m.onnx.json: Permission denied" in caplog.text
    assert [each.name for each in tmp_path.iterdir()] == ["m.onnx"]


def external(location: str) -> Any:
    built = model(("Add", {"inputs": ["half"]}), constants={"half": np.ones((1, 3, 1, 1), np.float32)})
    tensor = built.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("length", "12")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return built


def two_graphs() -> bytes:
    return b"\x3a\x02\x0a\x00" * 2


def custom() -> Any:
    return model(("Strange", {"domain": "odd"}))


def nested() -> bytes:
    inner = b""
    for _ in range(40):
        attribute = b"\x32" + _length(inner) + inner
        node = b"\x2a" + _length(attribute) + attribute
        inner = b"\x0a" + _length(node) + node
    return b"\x3a" + _length(inner) + inner


def _length(message: bytes) -> bytes:
    size, found = len(message), []
    while True:
        found.append(size & 127 | (128 if size > 127 else 0))
        size >>= 7
        if not size:
            return bytes(found)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "empty": (lambda: b"", "is damaged, or no ONNX file: it is empty"),
    "text": (lambda: b"this is no model at all, but a text", "is damaged, or no (ONNX file|exported network)"),
    "random": (lambda: np.random.default_rng(0).bytes(5000), "is damaged, or no (ONNX file|exported network)"),
    "truncated": (lambda: inverting().SerializeToString()[:-40], "is damaged, or no exported network: it is no ONNX model"),
    "graphs": (two_graphs, "it holds no graph"),
    "nested": (nested, "nested too deeply"),
    "outside": (lambda: external("../secret.bin"), "wants weights from '../secret.bin', which is no file in its folder"),
    "absolute": (lambda: external("/etc/hostname"), "wants weights from '/etc/hostname'"),
    "linked": (lambda: external("linked.bin"), "wants weights from 'linked.bin'"),
    "missing": (lambda: external("gone.bin"), "wants weights from 'gone.bin'"),
    "inputs": (lambda: model(("Tanh", {}), more=["label"]), r"takes 2 inputs \(image, label\), and an image is one"),
    "custom": (custom, r"operations that are no part of ONNX \(odd.Strange\)"),
    "unknown": (lambda: model(("NoSuchThing", {})), "cannot be opened by onnxruntime: .*NoSuchThing"),
    "flat": (lambda: model(("Tanh", {}), shape=("n", 5)), "of 2 dimensions, where an image is"),
    "type": (lambda: model(("Cast", {"to": 1}), kind=TensorProto.INT64), "as tensor.int64."),
    "answer": (lambda: model(("Flatten", {}), to=("n", "m")), "answers no image"),
    "larger": (
        lambda: model(("Resize", {"inputs": ["", "scales"]}), to=("n", 3, "H", "W"),
                      constants={"scales": np.array([1, 1, 2, 2], np.float32)}),
        r"does not answer an image of its input's size: an image of \d+ x \d+ pixels becomes",
    ),
    "side": (lambda: model(("Tanh", {}), shape=("n", 3, 32, "w")), "of which one side is fixed"),
    "vast": (lambda: model(("Tanh", {}), shape=(1, 3, 60000, 60000)), "larger than what is tried here"),
    "channels": (lambda: model(("Tanh", {}), shape=("n", "c", "h", 3)), None),
    "constant": (lambda: model(("Relu", {}), ("Mul", {"inputs": ["zero"]}), constants=halves()), "does not tell its range"),
}  # fmt: skip
del REFUSED["channels"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_network_of_images_is_refused_in_one_sentence(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, told = REFUSED[name]
    (tmp_path / "secret.bin").write_bytes(bytes(12))
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "linked.bin").symlink_to(tmp_path / "secret.bin")
    path = put(make(), tmp_path / "inner" / "m.onnx")
    picture(tmp_path / "in.png")
    with pytest.raises(TranslateError, match=told) as refused:
        translate.load(path)
    assert "\n" not in str(refused.value)
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(path), str(tmp_path / "in.png"), str(tmp_path / "out.png")])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out.png").exists()
    assert not (tmp_path / "inner" / "m.onnx.json").exists()


def test_weights_in_a_file_beside_are_used(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(np.full(3, -0.5, np.float32).tobytes())
    translator = translate.load(put(external("weights.bin"), tmp_path / "m.onnx"), range="-1..1")
    x = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(translator.translate(x), x - 0.5)


def test_other_weights_in_a_file_beside_make_another_translator(tmp_path: Path) -> None:
    path = put(external("weights.bin"), tmp_path / "m.onnx")
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in" / "a.png")
    for value, done in ((-0.5, 1), (-0.5, 0), (0.25, 1)):
        (tmp_path / "weights.bin").write_bytes(np.full(3, value, np.float32).tobytes())
        assert translate.convert(path, tmp_path / "in", tmp_path / "out", range="-1..1").converted == done


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"precision": "bf16"}, "leave out --precision"),
        ({"precision": "int8"}, "leave out --precision"),
        ({"runtime": "openvino"}, "leave out --runtime"),
        ({"step": 5}, "leave out --step"),
        ({"direction": "backward"}, "has no direction 'backward'; it translates forward"),
        ({"samples": 2}, "draws no noise, so it has one answer; leave out --samples"),
    ],
)
def test_options_that_do_not_apply_are_refused(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    path = put(inverting(), tmp_path / "m.onnx")
    picture(tmp_path / "in.png")
    with pytest.raises(TranslateError, match=told):
        translate.convert(path, tmp_path / "in.png", tmp_path / "out.png", **options)
    assert not (tmp_path / "out.png").exists()


def test_nobody_is_told_of_a_training_size_that_nobody_knows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = put(inverting(), tmp_path / "m.onnx")
    picture(tmp_path / "in.png", (30, 1030))
    translate.convert(path, tmp_path / "in.png", tmp_path / "out.png")
    assert "trained on" not in caplog.text
    domain = asdict(Domain(3))
    facts = Facts(format_version=1, direction="forward", source=domain, target=domain, range="0..1", size=[256, 256])
    built = inverting()
    helper.set_model_props(built, {"translate": facts.to_json()})
    translate.convert(put(built, tmp_path / "ours.onnx"), tmp_path / "in.png", tmp_path / "other.png")
    assert "by a network trained on 256 x 256" in caplog.text


def test_options_of_onnx_files_are_refused_elsewhere(tmp_path: Path) -> None:
    picture(tmp_path / "in.png")
    loaded = translate.load(put(inverting(), tmp_path / "m.onnx"))
    with pytest.raises(TranslateError, match="is loaded already"):
        translate.convert(loaded, tmp_path / "in.png", tmp_path / "out.png", range="0..1")
    with pytest.raises(TranslateError, match="leave out --range and --layout"):
        translate.convert(tmp_path / "run.safetensors", tmp_path / "in.png", tmp_path / "out.png", layout="NHWC")
    with pytest.raises(TranslateError, match="leave out --device"):
        translate.load(tmp_path / "m.onnx", device="cuda")
    with pytest.raises(UnfitError):
        loaded.translate(torch.zeros(1, 3, 8, 8), samples=2)
    assert loaded.replicate() is None
    for name, told in [
        ("net.pth", "translate import"),
        ("net.pt2", "may run code"),
        ("net.xml", "is damaged, or no exported network"),
    ]:
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(TranslateError, match=told):
            translate.load(tmp_path / name)
    with pytest.raises(TranslateError, match="there is no file"):
        translate.load(tmp_path / "missing.onnx")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(TranslateError, match="is no file"):
        translate.load(tmp_path / "folder.onnx")


def test_memory_is_measured_and_an_image_that_does_not_fit_is_named(tmp_path: Path) -> None:
    kernel = np.zeros((64, 3, 3, 3), np.float32)
    back = np.zeros((3, 64, 3, 3), np.float32)
    built = model(("Conv", {"inputs": ["k"], "pads": [1] * 4}), ("Conv", {"inputs": ["b"], "pads": [1] * 4}),
                  ("Tanh", {}), constants={"k": kernel, "b": back})  # fmt: skip
    translator = translate.load(put(built, tmp_path / "m.onnx"))
    small, large = translator.bytes_for((100, 100)), translator.bytes_for((1000, 1000))
    assert 64 * 4 * 10**6 < large < 4 * 64 * 4 * 10**6
    assert small < large / 8
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in" / "small.png")
    images.write(tmp_path / "in" / "large.png", images.Image(np.zeros((900, 900, 3), np.uint8)))
    result = translate.convert(translator, tmp_path / "in", tmp_path / "out", memory="100MB")
    assert result.converted == 1
    ((path, reason),) = result.failed
    assert path.name == "large.png"
    assert "needs" in reason


def test_a_file_that_asks_for_any_amount_of_memory_is_refused(tmp_path: Path) -> None:
    """A few bytes that ask for 4 TB, while it is opened or when an image is computed."""
    sizes = np.array([1, 3, 1_000_000, 1_000_000], np.int64)
    vast = helper.make_node("ConstantOfShape", ["sizes"], ["vast"])
    built = model(("Add", {"inputs": ["mean"]}), ("Tanh", {}), constants={"sizes": sizes})
    built.graph.node.insert(0, helper.make_node("ReduceMean", ["vast"], ["mean"]))
    built.graph.node.insert(0, vast)
    with pytest.raises(TranslateError, match="m.onnx"):
        translate.load(put(built, tmp_path / "m.onnx"))


def test_fields_of_a_message_end_where_it_ends() -> None:
    sound = inverting().SerializeToString()
    assert sum(1 for _ in fields(memoryview(sound))) > 3
    for end in range(1, len(sound)):
        try:
            list(fields(memoryview(sound[:end])))
        except WireError:
            continue
    for wrong in (b"\x80" * 12, b"\x00\x01", b"\x0b", b"\x0a\x05ab", b"\x09ab"):
        with pytest.raises(WireError):
            list(fields(memoryview(wrong)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A translator of ours, with weights that show something: a gray image becomes one of 3 channels and 16 bits."""
    folder = tmp_path_factory.mktemp("trained")
    state = seeded(resnet(1, "batch", ends=(1, 3))).state_dict()
    torch.save(state, folder / "net.pth")
    given = {"depth": "uint16", "direction": "backward", "licence": "MIT"}
    return translate.import_network(folder / "net.pth", output=folder / "net.safetensors", **given).path


def test_what_we_export_converts_to_the_same_pixels(trained: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    translate.export(trained, tmp_path / "m.onnx")
    (tmp_path / "in").mkdir()
    for number, size in enumerate([(40, 52), (37, 61)]):
        picture(tmp_path / "in" / f"{number}.png", size, channels=1)
    for source, out in ((trained, "torch"), (tmp_path / "m.onnx", "program")):
        assert translate.convert(source, tmp_path / "in", tmp_path / out).converted == 2
    for number in range(2):
        ours, theirs = (images.load(tmp_path / out / f"{number}.png").pixels for out in ("torch", "program"))
        assert ours.dtype == theirs.dtype
        assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1
        assert ours.std() > 5
    assert not list(tmp_path.glob("*.json"))
    translator = translate.load(tmp_path / "m.onnx")
    assert translator.direction == "backward"
    assert translator.source == Domain(1, "uint16")
    with pytest.raises(TranslateError, match="says itself"):
        translate.load(tmp_path / "m.onnx", range="0..1")


def test_a_model_of_openvino_says_what_it_takes(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    ops = openvino.opset13
    given = ops.parameter([-1, 3, -1, -1], np.float32)
    made = openvino.Model([ops.negative(given)], [given])
    domain = asdict(Domain(3))
    facts = Facts(format_version=1, direction="backward", source=domain, target=domain, size_multiple=4)
    made.set_rt_info(facts.to_json(), ["translate"])
    openvino.save_model(made, tmp_path / "m.xml", compress_to_fp16=False)
    pixels = picture(tmp_path / "in.png", (22, 31))
    assert translate.convert(tmp_path / "m.xml", tmp_path / "in.png", tmp_path / "out.png").converted == 1
    np.testing.assert_array_equal(images.load(tmp_path / "out.png").pixels, 255 - pixels)
    translator = translate.load(tmp_path / "m.xml", direction="backward")
    assert translator.size_multiple == 4
    pixel = 3 * 4 * 2
    assert 640 * 640 * pixel <= translator.bytes_for((640, 640)) <= 2 * 640 * 640 * pixel
    assert not (tmp_path / "m.xml.json").exists()


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_an_image_that_is_too_small_for_a_network_is_named_with_what_to_do(runtime: str, tmp_path: Path) -> None:
    """Reflection padding needs a map of more pixels than it adds."""
    place = tmp_path / f"m.{'onnx' if runtime == 'onnx' else 'xml'}"
    if runtime == "onnx":
        edges = np.array([0, 0, 5, 5, 0, 0, 5, 5])
        inside = {"begin": np.array([5, 5]), "end": np.array([-5, -5]), "axes": np.array([2, 3])}
        steps = ("Pad", {"inputs": ["edges"], "mode": "reflect"}), ("Slice", {"inputs": list(inside)})
        put(model(*steps, constants={"edges": edges, **inside}), place)
    else:
        openvino = pytest.importorskip("openvino")
        ops = openvino.opset13
        given = ops.parameter([-1, 3, -1, -1], np.float32)
        padded = ops.pad(given, [0, 0, 5, 5], [0, 0, 5, 5], "reflect")
        openvino.save_model(openvino.Model([ops.slice(padded, [5, 5], [-5, -5], [1, 1], [2, 3])], [given]), place)
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in" / "small.png", (4, 90))
    pixels = picture(tmp_path / "in" / "fits.png", (12, 9))
    result = translate.convert(place, tmp_path / "in", tmp_path / "out", range="0..1")
    np.testing.assert_array_equal(images.load(tmp_path / "out" / "fits.png").pixels, pixels)
    ((path, reason),) = result.failed
    assert path.name == "small.png"
    assert reason.startswith(f"{place.name} cannot compute it: ")
    assert reason.endswith("; 90 x 4 pixels may be too few for it, so convert it larger, with --scale")


def test_a_model_of_openvino_of_somebody_else_is_found_out(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    ops = openvino.opset13
    given = ops.parameter([-1, 3, -1, -1], np.float32)
    openvino.save_model(openvino.Model([ops.tanh(given)], [given]), tmp_path / "m.xml", compress_to_fp16=False)
    with pytest.raises(TranslateError, match="does not tell its range .* give --range"):
        translate.load(tmp_path / "m.xml")
    x = torch.rand(1, 3, 9, 12) * 2 - 1
    torch.testing.assert_close(translate.load(tmp_path / "m.xml", range="-1..1").translate(x), x.tanh())
    assert Facts.from_json((tmp_path / "m.xml.json").read_text()).range == "-1..1"
    text = (tmp_path / "m.xml").read_text()
    for wrong in (text[: len(text) // 2], text.replace('type="Tanh"', 'type="Strange"'), "<net/>", ""):
        (tmp_path / "w.xml").write_text(wrong)
        with pytest.raises(TranslateError, match="w.xml") as refused:
            translate.load(tmp_path / "w.xml")
        assert "\n" not in str(refused.value)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the shared data")
@pytest.mark.parametrize(
    ("name", "limits", "multiple"),
    [
        ("fast_style/wave.onnx", "0..255", 4),
        ("fast_style/rain_princess.onnx", "0..255", 4),
        ("zero_dce/zero_dce.onnx", "0..1", 1),
    ],
)
def test_real_networks_answer_as_they_do_without_us(name: str, limits: str, multiple: int, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes((DATA / name).read_bytes())
    photo = next((DATA.parent / "photos").glob("*/*.jpg")) if not (tmp_path / "in.png").exists() else None
    assert photo is not None
    pixels = images.resize(images.load(photo).pixels, (96, 128))
    images.write(tmp_path / "in.png", images.Image(pixels))
    assert translate.convert(path, tmp_path / "in.png", tmp_path / "out.png").converted == 1
    facts = Facts.from_json((tmp_path / "m.onnx.json").read_text())
    assert (facts.range, facts.size_multiple, facts.layout) == (limits, multiple, "NCHW")
    most = float(limits.split("..")[1])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = pixels.transpose(2, 0, 1)[None].astype(np.float32) * np.float32(most / 255)
    wanted = session.run(None, {"image": given})[0][0].transpose(1, 2, 0) * (255 / most)
    made = images.load(tmp_path / "out.png").pixels
    assert np.abs(made - wanted.round().clip(0, 255)).max() <= 1
    assert made.std() > 10
