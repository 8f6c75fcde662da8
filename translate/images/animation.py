"""Animations written frame by frame: APNG, WebP and AVIF, of whole frames, each shown for its own time.

Frames are encoded as still images of their format, whose parts are then put together, so that one frame at a time is in
memory; of AVIF, which predicts frames from others, the frames wait as PNG files on the disk.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import IO, Any, Protocol

import PIL.Image

from translate.images.chunks import SIGNATURE, chunk
from translate.images.embedding import Embedded, png_chunks
from translate.images.encoding import encode
from translate.images.planes import Image
from translate.images.tiff import TiffPages


class FrameWriter(Protocol):
    """What writes the frames or pages of one file, in their order."""

    def append(self, image: Image, duration: float, embedded: Embedded) -> None:
        """Append a frame that is shown for ``duration`` milliseconds; only pages have metadata of their own."""
        ...

    def close(self) -> None:
        """Write what belongs at the end; the file itself stays open."""
        ...


class Apng:
    """Writes an animated PNG (PNG specification, third edition, section 11.3.6); all frames have one size and type."""

    def __init__(self, file: IO[bytes], count: int, loop: int) -> None:
        self._file, self._count, self._loop = file, count, loop
        self._number = 0
        self._header = b""

    def append(self, image: Image, duration: float, embedded: Embedded) -> None:
        """Append a frame."""
        png = encode(image, ".png")
        header, pixels = png[8:33], b"".join(_contents(png, b"IDAT"))
        first = not self._header
        if first:
            self._header = header
            control = chunk(b"acTL", struct.pack(">II", self._count, min(max(self._loop, 0), 2**31 - 1)))
            self._file.write(SIGNATURE + header + png_chunks(embedded) + control)
        elif header != self._header:
            raise ValueError("its frames differ in size or type")
        height, width = image.pixels.shape[:2]
        over, under = _seconds(duration)
        self._file.write(chunk(b"fcTL", struct.pack(">5I2H2B", self._next(), width, height, 0, 0, over, under, 0, 0)))
        self._file.write(chunk(b"IDAT", pixels) if first else chunk(b"fdAT", struct.pack(">I", self._next()) + pixels))

    def close(self) -> None:
        """Write the last chunk."""
        self._file.write(chunk(b"IEND", b""))

    def _next(self) -> int:
        self._number += 1
        return self._number - 1


def _seconds(duration: float) -> tuple[int, int]:
    """Milliseconds as a fraction of seconds, of two numbers of 16 bits."""
    milliseconds = round(duration)
    if abs(duration - milliseconds) > 1e-6:  # as of 30 frames a second
        ratio = Fraction(duration / 1000).limit_denominator(65535)
        if ratio.numerator <= 65535:
            return ratio.numerator, ratio.denominator
    for under in (1000, 100, 10, 1):
        if milliseconds * under <= 65535 * 1000 and (milliseconds * under) % 1000 == 0:
            return milliseconds * under // 1000, under
    return (65535, 1) if milliseconds > 65535_000 else next(
        (round(milliseconds * under / 1000), under) for under in (1000, 100, 10, 1) if milliseconds * under <= 65535_000
    )  # fmt: skip


def _contents(png: bytes, wanted: bytes) -> Iterator[bytes]:
    at = 8
    while at + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, at)
        if png[at + 4 : at + 8] == wanted:
            yield png[at + 8 : at + 8 + length]
        at += 12 + length


class Webp:
    """Writes an animated WebP file (RFC 9649, section 2.7)."""

    def __init__(self, file: IO[bytes], loop: int, quality: int) -> None:
        self._file, self._loop, self._quality = file, loop, quality
        self._embedded = Embedded()
        self._started = False

    def append(self, image: Image, duration: float, embedded: Embedded) -> None:
        """Append a frame."""
        webp = encode(image, ".webp", quality=self._quality)
        height, width = image.pixels.shape[:2]
        if not self._started:
            self._started, self._embedded = True, embedded
            flags = 0x02 | 0x20 * bool(embedded.profile) | 0x10 * (image.alpha is not None)
            flags |= 0x08 * bool(embedded.exif) | 0x04 * bool(embedded.xmp)
            self._file.write(b"RIFF\0\0\0\0WEBP")
            self._chunk(b"VP8X", struct.pack("<I", flags) + _three(width - 1) + _three(height - 1))
            if embedded.profile:
                self._chunk(b"ICCP", embedded.profile)
            self._chunk(b"ANIM", struct.pack("<IH", 0, min(max(self._loop, 0), 65535)))
        head = _three(0) + _three(0) + _three(width - 1) + _three(height - 1)
        head += _three(min(max(round(duration), 0), 2**24 - 1)) + b"\x02"  # replaces what was shown
        self._chunk(b"ANMF", head + _coded(webp))

    def close(self) -> None:
        """Write the metadata, and the length of all."""
        if self._embedded.exif:
            self._chunk(b"EXIF", self._embedded.exif)
        if self._embedded.xmp:
            self._chunk(b"XMP ", self._embedded.xmp)
        length = self._file.tell()
        if length > 2**32 - 10:
            raise ValueError("it would be larger than 4 GB")
        self._file.seek(4)
        self._file.write(struct.pack("<I", length - 8))

    def _chunk(self, kind: bytes, content: bytes) -> None:
        self._file.write(kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2))


def _three(number: int) -> bytes:
    return number.to_bytes(3, "little")


def _coded(webp: bytes) -> bytes:
    """The chunks of a still WebP file that hold its pixels."""
    found = []
    at = 12
    while at + 8 <= len(webp):
        kind, length = struct.unpack_from("<4sI", webp, at)
        end = at + 8 + length + length % 2
        if kind in (b"ALPH", b"VP8 ", b"VP8L"):
            found.append(webp[at:end].ljust(end - at, b"\0"))
        at = end
    return b"".join(found)


class Avif:
    """Writes an AVIF image sequence by Pillow; its frames wait in ``waiting``, an empty file."""

    def __init__(self, file: IO[bytes], waiting: IO[bytes], quality: int) -> None:
        self._file, self._waiting, self._quality = file, waiting, quality
        self._frames: list[tuple[int, int]] = []
        self._durations: list[int] = []
        self._embedded = Embedded()

    def append(self, image: Image, duration: float, embedded: Embedded) -> None:
        """Append a frame."""
        if not self._frames:
            self._embedded = embedded
        png = encode(image, ".png")
        self._frames.append((self._waiting.tell(), len(png)))
        self._waiting.write(png)
        self._durations.append(max(round(duration), 1))

    def close(self) -> None:
        """Encode all frames."""
        beside: dict[str, Any] = {}
        if self._embedded.exif:
            beside["exif"] = b"Exif\0\0" + self._embedded.exif
        if self._embedded.xmp:
            beside["xmp"] = self._embedded.xmp
        if self._embedded.profile:
            beside["icc_profile"] = self._embedded.profile
        first, *others = (_Waiting(self._waiting, *place) for place in self._frames)
        data = io.BytesIO()
        first.save(
            data, "AVIF", save_all=True, append_images=others, duration=self._durations, quality=self._quality,
            subsampling="4:4:4", max_threads=1, **beside,
        )  # fmt: skip
        self._file.write(data.getvalue())


class _Waiting(PIL.Image.Image):
    """A frame that is decoded each time its pixels are asked for, and forgotten again."""

    def __init__(self, file: IO[bytes], at: int, length: int) -> None:
        super().__init__()
        self._file, self._at, self._length = file, at, length
        with self._opened() as image:
            self._mode, self._size = image.mode, image.size

    def seek(self, frame: int) -> None:
        if frame:
            raise EOFError("there is one frame")

    def tobytes(self, encoder_name: str = "raw", *args: Any) -> bytes:
        with self._opened() as image:
            return image.tobytes(encoder_name, *args)

    def convert(self, mode: Any = None, *args: Any, **settings: Any) -> PIL.Image.Image:
        with self._opened() as image:
            return image.convert(mode, *args, **settings)

    def _opened(self) -> PIL.Image.Image:
        self._file.seek(self._at)
        return PIL.Image.open(io.BytesIO(self._file.read(self._length)), formats=["PNG"])


class Pages:
    """Writes the pages of a TIFF file; their durations go nowhere."""

    def __init__(self, file: IO[bytes], count: int, *, order: str, big: bool) -> None:
        self._file, self._count = TiffPages(file, order=order, big=big), count

    def append(self, image: Image, duration: float, embedded: Embedded) -> None:
        """Append a page."""
        self._file.append(image.pixels, image.alpha, embedded, pages=self._count)

    def close(self) -> None:
        """Nothing is left to do: each page is whole once appended."""
