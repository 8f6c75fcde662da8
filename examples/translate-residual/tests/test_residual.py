"""Contracts of the plugin, and its loss against a value computed by hand."""

from __future__ import annotations

import pytest
import torch
from translate_residual.loss import Charbonnier

from translate.testing import check_plugin


def test_contracts() -> None:
    check_plugin("residual", examples={"residual": "residual(generator='resnet(blocks=1, width=4)')"})


def test_loss_by_hand() -> None:
    # sqrt(0.09 + 0.16) = 0.5
    assert float(Charbonnier(epsilon=0.4)(torch.full((1, 3, 2, 2), 0.3), torch.zeros(1, 3, 2, 2))) == pytest.approx(0.5)
