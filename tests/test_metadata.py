"""Metadata: what files say beside their pixels, through conversions and in every format, read by other readers."""

from __future__ import annotations

import io
import logging
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ImageCms, IptcImagePlugin
from PIL.TiffImagePlugin import IFDRational
from test_conversion import PHOTOS, Negative, random_image

from translate import images
from translate.conversion import convert
from translate.data import Domain
from translate.images.chunks import chunk
from translate.images.directories import Directory, Value, write_directory
from translate.images.embedding import embed
from translate.images.exif import block, parse
from translate.images.iptc import clean_records, resource, resources
from translate.images.scanning import tiff_metadata
from translate.images.srgb import srgb_profile

XMP = b"""<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"
 tiff:Orientation="6" exif:GPSLatitude="50,5N" hdrgm:Version="1.0"><exif:PixelXDimension>999</exif:PixelXDimension>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Bees &amp; trees</rdf:li></rdf:Alt></dc:title></rdf:Description>
</rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""
GPS_TOLD = "positions (GPS) are left out; --gps keeps them"


def exif_of_a_camera(orientation: int = 1) -> bytes:
    exif = PIL.Image.Exif()
    exif[274], exif[271], exif[315] = orientation, "Camera", "Zoe"
    exif[282], exif[283], exif[296] = IFDRational(300), IFDRational(150), 2
    inner = exif.get_ifd(34665)
    inner[36867], inner[40961], inner[40962], inner[40963] = "2020:01:02 03:04:05", 65535, 999, 888
    inner[37500] = b"maker's note, with offsets of its own" * 3
    exif.get_ifd(34853).update({1: "N", 2: (IFDRational(50), IFDRational(5), IFDRational(1, 3))})
    return bytes(exif.tobytes())


def profile(name: str = "sRGB") -> bytes:
    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes())  # type: ignore[arg-type]


def adobe_rgb() -> bytes:
    """A profile of other primaries and a power of 2.2."""
    made = bytearray(srgb_profile(3))
    at = made.index(b"para")
    struct.pack_into(">HH5i", made, at + 8, 0, 0, round(2.19921875 * 65536), 0, 0, 0, 0)
    red = made.index(struct.pack(">3i", *(round(value * 65536) for value in (0.4360657, 0.2224932, 0.0139160))))
    struct.pack_into(">3i", made, red, *(round(value * 65536) for value in (0.6097412, 0.3111115, 0.0194702)))
    return bytes(made)


def camera_photo(path: Path, orientation: int = 1, **more: Any) -> NDArray[np.uint8]:
    """A JPEG with all kinds of metadata, of 12 by 8 pixels as stored; its pixels as displayed."""
    pixels = np.zeros((8, 12, 3), np.uint8)
    pixels[:4, :6], pixels[:4, 6:], pixels[4:, :6] = (250, 20, 20), (20, 250, 20), (20, 20, 250)
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {"exif": exif_of_a_camera(orientation), "xmp": XMP, "icc_profile": profile(), "dpi": (300, 150)}
    PIL.Image.fromarray(pixels).save(path, quality=100, subsampling=0, **(settings | more))
    shown: NDArray[np.uint8] = images.read(path).pixels
    return shown


def parsed(path: Path) -> dict[str, Any]:
    """EXIF data, profile, packet and resolution as Pillow or tifffile read them."""
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            tags = {tag.code: tag.value for tag in file.pages[0].tags}  # type: ignore[union-attr]
            inner = tags.get(34665, {})
            return {
                "make": tags.get(271), "artist": tags.get(315), "orientation": tags.get(274, 1),
                "date": inner.get("DateTimeOriginal"), "space": inner.get("ColorSpace"), "note": inner.get("MakerNote"),
                "sides": (inner.get("PixelXDimension"), inner.get("PixelYDimension")),
                "gps": tags.get(34853, {}).get("GPSLatitude", [None])[0], "xmp": tags.get(700, b""),
                "profile": tags.get(34675, b""), "dpi": tuple(tags[code][0] / tags[code][1] for code in (282, 283)),
            }  # fmt: skip
    with PIL.Image.open(path) as image:
        image.load()
        exif = image.getexif()
        inner = exif.get_ifd(34665)
        return {
            "make": exif.get(271), "artist": exif.get(315), "orientation": exif.get(274, 1), "date": inner.get(36867),
            "space": inner.get(40961), "note": inner.get(37500), "sides": (inner.get(40962), inner.get(40963)),
            "gps": exif.get_ifd(34853).get(2, [None])[0], "xmp": image.info.get("xmp", b""),
            "profile": image.info.get("icc_profile", b""), "dpi": image.info.get("dpi"),
        }  # fmt: skip


@pytest.mark.parametrize("gps", [False, True])
@pytest.mark.parametrize(
    ("suffix", "depth"),
    [(".jpg", "uint8"), (".webp", "uint8"), (".avif", "uint8"), (".png", "uint8"), (".tif", "uint8"),
     (".png", "uint16"), (".tif", "uint16"), (".tif", "float32")],
)  # fmt: skip
def test_every_format_keeps_what_a_camera_says(suffix: str, depth: Any, gps: bool, tmp_path: Path) -> None:
    if suffix not in images.WRITABLE:
        pytest.skip("this Pillow writes no AVIF")
    shown = camera_photo(tmp_path / "in.jpg", orientation=6)
    pixels = images.as_depth(shown, depth)
    out = tmp_path / f"out{suffix}"
    told = images.write(out, images.Image(pixels), metadata=images.metadata(tmp_path / "in.jpg", gps=gps))
    found = parsed(out)
    assert (found["make"], found["artist"], found["date"]) == ("Camera", "Zoe", "2020:01:02 03:04:05")
    assert (found["orientation"], found["space"], found["sides"]) == (1, 1, (8, 12))
    assert found["note"].startswith(b"maker's note")
    assert len(found["note"]) == 111
    assert (found["gps"] == 50) is gps
    assert (GPS_TOLD in told) is not gps
    assert b"Bees &amp; trees" in found["xmp"]
    assert (b"GPSLatitude" in found["xmp"]) is gps
    assert b"hdrgm:Version" not in found["xmp"]
    assert b'tiff:Orientation="1"' in found["xmp"]
    assert b"<exif:PixelXDimension>8</exif:PixelXDimension>" in found["xmp"]
    assert found["profile"] == (profile_of(tmp_path / "in.jpg") if depth != "float32" else b"")
    if suffix not in (".webp", ".avif"):  # turned on its side, so are its resolutions
        assert found["dpi"] == pytest.approx((150, 300), abs=0.013)
    back = images.read(out).pixels
    assert back.shape == pixels.shape == (12, 8, 3)
    if suffix in (".png", ".tif"):
        assert (back == pixels).all()


def profile_of(path: Path) -> bytes:
    with PIL.Image.open(path) as image:
        return bytes(image.info["icc_profile"])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_is_upright_and_says_so(orientation: int, tmp_path: Path) -> None:
    shown = camera_photo(tmp_path / "in" / "a.jpg", orientation)
    assert convert(Negative(multiple=1), tmp_path / "in", tmp_path / "out", quality=100).failed == ()
    with PIL.Image.open(tmp_path / "out" / "a.jpg") as image:
        assert image.getexif().get(274, 1) == 1
        assert image.getexif()[271] == "Camera"
        assert np.abs(np.asarray(image).astype(int) - (255 - shown)).max() <= 4
        wide = orientation < 5
        assert image.info["dpi"] == ((300, 150) if wide else (150, 300))
        inner = image.getexif().get_ifd(34665)
        assert (inner[40962], inner[40963]) == image.size == ((12, 8) if wide else (8, 12))


def test_a_maker_s_note_keeps_its_place_and_the_thumbnail_goes(tmp_path: Path) -> None:
    exif = bytearray(exif_of_a_camera())
    first = 6 + 8
    (count,) = struct.unpack_from("<H" if exif[6:8] == b"II" else ">H", exif, first)
    order = "<" if exif[6:8] == b"II" else ">"
    struct.pack_into(order + "I", exif, first + 2 + 12 * count, len(exif) - 6)
    exif += struct.pack(order + "HHHIIHHIII", 2, 513, 4, 1, 0, 514, 4, 1, 9, 0) + b"THUMBNAIL"
    camera_photo(tmp_path / "in" / "a.jpg", exif=bytes(exif))
    convert(Negative(multiple=1), tmp_path / "in", tmp_path / "out")
    before, after = ((tmp_path / place / "a.jpg").read_bytes() for place in ("in", "out"))
    note = b"maker's note"
    assert b"THUMBNAIL" in before
    assert b"THUMBNAIL" not in after
    assert b"50,5N" in before
    assert b"50,5N" not in after
    assert before.index(note) - before.index(b"Exif\0\0") == after.index(note) - after.index(b"Exif\0\0")


def test_metadata_are_dropped_if_asked_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    camera_photo(tmp_path / "in" / "a.jpg")
    convert(Negative(multiple=1), tmp_path / "in", tmp_path / "out", metadata="drop")
    with PIL.Image.open(tmp_path / "out" / "a.jpg") as image:
        assert not image.getexif()
        assert "icc_profile" not in image.info
        assert "xmp" not in image.info
    assert "GPS" not in caplog.text


def test_what_is_not_kept_is_told_once_for_each_kind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "translate")
    for number in range(5):
        camera_photo(tmp_path / "in" / f"{number}.jpg")
    PIL.Image.new("RGB", (4, 4)).save(tmp_path / "in" / "plain.jpg")
    convert(Negative(multiple=1), tmp_path / "in", tmp_path / "out", format="webp")
    assert caplog.messages == [f"5 images (0.jpg, 1.jpg, 2.jpg, ...): {GPS_TOLD}"]  # EXIF data hold the resolution
    caplog.clear()
    PIL.Image.new("RGB", (4, 4)).save(tmp_path / "in" / "plain.jpg", dpi=(200, 200), comment=b"hello")
    convert(Negative(multiple=1), tmp_path / "in" / "plain.jpg", tmp_path / "a.webp")
    assert caplog.messages == [
        "1 image (plain.jpg): comments in the file are not kept",
        "1 image (plain.jpg): the resolution (dpi) is not kept: .webp files hold none",
    ]
    caplog.clear()
    convert(Negative(multiple=1), tmp_path / "in" / "0.jpg", tmp_path / "a.bmp", gps=True)
    assert [message.partition(": ")[2] for message in caplog.messages] == [
        "EXIF data are not kept: .bmp files hold none",
        "XMP packets are not kept: .bmp files hold none",
        "colour profiles are not kept: .bmp files hold none",
    ]
    with PIL.Image.open(tmp_path / "a.bmp") as image:
        assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02)


def test_gain_maps_are_named(tmp_path: Path) -> None:
    image = PIL.Image.new("RGB", (8, 8))
    image.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[PIL.Image.new("RGB", (4, 4))])
    assert images.metadata(tmp_path / "a.jpg").lost == (
        "further pictures in the file (gain map, preview, MPF) are not kept",
    )


# --- IPTC, comments and GeoTIFF ---------------------------------------------------------------------------------------

CAPTION = b"\x1c\x01\x5a\0\3\x1b%G\x1c\x02\x78\0\3cat\x1c\x02\x19\0\5black"
PREVIEW = b"\x1c\x02\xca\x80\x04\0\0\0\6jpegxx"  # of the old pixels, of extended length


def iptc_photo(path: Path, *segments: bytes, comment: bytes = b"hello") -> Path:
    """A JPEG file with segments of Photoshop's resources and a comment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", (8, 8)).save(path, comment=comment)
    data = path.read_bytes()
    parts = [b"\xff\xed" + struct.pack(">H", len(each) + 16) + b"Photoshop 3.0\0" + each for each in segments]
    path.write_bytes(data[:2] + b"".join(parts) + data[2:])
    return path


def pillows(path: Path) -> dict[tuple[int, int], Any]:
    """IPTC's records as Pillow reads them."""
    with PIL.Image.open(path) as image:
        image.load()
        return dict(IptcImagePlugin.getiptcinfo(image) or {})  # type: ignore[arg-type]


def converted(tmp_path: Path, caplog: pytest.LogCaptureFixture, target: str, **options: Any) -> tuple[Path, list[str]]:
    """The output of the one image of a folder, and what was told without the number of images."""
    caplog.set_level(logging.WARNING, "translate")
    caplog.clear()
    result = convert(Negative(multiple=1), tmp_path / "in", tmp_path / target, **options)
    assert result.converted == 1
    (output,) = (path for path in (tmp_path / target).iterdir() if path.is_file())
    return output, [message.partition("): ")[2] for message in caplog.messages]


def test_iptc_and_comments_stay_in_jpeg(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    records = resource(0x0404, CAPTION + PREVIEW)
    # It is cut in the middle, as long ones are; a thumbnail of the old pixels comes first.
    whole = resource(0x040C, b"thumbnail") + records
    iptc_photo(tmp_path / "in" / "a.jpg", whole[:30], whole[30:], comment=b"caf\xc3\xa9")
    output, told = converted(tmp_path, caplog, "jpg", quality=90)
    assert told == []
    assert pillows(output) == {(1, 90): b"\x1b%G", (2, 120): b"cat", (2, 25): b"black"}
    with PIL.Image.open(output) as image:
        assert image.info["comment"] == b"caf\xc3\xa9"
        assert (np.asarray(image) > 250).all()
    assert b"thumbnail" not in output.read_bytes()
    assert b"jpegxx" not in output.read_bytes()
    again = images.metadata(output)
    assert (again.iptc, again.comments, again.lost) == (CAPTION, (b"caf\xc3\xa9",), ())


def test_iptc_goes_into_tiff_and_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    iptc_photo(tmp_path / "in" / "a.jpg", resource(0x0404, CAPTION))
    output, told = converted(tmp_path, caplog, "tiff", format="tiff")
    assert told == ["comments in the file are not kept"]
    assert pillows(output) == {(1, 90): b"\x1b%G", (2, 120): b"cat", (2, 25): b"black"}
    output.rename(tmp_path / "in" / "a.tiff")
    (tmp_path / "in" / "a.jpg").unlink()
    output, told = converted(tmp_path, caplog, "back", format="jpg")
    assert (told, images.metadata(output).iptc) == ([], CAPTION)
    output, told = converted(tmp_path, caplog, "png", format="png")
    assert told == ["IPTC data are not kept: .png files hold none"]
    output, told = converted(tmp_path, caplog, "dropped", metadata="drop")
    assert (told, images.metadata(output).iptc) == ([], b"")


@pytest.mark.parametrize("kind", [1, 4, 7])
@pytest.mark.parametrize("order", ["<", ">"])
def test_iptc_of_tiff_files_of_any_type_is_read(tmp_path: Path, kind: int, order: str) -> None:
    data = CAPTION + bytes(-len(CAPTION) % 4)
    if (kind, order) == (4, "<"):  # as by libtiff, which takes them for numbers
        data = b"".join(data[at : at + 4][::-1] for at in range(0, len(data), 4))
    page = Directory(order, {33723: Value(kind, len(data) // (4 if kind == 4 else 1), data)})
    (tmp_path / "a.tif").write_bytes(
        (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8) + write_directory(page, 8)
    )
    with (tmp_path / "a.tif").open("rb") as file:
        assert tiff_metadata(file, order, False, 8).iptc == CAPTION


@pytest.mark.parametrize(("segment", "sentence"), [
    (resource(0x0404, CAPTION[:-2]), "damaged IPTC data are left out"),
    (resource(0x0404, CAPTION + b"junk"), "damaged IPTC data are left out"),
    (resource(0x0404, b"\x1c\x02\x78\xff\xff"), "damaged IPTC data are left out"),
    (resource(0x0404, CAPTION)[:-5], ""),
    (b"8BIM", ""), (b"8BIM\4\4\xff", ""), (b"", ""), (b"\xff" * 40, ""),
    (resource(0x07D0, b"a path"), "Photoshop's resources (paths, layers, settings) are not kept"),
])  # fmt: skip
def test_strange_resources_cost_themselves_alone(tmp_path: Path, segment: bytes, sentence: str) -> None:
    found = images.metadata(iptc_photo(tmp_path / "a.jpg", segment))
    assert found.iptc == b""
    assert found.lost == ((sentence,) if sentence else ())
    assert found.comments == (b"hello",)


@given(st.binary(max_size=80))
def test_records_are_clean_whatever_was_read(data: bytes) -> None:
    cleaned = clean_records(data)
    assert cleaned is None or clean_records(cleaned) == cleaned
    assert clean_records(CAPTION + (cleaned or b"")) == CAPTION + (cleaned or b"")
    list(resources(data))


def test_iptc_that_no_segment_holds_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    long = b"".join(b"\x1c\x02\x78\x7f\xff" + b"x" * 0x7FFF for _ in range(3))
    whole = resource(0x0404, long)
    iptc_photo(tmp_path / "in" / "a.jpg", *(whole[at : at + 60_000] for at in range(0, len(whole), 60_000)))
    _, told = converted(tmp_path, caplog, "jpg")
    assert told == ["IPTC data of more than 64 KB are not kept: .jpg files hold no more"]
    output, told = converted(tmp_path, caplog, "tiff", format="tiff")
    assert images.metadata(output).iptc == long


GEO = [
    (33550, 12, 3, (0.5, 0.5, 0.0)), (33922, 12, 6, (0.0, 0.0, 0.0, 440720.0, 3751320.0, 0.0)),
    (34735, 3, 4, (1, 1, 0, 0)), (34737, 2, 0, "WGS 84|"),
]  # fmt: skip


@pytest.mark.parametrize("written_by", ["tifffile", "imagej", "ome", "nobody"])
def test_what_tells_how_a_tiff_is_arranged_goes_with_the_old_pixels(
    written_by: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Three gray pages become coloured ones: readers that trust such a description would take them for others."""
    (tmp_path / "in").mkdir()
    pages = random_image((3, 9, 12, 1))[..., 0]
    options: dict[str, Any] = {
        "tifffile": {"photometric": "minisblack"},
        "imagej": {"imagej": True, "metadata": {"axes": "ZYX", "spacing": 3.5, "unit": "um"}},
        "ome": {"ome": True, "photometric": "minisblack", "metadata": {"axes": "ZYX"}},
        "nobody": {"photometric": "minisblack", "metadata": None, "description": "three bees; ImageJ=no"},
    }[written_by]
    tifffile.imwrite(tmp_path / "in" / "a.tif", pages, **options)
    output, told = converted(tmp_path, caplog, "out")
    sentence = "how a TIFF's values are arranged (ImageJ, OME, tifffile) is not kept, since it holds for the old pixels"
    assert told == ([] if written_by == "nobody" else [sentence])
    with tifffile.TiffFile(output) as file:
        expected = "three bees; ImageJ=no" if written_by == "nobody" else ""
        assert file.pages[0].description == expected
        assert (file.asarray(key=slice(None)) == 255 - pages[..., None]).all()


@pytest.mark.parametrize("order", ["<", ">"])
def test_geotiff_stays_in_tiff_with_gps(order: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "in").mkdir()
    pixels = random_image((9, 12, 3))
    more = [(42113, 2, 0, "0")]
    written: dict[str, Any] = {"extratags": GEO + more, "metadata": None}
    tifffile.imwrite(tmp_path / "in" / "a.tif", pixels, byteorder=order, photometric="rgb", **written)
    output, told = converted(tmp_path, caplog, "gps", gps=True)
    assert told == ["GDAL's metadata and its value of missing pixels are not kept, since they hold for the old pixels"]
    with tifffile.TiffFile(output) as file:
        tags = file.pages[0].tags
        for tag, _, _, value in GEO:
            assert tags[tag].value == (value.rstrip("\0") if isinstance(value, str) else value)
        assert 42113 not in tags
        assert (file.asarray() == 255 - pixels).all()
    what = "GeoTIFF's position and projection are"
    for name, sentence, options in (
        ("plain", f"{what} left out; --gps keeps them", {}),
        ("half", f"{what} not kept where an image is resized, turned or laid beside others", {"scale": 0.5}),
        ("strip", f"{what} not kept where an image is resized, turned or laid beside others", {"side_by_side": True}),
        ("png", f"{what} not kept: .png files hold none", {"format": "png"}),
    ):
        output, told = converted(tmp_path, caplog, name, **{"gps": name != "plain", **options})
        assert told[1:] == [sentence], name
        assert b"WGS 84" not in output.read_bytes()


def test_geotiff_of_a_turned_page_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "in").mkdir()
    turned = [(274, 3, 1, 3)]
    written: dict[str, Any] = {"extratags": GEO + turned, "metadata": None}
    tifffile.imwrite(tmp_path / "in" / "a.tif", random_image((9, 12, 3)), photometric="rgb", **written)
    _, told = converted(tmp_path, caplog, "out", gps=True)
    assert told == [
        "GeoTIFF's position and projection are not kept where an image is resized, turned or laid beside others"
    ]


# --- profiles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", ["uint8", "uint16"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_another_profile_is_replaced_by_srgb_since_colours_are(suffix: str, depth: Any, tmp_path: Path) -> None:
    stored = images.as_depth(random_image((6, 7, 3)), depth)
    embedded = images.Metadata(profile=adobe_rgb(), converted=False)  # as it stands
    source = tmp_path / "in" / f"a{suffix}"
    source.parent.mkdir()
    images.write(source, images.Image(stored), metadata=embedded)
    shown = images.read(source).pixels
    assert (shown != stored).any()  # the profile is applied
    convert(Negative(multiple=1), tmp_path / "in", tmp_path / "out")
    out = tmp_path / "out" / f"a{suffix}"
    assert images.metadata(out).profile == srgb_profile(3)
    assert (images.read(out).pixels == np.iinfo(depth).max - shown).all()  # and not applied again


@pytest.mark.parametrize("planes", [1, 3])
def test_the_profile_that_is_written_changes_nothing(planes: int, tmp_path: Path) -> None:
    pixels = random_image((9, 9, planes))
    for suffix in (".png", ".tif", ".webp"):
        path = tmp_path / f"a{suffix}"
        metadata = images.Metadata(profile=adobe_rgb() if planes == 3 else profile())
        images.write(path, images.Image(pixels), quality=100, metadata=metadata)
        with PIL.Image.open(path) as image:
            assert image.info["icc_profile"] == srgb_profile(planes)
            ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"])))
        assert (images.read(path).pixels == pixels).all(), suffix


def test_a_float_s_profile_stays_and_class_maps_have_none(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pixels = random_image((5, 6, 3), np.float32)
    with tifffile.TiffWriter(tmp_path / "in" / "f.tif") as file:
        file.write(pixels, photometric="rgb", iccprofile=adobe_rgb(), resolution=(72, 72), resolutionunit=2)
    convert(Negative(multiple=1), tmp_path / "in", tmp_path / "out")
    assert images.metadata(tmp_path / "out" / "f.tif").profile == adobe_rgb()
    camera_photo(tmp_path / "photos" / "a.png", exif=b"", xmp=b"")
    convert(Negative(Domain(3), Domain(4, classes=4), 1), tmp_path / "photos", tmp_path / "maps")
    assert images.metadata(tmp_path / "maps" / "a.png").profile == b""


def test_a_png_s_own_mark_of_srgb_and_texts(tmp_path: Path) -> None:
    data = io.BytesIO()
    PIL.Image.fromarray(random_image((5, 6, 3))).save(data, "PNG")
    png = data.getvalue()
    texts = chunk(b"tEXt", b"Title\0Bees") + chunk(b"tEXt", b"exif:GPSLatitude\0x") + chunk(b"tEXt", b"GPS note\0here")
    (tmp_path / "a.png").write_bytes(png[:33] + chunk(b"sRGB", b"\1") + texts + png[33:])
    metadata = images.metadata(tmp_path / "a.png")
    told = images.write(tmp_path / "b.png", images.read(tmp_path / "a.png"), metadata=metadata)
    with PIL.Image.open(tmp_path / "b.png") as image:
        assert "srgb" in image.info
        assert image.text == {"Title": "Bees"}  # type: ignore[attr-defined]
    assert told == (GPS_TOLD,)
    told = images.write(tmp_path / "b.jpg", images.read(tmp_path / "a.png"), metadata=metadata)
    assert told[-1].startswith("texts of PNG files")


def test_pngs_are_sound_to_the_last_checksum(tmp_path: Path) -> None:
    camera_photo(tmp_path / "in.jpg")
    for planes, dtype in ((3, np.uint8), (1, np.uint16)):
        path = tmp_path / "out.png"
        images.write(
            path, images.Image(random_image((5, 6, planes), dtype)), metadata=images.metadata(tmp_path / "in.jpg")
        )
        data, at, kinds = path.read_bytes(), 8, []
        while at < len(data):
            (length,) = struct.unpack_from(">I", data, at)
            kinds.append(data[at + 4 : at + 8])
            assert zlib.crc32(data[at + 4 : at + 8 + length]) == struct.unpack_from(">I", data, at + 8 + length)[0]
            at += 12 + length
        assert kinds[0] == b"IHDR"
        assert kinds[-1] == b"IEND"
        assert {b"iCCP", b"pHYs", b"eXIf", b"iTXt"} <= set(kinds[: kinds.index(b"IDAT")])


# --- hostile files ----------------------------------------------------------------------------------------------------


def test_hostile_metadata_fail_no_image(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "translate")
    entries = b"".join(struct.pack("<HHII", tag + 1, 7, 60_000, 8) for tag in range(4000))
    hostile = {
        "garbage": {"exif": b"Exif\0\0garbage"},
        "outside": {"exif": b"Exif\0\0II*\0\xff\xff\xff\xff"},
        "itself": {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 34665, 4, 1, 8) + bytes(4)},
        "many": {"exif": b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 4000) + entries + bytes(4)},
        "entity": {"xmp": b'<!DOCTYPE x [<!ENTITY a "b">]><x:xmpmeta xmlns:x="adobe:ns:meta/">&a;</x:xmpmeta>'},
        "deep": {"xmp": b"<a>" * 5000 + b"</a>" * 5000},
        "profile": {"icc_profile": b"this is no profile" * 20},
    }
    for name, kind in hostile.items():
        camera_photo(tmp_path / "in" / f"{name}.jpg", **({"exif": b"", "xmp": b"", "icc_profile": b""} | kind))
    result = convert(Negative(multiple=1), tmp_path / "in", tmp_path / "out")
    assert (result.converted, result.failed) == (7, ())
    assert sorted(message.partition(": ")[2] for message in caplog.messages) == [
        "XMP packets that cannot be read are left out",
        "colour profiles that cannot be used are left out",
        "damaged EXIF data are left out",
    ]


def test_metadata_that_unpack_to_too_much_are_left_out(tmp_path: Path) -> None:
    data = io.BytesIO()
    pixels = random_image((5, 6, 3))
    PIL.Image.fromarray(pixels).save(data, "PNG")
    png, bomb = data.getvalue(), zlib.compress(bytes(80_000_000))
    chunks = chunk(b"iCCP", b"x\0\0" + bomb) + chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb)
    (tmp_path / "a.png").write_bytes(png[:33] + chunks + png[33:])
    assert (images.read(tmp_path / "a.png").pixels == pixels).all()
    assert images.metadata(tmp_path / "a.png").lost == (
        "ICC profiles of more than 4 MB are left out",
        "XMP packets of more than 1 MB are left out",
    )


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_bytes_for_exif_become_sound_ones_or_none(data: st.DataObject) -> None:
    exif = bytearray(exif_of_a_camera(3)[6:])
    for place in data.draw(st.lists(st.integers(0, len(exif) - 1), max_size=12)):
        exif[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(exif)))
    drawn = bytes(exif[:cut]) if data.draw(st.booleans()) else data.draw(st.binary(max_size=200))
    found = parse(drawn)
    metadata = images.Metadata(exif=found, xmp=data.draw(st.binary(max_size=60)))
    for suffix in (".png", ".tif"):
        embedded, _ = embed(metadata, images.Image(np.zeros((2, 3, 3), np.uint8)), suffix)
        if embedded.directory is not None:
            again = parse(block(embedded.directory))
            assert again is not None
            assert not again.damaged
            assert 34853 not in again.inner
            assert 274 not in again.tags


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.integers(270, 60_000), st.binary(max_size=40), max_size=8),
    st.sampled_from("<>"),
    st.booleans(),
)
def test_directories_are_read_as_they_were_written(tags: dict[int, bytes], order: str, inner: bool) -> None:
    for tag in (34665, 34853):
        tags.pop(tag, None)
    directory = Directory(order, {tag: Value(7, len(value), value) for tag, value in tags.items()})
    if inner:
        directory.inner[34665] = Directory(order, {37500: Value(7, 9, b"123456789", at=300)})
    again = parse(block(directory))
    if not tags and not inner:
        assert again is None
        return
    assert again is not None
    assert not again.damaged
    assert {tag: value.data for tag, value in again.tags.items()} == tags
    assert not inner or again.inner[34665].tags[37500].data == b"123456789"


def test_what_jpeg_segments_have_no_room_for_is_told(tmp_path: Path) -> None:
    directory = Directory("<", {271: Value(2, 5, b"Make\0")})
    directory.inner[34665] = Directory("<", {37500: Value(7, 70_000, bytes(70_000))})
    metadata = images.Metadata(exif=directory, xmp=b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
                               + b" " * 70_000 + b"</rdf:RDF>")  # fmt: skip
    told = images.write(tmp_path / "a.jpg", images.Image(random_image((5, 6, 3))), metadata=metadata)
    assert len(told) == 2
    assert "makers' notes" in told[0]
    assert "XMP packets of more than 64 KB" in told[1]
    with PIL.Image.open(tmp_path / "a.jpg") as image:
        assert image.getexif()[271] == "Make"
    assert images.write(tmp_path / "a.png", images.Image(random_image((5, 6, 3))), metadata=metadata) == ()
    with PIL.Image.open(tmp_path / "a.png") as image:
        assert len(image.getexif().get_ifd(34665)[37500]) == 70_000


def test_real_photos_keep_their_exif(tmp_path: Path) -> None:
    if not PHOTOS.exists():
        pytest.skip("needs real photos")
    paths = sorted((PHOTOS / "lowlight_DICM").glob("*.jpg"))[:3]
    for path in paths:
        told = images.write(tmp_path / path.name, images.read(path), metadata=images.metadata(path))
        with PIL.Image.open(path) as before, PIL.Image.open(tmp_path / path.name) as after:
            one, two = before.getexif(), after.getexif()
            assert {tag: one[tag] for tag in (271, 272, 306) if tag in one} == {
                tag: two[tag] for tag in (271, 272, 306) if tag in two
            }
            inner = one.get_ifd(34665)
            kept = two.get_ifd(34665)
            assert inner
            assert {tag: kept.get(tag) for tag in inner if tag not in (40962, 40963, 40965)} == {
                tag: inner[tag] for tag in inner if tag not in (40962, 40963, 40965)
            }
        assert not any("damaged" in sentence for sentence in told)
