"""SqueezeNet: its size, what it sees, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import skimage.data
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from translate.data import Domain
from translate.errors import TranslateError
from translate.parts import CatalogParts
from translate.plugins import discover
from translate.testing import check_plugin
from translate.weights import tensors_of
from translate_features.squeezenet import DEVIATION, MEAN, SqueezeNet

WEIGHTS = Path(__file__).parents[2] / "../shared/data/weights/squeezenet1_0/squeezenet1_0_deepcompression.pth"
with_weights = pytest.mark.skipif(not WEIGHTS.exists(), reason="needs SqueezeNet's weights")


def made(inputs: int = 3, size: tuple[int, int] = (64, 64), **options: Any) -> SqueezeNet:
    torch.manual_seed(0)
    return SqueezeNet(inputs, size, **{"weights": None, "resize": False, **options}).eval()


def extractor(name: str, channels: int = 3) -> Any:
    domain = Domain(channels)
    return CatalogParts(discover(), source=domain, target=domain, size=(64, 64)).feature_extractor(name)


def as_image(photo: Any) -> Tensor:
    return torch.from_numpy(photo.copy()).permute(2, 0, 1)[None] / 127.5 - 1


def test_contract() -> None:
    check_plugin(
        "features",
        examples={
            "squeezenet": "squeezenet(weights=none, resize=no)",
            "inception": "inception(weights=none, layer=pool1)",
        },
    )


def test_published_size() -> None:
    count = {name: sum(each.numel() for each in part.parameters()) for name, part in made(layer=10).named_children()}
    assert count == {"features": 735_424, "classifier": 513_000}
    assert sum(each.numel() for each in made(layer=2).parameters()) == 96 * (3 * 49 + 1) + 11_920


@pytest.mark.parametrize(
    ("layer", "shape"), [(2, (128, 14, 14)), (5, (256, 7, 7)), (9, (512, 3, 3)), (10, (1000, 3, 3))]
)
def test_the_map_of_each_layer(layer: int, shape: tuple[int, ...]) -> None:
    answer = made(layer=layer)(torch.rand(2, 3, 64, 64) * 2 - 1)
    assert answer.shape == (2, *shape)
    assert bool((answer >= 0).all())


def test_a_shallower_layer_is_the_same_network_cut_short() -> None:
    whole, cut, image = made(), made(layer=4), torch.rand(1, 3, 64, 64) * 2 - 1
    cut.load_state_dict({name: whole.state_dict()[name] for name in cut.state_dict()})
    assert torch.equal(cut(image), whole.features[:6](((image + 1) / 2 - whole.mean) / whole.deviation))


def test_images_are_standardized_as_in_training() -> None:
    network, colour = made(layer=2), torch.tensor(MEAN) + 0.5 * torch.tensor(DEVIATION)
    seen: list[Tensor] = []
    network.features.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    network((colour * 2 - 1).view(1, 3, 1, 1).expand(1, 3, 32, 32))
    torch.testing.assert_close(seen[0], torch.full((1, 3, 32, 32), 0.5))


def test_images_are_resized_to_224_and_gray_ones_seen_as_colour() -> None:
    network, gray = made(1, layer=3, resize=True), torch.rand(2, 1, 64, 48) * 2 - 1
    assert network(gray).shape == (2, 128, 54, 54)
    torch.testing.assert_close(network(gray), network(gray.expand(-1, 3, -1, -1)))
    large = F.interpolate(gray, (224, 224), mode="bilinear")
    torch.testing.assert_close(network(gray), network(large), rtol=1e-3, atol=1e-4)


def test_what_it_cannot_see_is_refused() -> None:
    with pytest.raises(TranslateError, match="RGB or gray images, not images of 12 channels; name the run"):
        made(12)
    with pytest.raises(TranslateError, match="20x64 images are too small without resizing"):
        made(size=(20, 64))
    assert made(size=(21, 21))(torch.zeros(1, 3, 21, 21)).shape == (1, 512, 1, 1)
    with pytest.raises(TranslateError, match="squeezenet needs the option 'weights'"):
        extractor("squeezenet")


@with_weights
def test_it_knows_a_cat_and_an_espresso() -> None:
    network = extractor(f"squeezenet(weights='{WEIGHTS}', layer=10)")
    for photo, classes in ((skimage.data.chelsea(), {281, 282, 285}), (skimage.data.coffee(), {967})):
        chances = network(as_image(photo)).mean((2, 3)).softmax(1)[0]
        assert chances[list(classes)].sum().item() > 0.9


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_are_read_by_name_and_deeper_ones_passed_over(tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(1)
    tensors = SqueezeNet(3, weights=None, layer=10).state_dict()
    assert "classifier.1.weight" in tensors
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    network = extractor(f"squeezenet(weights='{path}', layer=5)")
    assert network.channels == 256
    assert torch.equal(network.network.features[3].squeeze.weight, tensors["features.3.squeeze.weight"])


class Trap:
    """Runs a program when it is unpickled."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("sprung"),))


def test_wrong_weights_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tensors = made().state_dict()
    refusals: dict[str, tuple[Any, str]] = {
        "trap.pth": ({"features.0.weight": Trap()}, "no file of tensors that can be read without running code"),
        "list.pth": ([torch.zeros(1)], "something else than tensors by name"),
        "number.pth": ({"step": 3}, "something else than tensors by name"),
        "other.pth": ({"conv.weight": torch.zeros(1)}, "features.0.weight is missing or has another shape"),
        "shape.pth": ({**tensors, "features.0.weight": torch.zeros(64, 3, 3, 3)}, "or has another shape"),
        "nan.pth": ({**tensors, "features.0.bias": torch.full((96,), torch.nan)}, "features.0.bias holds values that"),
    }
    for name, (content, message) in refusals.items():
        torch.save(content, name)
        with pytest.raises(TranslateError, match=f"{name}.*{message}"):
            made().read(Path(name))
    assert not Path("sprung").exists()
    for name in ("text.pth", "text.safetensors"):
        Path(name).write_bytes(b"no weights at all")
        with pytest.raises(TranslateError, match=f"{name} is no file of tensors"):
            tensors_of(Path(name))
    for missing in ("missing.pth", "missing.safetensors", "."):
        with pytest.raises(TranslateError, match="there is no file of weights at"):
            tensors_of(Path(missing))
