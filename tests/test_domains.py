"""Domains: what reaches a network of transparent images, of ranges and of ignored indices, and what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from numpy.typing import NDArray
from test_conversion import Negative

from translate import images
from translate.conversion import convert
from translate.data import Alpha, Domain, Example
from translate.images import Image


def planes_of(pixels: Any, domain: Domain) -> torch.Tensor:
    """What the network sees of an example."""
    stored = images.read_example(Example(pixels, "a"), domain)
    return images.normalize(torch.from_numpy(stored).permute(2, 0, 1)[None], domain)[0]


def rgba(dtype: str = "uint8") -> NDArray[Any]:
    """Opaque red, hidden green, and half of blue."""
    full = {"uint8": 255, "uint16": 65535, "float32": 1}[dtype]
    row = np.array([[[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0.5]]])
    return np.rint(row * full).astype(dtype) if full > 1 else row.astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(("alpha", "ground"), [("white", 1.0), ("black", -1.0), ("gray", 0.0)])
def test_hidden_colours_reach_no_network(tmp_path: Path, dtype: Any, alpha: Alpha, ground: float) -> None:
    stored = rgba(dtype)
    path = tmp_path / ("a.tif" if dtype == "float32" else "a.png")
    images.write(path, Image(stored[..., :3], stored[..., 3]))
    expected = np.array([[1, -1, -1], [ground] * 3, [(ground - 1) / 2, (ground - 1) / 2, (ground + 1) / 2]]).T
    for pixels in (path, stored):  # a file, and an array whose last plane is alpha
        seen = planes_of(pixels, Domain(3, dtype, alpha=alpha))
        assert np.allclose(seen[:, 0].numpy(), expected, atol=0.01), pixels


def test_alpha_may_be_a_plane_or_be_dropped(tmp_path: Path) -> None:
    stored = rgba()
    images.write(tmp_path / "a.png", Image(stored[..., :3], stored[..., 3]))
    images.write(tmp_path / "b.png", Image(stored[..., :3]))
    as_plane = Domain(4, alpha="plane")
    assert np.allclose(planes_of(tmp_path / "a.png", as_plane)[3, 0], [1, -1, 0], atol=0.005)
    assert planes_of(tmp_path / "b.png", as_plane)[3, 0].tolist() == [1, 1, 1]
    assert planes_of(tmp_path / "a.png", Domain(3))[:, 0, 1].tolist() == [-1, 1, -1]


def test_converting_lays_on_the_background_and_keeps_alpha(tmp_path: Path) -> None:
    stored = np.tile(rgba(), (4, 2, 1))
    (tmp_path / "in").mkdir()
    images.write(tmp_path / "in/a.png", Image(stored[..., :3], stored[..., 3]))
    assert convert(Negative(Domain(3, alpha="white")), tmp_path / "in", tmp_path / "out").failed == ()
    written = images.read(tmp_path / "out/a.png")
    assert written.alpha is not None
    assert np.array_equal(written.alpha, stored[..., 3])
    assert written.pixels[0, 1].tolist() == [0, 0, 0]  # the negative of white, not of the hidden green
    both = Domain(4, alpha="plane")
    assert convert(Negative(both), tmp_path / "in", tmp_path / "planes").failed == ()
    turned = images.read(tmp_path / "planes/a.png")
    assert turned.alpha is not None
    assert turned.alpha[0].tolist() == [0, 255, 127, 0, 255, 127]


def test_a_range_of_integers_becomes_minus_one_to_one() -> None:
    domain = Domain(1, "uint16", 0.0, 4095.0, ranged=True)
    stored = np.array([[[0], [4095], [2048]]], np.uint16)
    assert np.allclose(planes_of(stored, domain).ravel(), [-1, 1, 2048 / 2047.5 - 1], atol=1e-6)
    back = images.to_stored(images.normalize(torch.from_numpy(stored), domain), domain, "uint16")
    assert back.dtype == torch.uint16
    assert back.tolist() == stored.tolist()
    # 8-bit files and floats in a domain of 12 bits
    assert np.allclose(planes_of(np.array([[0, 255]], np.uint8), domain).ravel(), [-1, 1])
    assert np.allclose(planes_of(np.array([[0, 4095]], np.float32), domain).ravel(), [-1, 1])
    answers = torch.tensor([[-1.0, 1.0]])
    assert images.to_stored(answers, domain, "uint8").tolist() == [[0, 255]]
    assert images.to_stored(answers, domain, "float32").tolist() == [[0.0, 4095.0]]
    assert images.to_stored(torch.tensor([2.0]), domain, "uint16").tolist() == [4095]


def test_domains_of_before_are_as_they_were() -> None:
    old = Domain(1, "uint16")  # low 0 and high 1 mean nothing here
    assert planes_of(np.array([[0, 65535]], np.uint16), old).tolist() == [[[-1, 1]]]


def test_converting_keeps_the_range(tmp_path: Path) -> None:
    stored = np.linspace(0, 4095, 64).round().astype(np.uint16).reshape(8, 8, 1)
    images.write(tmp_path / "a.png", Image(stored))
    images.write(tmp_path / "b.png", Image(np.full((8, 8, 1), 255, np.uint8)))
    domain = Domain(1, "uint16", 0.0, 4095.0, ranged=True)
    for name in ("a.png", "b.png"):
        assert convert(Negative(domain), tmp_path / name, tmp_path / "out" / name).failed == ()
    assert np.array_equal(images.read(tmp_path / "out/a.png").pixels, 4095 - stored)
    assert images.read(tmp_path / "out/b.png").pixels.max() == 0


def test_signed_integers_are_read(tmp_path: Path) -> None:
    stored = np.array([[-1024, 3071], [0, 5]], np.int16)
    np.save(tmp_path / "a.npy", stored)
    seen = planes_of(tmp_path / "a.npy", Domain(1, "float32", -1024.0, 3071.0))
    assert seen[0, 0].tolist() == [-1, 1]


def test_ignored_indices_are_minus_one_everywhere(tmp_path: Path) -> None:
    PIL.Image.fromarray(np.array([[0, 1, 255]], np.uint8)).save(tmp_path / "a.png")
    seen = planes_of(tmp_path / "a.png", Domain(2, classes=2, ignore=255))
    assert seen[:, 0].tolist() == [[1, -1, -1], [-1, 1, -1]]
    first = planes_of(tmp_path / "a.png", Domain(256, classes=256, ignore=0))
    assert first[:, 0, 0].tolist() == [-1] * 256
    colours = Domain(3, classes=2, palette=((255, 0, 0), (0, 0, 255)), ignore=255)
    assert planes_of(tmp_path / "a.png", colours)[:, 0].T.tolist() == [[1, -1, -1], [-1, -1, 1], [-1, -1, -1]]
    with pytest.raises(images.ImageError, match="or ignore=255"):
        images.read_example(Example(tmp_path / "a.png", "a"), Domain(2, classes=2))
