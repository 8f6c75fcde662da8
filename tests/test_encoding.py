"""``translate encode``: codes equal the encoder's, names in their order, broken images, memory, nothing overwritten."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import translate
from translate import images
from translate.data import Domain
from translate.encoding.arrays import ArrayWriter
from translate.errors import FullDiskError, TranslateError
from translate.plugins import discover
from translate.run import Run
from translate.saved import Encoder, load_classifier, load_encoder

SHORT = {"steps": 1, "size": 16, "load_size": 16, "batch": 2, "compile": "no", "sample_every": 9}
TOYS = str(Path(__file__).parent / "toys.py")


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return translate.fit(
        "vae", "demo(size=16, count=6)", output=tmp_path_factory.mktemp("runs") / "vae", **SHORT,
        encoder="dcgan(width=4, latent=6)", decoder="dcgan(width=4)",
    )  # fmt: skip


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return translate.fit(
        "unit", "demo(size=16, count=6)", output=tmp_path_factory.mktemp("runs") / "unit", **SHORT, gan=0,
        encoder="residual(width=4)", decoder="residual(width=4)",
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """67 images of 16 px in two folders: more than a batch."""
    random = np.random.default_rng(0)
    for number in range(67):
        path = tmp_path / "in" / ("b" if number % 2 else "a") / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, images.Image(random.integers(0, 256, (16, 16, 3), np.uint8), None))
    return tmp_path / "in"


def read(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as found:
        return dict(found)


def tensor(path: Path) -> torch.Tensor:
    pixels = torch.from_numpy(images.read(path).pixels.astype(np.float32))
    return pixels.permute(2, 0, 1)[None] / 127.5 - 1


def test_codes_are_those_of_the_encoder(vae: Run, folder: Path, tmp_path: Path) -> None:
    told = translate.encode(vae.folder, folder, tmp_path / "codes.npz")
    found = read(tmp_path / "codes.npz")
    assert (told.encoded, told.failed, told.direction) == (67, (), "forward")
    assert told.shapes == {"mean": (6,), "log_variance": (6,)}
    assert found["names"].tolist() == sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    assert {name: str(found[name]) for name in ("direction", "domain", "method")} == {
        "direction": "forward", "domain": "target", "method": "vae",
    }  # fmt: skip
    assert found["size"].tolist() == [16, 16]
    encoder = load_encoder(vae.folder)
    rows = torch.cat([tensor(folder / name) for name in found["names"]])
    codes = encoder.encode(rows)
    assert codes.keys() == {"mean", "log_variance"}
    for name, code in codes.items():
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], code.numpy(), rtol=0, atol=1e-5)
    # In the same batches they are the same to the bit, and the mean is what the raw network gives.
    assert np.array_equal(found["mean"][:64], encoder.encode(rows[:64])["mean"].numpy())
    raw = encoder.network.encoder(rows[:64]).chunk(2, dim=1)[0]  # type: ignore[operator]
    assert np.array_equal(found["mean"][:64], raw.detach().numpy())
    assert {path.name for path in tmp_path.iterdir()} == {"in", "codes.npz"}


def test_a_classifier_gives_its_features(folder: Path, tmp_path: Path) -> None:
    run = translate.fit("toy", "demo(size=16, count=6)", output=tmp_path / "run", plugins=(TOYS,), size=16, steps=1)
    translate.encode(run.folder, folder / "a" / "00.png", tmp_path / "one.npz", plugins=(TOYS,))
    found = read(tmp_path / "one.npz")
    assert found["names"].tolist() == ["00.png"]
    wanted = load_classifier(run.folder, plugins=(TOYS,)).network.features(tensor(folder / "a" / "00.png"))  # type: ignore[operator]
    np.testing.assert_allclose(found["features"], wanted.detach().numpy(), atol=1e-6)


def test_one_of_two_encoders(unit: Run, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match=r"choose one of them: .*unit:source or .*unit:target"):
        translate.encode(unit.folder, folder, tmp_path / "none.npz")
    by_domain = translate.encode(unit.folder, folder, tmp_path / "a.npz", direction="target")
    by_path = translate.encode(f"{unit.folder}:backward", folder, tmp_path / "b.npz")
    assert by_domain.direction == by_path.direction == "backward"
    first, second = read(tmp_path / "a.npz"), read(tmp_path / "b.npz")
    assert np.array_equal(first["mean"], second["mean"])
    assert first["mean"].shape == (67, 16, 4, 4)
    assert not first["log_variance"].any()
    with pytest.raises(TranslateError, match="names 'source', and the direction is 'target'; name one"):
        translate.encode(f"{unit.folder}:source", folder, tmp_path / "c.npz", direction="target")


def test_several_inputs_and_broken_ones(vae: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "a" / "00.png").write_bytes(b"\x89PNG not really")
    (tmp_path / "list.txt").write_text(f"{folder}/b/01.png\n{folder}/b/none.png\n")
    told = translate.encode(
        vae.folder, [folder / "a", f"{folder}/b/*3.png", f"@{tmp_path}/list.txt"], tmp_path / "deep" / "codes.npz"
    )
    assert sorted(path.name for path, _ in told.failed) == ["00.png", "none.png"]
    names = read(tmp_path / "deep" / "codes.npz")["names"].tolist()
    assert "a/00.png" not in names
    assert {"a/02.png", "b/01.png", "b/13.png"} <= set(names)
    assert len(names) == told.encoded == len(read(tmp_path / "deep" / "codes.npz")["mean"])
    (small, *_) = translate.encode(vae.folder, folder, tmp_path / "x.npz").failed
    assert small[0].name == "00.png"
    with pytest.raises(TranslateError, match="none of the 1 images can be encoded: .*00.png"):
        translate.encode(vae.folder, folder / "a" / "00.png", tmp_path / "never.npz")
    with pytest.raises(TranslateError, match="none of the 33 images can be encoded: .* more than the limit of 255"):
        translate.encode(vae.folder, folder / "b", tmp_path / "never.npz", max_pixels=255)
    assert not (tmp_path / "never.npz").exists()


def test_codes_that_are_not_finite_are_no_row(vae: Run, folder: Path, tmp_path: Path) -> None:
    encoder = load_encoder(vae.folder)
    encode = encoder.encode

    def broken(batch: torch.Tensor, *, at_once: int = 64) -> dict[str, torch.Tensor]:
        codes = {name: code.clone() for name, code in encode(batch, at_once=at_once).items()}
        codes["log_variance"][1] = torch.inf
        return codes

    encoder.encode = broken  # type: ignore[method-assign]
    told = translate.encode(encoder, folder, tmp_path / "codes.npz")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    lost = [names[1], names[65]]
    assert [path.relative_to(folder).as_posix() for path, _ in told.failed] == lost
    assert all(reason.endswith("the network's codes are not finite") for _, reason in told.failed)
    found = read(tmp_path / "codes.npz")
    assert found["names"].tolist() == [name for name in names if name not in lost]
    assert np.isfinite(found["log_variance"]).all()
    assert told.encoded == len(found["mean"]) == 65


def test_observers_hear_of_every_file_and_of_the_end(
    vae: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a" / "00.png").write_bytes(b"no")
    (folder / "a" / "x.psd").write_bytes(b"8BPS")
    encoder = load_encoder(vae.folder)
    heard: list[tuple[str, Any]] = []
    monkeypatch.setattr(encoder.catalog, "tell", lambda event, **given: heard.append((event, given)))
    translate.encode(encoder, folder / "a", tmp_path / "codes.npz")
    assert heard[0] == ("conversion_started", {"total": 35, "verb": "encode"})
    assert heard[-1] == ("conversion_ended", {})
    told = {given["source"].name: given["error"] for event, given in heard if event == "image_converted"}
    assert len(told) == len(heard) - 2 == 35
    assert {name for name, error in told.items() if error} == {"00.png", "x.psd"}
    heard.clear()
    with pytest.raises(TranslateError, match="none of the 1 images"):
        translate.encode(encoder, folder / "a" / "00.png", tmp_path / "none.npz")
    assert [event for event, _ in heard] == ["conversion_started", "image_converted", "conversion_ended"]


def test_nothing_is_overwritten_unasked(vae: Run, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "codes.npz"
    target.write_bytes(b"mine")
    with pytest.raises(TranslateError, match="exists already"):
        translate.encode(vae.folder, folder, target)
    with pytest.raises(TranslateError, match="name an image or a folder of images to encode"):
        translate.encode(vae.folder, folder / "nowhere", target, overwrite=True)
    assert target.read_bytes() == b"mine"
    translate.encode(vae.folder, folder, target, overwrite=True)
    assert len(read(target)["names"]) == 67
    with pytest.raises(TranslateError, match="are written to an .npz file, not to .*codes.csv"):
        translate.encode(vae.folder, folder, tmp_path / "codes.csv")
    assert translate.encode(vae.folder, folder / "a" / "02.png", tmp_path / "LOUD.NPZ").encoded == 1
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(TranslateError, match="pipe.npz is no regular file"):
        translate.encode(vae.folder, folder, tmp_path / "pipe.npz", overwrite=True)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(TranslateError, match="is no regular file"):
        translate.encode(vae.folder, folder, tmp_path / "folder.npz", overwrite=True)


def test_a_run_without_an_encoder(folder: Path, tmp_path: Path) -> None:
    run = translate.fit(
        "gan", "demo(size=16, count=4)", output=tmp_path / "gan", generator="small_unet(width=4, depth=2)",
        discriminator="small_patch(width=4, receptive_field=16)", **SHORT,
    )  # fmt: skip
    with pytest.raises(TranslateError, match="trained by gan and keeps no classifier and no encoder"):
        translate.encode(run.folder, folder, tmp_path / "codes.npz")


def test_a_full_disk(vae: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ArrayWriter, "finish", full)
    with pytest.raises(FullDiskError, match="the disk is full, so .*codes.npz is not written"):
        translate.encode(vae.folder, folder, tmp_path / "codes.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


class Strange(nn.Module):
    """A stranger's network with codes of its own."""

    def __init__(self, codes: Any) -> None:
        super().__init__()
        self.codes = codes

    def feature_extractor(self, image: torch.Tensor) -> torch.Tensor:
        return image.mean((2, 3))

    def named_codes(self, image: torch.Tensor) -> Any:
        return self.codes(image)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (lambda x: x, "gives no codes by name, but Tensor"),
        (lambda x: {}, "gives no codes by name"),
        (lambda x: {"../up": x}, r"calls a code '../up'; a name is a word"),
        (lambda x: {"mean": x[:1]}, r"gives \(1, 3, 16, 16\) as mean of 3 images"),
        (lambda x: {"mean": 3}, "gives int as mean of"),
        (lambda x: {"names": x}, "calls a code 'names', which the file uses itself"),
    ],
)
def test_codes_of_a_stranger(codes: Any, message: str, folder: Path, tmp_path: Path) -> None:
    encoder = Encoder(
        Strange(codes), catalog=discover(), direction="forward", method="odd", side="source", domain=Domain(3),
        size=(16, 16), device=torch.device("cpu"),
    )  # fmt: skip
    files = sorted((folder / "a").iterdir())[:3]
    with pytest.raises(TranslateError, match=message):
        translate.encode(encoder, files, tmp_path / "codes.npz")
    assert not (tmp_path / "codes.npz").exists()


def test_arrays_of_any_names_and_shapes(tmp_path: Path) -> None:
    names = ["a.png", "ünï/漢字🦊.png", "odd\udcff.png", ""]
    rows = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    with ArrayWriter(tmp_path / "x.npz") as writer:
        writer.add(names[:3], {"code": rows[:3], "each": rows[:3, 0, 0]})
        writer.add(names[3:], {"code": rows[3:], "each": rows[3:, 0, 0]})
        with pytest.raises(TranslateError, match="other shapes for some images than for others"):
            writer.add(["b"], {"code": rows[:1, :2]})
        writer.finish({"fact": np.array("a fact"), "size": np.array([3, 4])})
    found = read(tmp_path / "x.npz")
    assert found["names"].tolist() == names
    assert np.array_equal(found["code"], rows)
    assert found["each"].tolist() == [0, 6, 12, 18]
    assert (str(found["fact"]), found["size"].tolist()) == ("a fact", [3, 4])
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


def test_from_the_command_line(vae: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "broken.png").write_bytes(b"no")
    command = [sys.executable, "-m", "translate", "encode", str(vae.folder), "in", "codes.npz"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert (
        "encoded 67 images by forward to codes.npz: mean 6, log_variance 6 each, 1 could not be encoded" in told.stdout
    )
    assert told.stderr.count("\n") == 1
    assert told.stderr.startswith("cannot encode in/broken.png: ")
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert again.stderr.startswith("error: codes.npz exists already")


@pytest.mark.skipif(sys.platform != "linux", reason="drops rights as Linux does")
def test_what_may_not_be_read_is_one_sentence(vae: Run, folder: Path, tmp_path: Path) -> None:
    """Also for the superuser, whom a process forgoes the rights of; ``classify`` and ``convert`` gather as ``encode``."""
    closed = tmp_path / "closed"
    closed.mkdir()
    (folder / "a" / "00.png").rename(closed / "00.png")
    (tmp_path / "secret.safetensors").write_bytes(vae.translator.read_bytes())
    (tmp_path / "secret.safetensors").chmod(0)
    closed.chmod(0)
    libc = ctypes.CDLL(None)

    def forgo() -> None:
        for right in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
            libc.prctl(24, right, 0, 0, 0)  # PR_CAPBSET_DROP

    def told(verb: str, *arguments: str) -> str:
        command = [sys.executable, "-m", "translate", verb, *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, preexec_fn=forgo)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        return done.stderr

    try:
        run = str(vae.folder)
        assert (
            told("encode", run, "closed", "x.npz")
            == "error: cannot list closed: Permission denied; check its permissions\n"
        )
        for one in ("closed/00.png", "closed/*.png"):
            assert told("encode", run, one, "x.npz").startswith(f"error: cannot enter {one}: Permission denied")
        assert told("encode", run, "in", "in/b/01.png/x.npz") == (
            "error: cannot make the folder in/b/01.png: a file has that name; choose another place\n"
        )
        assert "secret.safetensors is not a readable safetensors file: Permission denied" in told(
            "encode", "secret.safetensors", "in", "x.npz"
        )
    finally:
        closed.chmod(0o700)
