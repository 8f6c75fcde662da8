"""StackGAN: the two stages, conditioning augmentation by hand, matching-awareness, what is kept, its contract."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import translate
from translate import testing
from translate.data import Domain
from translate.engine.step import Engine
from translate.errors import TranslateError
from translate.method import Method
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate_stackgan.network import divergence

SMALL: dict[str, Any] = {
    "refiner": "resnet(width=4, blocks=1)",
    "coarse_discriminator": "patch(width=4, receptive_field=16)",
    "discriminator": "patch(width=4, receptive_field=16)",
    "noise": 2,
}


class Encoder(nn.Module):
    """One convolution of stride 2."""

    size_multiple = 2

    def __init__(self, inputs: int, size: tuple[int, int], statistics: int) -> None:
        super().__init__()
        self.latent = (3, size[0] // 2, size[1] // 2)
        self.layer = nn.Conv2d(inputs, 3 * statistics, 2, 2)

    def forward(self, image: Tensor) -> Tensor:
        answer: Tensor = self.layer(image)
        return answer


class Decoder(nn.Module):
    """One transposed convolution of stride 2."""

    def __init__(self, latent: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.layer = nn.ConvTranspose2d(latent[0], outputs, 2, 2)

    def forward(self, latent: Tensor) -> Tensor:
        return torch.tanh(self.layer(latent))


class Tiny(CatalogParts):
    """The catalog's parts, but with the encoder and the decoder of this file."""

    def encoder(self, name: str, *, inputs: int | None = None, statistics: int = 1) -> nn.Module:
        return Encoder(self.source.channels if inputs is None else inputs, self.size, statistics)

    def decoder(self, name: str, *, latent: tuple[int, ...], outputs: int | None = None) -> nn.Module:
        return Decoder(latent, self.target.channels if outputs is None else outputs)


def make(size: tuple[int, int] = (32, 32), **options: Any) -> Any:
    torch.manual_seed(1)
    parts = Tiny(discover(), source=Domain(3), target=Domain(2), size=size)
    return build_method(discover(), "stackgan", {**SMALL, **options}, parts).train()


def engine(method: Method, steps: int, rate: float = 2e-4) -> Engine:
    def adam(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=rate, betas=(0.5, 0.999))

    return Engine(method, dict.fromkeys(method.players, adam), steps=steps)


def batch(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    channels = {"source": 3, "target": 2, "mismatched": 3}
    return {name: torch.rand(2, count, 32, 32, generator=generator) * 2 - 1 for name, count in channels.items()}


def test_stage_one_is_trained_first_and_then_fixed() -> None:
    method = make()
    machine = engine(method, 6)
    judges = method.players["discriminator"]
    first = nn.ModuleList([method.stack.encoder, method.stack.decoder])
    parts = {"I": first, "II": method.stack.refiner, "d": judges["coarse"], "D": judges["fine"]}
    trained = []
    for step in range(6):
        before = {name: [weight.clone() for weight in part.parameters()] for name, part in parts.items()}
        machine.step([batch(step)])
        trained.append({
            name
            for name, part in parts.items()
            if any(not torch.equal(a, b) for a, b in zip(before[name], part.parameters(), strict=True))
        })  # fmt: skip
        prefix = "coarse_" if step < 3 else ""
        wanted = {f"discriminator/{prefix}adversarial", f"generator/{prefix}adversarial"}
        assert machine.fetch().keys() == wanted | ({"generator/coarse_kl"} if step < 3 else set())
        assert bool(method.stack.refined) == (step >= 3)
    assert trained == [{"I", "d"}] * 3 + [{"II", "D"}] * 3


def test_divergence_in_closed_form() -> None:
    """Against torch's own, and by sampling."""
    mean, log_variance = torch.tensor([[0.3, -1.2]]), torch.tensor([[-0.7, 0.4]])
    normal = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    standard = torch.distributions.Normal(0.0, 1.0)
    wanted = torch.distributions.kl_divergence(normal, standard).mean()
    assert torch.allclose(divergence(mean, log_variance), wanted)
    torch.manual_seed(0)
    drawn = normal.sample((20000,))
    assert float((normal.log_prob(drawn) - standard.log_prob(drawn)).mean()) == pytest.approx(float(wanted), abs=0.02)
    assert float(divergence(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))) == 0


def test_the_condition_is_drawn_with_its_own_spread() -> None:
    """The decoder is handed c = mean + deviation * noise beside z of standard normal noise."""
    method = make()
    given: list[Tensor] = []
    method.stack.decoder.register_forward_pre_hook(lambda _module, args: given.append(args[0]))
    mean, log_variance = torch.full((400, 3, 4, 4), 2.0), torch.full((400, 3, 4, 4), math.log(0.25))
    method.stack.coarse(mean, log_variance, noisy=True)
    method.stack.coarse(mean, log_variance, noisy=False)
    noisy, plain = given
    assert noisy.shape == (400, 5, 4, 4)
    assert float(noisy[:, :3].mean()) == pytest.approx(2, abs=0.02)
    assert float(noisy[:, :3].std()) == pytest.approx(0.5, abs=0.02)
    assert float(noisy[:, 3:].std()) == pytest.approx(1, abs=0.03)
    assert torch.equal(plain[:, :3], mean)
    assert not bool(plain[:, 3:].any())


def test_the_discriminators_terms_by_hand() -> None:
    method = make(refine=0.0)
    method.stage = 1
    data = batch()
    fakes: list[Tensor] = []
    method.stack.refiner.register_forward_hook(lambda _module, _given, answer: fakes.append(answer))
    update = next(method.updates(data, 0))
    judge, real = method.adversary.discriminator, data["target"]
    on_real = F.softplus(-judge(real, data["source"]).logits[0]).mean()
    on_fake = F.softplus(judge(fakes[0].detach(), data["source"]).logits[0]).mean()
    on_other = F.softplus(judge(real, data["mismatched"]).logits[0]).mean()
    wanted = on_real + 0.5 * (on_fake + on_other)
    assert float(update.terms["adversarial"].detach()) == pytest.approx(float(wanted.detach()), rel=1e-4)
    assert make().needs.streams == ("mismatched",)
    assert make(matching_aware=False).needs.streams == ()


def test_what_is_kept_answers_at_every_stage() -> None:
    method = make().eval()
    kept, image = method.translators["forward"], batch()["source"]
    with torch.no_grad():
        small = F.avg_pool2d(image, 4)
        coarse = kept.coarse(*kept.describe(small), noisy=False)
        assert coarse.shape == (2, 2, 8, 8)
        enlarged = F.interpolate(coarse, (32, 32), mode="bilinear", align_corners=False)
        assert torch.equal(kept(image), enlarged)
        kept.refined.fill_(True)
        assert torch.equal(kept(image), kept.refiner(torch.cat([enlarged, image], 1)))
        several = kept(image, samples=3)
        assert several.shape == (6, 2, 32, 32)
        assert not torch.equal(several[0], several[1])
    assert kept.size_multiple == 8
    assert not hasattr(kept, "fixed_size")
    with pytest.raises(TranslateError, match="1 sample or more"):
        kept(image, samples=0)


def test_the_coarse_image_is_drawn_from_the_mean_and_the_spread_that_the_source_describes() -> None:
    """By hand, with the noise in the order of the method's draws; both stages draw it alike."""
    method, data = make(), batch()
    small = F.avg_pool2d(data["source"], 4)
    for stage, judge in ((0, method.coarse_adversary.discriminator), (1, method.adversary.discriminator)):
        method.stage = stage
        torch.manual_seed(3)
        update = next(method.updates(data, 0))
        torch.manual_seed(3)
        mean, log_variance = method.stack.encoder(small).chunk(2, dim=1)
        condition = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        fake = method.stack.decoder(torch.cat([condition, torch.randn(2, 2, *mean.shape[2:])], 1))
        source, real, other = (
            data[name] if stage else F.avg_pool2d(data[name], 4) for name in ("source", "target", "mismatched")
        )
        if stage:
            enlarged = F.interpolate(fake, (32, 32), mode="bilinear", align_corners=False)
            fake = method.stack.refiner(torch.cat([enlarged, source], 1))
        on_real = F.softplus(-judge(real, source).logits[0]).mean()
        on_fakes = [F.softplus(judge(*pair).logits[0]).mean() for pair in ((fake, source), (real, other))]
        wanted = float((on_real + sum(on_fakes) / 2).detach())
        name = "adversarial" if stage else "coarse_adversarial"
        assert float(update.terms[name].detach()) == pytest.approx(wanted, rel=1e-4)


def test_an_l1_term_if_wanted() -> None:
    machine = engine(make(l1=10.0, kl=0.0), 2)
    machine.step([batch()])
    assert machine.fetch().keys() == {
        "discriminator/coarse_adversarial", "generator/coarse_adversarial", "generator/coarse_l1",
    }  # fmt: skip
    machine.step([batch()])
    assert "generator/l1" in machine.fetch()


def test_it_obeys_the_adversary_about_who_moves() -> None:
    method = make()
    method.adversary.period = method.coarse_adversary.period = 2
    assert method.period == 2
    machine = engine(method, 4)
    machine.step([batch(0)])
    assert all(name.startswith("discriminator/") for name in machine.fetch())
    machine.step([batch(1)])
    assert "generator/coarse_kl" in machine.fetch()


def test_sizes_that_do_not_divide_are_refused() -> None:
    with pytest.raises(TranslateError, match="36x36 does not divide by 8; choose another --size or --reduction"):
        make((36, 36), reduction=8)


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [("residual(width=4, blocks=1)", "residual(width=4, blocks=1)"), ("dcgan(width=4)", "dcgan(width=4)")],
)
def test_contract(encoder: str, decoder: str) -> None:
    options = {**SMALL, "encoder": encoder, "decoder": decoder, "reduction": 2}
    testing.check_method(f"stackgan({', '.join(f'{name}={value!r}' for name, value in options.items())})")


def test_the_second_stage_mends_the_first() -> None:
    """Stripes too fine for the coarse image, whose size is half: only the refiner can give them back."""

    def stripes(seed: int) -> dict[str, Tensor]:
        sign = (torch.randint(0, 2, (4, 1, 4, 1), generator=torch.Generator().manual_seed(seed)) * 2 - 1).float()
        fine = F.interpolate(sign, (32, 32), mode="nearest") * (torch.arange(32) % 2 * 2 - 1)
        return {"source": fine.expand(-1, 3, -1, -1).contiguous(), "target": -fine.expand(-1, 2, -1, -1).contiguous()}

    method = make(l1=30.0, matching_aware=False, reduction=2, refiner="resnet(width=8, blocks=1)")
    machine = engine(method, 120, rate=2e-3)
    data, distances = stripes(999), []
    for step in range(120):
        if step == 60:
            distances.append(distance(method, data))
        machine.step([stripes(step)])
    distances.append(distance(method, data))
    assert distances[0] > 0.9
    assert distances[1] < 0.5


@torch.no_grad()
def distance(method: Any, data: dict[str, Tensor]) -> float:
    method.eval()
    answer = method.translators["forward"](data["source"])
    method.train()
    return float((answer - data["target"]).abs().mean())


def test_it_trains_and_converts(tmp_path: Path) -> None:
    coders = dict.fromkeys(("encoder", "decoder"), "residual(width=4, blocks=1)")
    run = translate.fit(
        "stackgan", "demo(size=32, count=8)", output=tmp_path / "run", size=32, load_size=32, batch=2, steps=4,
        log_every=1, **SMALL, **coders,
    )  # fmt: skip
    assert "generator/coarse_kl" in run.metrics[0]
    assert "generator/adversarial" in run.metrics[-1]
    translator = translate.load(run.folder)
    image = torch.zeros(1, 3, 45, 33)
    assert translator(image).shape == (1, 3, 45, 33)
    several = translator(image, samples=2)
    assert not torch.equal(several[0], several[1])
