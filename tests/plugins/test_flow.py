"""Flow: layers by hand and against autograd's Jacobian, exact inverses, likelihoods of known entropy, all levers."""

from __future__ import annotations

import copy
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import translate
from translate import checkpoint
from translate.compute import recompute
from translate.data import Domain
from translate.engine.step import Engine
from translate.errors import TranslateError
from translate.evaluation import evaluate
from translate.method import Method, Update
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate.seeds import seed_step
from translate_flow.layers import ActNorm, Coupling, Mask, squeeze, unsqueeze
from translate_flow.model import FlowNetwork
from translate_flow.networks import ResidualCoupling
from translate_flow.pixels import Pixels
from translate_flow.translators import bits_of

SMALL: dict[str, Any] = {
    "couplings": "residual(width=4, blocks=1)",
    "layers": 2,
    "discriminator": "patch(width=4, receptive_field=16)",
    "pool": 0,
}


def make(channels: int = 1, size: tuple[int, int] = (16, 16), **options: Any) -> Any:
    return built(channels, size, **options)[0]


def built(channels: int = 1, size: tuple[int, int] = (16, 16), **options: Any) -> tuple[Any, CatalogParts]:
    torch.manual_seed(1)
    parts = CatalogParts(discover(), source=Domain(channels), target=Domain(channels), size=size)
    return build_method(discover(), "flow", {**SMALL, **options}, parts).train(), parts


def batch(channels: int = 1, size: tuple[int, int] = (16, 16), count: int = 2, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    stored = torch.randint(0, 256, (2, count, channels, *size), generator=generator) / 127.5 - 1
    return {"source": stored[0], "target": stored[1]}


def drawn(module: Any, deviation: float = 0.1, seed: int = 0) -> Any:
    """Every weight drawn, also those that start at zero; and statistics as if taken from some images."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if name.endswith("deviation"):
                tensor.uniform_(0.8, 1.25, generator=generator)
            elif tensor.is_floating_point():
                tensor.normal_(0, deviation, generator=generator)
    return module.eval()


def jacobian_log_determinant(function: Any, x: Tensor) -> Tensor:
    jacobian = torch.autograd.functional.jacobian(function, x).reshape(x.numel(), x.numel())
    return torch.linalg.slogdet(jacobian)[1]


def adam(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(weights, lr=2e-3, betas=(0.5, 0.999))


def engine(method: Method, steps: int = 10, **options: Any) -> Engine:
    return Engine(method, dict.fromkeys(method.players, adam), steps=steps, **options)


def distance(first: Method, second: Method) -> float:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return max((a.double() - b.double()).abs().max().item() for a, b in pairs)


# --- layers ---------------------------------------------------------------------------------------------------------


class Known(nn.Module):
    """A coupling network that is a formula: raw log-scale and shift from the value that stays, wherever it is."""

    def forward(self, x: Tensor) -> Tensor:
        total = x.sum((1, 2, 3), keepdim=True).expand(len(x), 1, *x.shape[-2:])
        return torch.cat([0.5 * total, 3 * total], dim=1)


def test_a_coupling_of_two_pixels_by_hand() -> None:
    layer = Coupling(Known(), 1, "checkerboard", flipped=False, affine=True).double()
    with torch.no_grad():
        layer.factor.fill_(2.0)
    x = torch.tensor([[[[0.4, -1.0]]]], dtype=torch.float64)
    y, log_determinant = layer(x)
    # The first pixel stays: s = 2 tanh(0.5 * 0.4), t = 3 * 0.4.
    scale = 2 * math.tanh(0.2)
    assert torch.allclose(y.flatten(), torch.tensor([0.4, -math.exp(scale) + 1.2], dtype=torch.float64), atol=1e-14)
    assert math.isclose(log_determinant.item(), scale, rel_tol=1e-12)
    assert torch.allclose(layer.inverse(y), x, atol=1e-14)
    other = Coupling(Known(), 1, "checkerboard", flipped=True, affine=True).double()
    y, log_determinant = other(x)
    # Now the second stays, which is -1.
    scale = math.tanh(-0.5)
    assert torch.allclose(y.flatten(), torch.tensor([0.4 * math.exp(scale) - 3, -1.0], dtype=torch.float64), atol=1e-14)
    assert math.isclose(log_determinant.item(), scale, rel_tol=1e-12)


def test_an_additive_coupling_of_two_channels_by_hand() -> None:
    class Triple(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 3 * x

    x = torch.tensor([0.5, 2.0]).reshape(1, 2, 1, 1)
    for flipped, wanted in ((False, [0.5, 3.5]), (True, [6.5, 2.0])):
        layer = Coupling(Triple(), 2, "channels", flipped=flipped, affine=False)
        y, log_determinant = layer(x)
        assert y.flatten().tolist() == wanted
        assert log_determinant.tolist() == [0.0]
        assert torch.equal(layer.inverse(y), x)


@pytest.mark.parametrize("mask", ["checkerboard", "channels"])
@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("channels", [2, 3])
def test_log_determinants_of_couplings_are_those_of_the_jacobian(
    mask: Mask, flipped: bool, affine: bool, channels: int
) -> None:
    from translate_flow.layers import part_sizes

    seen, changed = part_sizes(channels, mask, flipped=flipped)
    network = ResidualCoupling(seen, changed * (2 if affine else 1), width=4, blocks=1)
    layer = drawn(Coupling(network, channels, mask, flipped=flipped, affine=affine).double(), 0.5)
    x = torch.randn(1, channels, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y, found = layer(x)
    assert abs(found.item() - jacobian_log_determinant(lambda v: layer(v)[0], x).item()) < 1e-10
    assert torch.allclose(layer.inverse(y), x, atol=1e-10)
    assert not torch.allclose(y, x)


@pytest.mark.parametrize("mask", ["checkerboard", "channels"])
def test_float64_maps_beside_a_float32_network_are_undone_to_the_rounding_of_float64(mask: Mask) -> None:
    from translate_flow.layers import part_sizes

    seen, changed = part_sizes(2, mask, flipped=False)
    network = ResidualCoupling(seen, changed * 2, width=4, blocks=1)
    layer = drawn(Coupling(network, 2, mask, flipped=False, affine=True), 0.5)
    x = torch.randn(2, 2, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y, found = layer(x)
    assert (y.dtype, found.dtype) == (torch.float64, torch.float64)
    assert (layer.inverse(y) - x).abs().max() < 1e-13
    assert not torch.allclose(y, x)


def test_activation_normalization() -> None:
    layer = ActNorm(3).double()
    x = torch.randn(8, 3, 4, 5, dtype=torch.float64) * torch.tensor([0.1, 1.0, 30.0])[:, None, None] + 7
    layer.prepare(x)
    y, _ = layer(x)
    assert torch.allclose(y.mean((0, 2, 3)), torch.zeros(3, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(y.var((0, 2, 3), unbiased=False), torch.ones(3, dtype=torch.float64), atol=1e-12)
    layer.prepare(x * 5)
    assert torch.equal(layer(x)[0], y), "statistics are taken once"
    drawn(layer, 0.5)
    one = x[:1, :, :2, :3]
    y, found = layer(one)
    assert abs(found.item() - jacobian_log_determinant(lambda v: layer(v)[0], one).item()) < 1e-10
    assert torch.allclose(layer.inverse(y), one, atol=1e-12)
    flat = ActNorm(1)
    flat.prepare(torch.full((2, 1, 2, 2), 4.0))
    assert torch.equal(flat(torch.full((1, 1, 2, 2), 4.0))[0], torch.zeros(1, 1, 2, 2)), "a constant channel"


def test_a_squeeze_puts_diagonal_pixels_together_and_is_undone() -> None:
    x = torch.arange(2 * 4 * 6).reshape(1, 2, 4, 6)
    y = squeeze(x)
    assert y.shape == (1, 8, 2, 3)
    assert y[0, :, 1, 2].tolist() == [16, 40, 23, 47, 17, 41, 22, 46]
    assert torch.equal(unsqueeze(y), x)


# --- pixels ---------------------------------------------------------------------------------------------------------


def test_the_logit_by_hand_and_its_determinant() -> None:
    pixels = Pixels(256, noisy=True, alpha=0.05)
    image = torch.tensor([-1.0, 1.0], dtype=torch.float64).reshape(1, 1, 1, 2)
    y, _ = pixels.forward(image)
    # Black is the middle of the first of 256 steps, white that of the last.
    low = 0.05 + 0.9 * 0.5 / 256
    assert torch.allclose(y.flatten(), torch.tensor([1.0, -1.0]).double() * math.log(low / (1 - low)), atol=1e-12)
    # Two within [-1, 1], and two beyond, where the logit goes on as its tangent.
    image = torch.tensor([-0.9, 0.3, -2.0, 9.0], dtype=torch.float64).reshape(1, 1, 2, 2)
    y, found = pixels.forward(image)
    beyond = math.log(19) + 0.9 * ((255 * 5 + 0.5) / 256 - 1) / (0.05 * 0.95)
    assert math.isclose(y.flatten()[3].item(), beyond, rel_tol=1e-12)
    assert torch.allclose(pixels.inverse(y), image, atol=1e-14)
    # v is (255 / 512) of the image.
    wanted = jacobian_log_determinant(lambda v: pixels.forward(v)[0], image) - 4 * math.log(255 / 512)
    assert abs(found.item() - wanted.item()) < 1e-10


def test_noise_fills_the_step_of_the_depth() -> None:
    for domain, levels in (
        (Domain(1), 256),
        (Domain(1, "uint16"), 65536),
        (Domain(1, "uint16", 0, 4095, ranged=True), 4096),
        (Domain(3, classes=3), 2),
        (Domain(3, classes=2, palette=((0, 0, 0), (1, 1, 1))), 256),
    ):
        pixels = Pixels.of(domain, 0.05)
        assert pixels.levels == levels
        step = 2 / (levels - 1)
        image = torch.full((64, 1, 16, 16), step - 1, dtype=torch.float64)
        noisy = pixels.dequantize(image) - image
        assert -step / 2 <= noisy.min() < -0.49 * step
        assert 0.49 * step < noisy.max() <= step / 2
    floats = Pixels.of(Domain(1, "float32"), 0.05)
    assert torch.equal(floats.dequantize(image), image)


def test_a_uniform_density_has_the_bits_of_its_levels() -> None:
    for levels in (2, 256, 4096):
        pixels = Pixels(levels, noisy=True, alpha=0.05)
        assert pixels.bits(torch.zeros(1), 5).item() == math.log2(levels)
        # Half of the room, so twice the density: one bit less for each of the 5 values.
        assert math.isclose(pixels.bits(torch.tensor([5 * math.log(2)]), 5).item(), math.log2(levels) - 1, rel_tol=1e-6)


# --- a whole flow ---------------------------------------------------------------------------------------------------


def flow(channels: int = 1, scales: int = 2, layers: int = 1, affine: bool = True) -> FlowNetwork:
    torch.manual_seed(0)
    return FlowNetwork(
        channels,
        Pixels(256, noisy=True, alpha=0.05),
        scales=scales,
        layers=layers,
        network=lambda inputs, outputs: ResidualCoupling(inputs, outputs, width=4, blocks=1),
        affine=affine,
    )


@pytest.mark.parametrize(("channels", "scales"), [(1, 1), (1, 2), (2, 2), (1, 3)])
def test_the_log_determinant_of_a_whole_flow(channels: int, scales: int) -> None:
    network = drawn(flow(channels, scales).double(), 0.3)
    image = torch.rand(2, channels, 4, 4, dtype=torch.float64) * 1.9 - 0.95
    latent, found = network(image)
    assert latent.shape == image.shape
    for row in range(2):
        each = image[row : row + 1]
        wanted = jacobian_log_determinant(lambda v: network(v)[0], each) - each.numel() * math.log(255 / 512)
        assert abs(found[row].item() - wanted.item()) < 1e-10
    assert torch.allclose(network.inverse(latent), image, atol=1e-10)


def test_what_a_scale_leaves_is_put_where_its_pixels_were() -> None:
    """With couplings that are the identity the latent is the logit of each pixel, in its own place."""
    network = flow(3, scales=3)
    image = torch.rand(1, 3, 8, 8) * 2 - 1
    latent, _ = network(image)
    assert torch.allclose(latent, network.pixels.forward(image)[0], atol=1e-6)
    # What is left first, at the first scale, are the last two of each four pixels: upper right and lower left.
    with torch.no_grad():
        network.halved[1].layers[0].shift.fill_(1.0)
    moved = network(image)[0] - latent
    kept = torch.zeros(8, 8)
    kept[::2, ::2] = kept[1::2, 1::2] = 1
    assert torch.allclose(moved, kept.expand(1, 3, 8, 8), atol=1e-5)


def test_bits_by_hand() -> None:
    network = flow(1, scales=1)
    image = torch.tensor([[[[0.0, 0.5]]]])
    found = network.bits(*network(image))
    total = 0.0
    for value in (0.0, 0.5):
        v = (255 * (value + 1) / 2 + 0.5) / 256
        s = 0.05 + 0.9 * v
        y = math.log(s / (1 - s))
        total += -(y**2) / 2 - math.log(2 * math.pi) / 2 + math.log(0.9 / (s * (1 - s)))
    assert math.isclose(found.item(), 8 - total / (2 * math.log(2)), rel_tol=1e-5)


def test_float32_is_undone_to_a_hundred_thousandth_at_any_size() -> None:
    method = drawn(make(3, scales=3, layers=2))
    forward, backward = method.translators["forward"], method.translators["backward"]
    with torch.no_grad():
        for size in ((16, 16), (8, 28), (40, 4)):
            image = batch(3, size)["source"]
            made = forward(image)
            assert made.shape == image.shape
            assert (made - image).abs().max() > 0.05
            assert (backward(made) - image).abs().max() < 1e-5
            assert (forward(backward(image)) - image).abs().max() < 1e-5
    assert forward.size_multiple == 4


# --- the game -------------------------------------------------------------------------------------------------------


def moves(method: Method, data: dict[str, Tensor], step: int = 0) -> list[Update]:
    seed_step(0, 0)
    found = []
    for each in method.updates(data, step):
        assert isinstance(each, Update)
        found.append(each)
    return found


def test_the_terms_by_hand() -> None:
    method, data = drawn(make(gan=0.5)).train(), batch()
    judged, told = moves(method, data, step=1)
    seed_step(0, 0)
    step = 2 / 255
    noisy = {name: data[name] + (torch.rand_like(data[name]) - 0.5) * step for name in ("source", "target")}
    latent = {name: method.flows[name](image) for name, image in noisy.items()}
    fakes = {
        "target": method.flows["target"].inverse(latent["source"][0]),
        "source": method.flows["source"].inverse(latent["target"][0]),
    }
    assert set(told.terms) == {f"{name}_{term}" for name in fakes for term in ("bits", "adversarial")}
    for name, fake in fakes.items():
        assert torch.allclose(told.terms[f"{name}_bits"], method.flows[name].bits(*latent[name]).mean())
        judge = method.adversaries[name].discriminator
        pulled = 0.5 * 0.5 * (judge(fake).logits[0] - 1).square().mean()
        assert torch.allclose(told.terms[f"{name}_adversarial"], pulled, rtol=1e-4)
        wanted = ((judge(noisy[name]).logits[0] - 1).square().mean() + judge(fake).logits[0].square().mean()) / 2
        assert torch.allclose(judged.terms[f"{name}_adversarial"], wanted, rtol=1e-4)


def test_bits_pull_by_their_weight_and_are_logged_as_they_are() -> None:
    pulls = []
    for weight in (1.0, 3.4):
        method = drawn(make(gan=0.0, likelihood=weight)).train()
        (update,) = moves(method, batch(), step=1)
        assert set(update.terms) == {"source_bits", "target_bits"}
        moved = next(method.flows["source"].parameters())
        pulls.append((update.terms["source_bits"], torch.autograd.grad(update.terms["source_bits"], moved)[0]))
    assert torch.allclose(pulls[0][0], pulls[1][0])
    assert torch.allclose(3.4 * pulls[0][1], pulls[1][1], rtol=1e-4)


def test_gradients_reach_only_who_moves() -> None:
    method = drawn(make()).train()
    judged, told = moves(method, batch(), step=1)
    flows, judges = (list(method.players[name].parameters()) for name in ("flows", "discriminators"))
    loss = torch.stack(list(judged.terms.values())).sum()
    assert all(each is None for each in torch.autograd.grad(loss, flows, allow_unused=True, retain_graph=True))
    assert all(each is not None for each in torch.autograd.grad(loss, judges, allow_unused=True))
    own = list(method.flows["source"].parameters())
    other = list(method.flows["target"].parameters())
    bits = told.terms["source_bits"]
    assert all(each is not None for each in torch.autograd.grad(bits, own, allow_unused=True, retain_graph=True))
    assert all(each is None for each in torch.autograd.grad(bits, other, allow_unused=True, retain_graph=True))
    pulled = torch.autograd.grad(told.terms["target_adversarial"], own + other, allow_unused=True)
    assert all(each is not None for each in pulled)


def test_players_and_what_is_left_out() -> None:
    assert set(make().players) == {"flows", "discriminators"}
    assert set(make(gan=0.0).players) == {"flows"}
    assert make(adversarial="hinge + critic(updates=3)").period == 3
    (_, told) = moves(make(likelihood=0.0), batch())
    assert set(told.terms) == {"source_adversarial", "target_adversarial"}
    assert set(told.log) == {"source_bits", "target_bits"}
    method, parts = built()
    # The flows are compiled and recomputed as wholes, and not once more by their coupling networks.
    assert [type(each).__name__ for each in parts.translating] == ["FlowNetwork", "FlowNetwork"]
    assert sum(isinstance(each, FlowNetwork) for each in parts.networks) == 2
    assert not any(isinstance(each, ResidualCoupling) for each in parts.networks)
    first, second = (method.flows[name].state_dict() for name in ("source", "target"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    apart = make(equal_start=False)
    assert not torch.equal(next(apart.flows["source"].parameters()), 0 * next(apart.flows["source"].parameters()) + 1)


def test_errors_say_what_to_do() -> None:
    catalog = discover()
    parts = CatalogParts(catalog, source=Domain(1), target=Domain(3), size=(16, 16))
    with pytest.raises(TranslateError, match="both domains need as many channels; here sources have 1 and targets 3"):
        build_method(catalog, "flow", SMALL, parts)
    with pytest.raises(TranslateError, match="likelihood and gan are both 0"):
        make(gan=0.0, likelihood=0.0)
    with pytest.raises(TranslateError, match=r"sides that divide by 4.*18x16.*--size 16x16 or 20x16"):
        make(size=(18, 16), scales=3)
    with pytest.raises(TranslateError, match="this data has one; give both"):
        list(make().updates({"source": batch()["source"]}, 0))
    with pytest.raises(TranslateError, match="sides divide by 2, which 15x16 does not; choose 14x16 or 16x16"):
        make().translators["forward"].bits_per_dimension(torch.zeros(1, 1, 15, 16))


def test_training_reaches_a_known_entropy() -> None:
    """Values that are uniform on 64 of 256 levels have 6 bits; the first flow knows nothing and takes more than 6.8."""
    method = make(gan=0.0, likelihood=1.0, scales=1, layers=1, couplings="convolutions(width=4)", size=(8, 8))
    machine = engine(method, 150)
    generator = torch.Generator().manual_seed(0)

    def data(count: int) -> dict[str, Tensor]:
        stored = torch.randint(96, 160, (2, count, 1, 8, 8), generator=generator) / 127.5 - 1
        return {"source": stored[0], "target": stored[1]}

    for _ in range(150):
        machine.step([data(32)])
    held_out = method.eval().translators["forward"].bits_per_dimension(data(64)["source"]).mean().item()
    # A normal density of a uniform's variance costs log2(2 pi e / 12) / 2 = 0.25 bits more; none can take less than 6.
    assert 6.0 <= held_out < 6.3


# --- levers ---------------------------------------------------------------------------------------------------------


def test_the_first_batch_prepares_and_no_other_does() -> None:
    method = make()
    machine = engine(method)
    machine.step([batch()])
    taken = {name: value.clone() for name, value in method.named_buffers() if "flows" in name}
    assert all(bool(value) for name, value in taken.items() if name.endswith("prepared"))
    machine.step([batch(seed=1)])
    for name, value in method.named_buffers():
        if "flows" in name:
            assert torch.equal(value, taken[name])


def test_accumulation_takes_the_first_batchs_statistics() -> None:
    one, two = make(), make()
    first, second = engine(one), engine(two)
    first.step([batch()])
    second.step([batch(), batch(seed=1)])
    for (name, value), other in zip(one.named_buffers(), two.buffers(), strict=True):
        if "flows" in name:
            assert torch.equal(value, other), name
    # Twice the same batch with the same draws is that batch; here draws differ, so a step moves otherwise.
    assert distance(one, two) > 0


RANK = """
import sys
import torch
sys.path.insert(0, sys.argv[2])
from test_flow import batch, engine, make
from translate.ranks import join
from translate_flow.layers import ActNorm
group = join(torch.device("cpu"))
layer = ActNorm(2)
layer.prepare(torch.tensor([[1.0, 5.0], [3.0, 9.0]])[:, group.rank].view(1, 2, 1, 1))
method = make()
engine(method, group=group).step([batch(seed=group.rank)])
found = {"mean": layer.mean, "deviation": layer.deviation}
found |= {name: value for name, value in method.state_dict().items() if name.startswith("flows")}
torch.save(found, f"{sys.argv[1]}/{group.rank}.pt")
group.close()
"""


def test_two_ranks_take_the_statistics_of_both_and_stay_alike(tmp_path: Path) -> None:
    environment = {**os.environ, "WORLD_SIZE": "2", "TRANSLATE_STORE": str(tmp_path / "store"), "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", RANK, str(tmp_path), str(Path(__file__).parent)],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    assert [rank.wait(300) for rank in ranks] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    # 1 and 5 of the first channel, 3 and 9 of the second, one on each rank.
    assert first.pop("mean").tolist() == second.pop("mean").tolist() == [3.0, 6.0]
    assert first.pop("deviation").tolist() == second.pop("deviation").tolist() == [2.0, 3.0]
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    alone = make()
    engine(alone).step([batch(seed=0)])
    # Couplings begin as identities, so the first layer's statistics are those of the data.
    for name in ("flows.source.checkered.0.layers.0.mean", "flows.target.checkered.0.layers.0.mean"):
        assert abs(first[name] - alone.state_dict()[name]) > 1e-3


def test_recomputed_passes_change_nothing() -> None:
    plain, (other, parts) = make(), built()
    recompute(parts.translating)
    for method in (plain, other):
        machine = engine(method)
        for seed in range(2):
            machine.step([batch(seed=seed)])
    assert distance(plain, other) == 0


def test_bf16_and_averages() -> None:
    method = make()
    machine = engine(method, precision="bf16", ema=0.9)
    for seed in range(3):
        machine.step([batch(seed=seed)])
    assert all(math.isfinite(value) for value in machine.fetch().values())
    with machine.averaged(), torch.no_grad():
        image = batch()["source"]
        forward, backward = method.translators["forward"], method.translators["backward"]
        assert (backward(forward(image)) - image).abs().max() < 1e-5
        assert all(bool(value) for name, value in method.named_buffers() if name.endswith("prepared"))


@pytest.mark.compiled
def test_compiled_flows_are_the_flows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from translate.compute.compilation import Compilation, Compiled
    from translate.ranks import ProcessGroup

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    plain, (other, parts) = make(), built()
    Compilation("yes", parts.networks, left=0, group=ProcessGroup(), device=torch.device("cpu"))
    assert isinstance(other.flows["source"].inverse, Compiled)
    told = []
    for method in (plain, other):
        # Not Adam, whose first step is as long whatever the gradients are.
        machine = Engine(method, dict.fromkeys(method.players, lambda w: torch.optim.SGD(w, lr=0.01)), steps=10)
        machine.step([batch()])
        told.append(machine.fetch())
    assert told[1] == pytest.approx(told[0], rel=1e-4)
    assert distance(plain, other) < 1e-5
    pairs = zip(plain.parameters(), make().parameters(), strict=True)
    assert max((after - before).abs().max().item() for after, before in pairs) > 1e-3
    assert not other.flows["source"].inverse._failed
    assert not other.flows["source"].forward._failed


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("flow") / "run"
    return translate.fit(
        "flow", "demo(size=16, count=8)", output=folder, size=16, load_size=16, batch=2, steps=3, log_every=1, **SMALL
    )


def test_a_run_keeps_each_weight_once_and_cycles_exactly(run: Any, recwarn: pytest.WarningsRecorder) -> None:
    tensors, metadata = checkpoint.load(run.translator)
    assert metadata["directions"] == ["forward", "backward", "sample"]
    own = sum(value.nbytes for name, value in tensors.items() if name.startswith("forward/"))
    assert run.translator.stat().st_size < 1.3 * own + 60_000
    names = {name: value.data_ptr() for name, value in tensors.items()}
    for name in (each for each in names if each.startswith("forward/first.")):
        assert names[name] == names[name.replace("forward/first.", "backward/second.")]
    forward, backward = (translate.load(run.folder, direction=name) for name in ("forward", "backward"))
    image = torch.rand(2, 3, 21, 17) * 2 - 1
    # 21 and 17 are no multiples of 2: what is cropped cannot be found again at the edge, so only even sizes are exact.
    assert forward(image).shape == image.shape
    image = torch.rand(2, 3, 20, 18) * 2 - 1
    assert (backward(forward(image)) - image).abs().max() < 1e-5
    stored = (image * 127.5 + 127.5).round().to(torch.uint8)
    again = backward(forward(stored))
    assert again.dtype == torch.uint8
    assert not recwarn.list


def test_bits_of_both_domains_are_measured(run: Any) -> None:
    scores = {}
    for direction in ("forward", "backward", "sample"):
        found = evaluate(run.folder, "demo(size=16, count=8)", metrics=["bits_per_dim"], direction=direction).to_json()
        scores[direction] = found["scores"]["bits_per_dim"]
        again = evaluate(run.folder, "demo(size=16, count=8)", metrics=["bits_per_dim"], direction=direction).to_json()
        assert again["scores"] == found["scores"]
        if direction != "sample":
            assert found["protocol"]["bits_of"] == ("source" if direction == "forward" else "target")
    assert scores["backward"] == scores["sample"] != scores["forward"]
    assert 0 < scores["forward"] < 12


def test_an_images_bits_do_not_depend_on_its_neighbours() -> None:
    network = drawn(flow())
    images = batch(count=3)["source"]
    together = bits_of(network, images)
    assert torch.allclose(together[1:2], bits_of(network, images[1:2]), atol=1e-5)
    assert torch.equal(together, bits_of(copy.deepcopy(network), images))


def test_float64_goes_there_and_back_exactly(run: Any) -> None:
    """Though all weights are float32, and the way leads through the networks of 14 couplings."""
    there, back = (translate.load(run.folder, direction=direction) for direction in ("forward", "backward"))
    image = torch.rand(2, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(5)) * 2 - 1
    for first, second in ((there, back), (back, there)):
        drawn(second.network.first, 0.1, 6)
        drawn(first.network.second, 0.1, 6)
        drawn(first.network.first, 0.1, 7)
        drawn(second.network.second, 0.1, 7)
        made = first.translate(image)
        assert made.dtype == torch.float64
        assert (made - image).abs().max() > 0.1
        assert (second.translate(made) - image).abs().max() < 1e-10
        assert first.translate(image.float()).dtype == torch.float32


def test_other_translators_take_float32_of_float64(tmp_path: Path) -> None:
    options: dict[str, Any] = {"generator": "shallow(width=2)", "discriminator": "patch(width=4, receptive_field=16)"}
    run = translate.fit("gan", "demo(size=32)", output=tmp_path / "run", steps=1, size=16, load_size=16, **options)
    translator = translate.load(run.folder)
    image = torch.rand(1, 3, 16, 16, dtype=torch.float64) * 2 - 1
    assert torch.equal(translator.translate(image), translator.translate(image.float()))


def test_batches_of_any_size_are_exported(run: Any) -> None:
    network = translate.load(run.folder).network
    exported = torch.export.export(
        network, (torch.zeros(2, 3, 16, 16),), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},)
    )
    images = torch.rand(3, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(exported.module()(images), network(images), rtol=0, atol=1e-5)
