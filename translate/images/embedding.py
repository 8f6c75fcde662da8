"""Embedding: the metadata that go into a file of a format, true of the image that is written, and what does not."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace

from translate.images import exif, iptc
from translate.images.chunks import chunk
from translate.images.directories import EXIF, MAKER_NOTE, Directory
from translate.images.planes import Image
from translate.images.profiles import is_srgb
from translate.images.scanning import COMMENTS, DAMAGED, GEOTIFF, Metadata
from translate.images.srgb import srgb_profile
from translate.images.xmp import clean_xmp

_kept = {
    ".png": ("exif", "xmp", "profile", "dpi", "texts"),
    ".jpg": ("exif", "xmp", "profile", "dpi", "iptc"), ".jpeg": ("exif", "xmp", "profile", "dpi", "iptc"),
    ".tif": ("exif", "xmp", "profile", "dpi", "iptc"), ".tiff": ("exif", "xmp", "profile", "dpi", "iptc"),
    ".webp": ("exif", "xmp", "profile"), ".avif": ("exif", "xmp", "profile"), ".bmp": ("dpi",),
}  # fmt: skip
"""What files of a suffix can hold."""

_named = {
    "exif": "EXIF data are", "xmp": "XMP packets are", "profile": "colour profiles are",
    "dpi": "the resolution (dpi) is", "texts": "texts of PNG files, such as titles and comments, are",
    "iptc": "IPTC data are",
}  # fmt: skip

_JPEG_SEGMENT = 65533
_JPEG_IPTC = _JPEG_SEGMENT - len(iptc.SIGNATURE) - 13
_JPEG_XMP = _JPEG_SEGMENT - len(b"http://ns.adobe.com/xap/1.0/\0")


@dataclass(frozen=True, slots=True)
class Embedded:
    """Metadata for one file, ready to be written: ``exif`` from its TIFF header on, ``directory`` for a TIFF file."""

    exif: bytes = b""
    directory: Directory | None = None
    xmp: bytes = b""
    profile: bytes = b""
    srgb: bool = False
    dpi: tuple[float, float] | None = None
    texts: tuple[tuple[bytes, bytes], ...] = ()
    comments: tuple[bytes, ...] = ()
    iptc: bytes = b""
    geo: Directory | None = None


def embed(metadata: Metadata, image: Image, suffix: str) -> tuple[Embedded, tuple[str, ...]]:
    """What is written of an input's metadata beside an image, and sentences about what is not, each of one kind.

    Sizes, orientation and colour space become the image's. Colours are sRGB, so the profile is: the input's own, if it
    is sRGB, or a profile of sRGB in place of another; that of floats is kept as it is.
    """
    suffix = suffix.lower()
    height, width, planes = image.pixels.shape
    told = dict.fromkeys(metadata.lost)
    srgb = metadata.converted
    read = metadata.exif
    cleaned = exif.clean(read, height, width, gps=metadata.gps, srgb=srgb) if read is not None else exif.Cleaned(None)
    packet = clean_xmp(metadata.xmp, height, width, gps=metadata.gps, srgb=srgb) if metadata.xmp else None
    dpi = metadata.dpi
    if dpi is not None and read is not None and read.number(exif.ORIENTATION, 1) in (5, 6, 7, 8):
        dpi = dpi[1], dpi[0]
    found = Embedded(
        directory=cleaned.directory, xmp=packet.packet if packet else b"", dpi=dpi,
        srgb=metadata.srgb and not metadata.profile and srgb, texts=_texts(metadata),
    )  # fmt: skip
    if cleaned.damaged:
        told[DAMAGED] = None
    if packet is not None and packet.damaged:
        told["XMP packets that cannot be read are left out"] = None
    kept = _kept.get(suffix, ())
    left_out = cleaned.gps or (packet is not None and packet.gps) or len(found.texts) < len(metadata.texts)
    if left_out and "exif" in kept:  # else it goes with all the rest
        told["positions (GPS) are left out; --gps keeps them"] = None
    if cleaned.adobe_rgb and not metadata.profile:
        told["colours that EXIF data call Adobe RGB, without a profile, are taken for sRGB"] = None
    found = replace(found, profile=_profile(metadata, image, told))
    resolved = suffix in (".webp", ".avif") and cleaned.directory is not None and exif.resolution(cleaned.directory)
    held = {
        "exif": found.directory, "xmp": found.xmp, "profile": found.profile, "texts": found.texts,
        "iptc": metadata.iptc, "dpi": None if resolved else found.dpi,
    }  # fmt: skip
    for kind, value in held.items():
        if value and kind not in kept:
            told[f"{_named[kind]} not kept: {suffix} files hold none"] = None
    found = Embedded(
        directory=found.directory if "exif" in kept else None, xmp=found.xmp if "xmp" in kept else b"",
        profile=found.profile if "profile" in kept else b"", srgb=found.srgb, dpi=found.dpi if "dpi" in kept else None,
        texts=found.texts if "texts" in kept else (), comments=_comments(metadata, suffix, told),
        iptc=metadata.iptc if "iptc" in kept else b"", geo=_geo(metadata, suffix, (height, width), told),
    )  # fmt: skip
    if suffix in (".jpg", ".jpeg"):
        found = _within_segments(found, told)
    if found.directory is not None and suffix not in (".tif", ".tiff") and not found.exif:
        found = replace(found, exif=exif.block(found.directory))
    if planes not in (1, 3):
        found = replace(found, profile=b"", srgb=False)
    return found, tuple(told)


def _comments(metadata: Metadata, suffix: str, told: dict[str, None]) -> tuple[bytes, ...]:
    if suffix in (".jpg", ".jpeg"):
        return metadata.comments
    if metadata.comments:
        told[COMMENTS] = None
    return ()


def _geo(metadata: Metadata, suffix: str, size: tuple[int, int], told: dict[str, None]) -> Directory | None:
    """The tags of a GeoTIFF's position, where they are true of an image of a (height, width) and may be kept."""
    geo = metadata.geo
    if geo is None:
        return None
    what = "GeoTIFF's position and projection are"
    if suffix not in (".tif", ".tiff"):
        told[f"{what} not kept: {suffix} files hold none"] = None
    elif (geo.number(257), geo.number(256)) != size or geo.number(exif.ORIENTATION, 1) != 1:
        told[f"{what} not kept where an image is resized, turned or laid beside others"] = None
    elif not metadata.gps:
        told[f"{what} left out; --gps keeps them"] = None
    else:
        return Directory(geo.order, {tag: value for tag, value in geo.tags.items() if tag in GEOTIFF})
    return None


def _profile(metadata: Metadata, image: Image, told: dict[str, None]) -> bytes:
    """The profile of what is written, where the input had one."""
    planes = image.pixels.shape[2]
    if not metadata.profile or planes not in (1, 3):
        return b""
    space = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}.get(metadata.profile[16:20], "")
    if not metadata.converted:
        return metadata.profile if space == ("RGB" if planes == 3 else "L") else b""
    known = is_srgb(metadata.profile, space)
    if known is None:
        told["colour profiles that cannot be used are left out"] = None
        return b""
    if image.pixels.dtype.kind == "f":
        return b""
    return metadata.profile if known and space == ("RGB" if planes == 3 else "L") else srgb_profile(planes)


def _texts(metadata: Metadata) -> tuple[tuple[bytes, bytes], ...]:
    def is_place(content: bytes) -> bool:
        keyword = content.partition(b"\0")[0].lower()
        return any(word in keyword for word in (b"gps", b"latitude", b"longitude"))

    return tuple(text for text in metadata.texts if metadata.gps or not is_place(text[1]))


def _within_segments(found: Embedded, told: dict[str, None]) -> Embedded:
    """What fits into a JPEG's segments: makers' notes go first."""
    if found.directory is not None:
        data = exif.block(found.directory)
        if len(data) > _JPEG_SEGMENT - 6 and EXIF in found.directory.inner:
            inner = found.directory.inner[EXIF]
            if inner.tags.pop(MAKER_NOTE, None) is not None:
                told["makers' notes in EXIF data are left out where JPEG files have no room for them"] = None
                data = exif.block(found.directory)
        if len(data) > _JPEG_SEGMENT - 6:
            told["EXIF data of more than 64 KB are not kept: .jpg files hold no more"] = None
            data, found = b"", replace(found, directory=None)
        found = replace(found, exif=data)
    if len(found.xmp) > _JPEG_XMP:
        told["XMP packets of more than 64 KB are not kept: .jpg files hold no more"] = None
        found = replace(found, xmp=b"")
    if len(found.iptc) > _JPEG_IPTC:
        told["IPTC data of more than 64 KB are not kept: .jpg files hold no more"] = None
        found = replace(found, iptc=b"")
    if found.dpi is not None and max(found.dpi) > 65535:
        told["resolutions of more than 65535 dpi are not kept: .jpg files hold no more"] = None
        found = replace(found, dpi=None)
    return found


def jpeg_segments(embedded: Embedded) -> bytes:
    """The segments of IPTC data and comments, which lie between the beginning of a JPEG file and its pixels."""
    segments = [(0xFE, comment) for comment in embedded.comments]
    if embedded.iptc:
        segments.insert(0, (0xED, iptc.SIGNATURE + iptc.resource(iptc.RECORDS, embedded.iptc)))
    return b"".join(struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data for marker, data in segments)


# --- PNG ------------------------------------------------------------------------------------------------------------


def png_chunks(embedded: Embedded) -> bytes:
    """The chunks of metadata, which lie between the header of a PNG file and its pixels."""
    chunks = []
    if embedded.profile:
        chunks.append(chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(embedded.profile)))
    elif embedded.srgb:
        chunks.append(chunk(b"sRGB", b"\0"))
    if embedded.dpi is not None:
        across, down = (min(round(each / 0.0254), 2**31 - 1) for each in embedded.dpi)
        chunks.append(chunk(b"pHYs", struct.pack(">IIB", across, down, 1)))
    if embedded.exif:
        chunks.append(chunk(b"eXIf", embedded.exif))
    if embedded.xmp:
        chunks.append(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + embedded.xmp))
    chunks += [chunk(kind, content) for kind, content in embedded.texts]
    return b"".join(chunks)


def with_chunks(png: bytes, embedded: Embedded) -> bytes:
    """An encoded PNG file with metadata put behind its header."""
    chunks = png_chunks(embedded)
    return png[:33] + chunks + png[33:] if chunks else png
