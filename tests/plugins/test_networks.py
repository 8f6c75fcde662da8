"""The networks: published sizes, true gradients, and what each promises of its noise, sizes and neighbours."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from translate.discriminator import DiscriminatorOutput
from translate.errors import TranslateError
from translate.options import options_of
from translate_networks import discriminators, generators
from translate_networks.normalization import BatchNorm, InstanceNorm, normalize_each
from translate_networks.patch import Patch
from translate_networks.resnet import Padding, ResNet
from translate_networks.two_headed import TwoHeaded
from translate_networks.unet import UNet

FORMATS = [torch.contiguous_format, torch.channels_last]
NORMS = ["batch", "instance", "none"]
DATA = Path(__file__).parents[2] / "../shared/data"

GENERATORS: dict[str, Callable[..., nn.Module]] = {
    "unet": lambda norm="batch", **options: UNet(3, 2, (16, 16), width=4, norm=norm, dropout=0.0, **options),
    "resnet": lambda norm="instance", **options: ResNet(3, 2, (16, 16), width=4, blocks=2, norm=norm, **options),
    "resnet resize": lambda norm="instance": ResNet(3, 2, None, width=4, blocks=1, norm=norm, upsample="resize"),
}
DISCRIMINATORS: dict[str, Callable[..., nn.Module]] = {
    "patch": lambda norm="batch", **options: Patch(3, 2, (16, 16), receptive_field=16, width=4, norm=norm, **options),
    "two_headed": lambda norm="batch", **options: TwoHeaded(
        3, 2, None, receptive_field=70, width=4, norm=norm, **options
    ),
}


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def answers(network: nn.Module, image: Tensor, condition: Tensor | None) -> list[Tensor]:
    """All that a generator or discriminator answers."""
    if condition is None:
        return [network(image)]
    output = network(image, condition)
    assert isinstance(output, DiscriminatorOutput)
    return [*output.logits, *(output.match or ()), *output.features]


def draw(network: nn.Module, deviation: float = 0.3) -> nn.Module:
    """Weights of a trained network's size: those of the initialization leave gradients near rounding."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0, deviation)
    return network


# --- offers ---------------------------------------------------------------------------------------------------------


def test_offers_name_what_exists() -> None:
    for name, path in {**generators(), **discriminators()}.items():
        module, _, attribute = path.partition(":")
        factory = getattr(__import__(module, fromlist=[attribute]), attribute)
        assert options_of(factory), name
        assert all(parameter.option.help for parameter in options_of(factory).values()), name


# --- published sizes ------------------------------------------------------------------------------------------------


def test_unet_has_the_published_parameters() -> None:
    network = UNet(3, 3, (256, 256))
    encoder = [3, 64, 128, 256, 512, 512, 512, 512, 512]
    decoder = [(512, 512), (1024, 512), (1024, 512), (1024, 512), (1024, 256), (512, 128), (256, 64), (128, 3)]
    convolutions = sum(16 * a * b for a, b in itertools.pairwise(encoder)) + sum(16 * a * b for a, b in decoder)
    norms = 2 * (sum(encoder[2:-1]) + sum(made for _, made in decoder[:-1]))
    assert parameters(network) == convolutions + norms + 3 == 54_413_955
    assert network.size_multiple == 256


@pytest.mark.parametrize(("blocks", "count"), [(None, 11_378_179), (6, 7_837_699)])
def test_resnet_has_the_published_parameters(blocks: int | None, count: int) -> None:
    sides = 49 * 3 * 64 + 64 + 49 * 64 * 3 + 3
    between = 2 * 9 * (64 * 128 + 128 * 256) + 128 + 256 + 128 + 64
    block = 2 * (9 * 256 * 256 + 256)
    assert parameters(ResNet(3, 3, (256, 256), blocks=blocks)) == sides + between + (blocks or 9) * block == count


def test_resnet_takes_6_blocks_for_small_images() -> None:
    assert len(ResNet(3, 3, (128, 256), width=1).blocks) == 6
    assert len(ResNet(3, 3, None, width=1).blocks) == 9


def test_resize_and_transposed_have_as_many_parameters() -> None:
    assert parameters(ResNet(1, 1, width=4, upsample="resize")) == parameters(ResNet(1, 1, width=4))


def test_patch_has_the_published_parameters() -> None:
    channels = [6, 64, 128, 256, 512, 1]
    convolutions = sum(16 * a * b for a, b in itertools.pairwise(channels))
    assert parameters(Patch(3, 3)) == convolutions + 64 + 1 + 2 * (128 + 256 + 512) == 2_768_705


def test_two_headed_shares_its_trunk() -> None:
    def maps(*channels: int) -> int:
        return sum(16 * a * b for a, b in itertools.pairwise(channels))

    trunk = maps(3, 64, 128, 256) + 64 + 2 * (128 + 256)
    condition = maps(5, 32, 64, 128) + 32 + 2 * (64 + 128)
    heads = maps(256, 512, 1) + maps(256 + 128, 512, 1) + 2 * (2 * 512 + 1)
    assert parameters(TwoHeaded(3, 5)) == trunk + condition + heads


@pytest.mark.parametrize(
    ("size", "depth"),
    [((256, 256), 8), ((128, 128), 7), ((512, 1024), 8), ((64, 96), 5), ((56, 48), 3), ((28, 28), 2), ((9, 9), 2)],
)
def test_depth_follows_the_image_size(size: tuple[int, int], depth: int) -> None:
    network = UNet(1, 1, size, width=1)
    assert network.size_multiple == 2**depth
    assert len(network.encoder) == len(network.decoder) == depth
    if all(side % network.size_multiple == 0 for side in size) and max(size) <= 256:
        assert network.eval()(torch.zeros(1, 1, *size)).shape == (1, 1, *size)


def test_a_size_that_hardly_halves_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        TranslateError, match=r"only 3 times.*--size 352x480 or 384x480, or name a depth: unet\(depth=3\)"
    ):
        UNet(1, 1, (360, 480), width=1)
    assert UNet(1, 1, (360, 480), depth=3, width=1).size_multiple == 8


def test_depth_is_8_without_a_size_and_can_be_chosen() -> None:
    assert UNet(1, 1, None, width=1).size_multiple == 256
    assert UNet(1, 1, (256, 256), width=1, depth=3).size_multiple == 8


# --- receptive fields -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("field", "side"), [(1, 5), (16, 40), (70, 144), (286, 512)])
def test_receptive_field(field: Any, side: int) -> None:
    network = Patch(1, 0, (side, side), receptive_field=field, width=1, norm="none").double()
    with torch.no_grad():
        for weight in network.parameters():
            weight.fill_(0.5)  # all paths add up, none cancel
    image = torch.rand(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    (logits,) = network(image).logits
    middle = logits.shape[-1] // 2
    (gradient,) = torch.autograd.grad(logits[0, 0, middle, middle], image)
    for seen in (gradient[0, 0].abs().sum(dim=0), gradient[0, 0].abs().sum(dim=1)):
        touched = seen.nonzero().flatten()
        assert len(touched) == int(touched[-1] - touched[0]) + 1 == field


# --- gradients ------------------------------------------------------------------------------------------------------


def slope_error(objective: Callable[[], Tensor], variables: list[Tensor]) -> float:
    """Relative error of back-propagation against a central difference along one random direction."""
    gradients = torch.autograd.grad(objective(), variables, allow_unused=True)
    directions = [torch.randn_like(variable) for variable in variables]
    expected = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True) if g is not None)
    moved = []
    step = 1e-7  # larger ones cross the kinks of ReLU
    with torch.no_grad():
        kept = [variable.clone() for variable in variables]
    for sign in (1, -1):
        with torch.no_grad():
            for variable, value, direction in zip(variables, kept, directions, strict=True):
                variable.copy_(value + sign * step * direction)
        moved.append(objective().detach())
    with torch.no_grad():
        for variable, value in zip(variables, kept, strict=True):
            variable.copy_(value)
    found = (moved[0] - moved[1]) / (2 * step)
    return float((found - expected).abs() / torch.as_tensor(expected).abs().clamp(min=1e-3))


@pytest.mark.parametrize("memory", FORMATS, ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", [*GENERATORS, *DISCRIMINATORS])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_gradients(name: str, norm: str, batch: int, memory: torch.memory_format, training: bool) -> None:
    torch.manual_seed(3)
    judge = name in DISCRIMINATORS
    network = draw((DISCRIMINATORS if judge else GENERATORS)[name](norm)).double().train(training)
    network = network.to(memory_format=memory)  # type: ignore[call-overload]
    side = 24 if judge else 16
    image = torch.randn(batch, 3, side, side, dtype=torch.float64).to(memory_format=memory)
    condition = torch.randn(batch, 2, side, side, dtype=torch.float64).to(memory_format=memory) if judge else None
    found = answers(network, image, condition)
    # Incoming gradients of both formats: a wrong kernel shows in one of them only.
    weights = [torch.randn_like(answer) for answer in found]
    weights = [w.to(memory_format=torch.channels_last) if number % 2 else w for number, w in enumerate(weights)]

    def objective() -> Tensor:
        pairs = zip(answers(network, image, condition), weights, strict=True)
        return torch.stack([(answer * weight).sum() for answer, weight in pairs]).sum()

    image.requires_grad_()
    assert slope_error(objective, [image]) < 1e-5
    assert slope_error(objective, list(network.parameters())) < 1e-5


@pytest.mark.parametrize("outgoing", FORMATS)
@pytest.mark.parametrize("incoming", FORMATS)
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", [BatchNorm, InstanceNorm])
def test_normalization_is_differentiated_twice(
    norm: type[nn.Module], training: bool, batch: int, incoming: torch.memory_format, outgoing: torch.memory_format
) -> None:
    torch.manual_seed(4)
    module = norm(3).double().train(training)
    x = torch.randn(batch, 3, 5, 4, dtype=torch.float64).to(memory_format=incoming).requires_grad_()
    weight = torch.randn(batch, 3, 5, 4, dtype=torch.float64).to(memory_format=outgoing)
    assert slope_error(lambda: (module(x) * weight).sum(), [x]) < 1e-7

    def penalty() -> Tensor:
        (gradient,) = torch.autograd.grad((module(x) * weight).sum(), x, create_graph=True)
        return gradient.square().sum()

    assert slope_error(penalty, [x]) < 1e-6


# --- normalization --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", FORMATS)
@pytest.mark.parametrize("batch", [1, 3])
def test_each_image_gets_mean_0_and_variance_1(batch: int, memory: torch.memory_format) -> None:
    torch.manual_seed(5)
    x = (torch.randn(batch, 4, 6, 7, dtype=torch.float64) * 3 + 2).to(memory_format=memory)
    y = InstanceNorm(4).double()(x)
    assert y.mean((2, 3)).abs().max() < 1e-12
    assert (y.var((2, 3), correction=0) - 1).abs().max() < 1e-4
    scaled = normalize_each(x, torch.full((4,), 2.0).double(), torch.full((4,), 5.0).double())
    torch.testing.assert_close(scaled, 2 * y + 5)


@pytest.mark.parametrize("memory", FORMATS)
def test_statistics_of_a_large_map_are_exact(memory: torch.memory_format) -> None:
    """Torch's own sums in channels_last lose so much that 8 bits show it: 4e-4 here, a tenth of a level later on."""
    x = (torch.randn(1, 2, 1024, 1024, generator=torch.Generator().manual_seed(0)) * 2 + 1).relu()
    exact = x.double()
    exact = (exact - exact.mean((2, 3), keepdim=True)) / exact.var((2, 3), correction=0, keepdim=True).add(1e-5).sqrt()
    with torch.inference_mode():
        found = InstanceNorm(2)(x.contiguous(memory_format=memory))
    assert float((found - exact).abs().max()) < 1e-5


def test_batch_norm_uses_the_batch_in_training_only() -> None:
    torch.manual_seed(6)
    x = torch.randn(4, 2, 8, 8) + torch.arange(4.0)[:, None, None, None]
    module = BatchNorm(2)
    assert module(x).mean((0, 2, 3)).abs().max() < 1e-5
    assert module(x).mean((2, 3)).abs().min() > 0.1
    assert module.eval()(x).mean((2, 3)).abs().max() < 1e-5
    assert not list(module.buffers())


@pytest.mark.parametrize("memory", FORMATS)
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", [BatchNorm, InstanceNorm])
def test_statistics_are_float32_under_autocast(
    norm: type[nn.Module], training: bool, batch: int, memory: torch.memory_format
) -> None:
    torch.manual_seed(7)
    x = (torch.randn(batch, 3, 32, 32) * 0.5 + 50).bfloat16().to(memory_format=memory)
    module = norm(3).train(training)
    expected = module.double()(x.double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = module.float()(x)
    assert found.dtype == torch.bfloat16
    # bf16 statistics would be wrong by a quarter: the mean is a hundred deviations.
    assert (found.double() - expected).abs().max() < 0.02


@pytest.mark.parametrize("norm", [BatchNorm, InstanceNorm])
def test_a_map_of_one_value_passes(norm: type[nn.Module]) -> None:
    x = torch.tensor([0.5, -2.0])[None, :, None, None]
    assert torch.equal(norm(2)(x), x)
    assert torch.equal(norm(2).eval()(x.repeat(3, 1, 1, 1)), x.repeat(3, 1, 1, 1))


# --- what networks promise ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", FORMATS, ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", GENERATORS)
def test_an_answer_never_depends_on_its_neighbours(name: str, norm: str, memory: torch.memory_format) -> None:
    torch.manual_seed(8)
    network = draw(GENERATORS[name](norm)).double().eval()
    images = torch.randn(4, 3, 16, 16, dtype=torch.float64).to(memory_format=memory)
    together = network(images)
    for number in range(4):
        assert (together[number] - network(images[number : number + 1])[0]).abs().max() < 1e-10


@pytest.mark.parametrize("size", [(16, 16), (20, 28), (36, 12), (4, 4), (8, 4)])
@pytest.mark.parametrize("upsample", ["transposed", "resize"])
def test_resnet_keeps_any_size_that_divides_by_4(size: tuple[int, int], upsample: Any) -> None:
    network = ResNet(1, 2, None, width=2, blocks=1, upsample=upsample)
    answer = network(torch.rand(1, 1, *size))
    assert answer.shape == (1, 2, *size)
    assert answer.isfinite().all()


@pytest.mark.parametrize("size", [(16, 16), (16, 48), (64, 32)])
def test_unet_keeps_any_size_that_divides_by_its_multiple(size: tuple[int, int]) -> None:
    network = UNet(1, 2, (16, 16), width=2)
    assert network.size_multiple == 16
    assert network(torch.rand(1, 1, *size)).shape == (1, 2, *size)


@pytest.mark.parametrize(
    ("network", "side"), [(UNet(1, 1, (8, 8), width=1), 12), (ResNet(1, 1, width=1, blocks=1), 18)]
)
def test_other_sizes_are_refused_in_a_sentence(network: nn.Module, side: int) -> None:
    with pytest.raises(
        TranslateError, match=rf"sides that divide by {network.size_multiple}, which {side}x{side} does not"
    ):
        network(torch.zeros(1, 1, side, side))


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (4, 2), (11, 5)])
@pytest.mark.parametrize("factory", [UNet, ResNet])
def test_any_number_of_channels(factory: Any, inputs: int, outputs: int) -> None:
    image = torch.rand(2, inputs, 16, 16)
    answer = factory(inputs, outputs, (16, 16), width=3)(image)
    assert answer.shape == (2, outputs, 16, 16)
    assert answer.abs().max() <= 1
    output = TwoHeaded(outputs, inputs, (24, 24), width=3)(
        torch.rand(2, outputs, 24, 24), torch.rand(2, inputs, 24, 24)
    )
    assert output.logits[0].shape == output.match[0].shape == (2, 1, 1, 1)


@pytest.mark.parametrize("memory", FORMATS, ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", [*GENERATORS, *DISCRIMINATORS, "patch spectral"])
def test_bf16_autocast_is_near_float32(name: str, batch: int, memory: torch.memory_format) -> None:
    torch.manual_seed(9)
    judge = name not in GENERATORS
    network = DISCRIMINATORS["patch"](spectral=True) if "spectral" in name else {**GENERATORS, **DISCRIMINATORS}[name]()
    network = network.to(memory_format=memory).eval()  # type: ignore[call-overload]
    image = torch.randn(batch, 3, 32, 32).to(memory_format=memory)
    condition = torch.randn(batch, 2, 32, 32) if judge else None
    exact = answers(network, image, condition)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = answers(network, image, condition)
    if not judge:
        assert found[0].dtype == torch.float32
    for one, other in zip(exact, found, strict=True):
        assert (one - other.float()).abs().max() < 0.05 * one.abs().max() + 1e-3
    torch.stack([answer.float().square().sum() for answer in found]).sum().backward()
    for key, weight in network.named_parameters():
        assert weight.grad is not None, key
        assert weight.grad.isfinite().all(), key
        assert weight.grad.dtype == torch.float32


def test_float64_stays() -> None:
    for make in GENERATORS.values():
        assert make().double()(torch.zeros(1, 3, 16, 16, dtype=torch.float64)).dtype == torch.float64


def test_no_state_but_the_weights() -> None:
    for network in (UNet(1, 1, (16, 16), width=2), ResNet(1, 1, width=2, norm="instance"), Patch(1, width=2)):
        before = {key: value.clone() for key, value in network.state_dict().items()}
        assert before.keys() == dict(network.named_parameters()).keys()
        network(torch.rand(2, 1, 32, 32))
        assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


# --- noise ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", FORMATS)
@pytest.mark.parametrize(
    "network",
    [UNet(3, 3, (16, 16), width=8), ResNet(3, 3, None, width=4, blocks=2, dropout=0.5)],
    ids=["unet", "resnet"],
)
def test_samples_are_drawn_beside_each_other(network: nn.Module, memory: torch.memory_format) -> None:
    torch.manual_seed(10)
    network = copy.deepcopy(network).eval()
    images = torch.randn(2, 3, 16, 16).to(memory_format=memory)
    assert torch.equal(network(images), network(images))
    torch.manual_seed(0)
    drawn = network(images, samples=64)
    assert drawn.shape == (128, 3, 16, 16)
    first, second = drawn[:64], drawn[64:]
    assert first.std(dim=0).max() > 1e-5
    # An image's samples lie around its own deterministic answer, not around the other's.
    answer = network(images)
    for own, samples in ((0, first), (1, second)):
        distances = (answer - samples.mean(dim=0)).square().sum((1, 2, 3))
        assert distances[own] < distances[1 - own]
    torch.manual_seed(0)
    assert torch.equal(drawn, network(images, samples=64))
    assert not torch.equal(network(images, samples=1), answer)


def test_dropout_is_on_in_training_for_three_blocks() -> None:
    network = UNet(1, 1, (16, 16), width=4).train()
    image = torch.rand(1, 1, 16, 16)
    assert not torch.equal(network(image), network(image))
    assert network.noisy == 3
    assert UNet(1, 1, (4, 4), width=1).noisy == 1


@pytest.mark.parametrize("network", [UNet(1, 1, (16, 16), width=1, dropout=0.0), ResNet(1, 1, width=1, blocks=1)])
def test_samples_without_noise_are_refused(network: nn.Module) -> None:
    image = torch.zeros(1, 1, 16, 16)
    with pytest.raises(TranslateError, match="draws no noise"):
        network.eval()(image, samples=2)
    with pytest.raises(TranslateError, match="1 sample or more"):
        network(image, samples=0)
    assert torch.equal(network(image, samples=1), network(image))


# --- initialization -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: UNet(3, 3, (32, 32), width=16),
        lambda: ResNet(3, 3, width=16, blocks=2, norm="batch"),
        lambda: Patch(3, 3, width=32),
        lambda: TwoHeaded(3, 3, width=32),
    ],
    ids=["unet", "resnet", "patch", "two_headed"],
)
def test_published_initialization(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(11)
    network = make()
    modules = list(network.modules())
    weights = torch.cat([m.weight.flatten() for m in modules if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))])
    scales = torch.cat([m.weight for m in modules if isinstance(m, BatchNorm)])
    assert abs(weights.mean()) < 5 * 0.02 / len(weights) ** 0.5
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    assert scales.mean().item() == pytest.approx(1, abs=0.01)
    assert scales.std().item() == pytest.approx(0.02, rel=0.3)
    assert all((value == 0).all() for key, value in network.named_parameters() if key.endswith("bias"))
    torch.manual_seed(11)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), make().parameters(), strict=True))


# --- discriminators -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("field", "layers", "side"), [(1, 2, 4), (16, 2, 6), (70, 4, 24), (286, 6, 96)])
def test_the_smallest_image_gives_one_logit(field: Any, layers: int, side: int) -> None:
    output = Patch(2, 0, (side, side), receptive_field=field, width=2)(torch.rand(1, 2, side, side))
    assert output.logits[0].shape == ((1, 1, 4, 4) if field == 1 else (1, 1, 1, 1))
    assert len(output.features) == layers
    assert output.match is None


@pytest.mark.parametrize(
    ("factory", "size", "field", "advice"),
    [
        (Patch, (16, 16), 70, "receptive_field=1 or 16,"),
        (Patch, (28, 95), 286, "receptive_field=1 or 16 or 70,"),
        (Patch, (5, 64), 16, "receptive_field=1,"),
        (TwoHeaded, (16, 16), 70, "receptive_field=16,"),
        (TwoHeaded, (4, 4), 16, "choose larger images"),
    ],
)
def test_too_small_images_are_refused_with_the_choices(
    factory: Any, size: tuple[int, int], field: int, advice: str
) -> None:
    with pytest.raises(TranslateError, match=f"images of {size[0]}x{size[1]} are too small.*{advice}"):
        factory(3, 3, size, receptive_field=field)


def test_the_condition_must_fit() -> None:
    image = torch.rand(1, 3, 16, 16)
    with pytest.raises(TranslateError, match="needs a condition of 2 channels with each image"):
        DISCRIMINATORS["patch"]()(image)
    with pytest.raises(TranslateError, match="judges images alone"):
        Patch(3, 0, receptive_field=1, width=2)(image, image)
    with pytest.raises(TranslateError, match="2 channels, not of 3"):
        DISCRIMINATORS["two_headed"]()(image, image)
    with pytest.raises(TranslateError, match="choose patch instead"):
        TwoHeaded(3, 0, None)


def test_only_the_match_head_sees_the_condition() -> None:
    torch.manual_seed(12)
    network = DISCRIMINATORS["two_headed"]()
    image = torch.randn(2, 3, 32, 32)
    one, other = (network(image, torch.randn(2, 2, 32, 32)) for _ in range(2))
    assert torch.equal(one.logits[0], other.logits[0])
    assert all(torch.equal(a, b) for a, b in zip(one.features, other.features, strict=True))
    assert not torch.equal(one.match[0], other.match[0])


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_spectral_normalization(name: str) -> None:
    torch.manual_seed(13)
    network = DISCRIMINATORS[name](spectral=True)
    image, condition = torch.randn(1, 3, 24, 24), torch.randn(1, 2, 24, 24)
    for _ in range(30):
        network(image, condition)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            assert torch.linalg.matrix_norm(module.weight.flatten(1), ord=2).item() == pytest.approx(1, abs=0.02)
    again = DISCRIMINATORS[name](spectral=True)
    again.load_state_dict(network.state_dict())
    assert torch.equal(again.eval()(image, condition).logits[0], network.eval()(image, condition).logits[0])


# --- learning -------------------------------------------------------------------------------------------------------


def test_unet_learns_a_real_pair() -> None:
    path = DATA / "labelled/usps/usps.npz"
    if not path.exists():
        pytest.skip("the real data is not beside this checkout")
    with np.load(path) as arrays:
        digits = torch.from_numpy(np.array(arrays["x_train"][:16])).float().reshape(16, 1, 16, 16)
    digits = 2 * (digits - digits.min()) / (digits.max() - digits.min()) - 1
    torch.manual_seed(14)
    network = UNet(1, 1, (16, 16), width=16, dropout=0.0)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    losses = []
    for _ in range(40):
        loss = (network(digits) + digits).abs().mean()  # the negative
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.25 * losses[0]


def test_padding_keeps_the_type_under_autocast() -> None:
    """A CPU would widen what is only moved."""
    x = torch.randn(1, 2, 4, 4).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        padded = Padding(1)(x)
    assert padded.dtype == torch.bfloat16
    assert torch.equal(padded.float(), Padding(1)(x.float()))
