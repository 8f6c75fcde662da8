"""VAE and VAE/GAN: exact likelihoods and divergences, algorithm 1 player by player, one domain and two."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import translate
from translate import checkpoint
from translate.data import Domain
from translate.engine.step import Engine
from translate.errors import TranslateError
from translate.evaluation import evaluate
from translate.layouts import open_dataset
from translate.loader import decode_all
from translate.method import Method, Update
from translate.parts import CatalogParts, SavedMethod, build_method
from translate.plugins import discover
from translate.seeds import noise_of, seed_step
from translate.testing import check_method, check_plugin
from translate_metrics.likelihood import EvidenceLowerBound
from translate_vaegan.gaussian import Autoencoder, kl_divergence, reparameterize, split
from translate_vaegan.vae import each_negative_log_likelihood, negative_log_likelihood

CODERS = {"encoder": "dcgan(width=4, latent=6)", "decoder": "dcgan(width=4)"}
SMALL = {**CODERS, "discriminator": "patch(width=4, receptive_field=16)"}


def make(name: str, source: int = 3, target: int = 3, **options: Any) -> Any:
    torch.manual_seed(1)
    parts = CatalogParts(discover(), source=Domain(source), target=Domain(target), size=(32, 32))
    small = SMALL if name == "vaegan" else CODERS
    return build_method(discover(), name, {**small, **options}, parts).train()


def batch(source: int = 3, target: int | None = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = {"source": torch.rand(2, source, 32, 32, generator=generator) * 2 - 1}
    if target is not None:
        made["target"] = torch.rand(2, target, 32, 32, generator=generator) * 2 - 1
    return made


def moves(method: Method, data: dict[str, Tensor], step: int = 0) -> dict[str, Update]:
    """What the players are asked to minimise, without anybody moving."""
    seed_step(0, 0)
    (together,) = method.updates(data, step)
    return {each.player: each for each in (together if isinstance(together, tuple) else (together,))}


def test_the_divergence_is_exact() -> None:
    mean, log_variance = torch.randn(4, 3, 2, 2), torch.randn(4, 3, 2, 2)
    ours = torch.distributions.Normal(mean, torch.exp(log_variance / 2))
    exact = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0))
    assert torch.allclose(kl_divergence(mean, log_variance), exact.flatten(1).sum(1).mean(), rtol=1e-5)
    assert float(kl_divergence(torch.zeros(2, 3), torch.zeros(2, 3))) == 0.0


def test_codes_have_their_mean_and_variance() -> None:
    torch.manual_seed(0)
    codes = reparameterize(torch.full((20000, 1), 3.0), torch.full((20000, 1), 2 * 0.6931472))
    assert abs(float(codes.mean()) - 3) < 0.05
    assert abs(float(codes.std()) - 2) < 0.05
    mean, log_variance = split(torch.tensor([[1.0, 2.0, 0.1, 1e6]]))
    assert mean.tolist() == [[1.0, 2.0]]
    assert abs(float(log_variance[0, 0]) - 0.1) < 1e-4
    assert float(log_variance[0, 1]) == 14.0


@pytest.mark.parametrize("likelihood", ["laplace", "gaussian"])
def test_the_likelihood_is_exact(likelihood: Any) -> None:
    image, rebuilt = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    kind = torch.distributions.Laplace if likelihood == "laplace" else torch.distributions.Normal
    given: Any = kind(rebuilt, 0.2)
    exact = -given.log_prob(image).flatten(1).sum(1).mean()
    assert torch.allclose(negative_log_likelihood(rebuilt, image, likelihood, 0.2), exact, rtol=1e-5)


def test_vae_logs_its_bound_and_pulls_by_the_values_of_an_image() -> None:
    method, data = make("vae", 1, 1, beta=2.0, scale=0.3), batch(1, 1)
    terms = moves(method, data)["autoencoder"].terms
    seed_step(0, 0)
    mean, log_variance = split(method.encoder(data["target"]))
    rebuilt = method.decoder(mean + torch.exp(log_variance / 2) * torch.randn_like(mean))
    exact = -torch.distributions.Laplace(rebuilt, 0.3).log_prob(data["target"]).sum() / 2
    assert torch.allclose(terms["reconstruction"], exact, rtol=1e-4)
    kl = (mean.square() + log_variance.exp() - log_variance - 1).sum() / 2 / 2
    assert torch.allclose(terms["kl"], kl, rtol=1e-3)
    weight = next(method.encoder.parameters())
    (pull,) = torch.autograd.grad(torch.stack(list(terms.values())).sum(), weight)
    (wanted,) = torch.autograd.grad((exact + 2 * kl) / 1024, weight)
    assert torch.allclose(pull, wanted, rtol=1e-3, atol=1e-6)


def test_vae_learns_the_only_domain_or_the_target() -> None:
    method, alone = make("vae"), batch(3, None)
    both = {"source": torch.zeros(2, 3, 32, 32), "target": alone["source"]}
    first, second = (moves(method, data)["autoencoder"].terms for data in (alone, both))
    assert torch.equal(first["reconstruction"], second["reconstruction"])
    with pytest.raises(TranslateError, match="vae rebuilds images of one domain, .* give it one domain"):
        make("vae", 1, 4)


def test_a_vae_learns_to_rebuild() -> None:
    method = make("vae", 1, 1)
    engine = Engine(method, {"autoencoder": lambda weights: torch.optim.Adam(weights, lr=5e-3, fused=True)}, steps=80)
    ramp = torch.linspace(-1, 1, 32)[:, None] * torch.ones(32)
    images = torch.stack([ramp, ramp.T])[:, None].contiguous()
    engine.step([{"source": images}])
    start = engine.fetch()["autoencoder/reconstruction"]
    for _ in range(79):
        engine.step([{"source": images}])
    end = engine.fetch()
    # In nats a density may be above 1; two images need a bit or more to be told apart.
    assert end["autoencoder/reconstruction"] < start - 2000
    assert end["autoencoder/kl"] > 0.1


def test_vaegan_is_algorithm_one() -> None:
    """Each player's pull is that of its line, by hand."""
    method, data = make("vaegan", gamma=0.5), batch()
    told = moves(method, data)
    assert set(told) == {"encoder", "decoder", "discriminator"}
    seed_step(0, 0)
    encoder, decoder = method.encoders["target"], method.decoders["target"]
    judge, x = method.adversaries["target"].discriminator, data["target"]
    mean, log_variance = split(encoder(x))
    code = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
    rebuilt, sampled = decoder(torch.cat([code, torch.randn_like(code)])).chunk(2)
    # The discriminator's batch normalization sees what the method's sees: each kind for itself.
    logits = torch.cat([judge(rebuilt).logits[0], judge(sampled).logits[0]])
    of_real = judge(x).logits[0]
    seen = judge(torch.cat([rebuilt, x])).features[-1]
    like = (seen[:2] - seen[2:].detach()).square().sum() / 2 / 2
    values = seen[0].numel()
    prior = (mean.square() + log_variance.exp() - log_variance - 1).sum() / 2 / 2
    assert torch.allclose(told["encoder"].terms["kl"], prior, rtol=1e-3)
    assert torch.allclose(told["encoder"].terms["likeness"], like, rtol=1e-3)
    assert torch.allclose(told["decoder"].terms["likeness"], like, rtol=1e-3)
    of_judge = F.softplus(-of_real).mean() + F.softplus(logits).mean()
    assert torch.allclose(told["discriminator"].terms["adversarial"], of_judge, rtol=1e-3)
    for player, weight, expected in (
        ("encoder", next(encoder.parameters()), (prior + like) / values),
        ("decoder", next(decoder.parameters()), 0.5 * like / values + F.softplus(-logits).mean()),
        ("discriminator", next(judge.parameters()), of_judge),
    ):
        (pull,) = torch.autograd.grad(torch.stack(list(told[player].terms.values())).sum(), weight, retain_graph=True)
        (wanted,) = torch.autograd.grad(expected, weight, retain_graph=True)
        assert torch.allclose(pull, wanted, rtol=1e-3, atol=1e-5), player


def test_the_discriminators_own_steps() -> None:
    method = make("vaegan", adversarial="hinge + critic(updates=3)")
    assert method.period == 3
    assert [set(moves(method, batch(), step)) for step in range(3)] == [
        {"discriminator"},
        {"discriminator"},
        {"encoder", "decoder", "discriminator"},
    ]


def test_two_domains_share_a_latent() -> None:
    method, data = make("vaegan", 1, 4, domains=2), batch(1, 4)
    assert method.encoders["source"].shared is method.encoders["target"].shared
    told = moves(method, data)
    assert {"source_kl", "target_kl", "source_likeness", "target_likeness"} == set(told["encoder"].terms)
    assert set(method.translators) == {"forward", "backward", "sample"}
    assert method.translators["forward"](data["source"]).shape == (2, 4, 32, 32)
    assert method.translators["backward"](data["target"]).shape == (2, 1, 32, 32)
    assert method.translators["sample"](torch.randn(3, 6)).shape == (3, 4, 32, 32)
    # The decoder of the target is judged on translations: its pull reaches back to the source's encoder.
    first = next(method.encoders["source"].layers.parameters())
    assert torch.autograd.grad(told["decoder"].terms["target_adversarial"], first)[0].any()
    apart = make("vaegan", domains=2, tie_shared=False)
    assert apart.encoders["source"].shared is not apart.encoders["target"].shared
    with pytest.raises(TranslateError, match="this data has one; give both"):
        moves(make("vaegan", domains=2), batch(3, None))


def test_errors_say_what_to_do() -> None:
    with pytest.raises(TranslateError, match="or --domains 2 to translate between them"):
        make("vaegan", 1, 4)
    with pytest.raises(
        TranslateError, match=r"patch.* shows 2 inner layers, so there is no layer 2; choose one from -2"
    ):
        moves(make("vaegan", layer=2), batch())
    with pytest.raises(TranslateError, match="an autoencoder draws 1 sample or more"):
        make("vae").translators["forward"](batch()["source"], samples=0)


@pytest.mark.parametrize("name", ["vae", "vaegan"])
def test_a_run_rebuilds_and_samples(name: str, tmp_path: Path) -> None:
    small = {**SMALL, "encoder": "dcgan(width=4, latent=5)"} if name == "vaegan" else CODERS
    run = translate.fit(
        name,
        "demo(size=16, count=8)",
        output=tmp_path / "run",
        steps=4,
        batch=2,
        size=16,
        load_size=16,
        log_every=2,
        **small,
    )
    player = "encoder" if name == "vaegan" else "autoencoder"
    assert run.metrics[-1][f"{player}/kl"] > 0
    assert checkpoint.load(run.translator)[1]["directions"] == ["forward", "sample"]
    translator = translate.load(run.folder)
    # A latent without a place: images of other sizes are resized to the training's and back.
    image = torch.rand(1, 3, 20, 24) * 2 - 1
    assert translator.translate(image).shape == (1, 3, 20, 24)
    drawn = translator.translate(image, samples=2)
    assert (drawn[0] - drawn[1]).abs().max() > 0.001


# --- the bound, measured ----------------------------------------------------------------------------------------------


class Linear(torch.nn.Module):
    """Encodes (N, 1, 1, D) to the posterior of a linear-Gaussian model, or decodes a code (N, D) by its matrix."""

    def __init__(self, matrix: Tensor, log_variance: Tensor | None = None) -> None:
        super().__init__()
        self.matrix, self.log_variance = matrix, log_variance
        self.latent = (matrix.shape[0],)

    def forward(self, given: Tensor) -> Tensor:
        answer = given.flatten(1) @ self.matrix.T
        if self.log_variance is None:
            return answer[:, None, None]
        return torch.cat([answer, self.log_variance.expand_as(answer)], dim=1)


def test_the_bound_of_a_linear_gaussian_model_is_its_evidence() -> None:
    """x = W z + s e, z ~ N(0, 1): with the true posterior the bound is log p(x), whatever code is drawn on average."""
    torch.manual_seed(0)
    scale, count = 0.5, 20000
    # Orthogonal columns: the posterior's covariance is diagonal, as an encoder's is.
    weight = torch.linalg.qr(torch.randn(4, 2))[0] * torch.tensor([1.5, 0.4])
    precision = 1 + (weight.square().sum(0) / scale**2)
    raw = 14 * torch.atanh(-precision.log() / 14)  # what `split` limits softly
    encoder = Linear((weight / scale**2 / precision).T, raw)
    likelihood = partial(each_negative_log_likelihood, likelihood="gaussian", scale=scale)
    model = Autoencoder(encoder, Linear(weight), likelihood)
    x = torch.tensor([[0.3, -0.7, 0.2, 0.9], [0.0, 0.1, 0.0, -0.2]])
    covariance = weight @ weight.T + scale**2 * torch.eye(4)
    evidence = torch.distributions.MultivariateNormal(torch.zeros(4), covariance).log_prob(x)
    bounds = []
    for each in x:
        image = each.view(1, 1, 1, 4).expand(count, 1, 1, 4)
        divergence, rebuilt = model.variational_pass(image, torch.randn(count, 2))
        metric = EvidenceLowerBound()
        metric.update({"divergence": divergence, "encoded": image, "reconstruction": likelihood(rebuilt, image)})
        found = metric.result()
        bounds.append(found["elbo"])
        assert found["elbo"] == pytest.approx(-found["kl"] - found["reconstruction"])
        assert found["elbo_bits_per_dim"] == pytest.approx(-found["elbo"] / 4 / math.log(2))
        by_name = EvidenceLowerBound(likelihood="gaussian", scale=scale)
        by_name.update({"divergence": divergence, "encoded": image, "rebuilt": rebuilt})
        assert by_name.result()["elbo"] == pytest.approx(found["elbo"], rel=1e-5)
    assert bounds == pytest.approx(evidence.tolist(), abs=0.03)


def test_a_bound_with_another_likelihood_is_that_of_torch() -> None:
    image, rebuilt = torch.rand(3, 2, 4, 4), torch.rand(3, 2, 4, 4)
    metric = EvidenceLowerBound(likelihood="laplace", scale=0.2)
    metric.update({"divergence": torch.tensor([1.0, 2.0, 3.0]), "encoded": image, "rebuilt": rebuilt})
    metric.update({"target": image})
    exact = torch.distributions.Laplace(rebuilt, 0.2).log_prob(image).flatten(1).sum(1) - torch.tensor([1.0, 2.0, 3.0])
    assert metric.result()["elbo"] == pytest.approx(float(exact.mean()), rel=1e-5)


def test_evaluate_measures_the_bound(tmp_path: Path) -> None:
    data, asked = "demo(size=16, count=8)", {"split": "train", "device": "cpu"}
    small: dict[str, Any] = {**CODERS, "size": 16, "load_size": 16, "steps": 1, "batch": 2, "sample_every": 9}
    run = translate.fit("vae", data, output=tmp_path / "vae", likelihood="gaussian", scale=0.4, **small)
    whole = evaluate(run.folder, data, metrics=["elbo"], **asked)
    # Of two domains it has learnt the target, and each image's noise depends on the seed and its number alone.
    module: Any = SavedMethod.open(run.folder, discover()).module("forward").eval()
    dataset = open_dataset(discover(), data, None)
    pixels = decode_all(
        {"target": dataset.splits["train"]["target"]}, {"target": dataset.domains["target"]}, size=(16, 16),
        resize="stretch", device=torch.device("cpu"),
    )["target"]  # fmt: skip
    image = pixels.float() / 127.5 - 1
    with torch.no_grad():
        divergence, rebuilt = module.variational_pass(image, noise_of(module, range(len(image)), 0))
    bound = -divergence + torch.distributions.Normal(rebuilt, 0.4).log_prob(image).flatten(1).sum(1)
    assert whole.scores["elbo"] == pytest.approx(float(bound.mean()), rel=1e-5)
    assert whole.counts == {"encoded": len(image)}
    assert whole.protocol["seed"] == 0
    parts = evaluate(run.folder, data, metrics=["elbo"], batch=3, **asked)
    assert parts.scores["elbo"] == pytest.approx(whole.scores["elbo"], rel=1e-6)
    assert evaluate(run.folder, data, metrics=["elbo"], seed=1, **asked).scores["elbo"] != whole.scores["elbo"]
    with pytest.raises(
        TranslateError, match=r"codes of a variational autoencoder, .* 'sample' .*try --direction forward,"
    ):
        evaluate(run.folder, data, metrics=["elbo"], direction="sample", **asked)

    patches = {"discriminator": "patch(width=4, receptive_field=16)"}
    other = translate.fit("vaegan", data, output=tmp_path / "vaegan", **small, **patches)
    with pytest.raises(TranslateError, match=r"was trained by, .*; give the metric one, such as likelihood=laplace$"):
        evaluate(other.folder, data, metrics=["elbo"], **asked)
    found = evaluate(other.folder, data, metrics=["elbo(likelihood=laplace)"], **asked)
    assert "likelihood laplace of scale 0.1" in found.protocol["metrics"]["elbo"]


def test_contract() -> None:
    options = ", ".join(f"{name}={value!r}" for name, value in SMALL.items())
    coders = ", ".join(f"{name}={value!r}" for name, value in CODERS.items())
    check_plugin("vaegan", examples={"vaegan": f"vaegan({options}, domains=2)", "vae": f"vae({coders})"})
    check_method(f"vaegan({options})")
    check_method("vae(encoder='residual(width=4, latent=2)', decoder='residual(width=4)', likelihood=gaussian)")
