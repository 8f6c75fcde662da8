"""Every adversarial loss with every regularizer, in the methods that play pairs, cycles and a single translator.

Left out, since nobody would ask for them: two penalties at once, and weight clipping beside a penalty or spectral norm,
of which each alone holds the discriminator's slope; the one undoes what the other asks for.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from translate.data import Domain
from translate.engine.step import Engine
from translate.method import Method
from translate.parts import CatalogParts, build, build_method
from translate.plugins import OURS, discover

CATALOG = discover()


def ours(kind: str) -> list[str]:
    return sorted(name for name, offer in CATALOG.offers(kind).items() if offer.plugin.distribution == OURS)


@dataclass(frozen=True)
class Play:
    """How a method is built small, and where its adversary's terms are: the discriminators' player and prefixes."""

    options: dict[str, Any]
    player: str
    prefixes: tuple[str, ...] = ("",)
    judged: tuple[str, ...] = ("adversarial",)


PATCH = "patch(width=4, receptive_field=16)"
PLAYS = {
    # Two heads and a third kind of fake, so that all of the adversary's terms are there.
    "pix2pix": Play(
        {"discriminator": "two_headed(width=4, receptive_field=16)", "matching_aware": True},
        "discriminator",
        judged=("realness", "match"),
    ),
    "cyclegan": Play({"discriminator": PATCH}, "discriminators", ("target_", "source_")),
    "gan": Play({"discriminator": PATCH}, "discriminator"),
}
LOSSES = ours("adversarial_losses")
VARIANTS = [
    "minimax(smoothing=0.1)",
    "lsgan(smoothing=0.1)",
    "fgan(divergence=kl)",
    "fgan(divergence=reverse_kl)",
    "fgan(divergence=pearson)",
    "fgan(divergence=squared_hellinger)",
    "fgan(divergence=kl, saturating=yes)",
    "relativistic(base=least_squares)",
    "relativistic(base=hinge)",
]
SHORT = {"critic": "critic(updates=2)"}
REGULARIZERS = [SHORT.get(name, name) for name in ours("regularizers")]
RECIPES = [
    "wasserstein + clip + critic(updates=2)",
    "wasserstein + gradient_penalty + critic(updates=2)",
    "wasserstein + spectral_norm + critic(updates=2)",
    "hinge + r1(weight=1) + spectral_norm + diffaugment",
    "relativistic + gradient_penalty + diffaugment(policy=(translation, cutout))",
    "fgan(divergence=kl) + r1",
    "nonsaturating(smoothing=0.1) + dragan + diffaugment(policy=color)",
]


def objectives() -> Iterator[str]:
    yield from VARIANTS
    yield from RECIPES
    yield from LOSSES
    yield from (f"{loss} + {regularizer}" for loss, regularizer in itertools.product(LOSSES, REGULARIZERS))


def batches(count: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    drawn = torch.rand(count, 3, 2, 3, 16, 16, generator=generator) * 2 - 1
    return [dict(zip(("source", "target", "mismatched"), each, strict=True)) for each in drawn]


def weights_of(method: Method) -> dict[str, list[torch.Tensor]]:
    return {
        name: [weight.detach().clone() for weight in player.parameters() if weight.requires_grad]
        for name, player in method.players.items()
    }


def started(name: str, objective: str, precision: str = "float32") -> tuple[Method, Engine]:
    torch.manual_seed(0)
    parts = CatalogParts(CATALOG, source=Domain(3), target=Domain(3), size=(16, 16))
    options = {"generator": "unet(width=4)", "adversarial": objective, **PLAYS[name].options}
    method = build_method(CATALOG, name, options, parts)
    adam = {
        player: lambda weights: build(CATALOG, "optimizers", "adam", parameters=weights) for player in method.players
    }
    return method, Engine(method, adam, steps=4, precision=precision)


def play(name: str, objective: str, precision: str) -> None:
    """Two steps: the terms are finite, all that should be logged is, and both players have moved."""
    method, engine = started(name, objective, precision)
    how = PLAYS[name]
    before = weights_of(method)
    for batch in batches(2):
        engine.step([batch])
    terms = engine.fetch()  # refuses what is not finite

    regularizers = [part.strip().partition("(")[0] for part in objective.split(" + ")[1:]]
    penalties = {each for each in regularizers if callable(build(CATALOG, "regularizers", each))}
    logged = {term.removeprefix(f"{how.player}/") for term in terms if term.startswith(f"{how.player}/")}
    assert logged == {prefix + term for prefix in how.prefixes for term in {*how.judged, *penalties}}
    assert method.period == (2 if "critic" in regularizers else 1)
    after = weights_of(method)
    for player, weights in before.items():
        still = sum(map(torch.equal, weights, after[player]))
        # A critic's last bias raises real and fake alike: there is one in each head, and two discriminators or heads.
        assert still <= 2, f"{player}: {still} of {len(weights)} weights have not moved"
    if "clip" in regularizers:
        assert max(weight.abs().max() for weight in after[how.player]) <= 0.01 + 1e-9


@pytest.mark.parametrize("objective", list(objectives()))
@pytest.mark.parametrize("name", list(PLAYS))
def test_every_loss_plays_with_every_regularizer(name: str, objective: str) -> None:
    play(name, objective, "float32")


@pytest.mark.parametrize("objective", [*RECIPES, *(f"nonsaturating + {each}" for each in REGULARIZERS), *LOSSES])
def test_in_bf16(objective: str) -> None:
    play("pix2pix", objective, "bf16")


@pytest.mark.parametrize("objective", RECIPES)
def test_a_game_goes_on_where_it_stopped(objective: str) -> None:
    """What a regularizer keeps, such as the spectral norm's vectors, is part of the state; its draws are the step's."""
    (straight, one), (_, stopped), (resumed, other) = (started("gan", objective) for _ in range(3))
    with torch.no_grad():
        for value in other.tensors().values():
            value.zero_()
    first, second, third = batches(3)
    for batch in (first, second, third):
        one.step([batch])
    stopped.step([first])
    tensors = {name: value.clone() for name, value in stopped.tensors().items()}
    other.load(tensors, stopped.metadata())
    other.step([second])
    other.step([third])
    state, again = straight.state_dict(), resumed.state_dict()
    assert state.keys() == again.keys()
    assert all(torch.equal(value, again[name]) for name, value in state.items())
