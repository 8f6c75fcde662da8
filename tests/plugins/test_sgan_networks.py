"""Networks that tell classes and fakes apart, and dense ones: published sizes, closed forms, one image by itself."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.adversary import Adversary
from translate.discriminator import ClassHead, DiscriminatorOutput
from translate.errors import TranslateError
from translate_losses.adversarial import Minimax, NonSaturating
from translate_networks.dcgan_discriminator import DCGANDiscriminator
from translate_networks.gaussian import GaussianNoise
from translate_networks.k_plus_one import KPlusOne
from translate_networks.minibatch import MinibatchSimilarity
from translate_networks.mlp import MLPDecoder, MLPDiscriminator
from translate_networks.semi_supervised import SemiSupervised

NETWORKS: dict[str, Any] = {
    "semi_supervised": lambda **options: SemiSupervised(1, size=(28, 28), **{"width": 4, **options}),
    "dcgan": lambda **options: DCGANDiscriminator(1, size=(28, 28), **{"width": 4, **options}),
    "mlp": lambda **options: MLPDiscriminator(1, (28, 28), **{"width": 16, **options}),
}


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def images(count: int = 4, *, seed: int = 0) -> Tensor:
    return torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# --- K + 1 classes --------------------------------------------------------------------------------------------------


def test_realness_is_that_of_a_softmax_over_classes_and_fake() -> None:
    torch.manual_seed(0)
    head, x = KPlusOne(6, 3).double(), torch.randn(5, 6).double()
    head.linear.weight.data.normal_()
    realness, classes = head(x)
    assert classes is not None
    whole = torch.cat([classes, torch.zeros(5, 1)], 1).softmax(1)
    assert torch.allclose(realness.sigmoid()[:, 0], 1 - whole[:, 3])
    assert torch.allclose(classes.softmax(1), whole[:, :3] / whole[:, :3].sum(1, keepdim=True))


def test_an_explicit_logit_of_fakes_says_the_same_as_zero_where_it_is_zero() -> None:
    head, plain, x = KPlusOne(6, 3, explicit=True), KPlusOne(6, 3), torch.randn(5, 6)
    with torch.no_grad():
        plain.linear.weight.copy_(head.linear.weight[:3] - head.linear.weight[3:])
        plain.linear.bias.copy_(head.linear.bias[:3] - head.linear.bias[3:])
    (realness, classes), (same, others) = head(x), plain(x)
    assert parameters(head) == parameters(plain) + 7
    assert torch.allclose(realness, same, atol=1e-6)
    assert torch.allclose(classes.softmax(1), others.softmax(1), atol=1e-6)


def test_without_classes_there_is_one_plain_logit() -> None:
    realness, classes = KPlusOne(6, 0, explicit=True)(torch.randn(5, 6))
    assert realness.shape == (5, 1)
    assert classes is None


def test_the_unsupervised_loss_is_the_published_one() -> None:
    """``log Z`` under the minimax loss: ``-E log Z + E softplus(log Z)`` over real, ``E softplus(log Z)`` over fakes."""
    torch.manual_seed(0)
    network = NETWORKS["semi_supervised"](classes=10).double()
    adversary = Adversary(network, NonSaturating(), weight=0.5)
    real, fake, labels = images(seed=1).double(), images(seed=2).double(), torch.tensor([3, -1, 0, -1])
    terms = adversary.discriminator_terms(real, fake, labelled=(real, labels))
    of_real, of_fake = (network(x).classes.logsumexp(1) for x in (real, fake))
    wanted = 0.5 * (-of_real + F.softplus(of_real)).mean() + 0.5 * F.softplus(of_fake).mean()
    assert torch.allclose(terms["adversarial"], wanted)
    chosen = network(real).classes.log_softmax(1)
    assert torch.allclose(terms["classes"].double(), -(chosen[0, 3] + chosen[2, 0]) / 2, atol=1e-6)
    saturating = Adversary(network, Minimax(), weight=0.5)
    assert torch.allclose(saturating.discriminator_terms(real, fake)["adversarial"], wanted)


# --- minibatch discrimination ---------------------------------------------------------------------------------------


def test_similarity_by_hand() -> None:
    layer = MinibatchSimilarity(2, kernels=2, dimensions=1).train()
    with torch.no_grad():
        layer.embedding.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    found = layer(torch.tensor([[0.0, 0.0], [1.0, 0.0], [3.0, 1.0]]))
    by_hand = [
        [math.exp(-1) + math.exp(-3), 1 + math.exp(-2)],
        [math.exp(-1) + math.exp(-2), 1 + math.exp(-2)],
        [math.exp(-3) + math.exp(-2), 2 * math.exp(-2)],
    ]
    assert torch.allclose(found, torch.tensor(by_hand))


@pytest.mark.parametrize("name", NETWORKS)
def test_minibatch_discrimination_judges_the_batch_and_leaves_the_classes_alone(name: str) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name](classes=3, minibatch=True, **({"norm": "none"} if name == "dcgan" else {})).train()
    for module in network.modules():
        if isinstance(module, GaussianNoise):
            module.deviation = 0.0
    one = images(1).expand(4, -1, -1, -1)
    twins, others = network(one), network(torch.cat([images(1), images(3, seed=9)]))
    assert not torch.allclose(twins.logits[0][0], others.logits[0][0], atol=1e-4)
    assert torch.allclose(twins.classes[0].softmax(0), others.classes[0].softmax(0), atol=1e-5)
    assert torch.allclose(twins.classes.logsumexp(1, keepdim=True), twins.logits[0])


@pytest.mark.parametrize("options", [{}, {"minibatch": True}, {"classes": 0}, {"explicit": True}], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_in_evaluation_an_image_is_alone(name: str, options: dict[str, Any]) -> None:
    network = NETWORKS[name](**{"classes": 3, **options}).eval()
    together, alone = network(images()), network(images()[:1])
    assert torch.allclose(together.logits[0][:1], alone.logits[0], atol=1e-5)
    assert torch.equal(network(images()).logits[0], together.logits[0])


# --- sizes, features, sharing ---------------------------------------------------------------------------------------


def test_semi_supervised_has_its_parameters() -> None:
    scales = 16 + 32 + 64 + 256  # weight normalization's
    maps = 25 * 16 + 9 * (16 * 32 + 32 * 64) + 16 + 32 + 64
    assert parameters(SemiSupervised(1, size=(28, 28), classes=10)) == (
        maps + 16 * 64 * 256 + 256 + 256 * 10 + 10 + scales
    )
    assert parameters(SemiSupervised(1, size=(28, 28), classes=10)) == parameters(SemiSupervised(1, classes=10))


def test_dcgan_has_the_published_layers() -> None:
    maps = [3, 64, 128, 256, 512]
    convolutions = sum(16 * a * b for a, b in itertools.pairwise(maps))
    norms = 64 + 2 * (128 + 256 + 512)
    assert parameters(DCGANDiscriminator(3, size=(64, 64))) == convolutions + norms + 16 * 512 + 1
    assert [tuple(x.shape[1:]) for x in DCGANDiscriminator(3, size=(64, 64))(torch.zeros(2, 3, 64, 64)).features] == [
        (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4),
    ]  # fmt: skip


def test_mlps_have_the_published_layers() -> None:
    units = [784, 1000, 500, 250, 250, 250]
    dense = sum(a * b + 2 * b for a, b in itertools.pairwise(units))
    assert parameters(MLPDiscriminator(1, (28, 28), classes=10)) == dense + 250 * 10 + 10
    generator = 100 * 500 + 500 * 500 + 4 * 500 + 500 * 784 + 2 * 784
    assert parameters(MLPDecoder((100,), 1, (28, 28))) == generator


@pytest.mark.parametrize("norm", ["weight", "batch", "instance", "none"])
@pytest.mark.parametrize("side", [9, 16, 28, 33, 64])
def test_semi_supervised_takes_any_size(side: int, norm: Any) -> None:
    network = SemiSupervised(2, 1, (side, side), 5, width=4, norm=norm)
    for height, width in ((side, side), (side + 3, side)):
        found = network(torch.rand(2, 2, height, width), torch.rand(2, 1, height, width))
        assert found.classes.shape == (2, 5)
        assert found.features[-1].shape == (2, 64)


@pytest.mark.parametrize("name", NETWORKS)
def test_last_features_are_what_the_head_sees(name: str) -> None:
    """Feature matching and the classifier's features speak of the same numbers."""
    network = NETWORKS[name](classes=3).eval()
    found: DiscriminatorOutput = network(images())
    again, _ = network.shared.head(found.features[-1].flatten(1))
    assert torch.allclose(again, found.logits[0])
    assert ClassHead(network).features(images()).shape[0] == 4


@pytest.mark.parametrize("name", NETWORKS)
def test_shared_layers_can_be_tied(name: str) -> None:
    first, second = NETWORKS[name](classes=3), NETWORKS[name](classes=3)
    own = parameters(second) - parameters(second.shared)
    second.shared = first.shared
    assert parameters(nn.ModuleList([first, second])) == parameters(first) + own
    assert own > 0
    second(images()).classes.sum().backward()
    assert all(weight.grad is not None for weight in first.shared.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_condition_is_judged_beside_the_image_and_asked_for(name: str) -> None:
    network = NETWORKS[name](condition=2).eval()
    ones = torch.ones(4, 2, 28, 28)
    assert not torch.equal(network(images(), ones).logits[0], network(images(), -ones).logits[0])
    with pytest.raises(TranslateError, match="needs a condition of 2 channels with each image"):
        network(images())


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TranslateError, match="judges images of 1x28x28, not of 1x32x28; resize them"):
        NETWORKS["mlp"]()(torch.zeros(1, 1, 32, 28))
    with pytest.raises(TranslateError, match="3x3 are too small for dcgan"):
        DCGANDiscriminator(1, size=(3, 3))
    assert NETWORKS["dcgan"](classes=4)(torch.zeros(2, 1, 40, 31)).classes.shape == (2, 4)


# --- noise, dropout, dense generators -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"), [("semi_supervised", {"noise": 0.3}), ("semi_supervised", {"dropout": 0.5}), ("mlp", {})]
)
def test_noise_is_drawn_in_training_only(name: str, options: dict[str, Any]) -> None:
    network = NETWORKS[name](classes=3, **options)
    assert not torch.equal(network(images()).logits[0], network(images()).logits[0])
    network.eval()
    assert torch.equal(network(images()).logits[0], network(images()).logits[0])


def test_noise_has_its_deviation() -> None:
    torch.manual_seed(0)
    assert float(GaussianNoise(0.3).train()(torch.zeros(20_000)).std()) == pytest.approx(0.3, rel=0.03)


def test_the_mlp_sees_pixels_between_0_and_1_and_makes_them_with_a_sigmoid() -> None:
    judge = NETWORKS["mlp"]().eval()
    assert torch.equal(judge.first(torch.zeros(1, 784)), judge(-torch.ones(1, 1, 28, 28)).features[0])
    maker = MLPDecoder((5,), 1, (4, 4), width=6).eval()
    first = maker.shared(torch.ones(1, 5), maker.reference)
    x = maker.last(maker.second(first, maker.shared(maker.reference)))
    assert torch.allclose(maker(torch.ones(1, 5)).flatten(), 2 * x.sigmoid().flatten() - 1, atol=1e-6)


@torch.no_grad()
def test_the_dense_generator_samples_alone_what_it_makes_in_a_batch() -> None:
    """A large training batch and the fixed reference have the same statistics, up to chance."""
    torch.manual_seed(0)
    maker = MLPDecoder((20,), 1, (8, 8), width=32)
    noise = torch.randn(4000, 20)
    in_training = maker.train()(noise)
    maker.eval()
    assert torch.allclose(maker(noise)[:5], maker(noise[:5]), atol=1e-6)
    assert torch.allclose(maker(noise[:1]), maker(noise)[:1], atol=1e-6)
    assert float((maker(noise) - in_training).abs().mean()) < 0.1 * float(in_training.std())


def test_batch_normalization_of_the_dense_generator_by_hand() -> None:
    maker: Any = MLPDecoder((3,), 1, (2, 2), width=4).double().train()
    x = torch.randn(5, 3, dtype=torch.float64)
    wanted = F.softplus(F.batch_norm(maker.shared.linear(x), None, None, training=True))
    assert torch.allclose(maker.shared(x), wanted)
