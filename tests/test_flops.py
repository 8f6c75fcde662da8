"""Counting a step's operations without computing them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import nn

from translate.compute.flops import flops_of_step
from translate.method import Batch, Method, Update


class Linear(Method):
    """One matrix product: 2 n i o forward, and the same for the weights' gradients."""

    def __init__(self, looks: bool = False) -> None:
        super().__init__()
        self.generator = nn.Linear(3, 5, bias=False)
        self.looks = looks

    @property
    def players(self) -> Mapping[str, nn.Module]:
        return {"generator": self.generator}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        return {"forward": self.generator}

    def updates(self, batch: Batch, step: int) -> Iterator[Update]:
        answer = self.generator(batch["source"])
        if self.looks and answer.sum().item() > 0:
            return
        yield Update("generator", {"size": answer.square().mean()})


def test_a_matrix_product_by_hand() -> None:
    method = Linear()
    before = method.generator.weight.clone()
    assert flops_of_step(method, {"source": torch.ones(7, 3)}) == 2 * (2 * 7 * 3 * 5)
    assert torch.equal(method.generator.weight, before)
    assert method.generator.weight.grad is None


def test_the_operations_of_a_player_that_does_not_move_are_not_counted_for_weights() -> None:
    """The published networks at 256 px: 87 GFLOP a step of pix2pix, 1,879 of CycleGAN, by hand and by a real step."""
    from translate.data import Domain
    from translate.parts import CatalogParts, build_method
    from translate.plugins import discover

    catalog = discover()
    parts = CatalogParts(catalog, source=Domain(3), target=Domain(3), size=(256, 256))
    batch = {name: torch.empty(1, 3, 256, 256, device="meta") for name in ("source", "target")}
    counted = {}
    for name in ("pix2pix", "cyclegan"):
        with torch.device("meta"):
            method = build_method(catalog, name, {}, parts)
        counted[name] = flops_of_step(method, batch)
    assert counted == {"pix2pix": 86_940_057_600, "cyclegan": 1_879_217_012_736}


def test_a_method_that_looks_at_values_cannot_be_counted() -> None:
    assert flops_of_step(Linear(looks=True), {"source": torch.ones(7, 3)}) is None
