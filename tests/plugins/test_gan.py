"""The plain game and its geometric consistency: formulas by hand, players, what is refused, what a shallow one can."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.data import Domain
from translate.engine.step import Engine
from translate.errors import TranslateError
from translate.method import Method
from translate.parts import CatalogParts, build_method
from translate.plugins import discover
from translate.testing import check_plugin
from translate_gan.method import transform

SMALL = {"generator": "shallow(width=4)", "discriminator": "patch(receptive_field=16, width=4, norm=none)"}
LABELS = ("one", "two", "three")
GEOMETRIES = ["rotate", "flip"]


def make(channels: int = 3, size: tuple[int, int] = (16, 16), labels: tuple[str, ...] = (), **options: Any) -> Any:
    torch.manual_seed(1)
    domain = Domain(channels, labels=labels)
    parts = CatalogParts(discover(), source=domain, target=domain, size=size)
    return build_method(discover(), "gan", {**SMALL, **options}, parts).train()


def batch(index: int = 0, channels: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(index)

    def images() -> Tensor:
        return torch.rand(2, channels, 16, 16, generator=generator) * 2 - 1

    return {
        "source": images(),
        "target": images(),
        "labelled": images(),
        "labelled_label": torch.tensor([2, 0]),
        "source_label": torch.tensor([1, -1]),
    }


def engine(method: Method, rate: float = 2e-4) -> Engine:
    def adam(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=rate, betas=(0.5, 0.999))

    return Engine(method, dict.fromkeys(method.players, adam), steps=100)


def value(term: Tensor) -> float:
    return term.detach().item()


def moves(method: Method, data: dict[str, Tensor], step: int = 0) -> dict[str, dict[str, Tensor]]:
    """The terms of a step's updates, without any being done."""
    found = {}
    for item in method.updates(data, step):
        for update in item if isinstance(item, tuple) else (item,):
            found[update.player] = dict(update.terms)
    return found


def logits(adversary: Any, images: Tensor) -> Tensor:
    found: Tensor = adversary.discriminator(images).logits[0]
    return found


def test_the_plain_game_by_hand() -> None:
    method, data = make(), batch()
    terms = moves(method, data)
    fake = method.generator(data["source"])
    on_real, on_fake = logits(method.adversary, data["target"]), logits(method.adversary, fake)
    wanted = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
    assert terms.keys() == {"discriminator", "generator"}
    assert terms["discriminator"].keys() == terms["generator"].keys() == {"adversarial"}
    assert torch.allclose(terms["discriminator"]["adversarial"], wanted)
    assert torch.allclose(terms["generator"]["adversarial"], F.softplus(-on_fake).mean())


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_geometric_consistency_by_hand(geometry: Any) -> None:
    """Both distances of the formula, the second in the frame of the image as it was."""
    method, data = make(geometry=geometry, geometric=7.0), batch()
    terms = moves(method, data)
    x, y = data["source"], data["target"]

    def back(image: Tensor) -> Tensor:
        return image.rot90(1, (2, 3)) if geometry == "rotate" else image.flip(2)

    assert torch.equal(back(transform(x, geometry)), x)
    turned = method.generator(transform(x, geometry))
    fake = method.generator(x)
    wanted = F.l1_loss(fake, back(turned)) + F.l1_loss(turned, transform(fake, geometry))
    assert value(terms["generator"]["geometric"]) == pytest.approx(7 * value(wanted), rel=1e-5)
    assert value(wanted) > 0.01
    second = method.transformed_adversary
    assert second.discriminator is not method.adversary.discriminator
    on_real, on_fake = logits(second, transform(y, geometry)), logits(second, turned)
    wanted = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
    assert torch.allclose(terms["transformed_discriminator"]["adversarial"], wanted)
    assert torch.allclose(terms["generator"]["transformed_adversarial"], F.softplus(-on_fake).mean())


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_map_of_single_pixels_is_consistent_with_any_geometry(geometry: str) -> None:
    method = make(geometry=geometry)
    method.generator = nn.Conv2d(3, 3, 1)
    assert value(moves(method, batch())["generator"]["geometric"]) < 1e-5


def test_geometric_consistency_teaches_equivariance() -> None:
    """It alone, without either discriminator's word, brings a translation and that of the rotated image together."""
    method = make(geometry="rotate")
    optimizer = torch.optim.Adam(method.generator.parameters(), lr=1e-2)
    distances = []
    for step in range(40):
        term = moves(method, batch(step))["generator"]["geometric"]
        optimizer.zero_grad()
        term.backward()
        optimizer.step()
        distances.append(value(term))
    assert distances[-1] < 0.3 * distances[0]


def test_all_three_players_move() -> None:
    method = make(geometry="flip", pool=2)
    before = {name: value.clone() for name, value in method.named_parameters()}
    machine = engine(method)
    machine.step([batch()])
    assert set(method.players) == {"generator", "discriminator", "transformed_discriminator"}
    unmoved = [name for name, value in method.named_parameters() if torch.equal(value, before[name])]
    assert not unmoved
    assert set(make().players) == {"generator", "discriminator"}


def test_the_generator_waits_for_its_turn() -> None:
    method = make(geometry="flip")
    method.adversary.period = method.transformed_adversary.period = 3
    assert method.period == 3
    assert ["generator" in moves(method, batch(), step) for step in range(6)] == [False, False, True] * 2


def test_rotation_needs_square_images() -> None:
    with pytest.raises(TranslateError, match=r"square images, and these are 16x32; .*geometry=flip.*--size 16"):
        make(size=(16, 32), geometry="rotate")
    make(size=(16, 32), geometry="flip")


def test_classes_are_learned_from_few_targets_and_asked_of_fakes() -> None:
    judge = "semi_supervised(width=4, dropout=0)"
    method, data = make(labels=LABELS, discriminator=judge, semantic=2.0, geometry="flip"), batch()
    terms = moves(method, data)
    tell = method.translators["classify"]
    wanted = F.cross_entropy(tell(data["labelled"]), data["labelled_label"])
    assert torch.allclose(terms["discriminator"]["classes"], wanted)
    labels = torch.stack([torch.tensor(1), tell(data["source"]).argmax(dim=1)[1]])
    wanted = 2 * F.cross_entropy(tell(method.generator(data["source"])), labels)
    assert torch.allclose(terms["generator"]["classes"], wanted)
    assert method.needs.streams == ("labelled",)
    assert make().needs.streams == ()
    assert "classify" not in make().translators
    with pytest.raises(TranslateError, match="the target has no classes"):
        make(discriminator=judge, semantic=2.0)


def test_it_finds_the_targets_brightness() -> None:
    """Sources are dark, targets light: a shallow generator learns that much in a few steps."""
    method = make(1)
    machine = engine(method, rate=5e-3)
    for step in range(80):
        noise = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(step))
        machine.step([{"source": noise * 0.5 - 0.9, "target": noise.flip(0) * 0.5 + 0.4}])
    fake = method.generator(torch.rand(4, 1, 16, 16) * 0.5 - 0.9)
    assert 0.3 < value(fake.mean()) < 1


def test_contract() -> None:
    options = ", ".join(f"{name}={value!r}" for name, value in SMALL.items())
    check_plugin("gan", examples={"gan": f"gan({options}, pool=3, geometry=rotate)"})


def test_no_fakes_are_remembered_unless_asked_for() -> None:
    assert make().adversary.pool is None
    assert make(pool=3).adversary.pool.size == 3
