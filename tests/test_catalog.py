"""Contracts over the whole catalog: everything that our plugins offer, built small, and options in any combination."""

from __future__ import annotations

import itertools

import pytest

from translate import testing
from translate.plugins import KINDS, OURS, discover

GAN = "generator='unet(width=4)', discriminator='patch(width=4, receptive_field=16)'"
SMALL = {
    "unet": "unet(width=4)",
    "resnet": "resnet(blocks=1, width=4)",
    "patch": "patch(width=4, receptive_field=16)",
    "two_headed": "two_headed(width=4, receptive_field=16)",
    "pix2pix": f"pix2pix({GAN})",
}
CHECKS = {
    "generators": testing.check_generator,
    "discriminators": testing.check_discriminator,
    "adversarial_losses": testing.check_adversarial_loss,
    "losses": testing.check_loss,
    "regularizers": testing.check_regularizer,
    "optimizers": testing.check_optimizer,
    "schedules": testing.check_schedule,
    "augmentations": testing.check_augmentation,
    "methods": testing.check_method,
}
CATALOG = discover()
OFFERS = [
    (kind, name) for kind in KINDS for name, offer in CATALOG.offers(kind).items() if offer.plugin.distribution == OURS
]


@pytest.mark.parametrize(("kind", "name"), OFFERS, ids=lambda value: str(value))
def test_options_are_documented(kind: str, name: str) -> None:
    testing.check_options_documented(kind, name)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, name in OFFERS if kind in CHECKS], ids=lambda value: str(value)
)
def test_contract(kind: str, name: str) -> None:
    CHECKS[kind](SMALL.get(name, name))


@pytest.mark.parametrize(
    ("check", "part"),
    [
        (testing.check_generator, "unet(width=4, norm=instance)"),
        (testing.check_generator, "unet(width=4, norm=none, dropout=0)"),
        (testing.check_generator, "resnet(blocks=1, width=4, upsample=resize, norm=batch)"),
        (testing.check_discriminator, "patch(width=4, receptive_field=1)"),
        (testing.check_discriminator, "patch(width=4, receptive_field=70, norm=instance)"),
        (testing.check_discriminator, "patch(width=4, receptive_field=16, spectral=yes)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_variants(check: object, part: str) -> None:
    assert callable(check)
    check(part)


LOSSES = sorted(CATALOG.offers("adversarial_losses"))
PENALTIES = ["", *(f" + {name}" for name in sorted(CATALOG.offers("regularizers")))]


@pytest.mark.parametrize(("loss", "penalty"), list(itertools.product(LOSSES, PENALTIES)))
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_every_loss_plays_with_every_penalty(loss: str, penalty: str, precision: str) -> None:
    import torch

    from translate.data import Domain
    from translate.engine import Engine
    from translate.parts import CatalogParts, build, build_method

    parts = CatalogParts(CATALOG, source=Domain(3), target=Domain(3), size=(32, 32))
    options = {
        "generator": "unet(width=4)",
        "discriminator": "two_headed(width=4, receptive_field=16)",
        "adversarial": loss + penalty,
    }
    method = build_method(CATALOG, "pix2pix", {**options, "matching_aware": True}, parts)
    adam = {name: lambda weights: build(CATALOG, "optimizers", "adam", parameters=weights) for name in method.players}
    engine = Engine(method, adam, steps=2, precision=precision)
    batch = {name: torch.rand(2, 3, 32, 32) * 2 - 1 for name in ("source", "target", "mismatched")}
    engine.step([batch])
    engine.step([batch])
    terms = engine.fetch()
    assert (f"discriminator/{penalty[3:]}" in terms) == bool(penalty)
    assert {"discriminator/realness", "discriminator/match", "generator/l1"} < terms.keys()
