"""Every lever computes the same mathematics: in float64, where rounding is small, all agree with the loops by hand."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.optim import Adam

from translate.adversary import Adversary
from translate.compute.convolutions import convolve_fast
from translate.compute.settings import lay_out
from translate.method import Method
from translate.testing.loops import differences

FUSED = partial(Adam, lr=2e-4, betas=(0.5, 0.999), fused=True)


# No noise, which is drawn in the order of memory; no biases that a normalization takes away, whose gradient is rounding
# and nothing else, which Adam enlarges.
NETWORKS = (
    "generator='unet(width=4, norm=none, dropout=0)', discriminator='patch(width=4, receptive_field=16, norm=none)'"
)

WIDE = (
    "generator='resnet(width=32, blocks=1, norm=none)', discriminator='patch(width=4, receptive_field=16, norm=none)'"
)
"""Its blocks have 128 channels, and its last convolution three outputs: both have algorithms of their own."""


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
@pytest.mark.parametrize("networks", [NETWORKS, WIDE], ids=["small", "wide"])
@pytest.mark.parametrize("name", ["pix2pix", "cyclegan", "cut"])
def test_levers_in_float64(name: str, networks: str, memory_format: str) -> None:
    def prepare(method: Method) -> None:
        lay_out(method, memory_format)
        convolve_fast(method)
        assert networks == NETWORKS or any("forward" in vars(module) for module in method.modules())
        method.pass_together()
        adversaries = [module for module in method.modules() if isinstance(module, Adversary)]
        assert getattr(method, "together", True)
        assert all(adversary.together for adversary in adversaries)

    found = differences(f"{name}({networks})", dtype=torch.float64, prepare=prepare, adam=FUSED)
    assert found.pop("the sum of the losses") < 1e-10
    assert max(found.values()) < 1e-8
