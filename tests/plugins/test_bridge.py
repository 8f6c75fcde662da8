"""Bridge: mean, variance and reverse steps by hand, exact denoisers, straight lines, seeds, and all levers."""

from __future__ import annotations

import json
import math
import statistics
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forking import ran
from ranked import assert_same_weights, draw_as_ranks
from torch import Tensor, nn

import translate
from translate import checkpoint
from translate.compute import recompute
from translate.compute.compiler import missing_compiler
from translate.compute.flops import flops_of_step
from translate.data import Domain
from translate.engine.step import Engine
from translate.errors import TranslateError
from translate.given import Bound
from translate.images import Image, read, write
from translate.method import Method, Update
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate.run import Run
from translate.seeds import seed_step
from translate.streams import Streams
from translate.testing import check_method, check_plugin
from translate.translator import Translator, contents
from translate_bridge.blocks import Attention, TimeEmbedding
from translate_bridge.filling import filling
from translate_bridge.process import Process
from translate_bridge.start import Start
from translate_bridge.translators import Noisy, Straight
from translate_bridge.unet import DenoisingUNet

UNET = "unet(width=8, multipliers=(1, 2), blocks=1)"


def make(channels: int = 1, size: tuple[int, int] = (16, 16), **options: Any) -> Any:
    return built(channels, size, **options)[0]


def built(channels: int = 1, size: tuple[int, int] = (16, 16), **options: Any) -> tuple[Any, CatalogParts]:
    torch.manual_seed(1)
    parts = CatalogParts(discover(), source=Domain(channels), target=Domain(channels), size=size)
    return build_method(discover(), "bridge", {"denoiser": UNET, **options}, parts).train(), parts


def batch(channels: int = 1, size: tuple[int, int] = (16, 16), count: int = 2, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(2, count, channels, *size, generator=generator) * 2 - 1
    return {"source": drawn[0], "target": drawn[1]}


def learned(module: Any, seed: int = 0) -> Any:
    """Every weight drawn, also those that are zero at first."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(0, 0.15, generator=generator)
    return module.eval()


def adam(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(weights, lr=2e-3, betas=(0.9, 0.999))


def engine(method: Method, steps: int = 10, **options: Any) -> Engine:
    return Engine(method, dict.fromkeys(method.players, adam), steps=steps, **options)


def plain(source: Domain = Domain(1), target: Domain = Domain(1)) -> Start:  # noqa: B008
    return Start(source, target, conditional=True, filling=False)


def scalar(value: float) -> Tensor:
    return torch.full((1, 1, 1, 1), value, dtype=torch.float64)


class Told(nn.Module):
    """A denoiser that knows the target and answers what should be predicted of it."""

    def __init__(self, process: Process, prediction: Any, target: Tensor, source: Tensor) -> None:
        super().__init__()
        self.process, self.prediction, self.answers = process, prediction, []
        self.target, self.source = target, source

    def forward(self, x: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
        share = self.process.share(float(time[0]))
        assert torch.equal(time, time[:1].expand_as(time))
        self.answers.append((float(time[0]), x))
        if self.prediction == "target":
            return self.target
        factors = {"scaled": math.sqrt(self.process.total * share), "difference": 1.0, "velocity": share}
        return (x - self.target) / factors[self.prediction]


# --- the process ----------------------------------------------------------------------------------------------------


def test_the_bridges_mean_and_variance_by_hand() -> None:
    """BBDM with s = 1 at a quarter: m_t = 1/4, delta_t = 2 (1/4 - 1/16) = 3/8."""
    process = Process("constant", 2.0)
    share = process.share(torch.tensor([0.25], dtype=torch.float64))
    target, source = scalar(-0.6), scalar(1.0)
    mean = process.between(share, target, source, None)
    assert mean.item() == pytest.approx(0.75 * -0.6 + 0.25 * 1.0)
    assert process.variance(share).item() == pytest.approx(3 / 8)
    noisy = process.between(share, target, source, scalar(-2.0))
    assert noisy.item() == pytest.approx(-0.2 - 2 * math.sqrt(3 / 8))


@pytest.mark.parametrize("highest", [0.3, 1.0, 0.15, 0.0])
def test_the_symmetric_bridge_is_that_of_its_beta(highest: float) -> None:
    """Sums of beta over many steps, as the authors have them, against the closed form; both ends are certain."""
    process = Process("symmetric", highest)
    lowest = min(0.1, highest / 3) if highest else 1 / 3
    count = 20_000
    half = torch.linspace(math.sqrt(lowest), math.sqrt(highest or 1.0), count // 2, dtype=torch.float64).square()
    beta = torch.cat([half, half.flip(0)]) / count
    summed = beta.cumsum(0)
    assert process.total == pytest.approx(summed[-1].item() if highest else 0.0, rel=1e-3)
    times = torch.arange(1, count + 1, dtype=torch.float64) / count
    # sigma^2 / (sigma^2 + sigma_bar^2), equation 11.
    torch.testing.assert_close(process.share(times), summed / summed[-1], rtol=0, atol=2e-4)
    for time in (0.0, 0.125, 0.5, 0.8, 1.0):
        assert process.share(time) == pytest.approx(
            process.share(torch.tensor(time, dtype=torch.float64)).item(), abs=1e-12
        )
    assert (process.share(0.0), process.share(0.5), process.share(1.0)) == (0.0, 0.5, 1.0)
    product = summed * (summed[-1] - summed) / summed[-1]
    if highest:
        assert process.variance(process.share(0.3)) == pytest.approx(product[int(0.3 * count)].item(), rel=1e-2)
    assert process.variance(0.0) == process.variance(1.0) == 0.0


def test_drawn_points_have_the_bridges_mean_and_variance() -> None:
    process = Process("symmetric", 1.0)
    noise = torch.randn(200_000, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    share = torch.full((1, 1, 1, 1), process.share(0.4))
    found = process.between(share, torch.full_like(noise, -1.0), torch.full_like(noise, 0.5), noise)
    weight = process.share(0.4)
    assert found.mean().item() == pytest.approx(-(1 - weight) + 0.5 * weight, abs=5e-3)
    assert found.var().item() == pytest.approx(process.total * weight * (1 - weight), rel=0.01)


def test_predictions_by_hand_and_back() -> None:
    """At a quarter of a constant bridge of V = 2: sigma_t = sqrt(1/2)."""
    process, target, source, noise = Process("constant", 2.0), scalar(-0.6), scalar(1.0), scalar(0.5)
    share = torch.tensor(0.25, dtype=torch.float64)
    x = process.between(share, target, source, noise)
    wanted = {
        "scaled": (x.item() + 0.6) / math.sqrt(0.5),
        "difference": 0.25 * 1.6 + math.sqrt(3 / 8) * 0.5,
        "target": -0.6,
    }
    for prediction, value in wanted.items():
        found = process.predicted(prediction, share, target, source, noise)  # type: ignore[arg-type]
        assert found.item() == pytest.approx(value)
        assert process.target(prediction, 0.25, x, found).item() == pytest.approx(-0.6)  # type: ignore[arg-type]
    straight = Process("constant", 0.0)
    assert straight.predicted("velocity", share, target, source, None).item() == pytest.approx(1.6)
    assert straight.target("velocity", 0.25, scalar(-0.2), scalar(1.6)).item() == pytest.approx(-0.6)


def test_one_reverse_step_by_hand() -> None:
    """From w = 1/2 to w = 1/4 of V = 2, with x_0 = -0.6, x_1 = 1: means 0.2 and -0.2, variances 1/2 and 3/8."""
    process, target, source = Process("constant", 2.0), scalar(-0.6), scalar(1.0)
    x = scalar(0.7)
    kept = process.step(x, target, source, (0.5, 0.25), scalar(9.0))
    assert kept.item() == pytest.approx(-0.2 + math.sqrt(3 / 4) * (0.7 - 0.2))
    # Without noise: the mean of x_s given x_0 and x_t, half of the way from x_t to x_0.
    assert process.step(x, target, source, (0.5, 0.25), None).item() == pytest.approx((0.7 - 0.6) / 2)
    # From the source itself noise is drawn.
    first = process.step(source, target, source, (1.0, 0.5), scalar(3.0))
    assert first.item() == pytest.approx(0.2 + math.sqrt(0.5) * 3)


def test_steps_keep_the_bridges_distribution() -> None:
    """Whatever the times are, x_s has the mean and the variance of q(x_s | x_0, x_1)."""
    process = Process("symmetric", 0.3)
    noise = torch.randn(100_000, 1, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target, source = torch.full_like(noise, 0.4), torch.full_like(noise, -0.8)
    x, shares = source, [process.share(time) for time in (1.0, 0.7, 0.65, 0.2, 0.05)]
    for now, later in pairwise(shares):
        x = process.step(x, target, source, (now, later), noise)
        assert x.mean().item() == pytest.approx(0.4 * (1 - later) - 0.8 * later, abs=2e-3)
        assert x.var().item() == pytest.approx(process.variance(later), rel=0.02)


# --- translating ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("passes", [1, 2, 3, 10, 100])
@pytest.mark.parametrize("prediction", ["scaled", "difference", "target"])
@pytest.mark.parametrize("stochastic", [True, False])
def test_an_exact_denoiser_finds_the_target_in_any_number_of_passes(
    passes: int, prediction: Any, stochastic: bool
) -> None:
    process = Process("symmetric", 0.3)
    data = batch(count=3)
    told = Told(process, prediction, data["target"], data["source"])
    found = Noisy(told, plain(), process, prediction)(
        data["source"], passes=passes, stochastic=stochastic, noise=torch.randn(3, 1, 16, 16)
    )
    torch.testing.assert_close(found, data["target"], rtol=0, atol=1e-5)
    times = [(passes - number) / passes for number in range(passes)]
    assert [time for time, _ in told.answers] == pytest.approx(times, rel=1e-6)
    assert torch.equal(told.answers[0][1], data["source"])


def test_an_exact_bridge_between_two_gaussians() -> None:
    """Independent x_0 ~ N(0.2, 0.1^2) and x_1 ~ N(-0.5, 0.3^2): E[x_0 | x_t] in closed form gives their moments."""
    process = Process("constant", 0.5)

    class Exact(nn.Module):
        def forward(self, x: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
            assert condition is not None
            share, variance = float(time[0]), process.variance(float(time[0]))
            # Given x_1, x_t - w x_1 is (1 - w) x_0 and noise.
            gain = (1 - share) * 0.01 / ((1 - share) ** 2 * 0.01 + variance + 1e-12)
            return 0.2 + gain * (x - share * condition - (1 - share) * 0.2)

    generator = torch.Generator().manual_seed(0)
    source = torch.randn(20_000, 1, 1, 1, generator=generator, dtype=torch.float64) * 0.3 - 0.5
    noise = torch.randn(20_000, 1, 1, 1, generator=generator, dtype=torch.float64)
    module = Noisy(Exact(), plain(), process, "target")
    found = module(source, passes=400, noise=noise)
    assert found.mean().item() == pytest.approx(0.2, abs=5e-3)
    # The last answer is the mean of x_0 given what noise is left then, 0.5 / 400.
    assert found.std().item() == pytest.approx(0.1 * math.sqrt(0.01 / (0.01 + 0.5 / 400)), rel=0.03)
    # It was drawn by the noise alone, and one pass gives the mean.
    assert abs(torch.corrcoef(torch.stack([found.flatten(), source.flatten()]))[0, 1]) < 0.03
    assert module(source, passes=1, noise=noise).std().item() < 1e-6


def test_without_noise_it_goes_along_the_straight_line() -> None:
    process = Process("constant", 0.0)
    data = batch(count=2)
    told = Told(process, "velocity", data["target"], data["source"])
    found = Straight(told, plain(), process, "velocity")(data["source"], passes=4)
    torch.testing.assert_close(found, data["target"], rtol=0, atol=1e-5)
    for time, x in told.answers:
        on_the_line = (1 - time) * data["target"] + time * data["source"]
        torch.testing.assert_close(x, on_the_line, rtol=0, atol=1e-5)
    # Euler's step of a velocity that changes: x_s = x_t - (t - s) v.
    x, velocity = scalar(0.3), scalar(0.8)
    target = process.target("velocity", 0.5, x, velocity)
    assert process.step(x, target, scalar(0.9), (0.5, 0.4), None).item() == pytest.approx(0.3 - 0.1 * 0.8)


def test_answers_stay_in_range_and_weights_lie_once() -> None:
    method = make()
    learned(method.denoiser)
    module = method.translators["forward"]
    found = module(batch()["source"], passes=3, noise=torch.randn(2, 1, 16, 16) * 3)
    assert found.abs().max() <= 1
    assert [id(weight) for weight in module.parameters()] == [id(weight) for weight in method.denoiser.parameters()]
    assert isinstance(make(noise=0.0).translators["forward"], Straight)
    # What is made for a method that has moved elsewhere has nothing that stayed behind.
    moved_away = make().to("meta").translators["forward"]
    assert {each.device.type for each in (*moved_away.parameters(), *moved_away.buffers())} == {"meta"}
    assert module.size_multiple == 2


@pytest.mark.parametrize(
    ("source", "target", "shown"),
    [
        (Domain(3), Domain(3), None),
        (Domain(3), Domain(1), 0.2),
        (Domain(1), Domain(3), None),
        (Domain(2, classes=2), Domain(3), None),
    ],
)
def test_a_bridge_begins_with_the_targets_channels(source: Domain, target: Domain, shown: float | None) -> None:
    start = plain(source, target)
    image = torch.tensor([1.0, -0.8, 0.4])[: source.channels].view(1, -1, 1, 1).expand(2, -1, 4, 4)
    if source.one_hot:
        image = torch.tensor([1.0, -1.0]).view(1, 2, 1, 1).expand(2, -1, 4, 4)
    made, condition = start(image)
    assert torch.equal(condition, image)
    assert made.shape == (2, target.channels, 4, 4)
    if source.channels == target.channels:
        assert torch.equal(made, image)
    elif not source.one_hot:
        torch.testing.assert_close(made, image.mean(1, keepdim=True).expand_as(made))
    else:
        other, none = start(-image)[0], start(-torch.ones_like(image))[0]
        assert made.abs().max() <= 1
        assert (made[0, :, 0, 0] - other[0, :, 0, 0]).abs().max() > 0.2
        assert not none.any()
        assert torch.equal(made, plain(source, target)(image)[0]), "the colours are always the same"


# --- the denoiser ---------------------------------------------------------------------------------------------------


def test_times_are_embedded_as_sinusoids() -> None:
    embedding = TimeEmbedding(4, 3)
    seen: list[Tensor] = []
    embedding.perceptron.register_forward_hook(lambda _module, given, _answer: seen.append(given[0]))
    embedding(torch.tensor([0.0, 0.002]))
    assert seen[0][0].tolist() == [1, 1, 0, 0]
    wanted = [math.cos(2), math.cos(0.02), math.sin(2), math.sin(0.02)]
    assert seen[0][1].tolist() == pytest.approx(wanted, abs=1e-5)


def test_attention_by_hand() -> None:
    layer = learned(Attention(8).double())
    x = torch.randn(2, 8, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    q, k, v = layer.queries_keys_values(layer.norm(x)).flatten(2).chunk(3, dim=1)
    weights = (q.transpose(1, 2) @ k / math.sqrt(8)).softmax(-1)
    wanted = x + layer.last((v @ weights.transpose(1, 2)).view_as(x))
    torch.testing.assert_close(layer(x), wanted)
    assert torch.equal(Attention(8)(x.float()), x.float()), "it begins as the identity"
    assert (Attention(128).heads, Attention(96).heads, Attention(8).heads) == (2, 1, 1)


def test_a_map_of_one_head_keeps_its_order_for_exports() -> None:
    attention, seen = Attention(32), []
    attention.last.register_forward_pre_hook(lambda _module, given: seen.append(given[0].is_contiguous()))
    attention(torch.randn(2, 32, 3, 4))
    assert (attention.heads, seen) == (1, [True])


@pytest.mark.parametrize("attention", [True, False])
def test_the_unet_takes_any_size_and_each_row_alone(attention: bool) -> None:
    network = learned(DenoisingUNet(2, 3, 1, width=6, multipliers=(1, 2, 3), blocks=2, attention=attention))
    x, condition, time = torch.randn(3, 2, 8, 20), torch.randn(3, 1, 8, 20), torch.tensor([0.1, 0.6, 1.0])
    with torch.no_grad():
        together = network(x, time, condition)
        assert together.shape == (3, 3, 8, 20)
        for row in range(3):
            alone = network(x[row : row + 1], time[row : row + 1], condition[row : row + 1])
            torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(together, network(x, time.flip(0), condition))
        assert not torch.allclose(together, network(x, time, condition.flip(0)))
        far = x.clone()
        far[..., -1] += 5
        moved = (network(far, time, condition) - together).abs().amax((0, 1, 2))
    assert (moved[0] > 0).item()
    assert not DenoisingUNet(1, 1, width=4)(torch.randn(1, 1, 8, 8), torch.ones(1)).any(), "it answers zeros at first"


def test_gradients_of_the_unet_are_right_in_both_layouts() -> None:
    x, condition = (torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),) * 2
    time = torch.tensor([0.3, 0.9], dtype=torch.float64)
    for layout in (torch.contiguous_format, torch.channels_last):
        network = learned(DenoisingUNet(1, 1, 1, width=4, multipliers=(1, 2), blocks=1).double()).to(
            memory_format=layout
        )
        weights = list(network.parameters())
        value = network(x.contiguous(memory_format=layout), time, condition).square().sum()
        slopes = torch.autograd.grad(value, weights)
        generator = torch.Generator().manual_seed(1)
        ways = [torch.randn(each.shape, generator=generator, dtype=torch.float64) for each in weights]
        wanted = sum((slope * way).sum() for slope, way in zip(slopes, ways, strict=True))
        values = []
        for sign in (1, -2):
            with torch.no_grad():
                for weight, way in zip(weights, ways, strict=True):
                    weight += sign * 1e-6 * way
                values.append(network(x, time, condition).square().sum())
        assert ((values[0] - values[1]) / 2e-6).item() == pytest.approx(float(wanted), rel=1e-5)


# --- the game -------------------------------------------------------------------------------------------------------


def moved(method: Method, data: dict[str, Tensor]) -> Update:
    seed_step(5, 0)
    (update,) = method.updates(data, 0)
    assert isinstance(update, Update)
    return update


@pytest.mark.parametrize(
    ("options", "power"),
    [
        ({}, 2),
        ({"distance": "l1", "diffusion": "constant", "noise": 2.0, "prediction": "difference"}, 1),
        ({"noise": 0.0, "diffusion": "constant"}, 2),
        ({"prediction": "target", "conditional": False}, 2),
        ({"times": 3}, 2),
    ],
)
def test_the_term_by_hand(options: dict[str, Any], power: int) -> None:
    method, data = make(**options), batch()
    learned(method.denoiser)
    found = moved(method, data)
    assert (found.label, set(found.terms)) == ("denoiser", {"denoising"})
    seed_step(5, 0)
    time = 1 - torch.rand(2)
    if "times" in options or not method.process.highest:
        # The next one of them above what is drawn.
        time = torch.tensor([math.ceil(each * (times := options.get("times", 10))) / times for each in time.tolist()])
    noise = torch.randn(2, 1, 16, 16)
    total, source, target = method.process.total, data["source"], data["target"]
    losses = []
    for row in range(2):
        share = method.process.share(float(time[row]))
        spread = noise[row] * math.sqrt(total * share * (1 - share))
        x = (1 - share) * target[row] + share * source[row] + spread
        wanted = {
            "scaled": (x - target[row]) / math.sqrt(total * share) if total else None,
            "difference": x - target[row],
            "velocity": source[row] - target[row],
            "target": target[row],
        }[method.prediction]
        condition = source[row][None] if method.start.conditional else None
        answer = method.denoiser(x[None], time[row : row + 1], condition)[0]
        losses.append((answer - wanted).abs().pow(power).mean().item())
    assert found.terms["denoising"].item() == pytest.approx(statistics.mean(losses), rel=1e-4)


def test_the_source_is_among_the_times_and_the_target_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    method, data = make(), batch()
    seen: list[Tensor] = []
    method.denoiser.register_forward_hook(lambda _module, given, _answer: seen.append(given[1]))
    for drawn in (0.0, 1 - 2**-24):
        monkeypatch.setattr(torch, "rand", lambda count, drawn=drawn, **_given: torch.full((count,), drawn))
        moved(method, data)
    assert seen[0].tolist() == [1.0, 1.0]
    assert 0 < seen[1].max() < 1e-6


@pytest.mark.parametrize(
    ("options", "times"), [({"noise": 0.0}, 10), ({"noise": 0.0, "times": 4}, 4), ({"times": 1}, 1)]
)
def test_few_times_are_all_drawn_alike_and_end_at_the_source(options: dict[str, Any], times: int) -> None:
    method, count = make(**options), 500
    seen: list[Tensor] = []
    method.denoiser = nn.Module()
    method.denoiser.forward = lambda x, time, _condition: seen.append(time) or x
    one = {"source": torch.zeros(count, 1, 4, 4), "target": torch.zeros(count, 1, 4, 4)}
    next(method.updates(one, 0))
    found = {
        round(value * times): number for value, number in zip(*np.unique(seen[0], return_counts=True), strict=True)
    }
    assert seen[0].unique().tolist() == pytest.approx([each / times for each in range(1, times + 1)])
    assert sorted(found) == list(range(1, times + 1))
    # Four standard deviations of a binomial distribution.
    share = 1 / times
    assert all(abs(each - count * share) <= 4 * math.sqrt(count * share * (1 - share)) for each in found.values())


def test_errors_say_what_to_do() -> None:
    with pytest.raises(TranslateError, match="there is no sigma to divide by; choose another prediction"):
        make(noise=0.0, prediction="scaled")
    with pytest.raises(TranslateError, match="with noise=0.3 the velocity does not tell the target"):
        make(prediction="velocity")
    with pytest.raises(TranslateError, match=r"2 multipliers need sides that divide by 2, which 15x16.*--size 14x16"):
        make(size=(15, 16))
    with pytest.raises(TranslateError, match="multipliers names no scale"):
        make(denoiser="unet(multipliers=())")


def test_it_learns_and_translates_in_one_pass_and_in_ten() -> None:
    """Images of one gray each become those of the opposite one; what copies its source is far off."""
    method = make(size=(4, 4), noise=2.0, diffusion="constant", prediction="difference")
    machine = engine(method, 80, ema=0.9)
    generator = torch.Generator().manual_seed(0)

    def drawn(count: int) -> dict[str, Tensor]:
        source = (torch.rand(count, 1, 1, 1, generator=generator) * 2 - 1).expand(-1, -1, 4, 4)
        return {"source": source, "target": -source}

    for _ in range(80):
        machine.step([drawn(16)])
    data = drawn(64)
    with machine.averaged(), torch.no_grad():
        for passes in (1, 10):
            found = method.eval().translators["forward"](
                data["source"], passes=passes, noise=torch.randn(64, 1, 4, 4, generator=generator)
            )
            error = (found - data["target"]).abs().mean().item()
            assert error < 0.3 < (data["source"] - data["target"]).abs().mean().item()


# --- holes ----------------------------------------------------------------------------------------------------------


def inpainting(**options: Any) -> Any:
    torch.manual_seed(1)
    parts = CatalogParts(
        discover(), source=Domain(3), target=Domain(3), size=(16, 16), streams=Streams({"mask": Domain(1)})
    )
    method = build_method(discover(), "bridge", {"denoiser": UNET, "mask": "mask", **options}, parts)
    learned(method.denoiser)
    return method


def masked(count: int = 2) -> dict[str, Tensor]:
    mask = -torch.ones(count, 1, 16, 16)
    mask[:, :, 4:9, 3:12] = 1
    return {**batch(3, count=count), "mask": mask}


@pytest.mark.parametrize("passes", [1, 4])
@pytest.mark.parametrize("options", [{}, {"noise": 0.0}, {"conditional": False}])
def test_known_pixels_are_kept_to_the_bit(options: dict[str, Any], passes: int) -> None:
    method, data = inpainting(**options), masked()
    module = method.translators["forward"]
    given = {"noise": torch.randn(2, 3, 16, 16)} if method.process.highest else {}
    seen: list[Tensor] = []
    module.denoiser.register_forward_hook(lambda _module, given, _answer: seen.append(given[0]))
    found = module(data["source"], passes=passes, mask=data["mask"], **given)
    hole = (data["mask"] > 0).expand_as(found)
    for image in (found, *seen):
        assert torch.equal(image[~hole], data["source"][~hole])
    assert (found - data["source"])[hole].abs().max() > 0.05
    # What the hole hides is not seen.
    other = torch.where(hole, torch.randn_like(found), data["source"])
    assert torch.equal(module(other, passes=passes, mask=data["mask"], **given), found)
    assert not torch.equal(module(data["source"], passes=passes, mask=-data["mask"], **given), found)


def test_the_loss_is_inside_the_hole_by_hand() -> None:
    method, data = inpainting(prediction="difference"), masked()
    data["mask"][1, :, :, 3:6] = -1
    found = moved(method, data).terms["denoising"]
    seed_step(5, 0)
    time, noise = 1 - torch.rand(2), torch.randn(2, 3, 16, 16)
    losses = []
    for row in range(2):
        hole = (data["mask"][row] > 0).float()
        source, target = data["source"][row], data["target"][row]
        share = method.process.share(float(time[row]))
        x = (1 - share) * target + share * 0 + noise[row] * math.sqrt(method.process.variance(share))
        shown = hole * x + (1 - hole) * source
        condition = torch.cat([(1 - hole) * source, hole])
        answer = method.denoiser(shown[None], time[row : row + 1], condition[None])[0]
        losses.append((((answer - (x - target)).square() * hole).sum() / (3 * hole.sum())).item())
    assert found.item() == pytest.approx(statistics.mean(losses), rel=1e-4)
    assert method.needs.aligned == {"mask"}
    outside = torch.where(data["mask"] > 0, data["target"], torch.randn(2, 3, 16, 16))
    assert moved(method, {**data, "target": outside}).terms["denoising"].item() == pytest.approx(found.item(), rel=1e-6)


def test_an_exact_denoiser_fills_the_hole() -> None:
    process, data = Process("symmetric", 0.3), masked()
    told = Told(process, "target", data["target"], data["source"])
    start = Start(Domain(3), Domain(3), conditional=True, filling=True)
    found = filling("mask", noisy=True)(told, start, process, "target")(
        data["source"], passes=3, mask=data["mask"], noise=torch.randn(2, 3, 16, 16)
    )
    torch.testing.assert_close(found, torch.where(data["mask"] > 0, data["target"], data["source"]), rtol=0, atol=1e-6)


def test_masks_are_trained_with_and_resumed_exactly() -> None:
    check_method(f"bridge(denoiser='{UNET}', mask=mask)")
    parts = CatalogParts(
        discover(), source=Domain(1), target=Domain(3), size=(16, 16), streams=Streams({"mask": Domain(1)})
    )
    with pytest.raises(TranslateError, match="with a mask the known pixels of the source are those of the target"):
        build_method(discover(), "bridge", {"denoiser": UNET, "mask": "mask"}, parts)


# --- levers ---------------------------------------------------------------------------------------------------------


def state(method: Method) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in method.state_dict().items()}


def test_several_batches_move_by_the_mean_of_their_gradients_with_draws_of_their_own() -> None:
    method = make().double()
    learned(method.denoiser).train()
    data = [{name: value.double() for name, value in batch(seed=seed).items()} for seed in range(2)]
    weights = list(method.denoiser.parameters())
    before, slopes = [weight.detach().clone() for weight in weights], []
    for number, each in enumerate(data):
        seed_step(3, 0, number=number)
        (update,) = method.updates(each, 0)
        slopes.append(torch.autograd.grad(update.terms["denoising"], weights))
    machine = Engine(method, {"denoiser": lambda given: torch.optim.SGD(given, lr=0.1)}, steps=1000, seed=3)
    machine.step(data)
    rate = machine.players["denoiser"].rates[0]
    for place, weight in enumerate(weights):
        mean = (slopes[0][place] + slopes[1][place]) / 2
        torch.testing.assert_close(weight.detach(), before[place] - float(rate) * mean, rtol=1e-9, atol=1e-12)


def test_recomputed_passes_change_nothing() -> None:
    denoiser = "unet(width=8, multipliers=(1, 2), blocks=1, dropout=0.3)"
    stored, (other, parts) = make(denoiser=denoiser), built(denoiser=denoiser)
    recompute(parts.translating)
    for method in (stored, other):
        machine = engine(method, seed=2)
        for seed in range(2):
            machine.step([batch(seed=seed)])
    for name, value in state(stored).items():
        assert torch.equal(value, other.state_dict()[name]), name


@pytest.mark.compiled
@pytest.mark.skipif(missing_compiler(torch.device("cpu")) is not None, reason="nothing compiles here")
@pytest.mark.parametrize("noise", [0.3, 0.0])
def test_what_is_compiled_is_the_same(noise: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from translate.compute.compilation import Compilation
    from translate.ranks import ProcessGroup

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    eager, (other, parts) = make(noise=noise), built(noise=noise)
    Compilation("yes", parts.networks, left=0, group=ProcessGroup(), device=torch.device("cpu"))
    for method in (eager.double(), other.double()):
        machine = engine(method, seed=3)
        for seed in range(2):
            machine.step([{name: value.double() for name, value in batch(seed=seed).items()}])
    for name, value in state(eager).items():
        torch.testing.assert_close(value, other.state_dict()[name], rtol=1e-8, atol=1e-8)


def test_bf16_and_averages() -> None:
    found = []
    for precision in ("float32", "bf16"):
        method = make()
        learned(method.denoiser).train()
        machine = engine(method, precision=precision, ema=0.5)
        for seed in range(3):
            machine.step([batch(seed=seed)])
        found.append(machine.fetch()["denoiser/denoising"])
        own = method.denoiser.first.weight.detach().clone()
        with machine.averaged():
            kept = method.translators["forward"].denoiser.first.weight
            assert 0 < (kept - own).abs().max() < 0.01
    assert found[1] == pytest.approx(found[0], rel=0.05)


def test_its_operations_are_counted() -> None:
    one, other = (make(size=(32, 32), denoiser=f"unet(width={width}, multipliers=(1, 2))") for width in (8, 16))
    counted = [flops_of_step(method, batch(size=(32, 32))) for method in (one, other)]
    assert None not in counted
    assert 3 < counted[1] / counted[0] < 5  # type: ignore[operator]


@pytest.mark.parametrize("mask", [False, True])
def test_two_ranks_train_as_one_with_their_draws(mask: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices, started by the command line, against one process whose two batches a step have the ranks' draws."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    data = "demo(size=16, count=8, aligned=mask)" if mask else "demo(size=16, count=8)"
    options = {
        "denoiser": UNET, "size": 16, "load_size": 16, "steps": 2, "log_every": 1, "compile": "no",
        "optimizer": "sgd(lr=0.02)", **({"mask": "mask"} if mask else {}),
    }  # fmt: skip
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    done = ran("fit", "bridge", data, "-o", tmp_path / "two", "--devices=2", *flags)
    assert done.returncode == 0, done.stderr
    two = Run.open(tmp_path / "two")
    draw_as_ranks(monkeypatch)
    one = translate.fit("bridge", data, output=tmp_path / "one", accumulate=2, **options)
    assert_same_weights(one, two)
    for ours, theirs in zip(one.metrics, two.metrics, strict=True):
        assert ours["denoiser/denoising"] == pytest.approx(theirs["denoiser/denoising"], rel=1e-5)
    assert json.loads((two.folder / "config.json").read_text(encoding="utf-8"))["ranks"] == 2


def test_contract() -> None:
    check_plugin("bridge", examples={"bridge": f"bridge(denoiser='{UNET}')"})


# --- what is kept ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> translate.Translator:
    """A bridge whose denoiser has drawn weights, saved and loaded."""
    method, parts = built(3)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for weight in method.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
    catalog, file = discover(), tmp_path_factory.mktemp("bridge") / "bridge.safetensors"
    plugin = catalog.offer("methods", "bridge").plugin
    checkpoint.save(file, *contents(method, name="bridge", options={"denoiser": UNET}, parts=parts, plugin=plugin))
    return translate.load(file, device="cpu")


def pictures(count: int = 3, height: int = 21, width: int = 30) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(2)) * 2 - 1


def test_its_file_tells_passes_and_noise(translator: Any) -> None:
    taken = translator.taken
    assert (list(taken.options), list(taken.inputs)) == (["passes", "stochastic"], ["noise"])
    with pytest.raises(TranslateError, match="passes must be a whole number >= 1 and <= 1000"):
        translator.translate(pictures(1), given={"passes": 1001})


@pytest.mark.parametrize("given", [{}, {"passes": 1}, {"passes": 4, "stochastic": False}])
def test_eight_answer_as_eight_of_one(translator: Any, given: dict[str, Any]) -> None:
    images = pictures(8)
    together = translator.translate(images, given=given, seed=7)
    for row in range(8):
        alone = translator.translate(images[row : row + 1], given=given, seed=7)
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=2e-5)
    again = translator.translate(images, given=given, seed=8)
    assert torch.equal(again, together) is (given != {})


def test_samples_differ_and_the_first_is_the_translation(translator: Any) -> None:
    images = pictures(2)
    drawn = translator.translate(images, samples=3, given={"passes": 3}, seed=7)
    assert drawn.shape == (6, 3, 21, 30)
    for row in range(2):
        first, second, third = drawn[3 * row : 3 * row + 3]
        assert min((first - second).abs().mean(), (first - third).abs().mean(), (second - third).abs().mean()) > 0.02
        alone = translator.translate(images[row : row + 1], given={"passes": 3}, seed=7)[0]
        torch.testing.assert_close(first, alone, rtol=0, atol=2e-5)


def test_files_do_not_depend_on_batches_and_lanes(
    translator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    for number, row in enumerate(pictures(5)):
        stored = ((row + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
        write(tmp_path / "in" / f"{number}.png", Image(stored))
    asked: dict[str, Any] = {"given": {"passes": 2}, "seed": 3, "samples": 2}
    translate.convert(translator, tmp_path / "in", tmp_path / "one", batch=1, **asked)
    translate.convert(translator, tmp_path / "in", tmp_path / "eight", batch=8, **asked)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    translate.convert(translator, tmp_path / "in", tmp_path / "lanes", workers=4, **asked)
    names = sorted(path.name for path in (tmp_path / "one").iterdir() if path.suffix == ".png")
    assert len(names) == 10
    for name in names:
        wanted = read(tmp_path / "one" / name).pixels.astype(int)
        for other in ("eight", "lanes"):
            assert abs(read(tmp_path / other / name).pixels.astype(int) - wanted).max() <= 1, (other, name)


def test_large_images_are_computed_in_strips_without_attention() -> None:
    method = make(3, denoiser="unet(width=4, multipliers=(1, 2), blocks=1, attention=no)")
    learned(method.denoiser)
    whole = Translator(
        method.translators["forward"], catalog=discover(), direction="forward", directions=("forward",),
        source=Domain(3), target=Domain(3), size=(16, 16), device=torch.device("cpu"),
    )  # fmt: skip
    parts = whole.inference.in_parts(whole.read_given({"passes": 2}))
    # Before its first use it is compared with the whole.
    assert parts is not None
    assert parts.algorithm((128, 160)) == "strips"


@pytest.mark.compiled
def test_an_exported_file_takes_noise(translator: Any, tmp_path: Path) -> None:
    network = Bound(translator.network, {"passes": 2}, ["noise"])
    dynamic = {0: torch.export.Dim("batch", min=1, max=64)}
    exported = torch.export.export(
        network, (pictures(2, 16, 16), torch.randn(2, 3, 16, 16)), dynamic_shapes=(dynamic, (dynamic,))
    )
    images, noise = pictures(3, 16, 16), torch.randn(3, 3, 16, 16)
    wanted = translator.network(images, passes=2, noise=noise)
    torch.testing.assert_close(exported.module()(images, noise), wanted, rtol=0, atol=1e-5)
