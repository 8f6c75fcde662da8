"""Encoders and decoders: sizes, published numbers of weights, what they share, what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from translate.data import Domain
from translate.errors import TranslateError
from translate.parts import CatalogParts
from translate.plugins import discover
from translate.testing import check_decoder, check_encoder
from translate_networks.dcgan import DCGANDecoder, DCGANEncoder
from translate_networks.layer_norm import LayerNorm
from translate_networks.residual import ResidualDecoder, ResidualEncoder

SIZES = ((64, 64), (32, 48), (28, 28), (30, 45), (8, 8), (5, 7))


def parts(size: tuple[int, int] = (32, 32)) -> CatalogParts:
    return CatalogParts(discover(), source=Domain(3), target=Domain(1), size=size)


def weights(network: nn.Module, kind: type[nn.Module] = nn.Module) -> int:
    return sum(
        each.numel() for module in network.modules() if isinstance(module, kind) for each in module.parameters(False)
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", [4, 5])
def test_dcgan_makes_and_reads_any_size(size: tuple[int, int], kernel: Any) -> None:
    decoder = DCGANDecoder((7,), 2, size, width=4, kernel=kernel)
    image = decoder(torch.randn(3, 7))
    assert image.shape == (3, 2, *size)
    assert image.abs().max() < 1
    encoder = DCGANEncoder(2, size, 2, latent=5, width=4, kernel=kernel)
    assert encoder(image).shape == (3, 10)
    assert encoder.latent == (5,)
    assert encoder.fixed_size == size


def test_dcgan_has_the_published_layers() -> None:
    decoder = DCGANDecoder((100,), 3, (64, 64), width=128, kernel=5)
    layers = [module for module in decoder.modules() if isinstance(module, nn.ConvTranspose2d)]
    assert [(each.in_channels, each.out_channels) for each in layers] == [
        (1024, 512),
        (512, 256),
        (256, 128),
        (128, 3),
    ]
    assert all(each.stride == (2, 2) and each.kernel_size == (5, 5) for each in layers)
    assert weights(decoder, nn.Linear) == 101 * 1024 * 4 * 4
    assert (
        weights(decoder, nn.ConvTranspose2d) == 25 * (1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3) + 512 + 387 - 3 + 3
    )


def test_dcgan_refuses_what_does_not_fit() -> None:
    with pytest.raises(TranslateError, match=r"flat latents, not maps of shape \(4, 8, 8\); choose the decoder resid"):
        parts().decoder("dcgan", latent=(4, 8, 8))
    with pytest.raises(TranslateError, match="encodes images of 32x32, not of 16x32; resize them"):
        parts().encoder("dcgan(width=4)")(torch.zeros(1, 3, 16, 32))


def test_layer_norm_is_the_textbooks_and_knows_no_neighbours() -> None:
    norm = LayerNorm(3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
        norm.bias.copy_(torch.tensor([0.5, 0.0, -1.0]))
    x = 5 + 3 * torch.randn(2, 3, 4, 5)
    whole = F.layer_norm(x, x.shape[1:])
    expected = whole * norm.weight[:, None, None] + norm.bias[:, None, None]
    assert torch.allclose(norm(x), expected, atol=1e-5)
    assert torch.equal(norm.eval()(x), norm.train()(x))
    assert torch.allclose(norm(x[:1]), norm(x)[:1], atol=1e-6)
    half = norm(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), expected, atol=0.05)
    slopes = []
    for layout in (torch.contiguous_format, torch.channels_last):
        given = x.double().to(memory_format=layout).requires_grad_()
        (slope,) = torch.autograd.grad((norm.double()(given) * torch.linspace(-1, 1, 5)).sum(), given)
        slopes.append(slope)
    assert torch.allclose(slopes[0], slopes[1], rtol=1e-10)


def test_a_decoder_says_the_same_in_training_and_evaluation() -> None:
    decoder = DCGANDecoder((6,), 1, (16, 16), width=4)
    noise = torch.randn(3, 6)
    assert torch.equal(decoder.train()(noise), decoder.eval()(noise))
    assert torch.allclose(decoder(noise[:1]), decoder(noise)[:1], atol=1e-6)


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("downs", [1, 2, 3])
def test_residual_maps_there_and_back(fold: bool, downs: int) -> None:
    encoder = ResidualEncoder(2, (32, 16), width=4, downs=downs, fold=fold)
    assert encoder.latent == (4 * 2**downs, 32 // 2**downs, 16 // 2**downs)
    assert encoder.size_multiple == 2**downs
    decoder = ResidualDecoder(encoder.latent, 5, (32, 16), width=4, fold=fold)
    code = encoder(torch.rand(2, 2, 32, 16))
    assert code.shape == (2, *encoder.latent)
    image = decoder(code)
    assert image.shape == (2, 5, 32, 16)
    assert image.abs().max() < 1
    # Both are fully convolutional: images of other sizes pass.
    assert decoder(encoder(torch.rand(1, 2, 64, 32))).shape == (1, 5, 64, 32)


def test_residual_has_the_weights_of_its_layers() -> None:
    """A width of 64 and four blocks: 7x7 to 64, two halvings to 256, blocks of two 3x3 convolutions of 256 channels."""
    encoder = ResidualEncoder(3, (64, 64), width=64, blocks=4)
    block = 2 * (256 * 256 * 9 + 256)
    assert weights(encoder) == 3 * 64 * 49 + 64 + (64 * 128 + 128 * 256) * 9 + 128 + 256 + 4 * block
    assert weights(encoder.shared) == block
    decoder = ResidualDecoder((256, 16, 16), 3, (64, 64), width=64, blocks=4)
    assert weights(decoder) == 4 * block + (256 * 128 + 128 * 64) * 9 + 128 + 64 + 64 * 3 * 49 + 3
    assert weights(decoder.shared) == block


def test_two_statistics_and_a_narrow_latent() -> None:
    encoder = ResidualEncoder(1, (16, 16), 2, width=4, latent=3)
    assert encoder.latent == (3, 4, 4)
    assert encoder(torch.zeros(2, 1, 16, 16)).shape == (2, 6, 4, 4)


@pytest.mark.parametrize("name", ["residual(width=4)", "dcgan(width=4, latent=8)"])
def test_shared_layers_are_one_where_they_are_tied(name: str) -> None:
    first, second = parts().encoder(name), parts().encoder(name, inputs=1)
    alone = len({*first.parameters(), *second.parameters()})
    shared = len(list(second.shared.parameters()))  # type: ignore[union-attr]
    second.shared = first.shared
    assert len({*first.parameters(), *second.parameters()}) == alone - shared
    assert shared > 0
    second(torch.rand(1, 1, 32, 32)).square().sum().backward()
    assert all(weight.grad is not None for weight in first.shared.parameters())  # type: ignore[union-attr]
    latent: Any = first.latent
    decoder = name.replace(", latent=8", "")
    one, other = (parts().decoder(decoder, latent=latent, outputs=outputs) for outputs in (1, 3))
    other.shared = one.shared
    assert other(torch.randn(1, *latent)).shape == (1, 3, 32, 32)


def test_residual_refuses_what_does_not_fit() -> None:
    with pytest.raises(
        TranslateError, match=r"sides that divide by 4, which 30x32 does not; train with --size 28x32 or"
    ):
        parts((30, 32)).encoder("residual")
    with pytest.raises(TranslateError, match="not a flat latent of 9 numbers; choose the decoder dcgan"):
        parts().decoder("residual", latent=(9,))
    with pytest.raises(TranslateError, match="no doublings make 32x32 of 5x5"):
        parts().decoder("residual", latent=(9, 5, 5))
    with pytest.raises(TranslateError, match="has 2 blocks, so it cannot tie 3"):
        parts().encoder("residual(tied=3)")
    with pytest.raises(TranslateError, match="no halving is asked for; use fold=no"):
        parts().encoder("residual(downs=0, fold=yes)")
    with pytest.raises(TranslateError, match="takes sides that divide by 4, which 31x32 does not"):
        parts().encoder("residual(width=4)")(torch.zeros(1, 3, 31, 32))


@pytest.mark.parametrize("options", ["norm=none", "norm=batch", "fold=yes", "blocks=1", "latent=5, downs=3"])
def test_variants_keep_the_contract(options: str) -> None:
    check_encoder(f"residual(width=4, {options})")


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_dcgan_keeps_the_contract_with_any_normalization(norm: str) -> None:
    check_encoder(f"dcgan(width=4, norm={norm})")
    check_decoder(f"dcgan(width=4, norm={norm})")


@pytest.mark.parametrize("options", ["norm=none", "norm=batch", "fold=yes", "blocks=1"])
def test_decoders_keep_the_contract(options: str) -> None:
    check_decoder(f"residual(width=4, {options})")


def test_the_auxiliary_discriminator_keeps_its_two_questions_apart() -> None:
    torch.manual_seed(0)
    judge = parts().discriminator("auxiliary(width=4)", inputs=3, classes=5)
    answer = judge(torch.rand(2, 3, 32, 32) * 2 - 1)
    assert answer.logits[0].shape == (2, 1)
    assert answer.classes.shape == (2, 5)
    head: Any = judge.shared.last.head  # type: ignore[union-attr]
    told = torch.autograd.grad(answer.classes.sum(), head.realness.weight, retain_graph=True, allow_unused=True)
    real = torch.autograd.grad(answer.logits[0].sum(), head.classes.weight, retain_graph=True, allow_unused=True)
    assert told == (None,)
    assert real == (None,)
    assert parts().discriminator("auxiliary(width=4)", inputs=3)(torch.zeros(1, 3, 32, 32)).classes is None
    with pytest.raises(TranslateError, match="has 3 convolutions here, so it can tie 2 at most"):
        parts().discriminator("auxiliary(tied=3)", inputs=3)


def test_the_auxiliary_discriminator_ties_what_it_is_told_to() -> None:
    owned = []
    for tied in (1, 2):
        first, second = (parts().discriminator(f"auxiliary(width=4, tied={tied})", inputs=n, classes=3) for n in (3, 1))
        second.shared = first.shared
        owned.append(len({*first.parameters()} & {*second.parameters()}))
        answer = second(torch.zeros(2, 1, 32, 32))
        assert [each.shape[1] for each in answer.features] == [4, 8, 16, 64]
    # A convolution with weight normalization is three tensors: direction, length, bias.
    assert owned[1] == owned[0] + 3


@pytest.mark.parametrize(("field", "size"), [(16, 32), (70, 64), (286, 96)])
def test_the_auxiliary_patch_judges_patches_as_patch_does(field: int, size: int) -> None:
    torch.manual_seed(0)
    options = f"width=4, receptive_field={field}"
    made = CatalogParts(discover(), source=Domain(3), target=Domain(3), size=(size, size))
    both = made.discriminator(f"auxiliary_patch({options})", inputs=3, classes=5)
    alone = made.discriminator(f"patch({options}, norm=instance)", inputs=3)
    bodies = [*both.layers, *both.shared.layers]  # type: ignore[misc, union-attr]
    for own, other in zip(bodies, alone.layers, strict=True):  # type: ignore[arg-type]
        own.load_state_dict(other.state_dict())
    both.shared.realness.load_state_dict(alone.head.state_dict())  # type: ignore[union-attr]
    image = torch.rand(2, 3, size, size) * 2 - 1
    answer, expected = both(image), alone(image)
    assert torch.equal(answer.logits[0], expected.logits[0])
    assert all(torch.equal(*pair) for pair in zip(answer.features, expected.features, strict=True))
    assert answer.classes.shape == (2, 5)
    count = sum(weight.numel() for weight in both.parameters()) - sum(weight.numel() for weight in alone.parameters())
    assert count == 9 * answer.features[-1].shape[1] * 5 + 5


def test_the_auxiliary_patch_ties_what_it_is_told_to() -> None:
    for tied in (1, 2, 3):
        options = f"auxiliary_patch(width=4, tied={tied})"
        first, second = (parts().discriminator(options, inputs=n, classes=3) for n in (3, 1))
        second.shared = first.shared
        # Weight and bias of each layer, and of two heads.
        assert len({*first.parameters()} & {*second.parameters()}) == 2 * tied + 4
        assert second(torch.zeros(2, 1, 32, 32)).classes.shape == (2, 3)
    assert parts().discriminator("auxiliary_patch(width=4)", inputs=3)(torch.zeros(1, 3, 32, 32)).classes is None
    with pytest.raises(TranslateError, match="has 4 layers here, so it can tie 3"):
        parts().discriminator("auxiliary_patch(tied=4)", inputs=3)


def test_without_normalization_signals_keep_their_size() -> None:
    torch.manual_seed(0)
    for name in ("residual(width=8, norm=none)", "dcgan(width=8, norm=none)"):
        code = parts().encoder(name)(torch.randn(4, 3, 32, 32))
        assert 0.005 < code.std() < 20, name
