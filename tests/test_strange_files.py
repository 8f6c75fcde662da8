"""Strange files: pipes, sockets, devices and folders among images stop nothing, and decoders print nothing."""

from __future__ import annotations

import io
import os
import signal
import socket
import struct
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2.utils.logging
import numpy as np
import PIL.Image
import pytest

import translate
from translate import images
from translate.images import ImageError

needs_fifos = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")


def photo(path: Path, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def alarm() -> Iterator[None]:
    """Fail, do not hang, where a pipe is opened the usual way."""

    def ring(*_: object) -> None:
        raise AssertionError("it waits for the pipe")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def socket_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)  # the names of sockets are short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s.png")
        yield tmp_path / "s.png"


@needs_fifos
@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("suffix", [".png", ".npy", ".tif"])
def test_a_pipe_is_refused_at_once(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(path := tmp_path / f"b{suffix}")
    for open_ in (images.probe, images.read, images.read_indices):
        with pytest.raises(ImageError, match=r"is a pipe \(FIFO\), not a regular file"):
            open_(path)


def test_sockets_devices_and_folders_are_refused(tmp_path: Path, socket_file: Path) -> None:
    (tmp_path / "a.png").mkdir()
    places = {socket_file: "a socket", tmp_path / "a.png": "a folder", Path("/dev/zero"): "a device"}
    for path, kind in places.items():
        if path.exists():
            with pytest.raises(ImageError, match=f"{path} is {kind}"):
                images.read(path)
    (tmp_path / "link.png").symlink_to("/dev/zero")
    with pytest.raises(ImageError, match="is a device"):
        images.read(tmp_path / "link.png")


@needs_fifos
@pytest.mark.usefixtures("alarm")
def test_every_command_goes_on_beside_a_pipe(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for side in ("A", "B"):
        folder = tmp_path / "pairs" / "train" / side
        folder.mkdir(parents=True)
        for number in range(3):
            photo(folder / f"{number}.png", number)
    small: dict[str, Any] = {"size": 16, "steps": 1, "generator": "unet(width=4)"}
    small |= {"discriminator": "patch(width=4, receptive_field=16)"}
    run = translate.fit("pix2pix", str(tmp_path / "pairs"), output=tmp_path / "run", **small)
    for side in ("A", "B"):
        os.mkfifo(tmp_path / "pairs" / "train" / side / "b.png")
    folder = tmp_path / "pairs" / "train" / "A"
    result = translate.convert(run.folder, folder, tmp_path / "out")
    assert result.converted == 3
    assert [(path.name, "no regular file" in reason) for path, reason in result.failed] == [("b.png", True)]
    caplog.clear()
    assert translate.fit("pix2pix", str(tmp_path / "pairs"), output=tmp_path / "again", **small).step == 1
    assert "left out (b.png, b.png): no regular file" in caplog.text
    assert translate.evaluate(run.folder, str(tmp_path / "pairs"), metrics=["psnr"], split="train").scores["psnr"] > 0


# --- what decoders print ----------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def deep_png(rows: bytes, *extra: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + b"".join(extra) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def broken(format_: str, **options: Any) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(file, format_, **options)
    data = bytearray(file.getvalue())
    middle = len(data) // 2
    data[middle : middle + 60] = b"\xff" * 60
    return bytes(data)


SOUND_ROWS = zlib.compress((b"\0" + bytes(48)) * 8)
BROKEN = {
    "deflate TIFF": broken("TIFF", compression="tiff_adobe_deflate"),
    "LZW TIFF": broken("TIFF", compression="tiff_lzw"),
    "JPEG": broken("JPEG"),
    "WebP": broken("WEBP", lossless=True),
    "PNG": broken("PNG"),
    "16-bit PNG, short": deep_png(zlib.compress(b"\0" * 20)),
    "16-bit PNG, no stream": deep_png(b"nothing of that kind"),
    "16-bit PNG, cut": deep_png(SOUND_ROWS[:-6]),
    "16-bit PNG, filter": deep_png(zlib.compress((b"\x09" + bytes(48)) * 8)),
}
ODD = {
    "16-bit PNG, bad profile": deep_png(SOUND_ROWS, chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile"))),
    "16-bit PNG, bad chunks": deep_png(SOUND_ROWS, chunk(b"sRGB", b"\x09"), chunk(b"tIME", b"1")),
}  # fmt: skip


@pytest.mark.parametrize("name", [*BROKEN, *ODD])
def test_decoders_print_nothing(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        try:
            images.load((BROKEN | ODD)[name])
        except ImageError as error:
            assert name not in ODD, error
            assert "\n" not in str(error)
        else:
            assert name in ODD or name == "JPEG"
    captured = capfd.readouterr()
    assert captured.err + captured.out == ""


def test_what_pillow_warns_of_is_part_of_the_reason(capfd: pytest.CaptureFixture[str]) -> None:
    from translate.images import opening

    with warnings.catch_warnings():
        warnings.simplefilter("always")

        def fail() -> None:
            with opening.decoding("a.png"):
                warnings.warn_explicit("Truncated File Read", UserWarning, PIL.Image.__file__, 1)
                raise ValueError("no pixels")

        with pytest.raises(ImageError, match=r"\(no pixels; Truncated File Read\)"):
            fail()
        assert capfd.readouterr().err == ""
        with pytest.warns(UserWarning, match="of another"), opening.quiet() as said:
            warnings.warn_explicit("of another", UserWarning, "other.py", 1)
    assert said == []


def test_quiet_leaves_nothing_behind() -> None:
    from translate.images import opening

    before = cv2.utils.logging.setLogLevel(3), warnings.showwarning
    try:
        with ThreadPoolExecutor(4) as pool:
            data = BROKEN["16-bit PNG, cut"]

            def work(_: int) -> None:
                with opening.quiet():
                    assert cv2.utils.logging.getLogLevel() == 0
                    with pytest.raises(ImageError):
                        images.load(data)
                    assert cv2.utils.logging.getLogLevel() == 0

            list(pool.map(work, range(40)))
        assert (cv2.utils.logging.getLogLevel(), warnings.showwarning) == (3, before[1])
    finally:
        cv2.utils.logging.setLogLevel(before[0])
    assert PIL.Image.MAX_IMAGE_PIXELS is not None
