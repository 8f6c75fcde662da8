"""XMP packets, made true of an image that was turned, converted to sRGB and perhaps resized.

A packet is XML from a stranger: its size, depth and number of elements are bounded, and one that declares a document
type, and so perhaps entities, is not read at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from xml.dom import minidom
from xml.parsers import expat

MOST_BYTES = 1 << 20
_MOST_ELEMENTS = 20_000
_DEEPEST = 100

_TIFF, _EXIF = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/exif/1.0/"
_STALE = {
    (_TIFF, name)
    for name in (
        "BitsPerSample", "Compression", "PhotometricInterpretation", "SamplesPerPixel", "PlanarConfiguration",
        "YCbCrSubSampling", "YCbCrPositioning", "TransferFunction", "WhitePoint", "PrimaryChromaticities",
        "YCbCrCoefficients", "ReferenceBlackWhite",
    )
} | {
    (_EXIF, "Gamma"),
    ("http://ns.adobe.com/photoshop/1.0/", "ICCProfile"),
    ("http://ns.adobe.com/xap/1.0/", "Thumbnails"),
    ("http://ns.adobe.com/xmp/note/", "HasExtendedXMP"),
}  # fmt: skip
"""Properties of the file that the packet came from."""

_FOREIGN = (
    "http://ns.adobe.com/hdr-gain-map/", "http://ns.apple.com/HDRGainMap/", "http://ns.apple.com/HDRToneMap/",
    "http://ns.google.com/photos/1.0/container/", "http://ns.google.com/photos/1.0/image/",
    "http://ns.google.com/photos/1.0/depthmap/", "http://ns.google.com/photos/1.0/audio/",
)  # fmt: skip
"""Namespaces, by their beginnings, of what further pictures in the same file are."""

_MOTION = ("MicroVideo", "MotionPhoto")
_PLACES = ("gps", "latitude", "longitude", "longtitude", "altitude")  # one drone's maker spells it so


@dataclass(frozen=True, slots=True)
class CleanedXmp:
    """A packet for an output, empty if it could not be read, and whether positions were left out of it."""

    packet: bytes
    damaged: bool = False
    gps: bool = False


def clean_xmp(packet: bytes, height: int, width: int, *, gps: bool, srgb: bool) -> CleanedXmp:
    """A packet that says of an image (``height``, ``width``) what is true; unchanged bytes where it says nothing else.

    The orientation is 1, sizes are the image's, with ``srgb`` the colour space is sRGB; without ``gps`` there is no
    position, and nothing of thumbnails and gain maps.
    """
    values = {
        (_TIFF, "Orientation"): "1", (_TIFF, "ImageWidth"): str(width), (_TIFF, "ImageLength"): str(height),
        (_EXIF, "PixelXDimension"): str(width), (_EXIF, "PixelYDimension"): str(height),
    }  # fmt: skip
    if srgb:
        values[_EXIF, "ColorSpace"] = "1"
    packet = packet.strip(b"\0 \r\n\t\xef\xbb\xbf")
    try:
        text = packet.decode("utf-8")
        names = _names(packet)
        if not any(name in values or _is_stale(*name, gps=gps, srgb=srgb) for name in names):
            return CleanedXmp(packet)
        document = minidom.parseString(text.encode())
        try:
            for child in list(document.childNodes):
                if child.nodeType == child.ELEMENT_NODE:
                    _clean_element(child, values, gps=gps, srgb=srgb)
            written = "\n".join(child.toxml() for child in document.childNodes)
        finally:
            document.unlink()
    except (ValueError, expat.ExpatError, RecursionError, LookupError):
        return CleanedXmp(b"", damaged=True)
    return CleanedXmp(written.encode(), gps=not gps and any(_is_place(name) for _, name in names))


def _names(packet: bytes) -> set[tuple[str, str]]:
    """Namespace and name of all elements and attributes; ``ValueError`` for what is no packet, or is without bounds."""
    if len(packet) > MOST_BYTES:
        raise ValueError("it is too long")
    parser = expat.ParserCreate("utf-8", namespace_separator=" ")
    found: set[str] = set()
    depth = elements = 0

    def start(name: str, attributes: list[str]) -> None:
        nonlocal depth, elements
        depth, elements = depth + 1, elements + 1 + len(attributes) // 2
        if depth > _DEEPEST or elements > _MOST_ELEMENTS:
            raise ValueError("it is too deep or too long")
        found.add(name)
        found.update(attributes[::2])

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    def refuse(*_declared: object) -> None:
        raise ValueError("it declares a document type")

    parser.ordered_attributes = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(packet, True)
    if "http://www.w3.org/1999/02/22-rdf-syntax-ns# RDF" not in found:
        raise ValueError("it holds no properties")
    return {_split(name) for name in found}


def _split(name: str) -> tuple[str, str]:
    space, _, local = name.rpartition(" ")
    return space, local


def _is_stale(space: str, name: str, *, gps: bool, srgb: bool) -> bool:
    if (space, name) in _STALE:
        return srgb or (space, name) not in ((_EXIF, "Gamma"), ("http://ns.adobe.com/photoshop/1.0/", "ICCProfile"))
    return space.startswith(_FOREIGN) or name.startswith(_MOTION) or (not gps and _is_place(name))


def _is_place(name: str) -> bool:
    return any(word in name.lower() for word in _PLACES)


def _clean_element(element: Any, values: dict[tuple[str, str], str], *, gps: bool, srgb: bool) -> None:
    for attribute in list(element.attributes.values()):
        key = (attribute.namespaceURI or "", attribute.localName or attribute.name)
        if key in values:
            attribute.value = values[key]
        elif _is_stale(*key, gps=gps, srgb=srgb) and not attribute.name.startswith("xmlns"):
            element.removeAttributeNode(attribute)
    for child in list(element.childNodes):
        if child.nodeType != child.ELEMENT_NODE:
            continue
        key = (child.namespaceURI or "", child.localName or child.tagName)
        if key in values:
            for part in list(child.childNodes):
                child.removeChild(part)
            child.appendChild(child.ownerDocument.createTextNode(values[key]))
        elif _is_stale(*key, gps=gps, srgb=srgb):
            element.removeChild(child)
        else:
            _clean_element(child, values, gps=gps, srgb=srgb)
