"""Feature extraction for metrics, and the description of an extractor by name and hash of its weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn

from translate.errors import TranslateError
from translate.method import Parts
from translate.options import Call, Option, parse_call
from translate.traits import Traits

Comparison = Annotated[
    str, Option("feature extractor for the comparison (default: compare pixels)", part="feature_extractors")
]


class Extraction:
    """Features of target images; ``description`` names the extractor and its weights."""

    def __init__(self, parts: Parts, extractor: str) -> None:
        self.network = parts.feature_extractor(extractor, inputs=parts.target.channels).eval()
        self.description = f"{name_of(extractor)}, weights {fingerprint(self.network)}"

    @property
    def any_size(self) -> bool:
        """Whether features of images of several sizes can be compared."""
        own = getattr(self.network, "network", self.network)
        return Traits(own).resizes

    def positions(self, images: Tensor) -> Tensor:
        """Features (N, positions, D) of images (N, C, H, W), one row for each position of the map."""
        network = self.network.to(images.device)
        features: Tensor = network(images).float()
        if features.dim() not in (2, 4) or len(features) != len(images):
            raise TranslateError(
                f"the extractor {self.description} returns {tuple(features.shape)} for {len(images)} images; "
                "an extractor answers (N, D) or (N, D, h, w)"
            )
        if bad := int((~torch.isfinite(features.flatten(1)).all(1)).sum()):
            raise TranslateError(
                f"the extractor {self.description} finds features that are no numbers in {bad} of {len(images)} "
                "images; look for images, or outputs of the network, that hold values that are not finite"
            )
        return features.flatten(2).transpose(1, 2) if features.dim() == 4 else features[:, None]

    def pooled(self, images: Tensor) -> Tensor:
        """Features (N, D) of images (N, C, H, W), averaged over the positions of the map."""
        return self.positions(images).mean(1)


def name_of(extractor: str) -> str:
    """The name of an extractor in a result, without the folders of this machine.

    >>> name_of("squeezenet(weights='/home/me/squeezenet.pth', layer=5)")
    "squeezenet(weights='squeezenet.pth', layer=5)"
    >>> name_of("runs/usps/translator.safetensors"), name_of("runs/usps")
    ('usps', 'usps')
    """
    run, colon, choice = extractor.rpartition(":")
    if colon and "(" not in extractor and Path(run).exists() and not Path(extractor).exists():
        return f"{name_of(run)}:{choice}"
    if "(" not in extractor and ("/" in extractor or Path(extractor).exists()):
        path = Path(extractor)
        return path.resolve().parent.name if path.suffix == ".safetensors" else path.resolve().name
    call = parse_call(extractor)
    options = {
        name: Path(str(value)).name if name == "weights" and value else value for name, value in call.options.items()
    }
    return str(Call(call.name, options))


def fingerprint(network: nn.Module) -> str:
    """The first 16 digits of the SHA-256 over a network's tensors: names, shapes and values.

    >>> fingerprint(nn.Identity())
    'e3b0c44298fc1c14'
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
