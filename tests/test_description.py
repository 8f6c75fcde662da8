"""What files hold, told from their headers: of ours of every kind, of exported ones, and of what is no such file."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_training import MEAN

import translate
from translate import checkpoint
from translate.cli import cli
from translate.embedded import read_facts
from translate.errors import TranslateError
from translate.run import Run
from translate.tensor_header import read_header

ABOUT = "Zebras of \u00d6land,\nby hand"
FACTS = {
    "format_version": 1,
    "direction": "forward",
    "source": {"channels": 3},
    "target": {"channels": 12, "classes": 12},
    "size": [48, 64],
    "size_multiple": 8,
    "licence": "CC0",
    "about": ABOUT,
    "versions": {"torch": "2.13.0"},
    "method": "pix2pix",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("described")
    (folder / "mean.py").write_text(MEAN)
    return translate.fit(
        "mean", "demo(size=16, count=2)", output=folder / "run", plugins=[str(folder / "mean.py")], size=16, steps=3,
        save_every=1, keep=3, licence=" MIT\n", about=ABOUT,
    )  # fmt: skip


def text_of(path: Path, *flags: str) -> str:
    done = CliRunner().invoke(cli, ["show", str(path), *flags])
    assert done.exit_code == 0, done.output
    return done.output


def test_a_run_is_described_by_its_last_weights(run: Run) -> None:
    found = translate.show(run.folder)
    assert (found.kind, found.method, found.step, found.steps, found.size) == ("run", "mean", 3, 3, (16, 16))
    assert (found.licence, found.about, tuple(found.checkpoints)) == ("MIT", ABOUT, (1, 2, 3))
    assert found.directions == {"forward": "translator"}
    assert found.versions["torch"] == torch.__version__
    assert translate.show(run.folder, step=1).step == 1
    with pytest.raises(TranslateError, match="has no checkpoint of step 9; it has 1, 2, 3"):
        translate.show(run.folder, step=9)
    # Without its translator, and with one that is older than the last checkpoint.
    older = run.translator.read_bytes()
    run.translator.unlink()
    try:
        assert translate.show(run.folder).step == 3
        _, facts = checkpoint.load(run.checkpoints[0])
        checkpoint.save(run.translator, {}, {**facts["translator"], "step": 1})
        assert translate.show(run.folder).step == 3
    finally:
        run.translator.write_bytes(older)


def test_a_translator_counts_its_weights(run: Run) -> None:
    found = translate.show(run.translator)
    tensors, _ = checkpoint.load(run.translator)
    assert (found.kind, found.step) == ("translator", 3)
    assert found.weights == {"forward": sum(tensor.numel() for tensor in tensors.values())}
    assert translate.show(run.checkpoints[0]).kind == "checkpoint"
    assert translate.show(run.checkpoints[0]).about == ABOUT


def test_lines_and_json_hold_the_same(run: Run) -> None:
    shown = text_of(run.folder)
    assert f"{run.folder}: a run\n" in shown
    assert "  trained      3 of 3 steps, at 16x16\n" in shown
    assert "  licence      MIT\n" in shown
    assert "  about        Zebras of \u00d6land,\n               by hand\n" in shown
    found = json.loads(text_of(run.folder, "--json"))
    assert (found["licence"], found["about"], found["step"], found["kind"]) == ("MIT", ABOUT, 3, "run")


def test_files_of_earlier_versions_open_unchanged(run: Run, tmp_path: Path) -> None:
    tensors, facts = checkpoint.load(run.translator)
    old = {name: value for name, value in facts.items() if name not in ("licence", "about")}
    checkpoint.save(tmp_path / "old.safetensors", tensors, old)
    assert checkpoint.load(tmp_path / "old.safetensors")[1] == old
    found = translate.show(tmp_path / "old.safetensors")
    assert (found.licence, found.about, found.method) == (None, None, "mean")


@pytest.mark.parametrize(
    ("name", "value"), [("licence", "\x1b[2J"), ("about", "a" * 10_001), ("about", ""), ("licence", 3)]
)
def test_a_strangers_notes_are_bounded(run: Run, tmp_path: Path, name: str, value: Any) -> None:
    tensors, facts = checkpoint.load(run.translator)
    with pytest.raises(checkpoint.CheckpointError, match=name):
        checkpoint.save(tmp_path / "file.safetensors", tensors, {**facts, name: value})


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"licence": "\x1b[2J"}, r"holds text, and '\\x1b' is none"),
        ({"about": "\udcff"}, r"holds text, and '\\udcff' is none"),
        ({"about": "a" * 10_001}, "has at most 10,000 characters, not 10,001"),
        ({"licence": 7}, "is text, not 7"),
    ],
)
def test_notes_are_refused_before_the_training(tmp_path: Path, asked: dict[str, Any], told: str) -> None:
    with pytest.raises(TranslateError, match=told):
        translate.fit("pix2pix", "demo", output=tmp_path / "run", **asked)
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_takes_another_licence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mean.py").write_text(MEAN)
    small = {"size": 16, "steps": 1, "licence": "MIT"}
    made = translate.fit(
        "mean", "demo(size=16, count=2)", output=tmp_path / "run", plugins=[str(tmp_path / "mean.py")], **small
    )
    again = translate.resume(made.folder, licence="CC0", about="later", plugins=[str(tmp_path / "mean.py")])
    assert (translate.show(made.folder).licence, translate.show(made.translator).about) == ("CC0", "later")
    assert {change.what: (change.before, change.after) for change in again.changes} == {
        "licence": ("MIT", "CC0"),
        "about": (None, "later"),
    }


def onnx(entries: list[tuple[bytes, bytes]], graph: bytes = b"\x08" * 300) -> bytes:
    """A model as Protocol Buffers store it: version, graph, and metadata."""

    def varint(value: int) -> bytes:
        low = bytes([value & 127 | (128 if value > 127 else 0)])
        return low + varint(value >> 7) if value > 127 else low

    def field(number: int, content: bytes) -> bytes:
        return varint(number << 3 | 2) + varint(len(content)) + content

    model = varint(1 << 3) + varint(10) + field(7, graph) + varint(3 << 3 | 5) + b"1234"
    return model + b"".join(field(14, field(1, key) + field(2, value)) for key, value in entries)


def archive(entries: dict[str, bytes]) -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return content.getvalue()


def xml(value: str) -> bytes:
    escaped = value.replace("&", "&amp;").replace('"', "&quot;")
    return f'<?xml version="1.0"?><net name="m"><rt_info><translate value="{escaped}"/></rt_info></net>'.encode()


def made(suffix: str, facts: Any) -> bytes:
    text = json.dumps(facts)
    if suffix == ".onnx":
        return onnx([(b"other", b"1"), (b"translate", text.encode())])
    if suffix == ".pt2":
        return archive({"m/data": b"1", "m/extra/translate.json": text.encode()})
    return xml(text)


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".xml"])
def test_an_exported_network_is_described(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(made(suffix, FACTS))
    found = translate.show(path)
    assert (found.kind, found.method, found.size, found.size_multiple) == ("exported network", "pix2pix", (48, 64), 8)
    assert (found.licence, found.about, found.range) == ("CC0", ABOUT, "-1..1")
    shown = text_of(path)
    assert "  takes       images whose sides divide by 8\n" in shown
    assert "  target      maps of 12 classes" in shown
    with pytest.raises(TranslateError, match="no folder of a run, so it has no step 1"):
        translate.show(path, step=1)


EMPTY = {".onnx": onnx([(b"other", b"1")]), ".pt2": archive({"m/data": b"1"}), ".xml": b"<net><rt_info/></net>"}


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".xml"])
@pytest.mark.parametrize(
    "facts", [{}, [], {**FACTS, "size_multiple": 0}, {**FACTS, "code": "x"}, {**FACTS, "about": "a" * 2**21}]
)
def test_facts_of_strangers_are_checked(suffix: str, facts: Any, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(made(suffix, facts))
    with pytest.raises(TranslateError, match=r"model\.\w+ is damaged, or no exported network: [^\n]+"):
        translate.show(path)
    path.write_bytes(EMPTY[suffix])
    with pytest.raises(TranslateError, match="says nothing of itself"):
        translate.show(path)
    path.unlink()
    with pytest.raises(TranslateError, match="there is no file"):
        translate.show(path)


def test_an_xml_file_declares_no_entities(tmp_path: Path) -> None:
    laughs = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))
    text = f'<?xml version="1.0"?><!DOCTYPE net [<!ENTITY a0 "ha">{laughs}]><net>&a9;</net>'
    (tmp_path / "model.xml").write_text(text)
    with pytest.raises(TranslateError, match="it declares a document type"):
        translate.show(tmp_path / "model.xml")


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".xml"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_are_facts_none_or_one_sentence(suffix: str, data: st.DataObject, tmp_path: Path) -> None:
    whole = made(suffix, FACTS)
    if data.draw(st.booleans()):
        content = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
        for _ in range(data.draw(st.integers(0, 3))):
            if content:
                content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    else:
        content = bytearray(data.draw(st.binary(max_size=60)))
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    try:
        read_facts(path)
    except TranslateError as error:
        assert "\n" not in str(error)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_are_a_header_or_one_sentence(data: st.DataObject, run: Run, tmp_path: Path) -> None:
    content = bytearray(run.translator.read_bytes())
    del content[data.draw(st.integers(0, len(content))) :]
    for _ in range(data.draw(st.integers(0, 3))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "file.safetensors"
    path.write_bytes(content)
    try:
        read_header(path)
    except TranslateError as error:
        assert "\n" not in str(error)


def header(entries: Any) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "does not begin with the length of a header"),
        (struct.pack("<Q", 2**62) + b"{}", "does not begin with the length of a header"),
        (header([]), "its header is no header"),
        (header({"__metadata__": {"format": 1}}), "its header is no header"),
        (header({"__metadata__": {"format": "pt"}}), "a safetensors file, but not one of ours"),
        (b"PK\x03\x04" + b"x" * 40, "does not begin with the length of a header"),
    ],
)
def test_what_is_no_file_of_ours_is_one_sentence(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(content)
    with pytest.raises(TranslateError, match=told):
        translate.show(path)


@pytest.mark.parametrize("shape", [None, [-1], [1.5], [True], [1] * 17])
def test_a_tensor_without_a_shape_is_one_sentence(run: Run, tmp_path: Path, shape: Any) -> None:
    content = run.translator.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    entries = json.loads(content[8 : 8 + length])
    name = next(each for each in entries if each != "__metadata__")
    entries[name]["shape"] = shape
    (tmp_path / "file.safetensors").write_bytes(header(entries))
    with pytest.raises(TranslateError, match=f"{name!r} has no shape"):
        translate.show(tmp_path / "file.safetensors")


def test_folders_and_pipes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match="is no folder of a run: it holds neither a translator nor a checkpoint"):
        translate.show(tmp_path)
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(TranslateError, match="is no folder of a run"):
        translate.show(tmp_path / "model.onnx")
    with pytest.raises(TranslateError, match="it is no regular file"):
        translate.show("/dev/null")
    with pytest.raises(TranslateError, match="there is no file"):
        translate.show(tmp_path / "nothing.safetensors")


def test_it_needs_neither_torch_nor_plugins(run: Run, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(made(".onnx", FACTS))
    code = (
        "import sys, translate\n"
        f"for each in {[str(run.folder), str(run.translator), str(tmp_path / 'model.onnx')]!r}:\n"
        "    translate.show(each).lines()\n"
        "sys.exit(bool({'torch', 'onnx', 'openvino', 'translate_pix2pix'} & sys.modules.keys()))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("command", ["show", "convert", "evaluate", "encode", "classify", "sample", "export"])
def test_files_of_other_kinds_are_named_as_what_they_are(command: str, tmp_path: Path) -> None:
    place = str(tmp_path / {"export": "out.onnx", "encode": "out.npz"}.get(command, "out"))
    others = {"evaluate": ["demo", "--metric", "l1"], "sample": [place], "export": [place], "show": []}.get(
        command, [str(tmp_path), place]
    )
    others = [str(tmp_path)] if command == "classify" else others
    kinds = {"net.pth": "import it first", "run.json": "neither a run nor a translator or a checkpoint"}
    if command not in ("show", "convert"):
        kinds["net.onnx"] = "name the run that it was exported from"
    for name, sentence in kinds.items():
        (tmp_path / name).write_bytes(b"PK" * 40)
        result = CliRunner().invoke(cli, [command, str(tmp_path / name), *others])
        assert isinstance(result.exception, TranslateError), (name, result.exception)
        assert str(tmp_path / name) in str(result.exception)
        assert sentence in str(result.exception)
