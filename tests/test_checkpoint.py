"""Files of tensors: whole or not at all, and never trusted unseen."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import hostile
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from translate import atomic, checkpoint
from translate.atomic import sweep
from translate.checkpoint import CheckpointError, load, save
from translate.errors import NotFiniteError


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "a": torch.randn(3, 4, generator=generator),
        "b/c": torch.arange(5),
        "bf16": torch.ones(2, dtype=torch.bfloat16),
        "empty": torch.empty(0),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
    }


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "deeper" / "x.safetensors"
    save(path, tensors(), {"step": 3, "nested": {"list": [1, 2.5, None, "x"]}})
    stored, metadata = load(path)
    assert metadata == {"step": 3, "nested": {"list": [1, 2.5, None, "x"]}}
    assert stored.keys() == tensors().keys()
    for name, value in tensors().items():
        assert torch.equal(stored[name], value)
        assert stored[name].dtype == value.dtype
    assert list(path.parent.iterdir()) == [path]


def test_shared_channels_last_and_sliced_tensors(tmp_path: Path) -> None:
    weight = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    path = tmp_path / "x.safetensors"
    save(path, {"one": weight, "two": weight, "slice": weight[:, :1]}, {})
    stored, _ = load(path)
    assert torch.equal(stored["one"], weight)
    assert torch.equal(stored["two"], weight)
    assert torch.equal(stored["slice"], weight[:, :1])
    assert path.stat().st_size < 2 * weight.numel() * 4 + 2000


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_never_written(tmp_path: Path, value: float) -> None:
    path = tmp_path / "x.safetensors"
    save(path, {"a": torch.zeros(2)}, {})
    before = path.read_bytes()
    with pytest.raises(NotFiniteError, match="a holds a value"):
        save(path, {"a": torch.tensor([1.0, value])}, {})
    assert path.read_bytes() == before


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_flipped_bit_is_always_noticed(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "x.safetensors"
    if not path.exists():
        save(path, tensors(), {"step": 1})
    content = bytearray(path.read_bytes())
    index = data.draw(st.integers(0, len(content) - 1))
    content[index] ^= 1 << data.draw(st.integers(0, 7))
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(content)
    try:
        stored, metadata = load(broken)
    except CheckpointError as error:
        assert "broken.safetensors" in str(error)
    else:
        # A flip in the header's padding or the order of its keys changes nothing that is read.
        assert metadata == {"step": 1}
        assert all(torch.equal(stored[name], value) for name, value in tensors().items())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200))
def test_any_other_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        load(path)


def test_foreign_and_missing_files_are_named(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="not one of ours"):
        load(tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="there is no file"):
        load(tmp_path / "none.safetensors")
    save(tmp_path / "x.safetensors", {"a": torch.zeros(9)}, {})
    whole = (tmp_path / "x.safetensors").read_bytes()
    (tmp_path / "x.safetensors").write_bytes(whole[:-5])
    with pytest.raises(CheckpointError, match="not a readable"):
        load(tmp_path / "x.safetensors")


def test_a_file_with_nan_weights_and_a_right_checksum_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(torch, "isfinite", lambda tensor: torch.ones(1, dtype=torch.bool))
        save(path, {"a": torch.tensor([float("nan")])}, {})
    with pytest.raises(CheckpointError, match="not finite in a"):
        load(path)


def test_a_file_is_on_the_disk_and_read_back_before_it_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut a name may stand for a file whose content never arrived, unless the content was synced first."""
    path, place = tmp_path / "x.safetensors", tmp_path / ".x.part"
    beside = place / "file"
    save(path, {"a": torch.zeros(2)}, {"step": 1})
    events: list[tuple[str, Any]] = []
    sync, rename, read = os.fsync, Path.replace, checkpoint.load

    def fsync(handle: int) -> None:
        found = os.fstat(handle)
        inode = next(place for place in (tmp_path, beside) if place.stat().st_ino == found.st_ino)
        events.append(("sync folder" if stat.S_ISDIR(found.st_mode) else "sync file", inode))
        sync(handle)

    def replace(self: Path, target: Path) -> Path:
        events.append(("rename", (self, target)))
        return rename(self, target)

    def load(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        events.append(("read back", path))
        return read(path)

    monkeypatch.setattr(atomic, "temporary_beside", lambda path: place)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(checkpoint, "load", load)
    save(path, {"a": torch.ones(2)}, {"step": 2})
    assert events == [
        ("sync file", beside),
        ("read back", beside),
        ("sync file", beside),
        ("rename", (beside, path)),
        ("sync folder", tmp_path),
    ]


def test_equal_contents_have_equal_checksums(tmp_path: Path) -> None:
    """Whatever the order of their names."""
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    save(one, tensors(), {"step": 3, "more": {"a": 1, "b": 2}})
    save(two, dict(reversed(tensors().items())), {"more": {"b": 2, "a": 1}, "step": 3})
    headers = []
    for path in (one, two):
        with safe_open(path, framework="pt") as file:
            headers.append(file.metadata())
    assert headers[0] == headers[1]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (["facts", "aliases"], "hold other entries than they should"),
        ("facts", "hold other entries than they should"),
        (None, "hold other entries than they should"),
        ({"facts": {}}, "hold other entries than they should"),
        ({"facts": {}, "aliases": {}, "code": "1"}, "hold other entries than they should"),
        ({"facts": [], "aliases": {}}, "are no names and values"),
        ({"facts": {}, "aliases": ["a"]}, "are no names and values"),
    ],
)
def test_metadata_that_are_no_entries_of_ours_are_one_sentence(tmp_path: Path, content: Any, reason: str) -> None:
    path = tmp_path / "x.safetensors"
    hostile.write(path, {"a": torch.ones(1)}, json.dumps(content))
    with pytest.raises(CheckpointError) as caught:
        load(path)
    assert str(caught.value) == f"{path} is damaged: its metadata {reason}"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts the open files in /proc")
def test_saving_and_loading_leave_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save(path, tensors(), {})
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        save(path, tensors(), {})
        load(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_a_disk_garbles_is_noticed_while_the_old_file_is_still_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.safetensors"
    save(path, {"a": torch.zeros(4)}, {"step": 1})

    def garbled(tensors: dict[str, torch.Tensor], place: Path, metadata: dict[str, str]) -> None:
        save_file(tensors, place, metadata=metadata)
        content = bytearray(place.read_bytes())
        content[-1] ^= 1
        place.write_bytes(content)

    monkeypatch.setattr(checkpoint, "save_file", garbled)
    with pytest.raises(CheckpointError, match="is damaged: its checksum does not match"):
        save(path, {"a": torch.ones(4)}, {"step": 2})
    assert load(path)[1] == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_costs_nothing(tmp_path: Path) -> None:
    """A process whose files may grow no further tells it in one sentence, and keeps the old file."""
    script = (
        "import resource, sys, torch, pathlib\n"
        "from translate.checkpoint import save\n"
        "from translate.errors import TranslateError\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "save(path, {'a': torch.zeros(4)}, {'step': 1})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        "    save(path, {'a': torch.ones(100_000)}, {'step': 2})\n"
        "except TranslateError as error:\n"
        "    print(error)\n"
    )
    path = tmp_path / "x.safetensors"
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert "cannot write" in done.stdout
    assert "nothing that was there before is lost" in done.stdout
    assert load(path)[1] == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_kill_9_while_saving_loses_nothing(tmp_path: Path) -> None:
    """A process that saves for ever is killed at random moments; the file at the final name is always whole."""
    script = (
        "import sys, torch, pathlib\n"
        "from translate.checkpoint import save\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "step = 0\n"
        "while True:\n"
        "    step += 1\n"
        "    save(path, {'a': torch.full((200_000,), float(step))}, {'step': step})\n"
        "    print(step, flush=True)\n"
    )
    path = tmp_path / "x.safetensors"
    for attempt in range(3):
        process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.stdout.readline()
        time.sleep(0.013 * (attempt + 1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        stored, metadata = load(path)
        assert torch.equal(stored["a"], torch.full((200_000,), float(metadata["step"])))
    sweep(tmp_path, untagged=True)
    assert [file.name for file in tmp_path.iterdir()] == ["x.safetensors"]


def test_the_file_needs_no_pickle(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save(path, {"a": torch.zeros(1)}, {"step": 1})
    length = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + length])
    assert header["a"]["dtype"] == "F32"
    assert json.loads(header["__metadata__"]["content"])["facts"] == {"step": 1}
