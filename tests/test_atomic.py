"""Atomic files: whole for every reader, of a name for each writer, with the umask's mode, and swept when nobody writes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from translate import atomic, checkpoint, images, inspection
from translate.atomic import LONGEST, replacing, sweep, temporary_beside, write
from translate.data import Dataset, Domain, Example
from translate.images import Image
from translate.loader.disk_cache import decode_stored
from translate.run import Config, Run, Scalars

PIXELS = np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


# --- several writers of one path --------------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from translate import atomic
path, letter = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for _ in range(150):
    atomic.write(path, letter.encode() * 20_000, folder=False)
"""


def watched(path: Path, busy: Callable[[], bool]) -> set[bytes]:
    """All contents that a reader of the path sees while others write, by their first letter; each must be whole."""
    seen = set()
    while busy():
        content = path.read_bytes()
        assert len(content) == 20_000, "a reader found a partial file"
        assert content == content[:1] * 20_000, "a reader found a mixed file"
        seen.add(content[:1])
    return seen


def test_two_processes_write_one_path_and_no_reader_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    write(path, b"0" * 20_000)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), letter], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for letter in "ab"
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    watched(path, lambda: any(writer.poll() is None for writer in writers))
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert names(tmp_path) == ["x.bin"]


@pytest.mark.parametrize("kind", ["bytes", "image", "checkpoint", "config"])
def test_threads_that_write_one_path_never_fail(tmp_path: Path, kind: str) -> None:
    """300 writes, of which each used to take away the others' temporary file."""
    run = Run(tmp_path, Config("pix2pix", "photos"), steps=3)
    jobs: dict[str, tuple[str, int, Callable[[Path], None]]] = {
        "bytes": ("x.bin", 300, lambda path: write(path, b"x" * 20_000, folder=False)),
        "image": ("x.png", 300, lambda path: images.write(path, Image(PIXELS))),
        "checkpoint": ("x.safetensors", 60, lambda path: checkpoint.save(path, {"a": torch.ones(500)}, {"step": 1})),
        "config": ("config.json", 60, lambda _: run.write_config({})),
    }
    name, count, job = jobs[kind]
    path = tmp_path / name
    job(path)
    whole = path.read_bytes()
    done = threading.Event()

    def read() -> int:
        reads = 0
        while not done.is_set():
            content = path.read_bytes()
            assert len(content) == len(whole), "a reader found an empty or partial file"
            # The safetensors library orders the entries of a header as it likes.
            assert kind == "checkpoint" or content == whole, "a reader found a mixed file"
            reads += 1
        return reads

    with ThreadPoolExecutor(4) as pool:
        reader = pool.submit(read)
        try:
            for each in [pool.submit(job, path) for _ in range(count)]:
                each.result()
        finally:
            done.set()
        assert reader.result() > 0
    assert names(tmp_path) == [name]


# --- names ------------------------------------------------------------------------------------------------------------


def test_every_temporary_name_is_another() -> None:
    path = Path("folder/x.png")
    made = {temporary_beside(path) for _ in range(1000)}
    assert len(made) == 1000
    for each in made:
        assert each.parent == path.parent
        assert each.name.startswith(".x.png.")
        assert f"-{os.getpid()}-" in each.name
        assert each.name.endswith(".part")


@pytest.mark.parametrize("name", ["a" * 246 + ".png", "ü" * 123 + ".png", "a" * 251 + ".png"])
def test_a_name_as_long_as_the_file_system_takes(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    images.write(path, Image(PIXELS))
    assert np.array_equal(images.read(path).pixels, PIXELS)
    checkpoint.save(path.with_suffix(".s"), {"a": torch.ones(3)}, {"step": 1})
    assert checkpoint.load(path.with_suffix(".s"))[1] == {"step": 1}
    assert len(os.fsencode(temporary_beside(path).name)) <= LONGEST
    assert len(names(tmp_path)) == 2


def test_long_names_that_begin_alike_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic.secrets, "token_hex", lambda count: "0" * 2 * count)
    one, other = (temporary_beside(tmp_path / ("a" * 240 + end)) for end in ("1.png", "2.png"))
    assert one != other


# --- what remains when something fails --------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", [False, True])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, inside: bool) -> None:
    path = tmp_path / "x.bin"
    write(path, b"old")

    def fail() -> None:
        with replacing(path, inside=inside) as temporary:
            temporary.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x.bin"]


def test_leftovers_of_the_dead_are_swept_and_those_of_the_living_stay(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom translate.atomic import temporary_beside\n"
        "folder = Path(sys.argv[1])\n"
        "temporary_beside(folder / 'a.png').write_bytes(b'x')\n"
        "place = temporary_beside(folder / 'b.safetensors')\nplace.mkdir()\n(place / '.tmpabc').write_bytes(b'x')\n"
        "print('ready', flush=True)\nsys.stdin.readline()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    own = temporary_beside(tmp_path / "own.png")
    own.write_bytes(b"x")
    (tmp_path / "kept.png").write_bytes(b"x")
    before = names(tmp_path)
    assert len(before) == 4
    sweep(tmp_path)
    assert names(tmp_path) == before
    process.communicate("\n")
    # Those of earlier versions and of the safetensors library tell no writer.
    (tmp_path / ".step-00000009.safetensors.part").write_bytes(b"torn")
    (tmp_path / ".tmpAbC123").write_bytes(b"torn")
    others = [".step-00000009.safetensors.part", ".tmpAbC123"]
    sweep(tmp_path)
    assert names(tmp_path) == sorted([own.name, "kept.png", *others])
    sweep(tmp_path, untagged=True)
    assert names(tmp_path) == sorted([own.name, "kept.png"])


def test_leftovers_of_another_machine_are_swept_when_they_are_old(tmp_path: Path) -> None:
    fresh, old = (tmp_path / f".{name}.png.00000000-{os.getpid()}-00000000.part" for name in "ab")
    for path in (fresh, old):
        path.write_bytes(b"x")
    before = time.time() - atomic.FOREIGN_SECONDS - 10
    os.utime(old, (before, before))
    sweep(tmp_path)
    assert names(tmp_path) == [fresh.name]


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_bytes)
        write(pipe, b"hello")
        assert read.result() == b"hello"
    assert stat.S_ISFIFO(pipe.stat().st_mode)


# --- modes ------------------------------------------------------------------------------------------------------------


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


@pytest.mark.parametrize(("mask", "wanted"), [(0o022, "0o644"), (0o077, "0o600"), (0o002, "0o664")])
def test_every_file_has_the_mode_of_the_umask(tmp_path: Path, mask: int, wanted: str) -> None:
    photo = tmp_path / "photos" / "photo.png"
    photo.parent.mkdir()
    images.write(photo, Image(PIXELS))
    listed = [Example(photo, "photo", label=0)]
    data = Dataset("d", "by_hand", False, {"source": Domain(3, labels=("cat",))}, {"train": {"source": listed}})
    out = tmp_path / "out"
    with umask(mask):
        run = Run.create(out, Config("pix2pix", "photos"), steps=3, metadata={})
        run.record(Scalars(2, {"generator/l1": 0.5}, 1.0, 1.0, 0))
        run.forget_after(2)
        checkpoint.save(out / "checkpoints" / "step-00000003.safetensors", {"a": torch.ones(2)}, {})
        checkpoint.save(run.translator, {"a": torch.ones(2)}, {})
        images.write(out / "image.png", Image(PIXELS))
        size: dict[str, object] = {"size": (8, 8), "resize": "stretch", "device": torch.device("cpu")}
        decode_stored(out / "cache", {"source": listed}, data.domains, **size)  # type: ignore[arg-type]
        inspection.export(data, out / "export")
        inspection.picture(data, out / "picture.png")
    found = {path.relative_to(out).as_posix(): mode(path) for path in out.rglob("*") if path.is_file()}
    assert len(found) == 9
    assert found == dict.fromkeys(found, wanted)


def test_a_file_that_is_replaced_gets_the_mode_of_the_umask_too(tmp_path: Path) -> None:
    for path, job in (
        (tmp_path / "a.png", lambda path: images.write(path, Image(PIXELS))),
        (tmp_path / "a.safetensors", lambda path: checkpoint.save(path, {"a": torch.ones(2)}, {})),
    ):
        path.write_bytes(b"")
        path.chmod(0o600)
        with umask(0o022):
            job(path)
        assert mode(path) == "0o644"


def test_files_that_belong_together_never_stand_half_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / "model.xml", tmp_path / "model.bin"]

    def put(content: str) -> None:
        with atomic.replacing_together(paths) as temporary:
            assert [path.suffix for path in temporary] == [".xml", ".bin"]
            for path in temporary:
                path.write_text(content)

    def contents() -> list[str | None]:
        return [path.read_text() if path.exists() else None for path in paths]

    put("old")
    assert contents() == ["old", "old"]
    # The second is not made.
    with pytest.raises(FileNotFoundError), atomic.replacing_together(paths) as temporary:
        temporary[0].write_text("new")
    assert contents() == ["old", "old"]
    replace, seen = Path.replace, []

    def ended(self: Path, target: Path) -> Path:
        seen.append(contents())
        if target.suffix == ".xml":
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", ended)
    with pytest.raises(KeyboardInterrupt):
        put("new")
    assert (seen, contents()) == ([[None, "old"], [None, "new"]], [None, "new"])
    monkeypatch.undo()
    put("new")
    assert contents() == ["new", "new"]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
