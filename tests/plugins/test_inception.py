"""Inception and its resizing: sizes and values by hand and by Pillow, what it refuses."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from translate.data import Domain
from translate.errors import TranslateError
from translate.parts import CatalogParts
from translate.plugins import discover
from translate_features.inception import Inception, Mixed, Step
from translate_features.resizing import resized_clean, resized_pytorch, resized_tensorflow


def small(inputs: int = 3, **options: Any) -> Inception:
    """A network of a sixteenth of the channels, with statistics that are not 0 and 1."""
    torch.manual_seed(0)
    network = Inception(inputs, None, 16, **{"weights": None, **options}).eval()
    for name, each in network.named_buffers():
        each.uniform_(0.5, 1.5) if name.endswith("var") else each.normal_(0, 0.1)
    return network


def noise(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# --- the network ----------------------------------------------------------------------------------------------------


def test_published_size() -> None:
    """What others count of the layers of Inception-v3: 94 convolutions of 17,216 channels; and a head of 1,008."""
    network = Inception(3, weights=None, layer="logits")
    state = network.state_dict()
    convolutions = [name for name in state if name.endswith(".conv.weight")]
    assert len(convolutions) == 94
    assert len(state) == 94 * 5 + 2
    assert sum(len(state[name]) for name in convolutions) == 17_216
    weights = sum(each.numel() for each in network.parameters())
    assert weights == 21_785_568 + 2048 * 1008 + 1008
    shapes = {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_6c.branch7x7dbl_4.conv.weight": (160, 160, 7, 1),
        "Mixed_6e.branch7x7_2.bn.running_var": (192,),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
        "Mixed_7c.branch_pool.conv.weight": (192, 2048, 1, 1),
        "fc.weight": (1008, 2048),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ("pool1", (4, 73, 73)),
        ("pool2", (12, 35, 35)),
        ("mixed_6e", (48, 17, 17)),
        ("pool3", (128,)),
        ("logits", (1008,)),
    ],
)
def test_the_answer_of_each_layer(layer: str, shape: tuple[int, ...]) -> None:
    answer = small(layer=layer)(noise(2, 3, 40, 30))
    assert answer.shape == (2, *shape)
    assert bool(torch.isfinite(answer).all())


def test_poolings_leave_out_the_padding_and_the_last_one_is_of_the_largest() -> None:
    """Of ones, a mean that counted the padding would be 4 / 9 in a corner."""
    ones = torch.ones(1, 3, 5, 5)
    assert torch.equal(Mixed(3, [])(ones), ones)
    image = noise(1, 3, 5, 5)
    corner = Mixed(3, [])(image)[0, :, 0, 0]
    torch.testing.assert_close(corner, image[0, :, :2, :2].mean((1, 2)))
    assert torch.equal(Mixed(3, [], pooling="largest")(image)[0, :, 0, 0], image[0, :, :2, :2].amax((1, 2)))
    halved = Mixed(3, [], pooling="largest", stride=2)(image)
    assert torch.equal(halved, F.max_pool2d(image, 3, 2))
    network = small()
    pooled = [name for name, each in network.named_children() if isinstance(each, Mixed) and not each._average]
    assert pooled == ["Mixed_6a", "Mixed_7a", "Mixed_7c"]


def test_a_block_by_hand() -> None:
    """Paths side by side in order, a path that ends in a pair, the pooling last."""
    torch.manual_seed(0)
    block = Mixed(2, [[Step("a", 1)], [Step("b", 2), (Step("c", 1, (1, 3)), Step("d", 1, (3, 1)))]], outputs=1).eval()
    image = noise(1, 2, 4, 4)

    def step(x: Tensor, name: str, padding: tuple[int, int] = (0, 0)) -> Tensor:
        made = F.conv2d(x, block.get_submodule(name).conv.weight, padding=padding)  # type: ignore[union-attr, arg-type]
        return (made / (1 + 1e-3) ** 0.5).relu()

    inner = step(image, "b")
    pooled = F.avg_pool2d(image, 3, 1, 1, count_include_pad=False)
    expected = [step(image, "a"), step(inner, "c", (0, 1)), step(inner, "d", (1, 0)), step(pooled, "branch_pool")]
    torch.testing.assert_close(block(image), torch.cat(expected, 1))
    assert block.outputs == 4


@pytest.mark.parametrize(("resize", "white"), [("clean", 127 / 128), ("legacy_pytorch", 1.0)])
def test_values_go_in_as_the_graph_has_them(resize: str, white: float) -> None:
    network = small(1, layer="pool1", resize=resize)
    seen: list[Tensor] = []
    network.Conv2d_1a_3x3.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    network(torch.stack([-torch.ones(1, 20, 20), torch.ones(1, 20, 20)]))
    assert seen[0].shape == (2, 3, 299, 299)
    torch.testing.assert_close(seen[0][0], torch.full((3, 299, 299), -1.0))
    torch.testing.assert_close(seen[0][1], torch.full((3, 299, 299), white))


def test_values_are_rounded_to_8_bits_with_the_gradient_of_what_they_were() -> None:
    rounded, plain = small(layer="pool1", quantize=True), small(layer="pool1")
    levels = torch.tensor([0.0, 3, 128, 255]).repeat(3, 1).view(1, 3, 2, 2)
    near = ((levels + torch.tensor([[0.4, -0.4], [0.3, 3.0]])) / 127.5 - 1).requires_grad_()
    answer = rounded(near)
    torch.testing.assert_close(answer, plain(levels / 127.5 - 1), rtol=1e-4, atol=1e-4)
    (gradient,) = torch.autograd.grad(answer.sum(), near)
    assert bool(gradient.any())


def test_its_gradient_is_what_small_steps_find() -> None:
    network = small(layer="pool1").double()
    image = noise(1, 3, 20, 20).double() / 2
    image.requires_grad_()
    weights, direction = noise(4, 73, 73, seed=1).double(), noise(1, 3, 20, 20, seed=2).double()
    (gradient,) = torch.autograd.grad((network(image) * weights).sum(), image)
    with torch.no_grad():
        ahead, behind = ((network(image + sign * 1e-8 * direction) * weights).sum() for sign in (1, -1))
    assert float((gradient * direction).sum()) == pytest.approx(float((ahead - behind) / 2e-8), rel=1e-3)


def test_images_that_are_neither_rgb_nor_gray_are_refused() -> None:
    with pytest.raises(TranslateError, match="inception takes RGB or gray images, not images of 4 channels"):
        small(4)


# --- its resizing ---------------------------------------------------------------------------------------------------


def pillow(image: Any, side: int = 299) -> Any:
    """Each channel (H, W) across, then down, by Pillow's bicubic filter of floats."""
    found = []
    for channel in image.astype(np.float32):
        across = Image.fromarray(channel).resize((side, len(channel)), Image.Resampling.BICUBIC)
        found.append(np.asarray(across.resize((side, side), Image.Resampling.BICUBIC)))
    return np.stack(found).clip(0, 255)


@pytest.mark.parametrize("size", [(299, 299), (64, 48), (500, 400), (31, 640), (1, 1)])
def test_it_is_pillows_resizing_to_the_last_bit(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, *size)).astype(np.float32)
    assert np.array_equal(resized_clean(torch.from_numpy(image), 299).numpy(), pillow(image))
    # At sharp edges a cubic kernel goes beyond 0 and 255.
    assert (
        0
        <= resized_clean(torch.from_numpy(image), 299).min()
        <= resized_clean(torch.from_numpy(image), 299).max()
        <= 255
    )


def test_its_gradient_is_that_of_the_sums() -> None:
    image = (
        torch.rand(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 100 + 80
    ).requires_grad_()
    assert torch.autograd.gradcheck(lambda each: resized_clean(each, 4), image)


def test_a_photo_is_resized_in_one_call_as_by_pillow() -> None:
    """Which axis comes first is Pillow's choice for tall images, and changes the last bit."""
    photo = skimage.data.astronaut()[:300].transpose(2, 0, 1)
    found = resized_clean(torch.from_numpy(photo.astype(np.float32)), 299).numpy()
    for made, channel in zip(found, photo.astype(np.float32), strict=True):
        whole = np.asarray(Image.fromarray(channel).resize((299, 299), Image.Resampling.BICUBIC)).clip(0, 255)
        np.testing.assert_allclose(made, whole, atol=2**-16)


def test_earlier_programs_resized_otherwise() -> None:
    line = torch.tensor([[[0.0, 100.0]]])
    # From the corners: the first half goes from 0 to 100, the second stays.
    assert resized_tensorflow(line, 4)[0, 0].tolist() == [0, 50, 100, 100]
    # From the middles of pixels.
    assert resized_pytorch(line, 4)[0, 0].tolist() == [0, 25, 75, 100]
    # Shrunk without a filter: of 8 pixels 4 are not looked at at all.
    stripes = torch.tensor([[[0.0, 255.0] * 4]])
    assert resized_tensorflow(stripes, 4)[0, 0].tolist() == [0, 0, 0, 0]


# --- its weights ----------------------------------------------------------------------------------------------------


def extractor(text: str) -> Any:
    parts = CatalogParts(discover(), source=Domain(3), target=Domain(3), size=(32, 32))
    return parts.feature_extractor(text)


@pytest.mark.parametrize("form", ["pth", "old.pth", "safetensors"])
def test_weights_are_read_by_their_published_names(tmp_path: Path, form: str) -> None:
    network = small(layer="logits")
    tensors = network.state_dict() | {
        f"{name.removesuffix('.weight')}.num_batches_tracked": torch.tensor(0)
        for name in network.state_dict()
        if name.endswith("bn.weight")
    }
    file = tmp_path / f"weights.{form}"
    if form == "safetensors":
        save_file(tensors, file)
    else:
        torch.save(tensors, file, _use_new_zipfile_serialization=form == "pth")
    again = Inception(3, None, 16, weights=file, layer="pool3").eval()
    again.read(file)
    image = noise(1, 3, 32, 32)
    torch.testing.assert_close(again(image), small(layer="pool3")(image))


def test_other_files_are_told(tmp_path: Path) -> None:
    tensors = small(layer="logits").state_dict()
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("script/code/__torch__.py", b"")
        archive.writestr("script/constants.pkl", b"")
    files: dict[str, Any] = {
        "later.pth": tensors | {"fc.weight": torch.zeros(1000, 128), "fc.bias": torch.zeros(1000)},
        "headless.pth": {name: each for name, each in tensors.items() if not name.startswith("fc")},
        "short.pth": {name: each for name, each in tensors.items() if "Mixed_7c" not in name},
        "nan.pth": tensors | {"Mixed_6a.branch3x3.bn.running_var": torch.full((24,), torch.nan)},
        "complex.pth": tensors | {"Mixed_6a.branch3x3.bn.running_var": torch.zeros(24, dtype=torch.complex64)},
    }
    for name, content in files.items():
        torch.save(content, tmp_path / name)
    whole = (tmp_path / "short.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    (tmp_path / "flipped.pth").write_bytes(flipped)
    save_file(tensors, tmp_path / "cut.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "cut.safetensors").read_bytes()[:-9])
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**6))
    give = "give pt_inception-2015-12-05-6726825d.pth"
    told = {
        "script.pt": f"script.pt is a TorchScript program, which is code; {give}",
        "later.pth": f"later.pth does not hold the weights of FID's Inception-v3: fc.weight .* another shape; {give}",
        "headless.pth": "fc.weight is missing",
        "short.pth": "Mixed_7c.branch1x1.conv.weight is missing",
        "nan.pth": "nan.pth is damaged: Mixed_6a.branch3x3.bn.running_var holds values that are not finite",
        "complex.pth": "Mixed_6a.branch3x3.bn.running_var is missing or has another shape",
        "cut.pth": f"cut.pth is no file of tensors that can be read without running code from it; {give}",
        "flipped.pth": "flipped.pth is damaged: its bytes do not fit their checksums",
        "cut.safetensors": f"cut.safetensors is no file of tensors .*; {give}",
        "bomb.pth": "bomb.pth unpacks to more than it holds",
        "missing.pth": "there is no file of weights at",
    }
    for name, sentence in told.items():
        with pytest.raises(TranslateError, match=sentence) as caught:
            small().read(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_part_by_name(tmp_path: Path) -> None:
    network = extractor("inception(weights=none, layer=pool1, resize=legacy_tensorflow)")
    assert (network.channels, network.latent) == (64, (64, 73, 73))
    with pytest.raises(TranslateError, match="inception needs the option 'weights'"):
        extractor("inception")
    with pytest.raises(TranslateError, match="there is no file of weights at"):
        extractor(f"inception(weights='{tmp_path}/none.pth', layer=pool1)")
