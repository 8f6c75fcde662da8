"""What discriminators are shown: no image twice in a batch, which one that compares a batch's images would count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from translate.adversary import Adversary
from translate.data import Domain
from translate.method import Method
from translate.options import parse_calls
from translate.parts import CatalogParts, build_method
from translate.plugins import discover

JUDGE = "semi_supervised(width=4, minibatch=yes)"
CODERS = "encoder='dcgan(width=4, latent=6)', decoder='dcgan(width=4)'"
SEES = "features='squeezenet(weights=none, resize=no, layer=2)', generator='unet(width=4)'"
GAMES = {
    "pix2pix matching": "pix2pix(generator='unet(width=4)', discriminator='patch(width=4, receptive_field=16)', "
    "matching_aware=yes)",
    "stackgan": f"stackgan({CODERS.replace('dcgan', 'residual').replace(', latent=6', '')}, refiner='unet(width=4)', "
    "coarse_discriminator='patch(width=4, receptive_field=16)', reduction=2, refine=0, "
    "discriminator='patch(width=4, receptive_field=16)')",
    "pix2pixhd": "pix2pixhd(generator='global_local(width=4, halvings=1, blocks=1, enhancer_blocks=1)', "
    "discriminator='multiscale(width=4, scales=1, receptive_field=16)')",
    "cyclegan": f"cyclegan(generator='unet(width=4)', discriminator='{JUDGE}', pool=0)",
    "cut": f"cut(generator='unet(width=4)', discriminator='{JUDGE}', features=8)",
    "gan": f"gan(generator='unet(width=4)', discriminator='{JUDGE}', geometry=flip)",
    "unit": f"unit({CODERS}, discriminator='{JUDGE}', tie_shared=no)",
    "sgan": f"sgan(generator='dcgan(width=4)', discriminator='{JUDGE}', latent=6)",
    "vaegan": f"vaegan({CODERS}, discriminator='{JUDGE}')",
    "vaegan of two": f"vaegan({CODERS}, discriminator='{JUDGE}', domains=2, tie_shared=no)",
    "vaegan, penalty": f"vaegan({CODERS}, discriminator='{JUDGE}', adversarial='hinge + gradient_penalty + r1')",
    "dtn": f"dtn({SEES}, discriminator='{JUDGE}')",
    "dtn of two": f"dtn({SEES}, discriminator='{JUDGE}', adversarial=hinge)",
}


def made(game: str) -> Method:
    torch.manual_seed(0)
    parts = CatalogParts(discover(), source=Domain(3), target=Domain(3), size=(32, 32))
    (call,) = parse_calls(GAMES[game])
    return build_method(discover(), call.name, call.options, parts).train()


def batch() -> dict[str, Tensor]:
    names = ("source", "target", "mismatched")
    return {name: torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(i)) for i, name in enumerate(names)}


@contextmanager
def watched(method: Method) -> Iterator[list[Tensor]]:
    """The batches that any discriminator is shown."""
    shown: list[Tensor] = []
    judges = [module.discriminator for module in method.modules() if isinstance(module, Adversary)]
    hooks = [judge.register_forward_pre_hook(lambda _, given: shown.append(given[0].detach())) for judge in judges]
    yield shown
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("game", GAMES)
def test_no_discriminator_is_shown_an_image_twice_in_a_batch(game: str) -> None:
    method = made(game)
    with watched(method) as shown:
        for _ in method.updates(batch(), 0):
            pass
    assert shown
    for images in shown:
        apart = torch.cdist(images.flatten(1).double(), images.flatten(1).double()) + torch.eye(len(images))
        assert apart.min() > 1e-6


@pytest.mark.parametrize(("game", "kinds"), [("vaegan", 2), ("vaegan, penalty", 2), ("dtn", 2), ("dtn of two", 2)])
def test_real_images_and_each_kind_of_fakes_are_judged_once_and_apart(game: str, kinds: int) -> None:
    """Before anybody moves: real, each kind of fakes, and after them what the penalties look at."""
    method, data = made(game), batch()
    with watched(method) as shown:
        adversary = next(module for module in method.modules() if isinstance(module, Adversary))
        next(iter(method.updates(data, 0)))
        judged = shown[: 1 + kinds]
    assert all(len(images) == 3 for images in judged)
    assert sum(torch.equal(images, data["target"]) for images in judged) == 1
    pairs = [(a, b) for i, a in enumerate(judged) for b in judged[:i]]
    assert not any(torch.equal(a, b) for a, b in pairs)
    assert not adversary.together
