"""The network of the distances: the catalog's SqueezeNet, over photos as files store them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from translate.data import Domain
from translate.images import normalize
from translate.options import Call
from translate.parts import CatalogParts
from translate.plugins import discover

SIDE = 224
"""Side in pixels that photos are resized to."""

PHOTO = Domain(channels=3)


def load(path: Path) -> nn.Module:
    """SqueezeNet 1.0 up to its last fire module, with the weights of a file of tensors by torchvision's names."""
    parts = CatalogParts(discover(), source=PHOTO, target=PHOTO, size=(SIDE, SIDE))
    return parts.feature_extractor(str(Call("squeezenet", {"weights": str(path)})))


def fingerprint(path: Path) -> str:
    """The SHA-256 of a weights file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@torch.inference_mode()
def features(network: nn.Module, photos: Tensor) -> Tensor:
    """The last feature map of photos (N, H, W, 3) uint8: (N, 169, 512), one row a position of its 13 x 13."""
    stored = photos.permute(0, 3, 1, 2)
    maps = torch.cat([network(normalize(each, PHOTO)) for each in stored.split(10)])
    return maps.flatten(2).transpose(1, 2)
