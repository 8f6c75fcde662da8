"""Conversions that fill holes: all else is the file's own to the bit, whatever computes the network and however."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from test_together import Launched
from torch import Tensor, nn

import translate
from translate import checkpoint, images, translator
from translate.conversion import algorithms
from translate.data import Domain
from translate.errors import TranslateError
from translate.large import InParts
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate.taken import Input, Taken, Wanted
from translate.translator import Translator


class Filling(nn.Module):
    """Changes everything, and leaves it to others to keep what is outside of the hole."""

    size_multiple = 4

    def __init__(self, channels: int = 3, fixed_size: tuple[int, int] | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fixed_size = fixed_size
        self.conv = nn.Conv2d(channels + 1, channels, 3, padding=1)

    def forward(
        self, image: Tensor, *, mask: Annotated[Tensor, Input("aligned", of="mask", hole=True, help="what is filled")]
    ) -> Tensor:
        return torch.tanh(self.conv(torch.cat([-image, mask[:, -1:]], 1)))


def made(source: Domain = Domain(3), network: nn.Module | None = None, **options: Any) -> Translator:  # noqa: B008
    return Translator(
        network or Filling(source.channels), catalog=discover(), direction="forward", directions=("forward",),
        source=source, target=source, size=(16, 16), device=torch.device("cpu"), **options,
    )  # fmt: skip


WHITE = Domain(3, alpha="white")


def photo(path: Path, *, alpha: bool = False, depth: type = np.uint8, size: tuple[int, int] = (37, 50)) -> Path:
    drawn = np.random.default_rng(len(path.stem) + sum(path.stem.encode()))
    most = np.iinfo(depth).max
    pixels = drawn.integers(0, most, (*size, 3), depth, endpoint=True)
    plane = drawn.integers(0, most, size, depth, endpoint=True) if alpha else None
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, images.Image(pixels, plane))
    return path


def mask(path: Path, size: tuple[int, int] = (37, 50)) -> NDArray[np.bool_]:
    """Writes a mask in which white is the hole, and returns it."""
    hole = np.zeros(size, bool)
    hole[5:20, 11:33] = True
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, images.Image(np.where(hole, 255, 0).astype(np.uint8)[..., None]))
    return hole


def check(before: Path, after: Path, hole: NDArray[np.bool_]) -> None:
    """What is outside of the hole is the file's own, with its alpha; inside it is not, and is opaque."""
    own, out = images.read(before), images.read(after)
    assert out.pixels.dtype == own.pixels.dtype
    assert np.array_equal(out.pixels[~hole], own.pixels[~hole])
    assert (out.pixels[hole] != own.pixels[hole]).any(-1).mean() > 0.9
    assert (out.alpha is None) == (own.alpha is None)
    if own.alpha is not None and out.alpha is not None:
        assert np.array_equal(out.alpha[~hole], own.alpha[~hole])
        assert (out.alpha[hole] == np.iinfo(out.alpha.dtype).max).all()


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("source", [Domain(3), WHITE], ids=["dropped", "white"])
def test_known_pixels_are_those_of_the_file(tmp_path: Path, depth: type, source: Domain) -> None:
    for number in range(5):
        photo(tmp_path / "in" / f"{number}.png", alpha=number % 2 == 1, depth=depth)
        hole = mask(tmp_path / "masks" / f"{number}.png")
    given = {"mask": tmp_path / "masks"}
    for batch, workers in ((1, 1), (8, 4)):
        done = translate.convert(
            made(source), tmp_path / "in", tmp_path / f"out{batch}", given=given, batch=batch, workers=workers
        )
        assert done.converted == 5
        for number in range(5):
            check(tmp_path / "in" / f"{number}.png", tmp_path / f"out{batch}" / f"{number}.png", hole)


@pytest.mark.parametrize("options", [{"precision": "bf16"}, {"network": Filling(fixed_size=(16, 16))}])
def test_rounding_and_resizing_inside_change_nothing_outside(tmp_path: Path, options: dict[str, Any]) -> None:
    photo(tmp_path / "in.png", depth=np.uint16)
    hole = mask(tmp_path / "mask.png")
    own = made(**options)
    translate.convert(own, tmp_path / "in.png", tmp_path / "out.png", given={"mask": tmp_path / "mask.png"})
    check(tmp_path / "in.png", tmp_path / "out.png", hole)
    pixels = images.read(tmp_path / "in.png").pixels
    answer = own(pixels, given={"mask": tmp_path / "mask.png"})
    assert np.array_equal(answer[~hole], pixels[~hole])
    assert not np.array_equal(answer[hole], pixels[hole])


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
def test_a_runtime_in_bf16_keeps_them_too(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    photo(tmp_path / "in.png", depth=np.uint16)
    hole = mask(tmp_path / "mask.png")
    own = made(runtime="openvino", precision="bf16")
    translate.convert(own, tmp_path / "in.png", tmp_path / "out.png", given={"mask": tmp_path / "mask.png"})
    check(tmp_path / "in.png", tmp_path / "out.png", hole)


@pytest.mark.parametrize("source", [Domain(3), WHITE], ids=["dropped", "white"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_images_in_parts_keep_them_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, source: Domain
) -> None:
    """A TIFF file is read in bands and written row by row, with alpha and without."""
    size = (200, 160)
    hole = mask(tmp_path / "mask.png", size)
    for name in ("plain", "transparent"):
        photo(tmp_path / "in" / f"{name}{suffix}", alpha=name == "transparent", size=size)
    monkeypatch.setitem(algorithms.WHOLE_BYTES, "cpu", 1)
    used: list[str] = []
    own = InParts.translate

    def noted(self: InParts, picture: Any, how: Any, *before: Any) -> None:
        used.append(how)
        own(self, picture, how, *before)

    monkeypatch.setattr(InParts, "translate", noted)
    done = translate.convert(made(source), tmp_path / "in", tmp_path / "out", given={"mask": tmp_path / "mask.png"})
    assert done.converted == 2
    assert used == ["strips"] * 2
    for name in ("plain", "transparent"):
        check(tmp_path / "in" / f"{name}{suffix}", tmp_path / "out" / f"{name}{suffix}", hole)


def told(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(caplog.messages)


def test_what_cannot_be_exact_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    photo(tmp_path / "in.png")
    mask(tmp_path / "mask.png")
    images.write(tmp_path / "black.png", images.Image(np.zeros((37, 50, 1), np.uint8)))
    given = {"mask": tmp_path / "mask.png"}
    translate.convert(made(), tmp_path / "in.png", tmp_path / "small.png", given=given, at=(16, 24))
    assert "it is resized, so the pixels that are kept are those of the resized image" in told(caplog)
    small, own = images.read(tmp_path / "small.png").pixels, images.read(tmp_path / "in.png").pixels
    rows = [0, *range(10, 16)]
    assert np.array_equal(small[rows], images.resize(own, (16, 24))[rows])
    caplog.clear()
    translate.convert(made(), tmp_path / "in.png", tmp_path / "out.png", given=given)
    assert "kept" not in told(caplog)
    translate.convert(made(), tmp_path / "in.png", tmp_path / "out.jpg", given=given)
    assert "the pixels that are kept are compressed anew: .jpg files are lossy; use --format png" in told(caplog)
    given = {"mask": tmp_path / "black.png"}
    translate.convert(made(), tmp_path / "in.png", tmp_path / "none.png", given=given)
    assert "mask marks nothing, so nothing is filled" in told(caplog)
    assert np.array_equal(images.read(tmp_path / "none.png").pixels, own)


def test_the_transparency_of_an_image_can_be_its_hole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = images.read(photo(tmp_path / "in" / "one.png", alpha=True))
    photo(tmp_path / "in" / "opaque.png")
    assert own.alpha is not None
    alpha = np.where(own.alpha < 128, own.alpha, 255).astype(np.uint8)
    images.write(tmp_path / "in" / "one.png", images.Image(own.pixels, alpha))
    for source in (Domain(3), WHITE):
        done = translate.convert(made(source), tmp_path / "in", tmp_path / source.alpha, given={"mask": "alpha"})
        assert done.converted == 2
        out = images.read(tmp_path / source.alpha / "one.png")
        assert out.alpha is not None
        assert (out.alpha == 255).all()
        assert np.array_equal(out.pixels[alpha == 255], own.pixels[alpha == 255])
        assert (out.pixels[alpha < 255] != own.pixels[alpha < 255]).any(-1).mean() > 0.9
        opaque = images.read(tmp_path / "in" / "opaque.png").pixels
        assert np.array_equal(images.read(tmp_path / source.alpha / "opaque.png").pixels, opaque)
    assert "1 image (opaque.png): mask marks nothing" in told(caplog)
    # All that was transparent is filled, so a format without transparency holds the output.
    translate.convert(made(), tmp_path / "in" / "one.png", tmp_path / "one.jpg", given={"mask": "alpha"})
    mask(tmp_path / "mask.png")
    done = translate.convert(
        made(), tmp_path / "in" / "one.png", tmp_path / "no.jpg", given={"mask": tmp_path / "mask.png"}
    )
    assert "has transparency, which .jpg cannot hold" in done.failed[0][1]


def test_each_frame_has_its_own_transparency(tmp_path: Path) -> None:
    frames = []
    for number in range(3):
        pixels = np.full((16, 16, 4), 255, np.uint8)
        pixels[..., :3] = np.random.default_rng(number).integers(0, 256, (16, 16, 3))
        pixels[4 * number : 4 * number + 4, :, 3] = 0
        frames.append(Pillow.fromarray(pixels))
    frames[0].save(tmp_path / "in.png", save_all=True, append_images=frames[1:], duration=100, disposal=1)
    translate.convert(made(), tmp_path / "in.png", tmp_path / "out.png", given={"mask": "alpha"})
    with Pillow.open(tmp_path / "in.png") as before, Pillow.open(tmp_path / "out.png") as after:
        assert after.n_frames == 3  # type: ignore[attr-defined]
        for number in range(3):
            before.seek(number)
            after.seek(number)
            own, out = (np.asarray(each.convert("RGBA")) for each in (before, after))
            known = own[..., 3] == 255
            assert 0 < (~known).sum() < known.size
            assert np.array_equal(own[known], out[known])
            assert (out[..., 3] == 255).all()


def test_alpha_as_the_stream_marks_what_is_not_opaque(tmp_path: Path) -> None:
    """A network that was trained on alpha reads that of the files it is given, or of each image itself."""
    photo(tmp_path / "in.png", alpha=True)
    own = images.read(tmp_path / "in.png")
    assert own.alpha is not None
    wanted = Wanted("mask", "aligned", "mask", "", True, Domain(1, alpha="only", nearest=True), hole=True)
    translator = made(WHITE, taken=Taken({}, {"mask": wanted}))
    for name, value in (("word", "alpha"), ("file", tmp_path / "in.png")):
        translate.convert(translator, tmp_path / "in.png", tmp_path / f"{name}.png", given={"mask": value})
        out = images.read(tmp_path / f"{name}.png")
        assert np.array_equal(out.pixels[own.alpha == 255], own.pixels[own.alpha == 255])
        assert not np.array_equal(out.pixels[own.alpha < 255], own.pixels[own.alpha < 255])
        assert out.alpha is not None
        assert (out.alpha == 255).all()


def test_a_folder_called_alpha_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    photo(tmp_path / "in.png")
    hole = mask(tmp_path / "alpha" / "in.png")
    translate.convert(made(), "in.png", "word.png", given={"mask": "alpha"})
    assert "mask=alpha is the transparency of each image; write ./alpha for the file or folder" in told(caplog)
    translate.convert(made(), "in.png", "folder.png", given={"mask": "./alpha"})
    check(tmp_path / "in.png", tmp_path / "folder.png", hole)


def test_a_missing_mask_or_one_of_another_size_fails_alone(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        photo(tmp_path / "in" / f"{name}.png")
    hole = mask(tmp_path / "masks" / "a.png")
    mask(tmp_path / "masks" / "b.png", (37, 49))
    done = translate.convert(made(), tmp_path / "in", tmp_path / "out", given={"mask": tmp_path / "masks"})
    assert done.converted == 1
    reasons = {path.name: reason for path, reason in done.failed}
    assert reasons.keys() == {"b.png", "c.png"}
    assert "has 50 x 37 pixels, and its mask" in reasons["b.png"]
    assert "its mask is missing" in reasons["c.png"]
    check(tmp_path / "in" / "a.png", tmp_path / "out" / "a.png", hole)
    with pytest.raises(TranslateError, match="needs mask, an image as large as its image.*; give it with --with mask="):
        translate.convert(made(), tmp_path / "in", tmp_path / "no")


def test_arrays_and_pictures_in_a_program(tmp_path: Path) -> None:
    hole = mask(tmp_path / "mask.png")
    pixels = np.random.default_rng(0).integers(0, 256, (37, 50, 4), np.uint8)
    given = {"mask": tmp_path / "mask.png"}
    answer = np.asarray(made()(Pillow.fromarray(pixels), given=given))
    assert np.array_equal(answer[~hole], pixels[~hole])
    assert (answer[hole][:, 3] == 255).all()
    with pytest.raises(TranslateError, match="mask=alpha is the transparency of files; give an image here"):
        made()(pixels[..., :3], given={"mask": "alpha"})


def file_of(path: Path, domain: Domain = Domain(3)) -> Path:  # noqa: B008
    """A translator of pix2pix that fills holes, untrained."""
    catalog, options = discover(), {"generator": "unet(width=4, depth=2)", "gan": 0.0, "mask": "holes"}
    parts: Any = CatalogParts(catalog, source=domain, target=domain, size=(16, 16))
    parts.aligned = {"holes": Domain(1, nearest=True)}
    method = build_method(catalog, "pix2pix", options, parts)
    plugin = catalog.offer("methods", "pix2pix").plugin
    checkpoint.save(path, *translator.contents(method, name="pix2pix", options=options, parts=parts, plugin=plugin))
    return path


def test_two_devices_and_the_command_line_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.conversion.together.launch", Launched())
    file = file_of(tmp_path / "it.safetensors")
    assert translate.show(file).takes["forward"]["inputs"]["mask"]["hole"] is True
    for number in range(4):
        photo(tmp_path / "in" / f"{number}.png", alpha=number == 2)
        hole = mask(tmp_path / "masks" / f"{number}.png")
    given = {"mask": str(tmp_path / "masks")}
    for devices in (1, 2):
        out = tmp_path / str(devices)
        done = translate.convert(file, tmp_path / "in", out, given=given, devices=devices, device="cpu")
        assert done.converted == 4
        for number in range(4):
            check(tmp_path / "in" / f"{number}.png", out / f"{number}.png", hole)
            assert (out / f"{number}.png").read_bytes() == (tmp_path / "1" / f"{number}.png").read_bytes()
    samples = translate.convert(file, tmp_path / "in" / "0.png", tmp_path / "s.png", given=given, samples=2)
    assert samples.converted == 1
    found = [images.read(tmp_path / f"s-{number}.png").pixels for number in (1, 2)]
    own = images.read(tmp_path / "in" / "0.png").pixels
    assert all(np.array_equal(each[~hole], own[~hole]) for each in found)
    assert not np.array_equal(found[0], found[1])


@pytest.mark.parametrize("suffix", [".onnx", pytest.param(".xml", marks=pytest.mark.compiled)])
def test_an_exported_file_keeps_them_too(tmp_path: Path, suffix: str) -> None:
    """Which no network does by itself: at 16 bits, and of colours that it sees on white."""
    pytest.importorskip("onnxruntime" if suffix == ".onnx" else "openvino")
    target = tmp_path / f"it{suffix}"
    translate.export(file_of(tmp_path / "it.safetensors", WHITE), target, inputs=["mask"])
    for number, depth in enumerate((np.uint8, np.uint16, np.uint8, np.uint16)):
        photo(tmp_path / "in" / f"{number}.png", alpha=number > 1, depth=depth)
        hole = mask(tmp_path / "masks" / f"{number}.png")
    for batch in (1, 8):
        out = tmp_path / str(batch)
        done = translate.convert(target, tmp_path / "in", out, given={"mask": tmp_path / "masks"}, batch=batch)
        assert (done.converted, done.failed) == (4, ())
        for number in range(4):
            check(tmp_path / "in" / f"{number}.png", out / f"{number}.png", hole)


def test_only_an_aligned_input_marks_a_hole() -> None:
    with pytest.raises(TranslateError, match="a hole is marked by an aligned input, not by one of the kind vector"):
        Input("vector", hole=True)
