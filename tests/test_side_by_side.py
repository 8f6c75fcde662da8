"""Outputs side by side with their inputs: sizes, depths, colours, transparency and formats of the strips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from test_conversion import Negative, files, random_image, save

from translate import images
from translate.conversion import convert
from translate.data import Domain
from translate.errors import TranslateError
from translate.images import Image, ImageError, beside, displayed, in_limits, reduced

GAP = 8


def strip(tmp_path: Path, translator: Negative, name: str, pixels: NDArray[Any], **options: Any) -> Image:
    """The strip of one image that lies in a folder."""
    save(tmp_path / "in" / name, pixels, options.pop("alpha", None))
    result = convert(translator, tmp_path / "in", tmp_path / "out", side_by_side=True, **options)
    assert not result.failed
    (file,) = files(tmp_path / "out")
    return images.read(tmp_path / "out" / file)


@pytest.mark.parametrize(
    ("name", "dtype", "white"),
    [("a.png", np.uint8, 255), ("a.png", np.uint16, 65535), ("a.tif", np.float32, 1), ("a.npy", np.float32, 1)],
)
def test_input_gap_and_output_at_the_depth_of_the_output(tmp_path: Path, name: str, dtype: Any, white: float) -> None:
    pixels = random_image((9, 14, 3), dtype)
    found = strip(tmp_path, Negative(), name, pixels).pixels
    assert found.dtype == dtype
    assert found.shape == (9, 14 + GAP + 14, 3)
    assert (found[:, :14] == pixels).all()
    assert (found[:, 14 : 14 + GAP] == white).all()
    np.testing.assert_allclose(found[:, 14 + GAP :], white - pixels, atol=1e-6)


def test_a_shallow_input_beside_a_deep_output(tmp_path: Path) -> None:
    pixels = random_image((9, 14, 3))
    found = strip(tmp_path, Negative(Domain(3), Domain(3, "uint16")), "a.png", pixels).pixels
    assert found.dtype == np.uint16
    assert (found[:, :14] == pixels.astype(int) * 257).all()


def test_ranges_of_both_sides_are_brought_together(tmp_path: Path) -> None:
    pixels = random_image((9, 14, 1), np.float32) * 200 - 100
    translator = Negative(Domain(1, "float32", -100, 100), Domain(1, "float32", 0, 1))
    found = strip(tmp_path, translator, "a.npy", pixels).pixels
    np.testing.assert_allclose(found[:, :14], (pixels + 100) / 200, atol=1e-6)
    np.testing.assert_allclose(found[:, 14 + GAP :], (100 - pixels) / 200, atol=1e-6)


def test_all_samples_follow_the_input_in_one_file(tmp_path: Path) -> None:
    pixels = random_image((9, 14, 3))
    found = strip(tmp_path, Negative(), "a.png", pixels, samples=3).pixels
    assert found.shape == (9, 4 * 14 + 3 * GAP, 3)
    convert(Negative(), tmp_path / "in", tmp_path / "each", samples=3)
    for number in (1, 2, 3):
        start = number * (14 + GAP)
        assert (found[:, start : start + 14] == images.read(tmp_path / "each" / f"a-{number}.png").pixels).all()


@pytest.mark.parametrize(("source", "target", "stored"), [(3, 1, 3), (1, 3, 1), (1, 1, 3), (3, 3, 1)])
def test_gray_and_colour_beside_each_other(tmp_path: Path, source: int, target: int, stored: int) -> None:
    """The input is shown as it is stored, not as the network sees it."""
    pixels = random_image((9, 14, stored))
    found = strip(tmp_path, Negative(Domain(source), Domain(target)), "a.png", pixels).pixels
    assert found.shape[2] == max(target, stored)
    assert (found[:, :14] == pixels).all()
    convert(Negative(Domain(source), Domain(target)), tmp_path / "in", tmp_path / "alone")
    assert (found[:, 14 + GAP :] == images.read(tmp_path / "alone" / "a.png").pixels).all()


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_transparency_stays_and_the_gap_is_transparent(tmp_path: Path, name: str, channels: int) -> None:
    alpha = random_image((9, 14))
    pixels = random_image((9, 14, 3)) if name == "a.tif" else random_image((9, 14, channels))
    found = strip(tmp_path, Negative(Domain(channels)), name, pixels, alpha=alpha)
    assert found.alpha is not None
    assert (found.alpha[:, :14] == alpha).all()
    assert (found.alpha[:, 14 + GAP :] == alpha).all()
    assert not found.alpha[:, 14 : 14 + GAP].any()


def test_an_alpha_plane_of_the_target_beside_an_opaque_input(tmp_path: Path) -> None:
    domain = Domain(4, alpha="plane")
    pixels = random_image((9, 14, 3))
    found = strip(tmp_path, Negative(domain), "a.png", pixels)
    assert found.alpha is not None
    assert (found.alpha[:, :14] == 255).all()
    assert not found.alpha[:, 14 + GAP :].any()
    assert (found.pixels[:, 14 + GAP :] == 255 - pixels).all()


def test_transparency_that_a_format_cannot_hold_is_named_and_an_opaque_one_dropped(tmp_path: Path) -> None:
    alpha = np.full((9, 14), 255, np.uint8)
    save(tmp_path / "in" / "opaque.png", random_image((9, 14, 3)), alpha)
    alpha[0, 0] = 0
    save(tmp_path / "in" / "seen.png", random_image((9, 14, 3)), alpha)
    maps = Negative(Domain(3), Domain(3, classes=3))
    for translator, folder in ((Negative(), "colours"), (maps, "maps")):
        result = convert(translator, tmp_path / "in", tmp_path / folder, side_by_side=True, format="jpg")
        assert files(tmp_path / folder) == ["opaque.jpg"]
        assert [(path.name, "--format png" in reason or ".png" in reason) for path, reason in result.failed] == [
            ("seen.png", True)
        ]
        assert images.read(tmp_path / folder / "opaque.jpg").pixels.shape == (9, 2 * 14 + GAP, 3)


def test_class_maps_are_coloured_on_both_sides(tmp_path: Path) -> None:
    indices = np.zeros((8, 12, 1), np.uint8)
    indices[:4] = 1
    colours = ((200, 10, 10), (10, 10, 200))
    domain = Domain(3, classes=2, palette=colours)
    translator = Negative(domain, domain)
    translator.translate = lambda batch, **_: batch.flip(2)  # type: ignore[method-assign]
    found = strip(tmp_path, translator, "a.png", indices).pixels
    table = np.array(colours, np.uint8)
    assert (found[:, :12] == table[indices[..., 0]]).all()
    assert (found[:, 12 + GAP :] == table[indices[::-1, :, 0]]).all()
    # Colours may be written as JPEG, which indices may not.
    convert(translator, tmp_path / "in", tmp_path / "jpg", side_by_side=True, format="jpg")
    assert files(tmp_path / "jpg") == ["a.jpg"]


def test_one_hot_maps_of_a_deep_photo(tmp_path: Path) -> None:
    pixels = random_image((8, 12, 3), np.uint16)
    found = strip(tmp_path, Negative(Domain(3), Domain(3, classes=3)), "a.png", pixels).pixels
    assert found.dtype == np.uint8
    assert abs(found[:, :12].astype(int) - pixels / 257).max() <= 0.5 + 1e-6
    table = {tuple(int(each) for each in colour) for colour in images.colours(3)}
    assert {tuple(map(int, colour)) for colour in found[:, 12 + GAP :].reshape(-1, 3)} <= table


def test_resized_inputs_have_the_height_of_the_output(tmp_path: Path) -> None:
    found = strip(tmp_path, Negative(), "a.png", random_image((20, 30, 3)), at=(12, 16)).pixels
    assert found.shape == (12, 16 + GAP + 16, 3)


def test_five_planes_stay_in_an_array_and_others_are_refused_by_name(tmp_path: Path) -> None:
    pixels = random_image((9, 14, 5), np.float32)
    found = strip(tmp_path, Negative(Domain(5, "float32")), "a.npy", pixels).pixels
    assert found.shape == (9, 14 + GAP + 14, 5)
    for source, target in ((Domain(5, "float32"), Domain(3)), (Domain(3, classes=3), Domain(2))):
        with pytest.raises(TranslateError, match="cannot lie side by side"):
            convert(Negative(source, target), tmp_path / "in", tmp_path / "other", side_by_side=True)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("format_", ["png", "jpg", "webp", "tiff", "npy"])
def test_every_format(tmp_path: Path, format_: Any) -> None:
    save(tmp_path / "in" / "a.bmp", random_image((9, 14, 3)))
    convert(Negative(), tmp_path / "in", tmp_path / "out", side_by_side=True, format=format_, quality=100)
    (file,) = files(tmp_path / "out")
    assert images.read(tmp_path / "out" / file).pixels.shape == (9, 2 * 14 + GAP, 3)


def test_a_gallery_shows_input_and_output_beside_a_strip(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", random_image((9, 14, 3)))
    convert(Negative(), tmp_path / "in", tmp_path / "out", side_by_side=True, gallery=True, samples=2)
    kept = sorted((tmp_path / "out" / ".translate" / "gallery").rglob("*.jpg"))
    assert [images.probe(path).width for path in kept] == [14, 14, 14, 14 + 4 + 14]


# --- the parts --------------------------------------------------------------------------------------------------------


def test_beside_brings_all_to_the_height_of_the_last() -> None:
    found = beside([Image(random_image((8, 20, 3))), Image(random_image((4, 6, 1)))], 2, white=255)
    assert found.pixels.shape == (4, 10 + 2 + 6, 3)
    with pytest.raises(ImageError, match="two depths"):
        beside([Image(random_image((4, 4, 3))), Image(random_image((4, 4, 3), np.uint16))], 2, white=255)


def test_reduced_keeps_the_aspect_and_bleeds_no_hidden_colour() -> None:
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, 1::2] = 255
    alpha = np.zeros((40, 80), np.uint8)
    alpha[:, ::2] = 255
    small = reduced(Image(pixels, alpha), 20)
    assert small.pixels.shape == (10, 20, 3)
    assert small.alpha is not None
    assert not small.pixels.any()
    assert (abs(small.alpha.astype(int) - 128) <= 1).all()
    assert reduced(small, 20) is small
    assert reduced(Image(random_image((2000, 1, 3))), 100).pixels.shape == (100, 1, 3)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_whatever_is_displayed_is_gray_or_colour_of_8_bits(channels: int, dtype: Any) -> None:
    pixels = random_image((4, 5, channels), dtype)
    found = displayed(Image(pixels), Domain(channels, str(np.dtype(dtype)))).pixels  # type: ignore[arg-type]
    assert found.dtype == np.uint8
    assert found.shape[2] == (1 if channels == 1 else 3)
    most = {np.uint8: 255, np.uint16: 65535, np.float32: 1}[dtype]
    assert abs(found[..., 0].astype(float) - pixels[..., 0] / most * 255).max() <= 0.51


def test_an_alpha_plane_in_the_range_of_the_colours_is_displayed_as_alpha() -> None:
    pixels = np.array([[[-1, 0, 1, 0]]], np.float32)
    found = displayed(Image(pixels), Domain(4, "float32", -1, 1, alpha="plane"))
    assert found.pixels.tolist() == [[[0, 128, 255]]]
    assert found.alpha is not None
    assert found.alpha.tolist() == [[128]]


def test_unknown_and_ignored_classes_are_black() -> None:
    indices = np.array([[[0], [1], [7], [255]]], np.uint8)
    found = displayed(Image(indices), Domain(2, classes=2, ignore=255)).pixels
    assert found[0, 2:].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert tuple(found[0, 1].tolist()) == images.colours(2)[1]


def test_limits_clip_integers_alone() -> None:
    given = np.array([[[-1.0], [0.5], [2.0]]], np.float32)
    assert in_limits(given, (0, 1), "uint8", (0, 255)).ravel().tolist() == [0, 128, 255]
    assert in_limits(given, (0, 1), "float32", (-1, 1)).ravel().tolist() == [-3, 0, 3]
