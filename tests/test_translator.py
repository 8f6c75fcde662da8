"""The saved translator: one file, any image, always the same answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

import translate
from translate import checkpoint, images
from translate.compute import algorithms
from translate.data import Domain
from translate.errors import TranslateError
from translate.plugins import discover
from translate.run import Run
from translate.translator import Translator

SMALL: dict[str, Any] = {
    "size": 32, "steps": 2, "batch": 2, "generator": "unet(width=4)", "discriminator": "patch(width=4, receptive_field=16)",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return translate.fit("pix2pix", "demo(size=32, count=4)", output=tmp_path_factory.mktemp("runs") / "run", **SMALL)


@pytest.fixture(scope="module")
def translator(run: Run) -> Translator:
    return translate.load(run.folder)


def test_the_file_alone_is_enough(run: Run, tmp_path: Path) -> None:
    alone = tmp_path / "mine.safetensors"
    alone.write_bytes(run.translator.read_bytes())
    image = torch.rand(1, 3, 40, 50) * 2 - 1
    assert torch.equal(translate.load(alone).translate(image), translate.load(run.folder).translate(image))
    metadata = checkpoint.load(alone)[1]
    assert metadata["method"] == "pix2pix"
    assert metadata["directions"] == ["forward"]
    assert metadata["size"] == [32, 32]
    assert metadata["plugin"] == {
        "name": "pix2pix",
        "distribution": "image-translate",
        "version": translate.__version__,
    }


@pytest.mark.parametrize("size", [(32, 32), (33, 31), (1, 1), (1, 70), (7, 100), (128, 64)])
def test_any_size_keeps_its_size(translator: Translator, size: tuple[int, int]) -> None:
    assert translator.translate(torch.zeros(1, 3, *size)).shape == (1, 3, *size)


def made(network: torch.nn.Module, source: Domain) -> Translator:
    return Translator(
        network, catalog=discover(), direction="forward", directions=["forward"], source=source, target=Domain(3),
        size=(32, 32), device=torch.device("cpu"),
    )  # fmt: skip


def test_every_class_index_is_one_of_the_translator() -> None:
    one = made(torch.nn.Conv2d(3, 3, 1), Domain(3, classes=3))
    assert one(np.array([[0, 2], [1, 0]], np.uint8)).shape == (2, 2, 3)
    for given in (np.array([[0, 3], [1, 0]], np.uint8), torch.tensor([[[[7, 3], [1, 0]]]], dtype=torch.uint8)):
        with pytest.raises(TranslateError, match=f"go from 0 to 2, but these hold {given.max()}"):
            one(given)


def test_wide_convolutions_are_computed_by_fast_algorithms_on_a_cpu() -> None:
    wide = made(torch.nn.Sequential(torch.nn.Conv2d(3, 128, 1), torch.nn.Conv2d(128, 128, 3)), Domain(3))
    assert len(algorithms(wide.network)) == 1


def test_padding_reflects_and_leaves_the_image_alone(translator: Translator) -> None:
    image = torch.rand(1, 3, 40, 40) * 2 - 1
    padded = torch.nn.functional.pad(image, (0, 24, 0, 24), mode="reflect")
    assert torch.equal(translator.translate(padded)[..., :40, :40], translator.translate(image))


def test_tensors_arrays_and_pictures_give_the_same(translator: Translator) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (37, 45, 3), dtype=np.uint8)
    array = translator(pixels)
    assert array.shape == pixels.shape
    assert array.dtype == np.uint8
    picture = translator(PIL.Image.fromarray(pixels))
    assert np.array_equal(np.asarray(picture), array)
    stack = translator(np.stack([pixels, pixels]))
    assert stack.shape == (2, 37, 45, 3)
    tensor = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float() / 127.5 - 1
    made = translator(tensor)
    assert made.shape == (3, 37, 45)
    assert np.abs(((made + 1) * 127.5).numpy().transpose(1, 2, 0) - array).max() <= 0.51
    assert translator(tensor[None]).shape == (1, 3, 37, 45)


def test_depths_and_colours_are_adapted(translator: Translator) -> None:
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 65536, (32, 32, 3), dtype=np.uint16)
    assert translator(deep).dtype == np.uint16
    assert translator(rng.random((32, 32, 3), dtype=np.float32)).dtype == np.float32
    assert translator(rng.integers(0, 256, (32, 32), dtype=np.uint8)).shape == (32, 32, 3)
    assert translator(PIL.Image.new("RGBA", (20, 30))).size == (20, 30)
    with pytest.raises(TranslateError, match="the array holds values of type int64"):
        translator(np.zeros((4, 4, 3), dtype=np.int64))
    with pytest.raises(TranslateError, match="takes a tensor, an array or a PIL image, not a str"):
        translator("a.png")  # type: ignore[type-var]


def test_integer_tensors_hold_what_files_store(translator: Translator) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    tensor = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
    found = translator(tensor)
    assert found.dtype == torch.uint8
    assert np.array_equal(found.numpy().transpose(1, 2, 0), translator(pixels))
    deep = translator(tensor[None].to(torch.int32).mul(257).to(torch.uint16))
    assert deep.dtype == torch.uint16
    assert np.array_equal(deep[0].numpy().transpose(1, 2, 0), translator(pixels.astype(np.uint16) * 257))
    double = translator(tensor.double() / 127.5 - 1)
    assert double.dtype == torch.float32
    assert np.abs((double.numpy() + 1) * 127.5 - found.numpy()).max() <= 0.51


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.int16, torch.int32, torch.int64])
def test_other_integer_tensors_are_refused(translator: Translator, dtype: torch.dtype) -> None:
    with pytest.raises(TranslateError, match=f"a tensor of {str(dtype)[6:]} is no image; give floats in"):
        translator(torch.zeros(3, 8, 8, dtype=dtype))


def test_float_tensors_outside_their_range_are_told(translator: Translator) -> None:
    for factor in (255.0, float("nan")):
        with pytest.warns(UserWarning, match=r"\[-1, 1\], but this one goes from .* to (255|nan)") as told:
            translator(torch.ones(3, 8, 8) * factor)
        assert told[0].filename == __file__
    translator(torch.ones(3, 8, 8) * 1.005)  # rounding is no reason to tell


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 4, 8, 8), (8, 8), (0, 3, 8, 8)])
def test_tensors_of_another_shape_are_refused(translator: Translator, shape: tuple[int, ...]) -> None:
    with pytest.raises(TranslateError, match=r"this translator takes \(N, 3, H, W\)"):
        translator(torch.zeros(shape))


def test_a_picture_is_what_its_file_is(translator: Translator, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    exif = PIL.Image.Exif()
    exif[274] = 8
    PIL.Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    with PIL.Image.open(tmp_path / "a.png") as turned:
        assert np.array_equal(np.asarray(translator(turned)), translator(images.read(tmp_path / "a.png").pixels))
        assert turned.size == (31, 20)
    gray = pixels[..., 0].astype(np.uint16) * 257
    for mode, order in (("I;16", "<u2"), ("I;16B", ">u2"), ("I", "<i4")):
        deep = PIL.Image.frombytes(mode, (31, 20), gray.astype(order).tobytes())
        expected = images.as_depth(translator(gray), "uint8")
        assert np.array_equal(np.asarray(translator(deep)), expected)
    clear = PIL.Image.fromarray(np.concatenate([pixels, pixels[..., :1]], axis=2))
    answer = translator(clear)
    assert answer.mode == "RGBA"
    assert np.array_equal(np.asarray(answer), np.concatenate([translator(pixels), pixels[..., :1]], axis=2))


def test_answers_are_the_same_every_time_and_alone_or_together(translator: Translator) -> None:
    batch = torch.rand(4, 3, 32, 32) * 2 - 1
    together = translator.translate(batch)
    torch.testing.assert_close(
        torch.cat([translator.translate(image[None]) for image in batch]), together, atol=1e-5, rtol=0
    )
    assert torch.equal(together, translator.translate(batch))


def test_samples_are_drawn_from_their_seed(translator: Translator) -> None:
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    samples = translator.translate(image, samples=3, seed=1)
    assert samples.shape == (3, 3, 32, 32)
    assert not torch.equal(samples[0], samples[1])
    assert torch.equal(samples, translator.translate(image, samples=3, seed=1))
    assert not torch.equal(samples, translator.translate(image, samples=3, seed=2))
    assert torch.equal(translator.translate(image, samples=3), translator.translate(image, samples=3, seed=0))


def test_a_translator_without_noise_says_so(tmp_path: Path) -> None:
    run = translate.fit(
        "pix2pix",
        "demo(size=32, count=4)",
        output=tmp_path / "run",
        **{**SMALL, "generator": "unet(width=4, dropout=0)"},
    )
    with pytest.raises(TranslateError, match="noise"):
        translate.load(run.folder).translate(torch.zeros(1, 3, 32, 32), samples=2)


def test_bf16(run: Run, translator: Translator) -> None:
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    answer = translate.load(run.folder, precision="bf16").translate(image)
    assert answer.dtype == torch.float32
    assert 0 < (answer - translator.translate(image)).abs().max() < 0.1


class Anywhere(torch.nn.Conv2d):
    """Stays where it is, whatever device it is sent to."""

    def to(self, *args: Any, **kwargs: Any) -> Any:
        return super().to(**kwargs) if "memory_format" in kwargs else self


@pytest.mark.parametrize(
    ("device", "precision", "expected"),
    [("cuda", "bf16", True), ("cuda", "float32", False), ("cpu", "bf16", False), ("cpu", "float32", False)],
)
def test_a_gpu_computes_in_channels_last_in_bf16_alone(
    device: str, precision: Any, expected: bool, translator: Translator
) -> None:
    made = Translator(
        Anywhere(3, 4, 3), catalog=translator.catalog, direction="forward", directions=("forward",), source=Domain(3),
        target=Domain(4), size=(16, 16), device=torch.device(device), precision=precision,
    )  # fmt: skip
    weight = next(made.network.parameters())
    assert weight.is_contiguous(memory_format=torch.channels_last) is expected


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_pictures_are_gray_where_the_target_is(channels: int, mode: str, translator: Translator) -> None:
    made = Translator(
        torch.nn.Conv2d(3, channels, 1), catalog=translator.catalog, direction="forward", directions=("forward",),
        source=Domain(3), target=Domain(channels), size=(16, 16), device=torch.device("cpu"),
    )  # fmt: skip
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    answer = made(PIL.Image.fromarray(pixels))
    assert (answer.mode, answer.size) == (mode, (5, 7))
    assert np.array_equal(np.asarray(answer).reshape(7, 5, channels), made(pixels))


def test_the_last_checkpoint_gives_what_the_run_gives(run: Run) -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert np.array_equal(translate.load(run.checkpoints[-1])(image), translate.load(run.folder)(image))


def test_what_is_no_translator_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match="holds no translator.safetensors"):
        translate.load(tmp_path)
    with pytest.raises(TranslateError, match="there is no file"):
        translate.load(tmp_path / "none.safetensors")
    with pytest.raises(TranslateError, match="no direction 'backward'; choose from forward"):
        translate.load(run.folder, direction="backward")
    with pytest.raises(TranslateError, match="no device 'tpu:7'"):
        translate.load(run.folder, device="tpu:7")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"directions": ["sample", "classify"]}, "names the directions sample, classify, and its method has forward"),
        ({"directions": ["classify"]}, "names the directions classify, and its method has forward"),
        (
            {"method": "gone", "plugin": {"name": "gone", "distribution": "translate-gone", "version": "3"}},
            "not here; install translate-gone 3",
        ),
        (
            {"method": "mine", "plugin": {"name": "mine.py", "distribution": "unpackaged", "version": "sha256:0"}},
            "mine.py: give it with -p",
        ),
        ({"options": {"generator": "unet(width=5)"}}, "does not fit the installed image-translate"),
    ],
)
def test_a_translator_of_another_world_is_refused(
    change: dict[str, Any], message: str, run: Run, tmp_path: Path
) -> None:
    tensors, metadata = checkpoint.load(run.translator)
    checkpoint.save(tmp_path / "x.safetensors", tensors, {**metadata, **change})
    with pytest.raises(TranslateError, match=message) as caught:
        translate.load(tmp_path / "x.safetensors")
    assert "\n" not in str(caught.value)


def test_plugins_are_blocked_for_a_translator_too(run: Run) -> None:
    with pytest.raises(TranslateError, match="there is no plugin 'consol' to block"):
        translate.load(run.folder, no_plugins=["consol"])
    with pytest.raises(TranslateError, match="pix2pix"):
        translate.load(run.folder, no_plugins=["pix2pix"])
