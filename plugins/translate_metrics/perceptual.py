"""The perceptual distance of pairs: differences of normalized maps of an extractor's layers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from translate.errors import TranslateError
from translate.inner_maps import inner
from translate.method import Parts
from translate.options import Option
from translate.traits import Traits
from translate.weights import read_weights
from translate_metrics.averages import Average
from translate_metrics.extraction import Extraction, fingerprint

OUTPUT = "output"
"""What the features of an extractor are called among its layers."""


class PerceptualDistance:
    """The distance of LPIPS (Zhang et al. 2018, arXiv:1801.03924) in the layers of any extractor.

    Of each layer, the features of each position are divided by their length; their squared differences are weighted by
    channel, summed, averaged over the positions, and summed over the layers. It is 0 for equal images. ``weights`` are
    the learned ones of a file of LPIPS, which fit one extractor alone; without them all channels weigh the same, 1.
    Only with the weights and the network of a version of LPIPS it is the LPIPS of papers.
    """

    needs = frozenset({"fake", "target", "pairs"})
    better: ClassVar = {"perceptual_distance": "lower"}

    def __init__(
        self,
        parts: Parts,
        *,
        extractor: Annotated[str, Option("feature extractor, or the run of a classifier", part="feature_extractors")],
        layers: Annotated[
            str, Option("its layers between commas, as its modules are called; 'output' for its features")
        ] = "",
        weights: Annotated[Path | None, Option("file of learned weights: lin0.model.1.weight (1, C, 1, 1) ...")] = None,
    ) -> None:
        self._features = Extraction(parts, extractor)
        self._network = _within(self._features.network)
        named = [each.strip() for each in layers.split(",") if each.strip()]
        self._layers = named or [each for each in Traits(self._network).feature_layers if each] or [OUTPUT]
        self._weights, self._average = weights, Average("perceptual_distance")
        self._heads: nn.Module | None = None

    @property
    def protocol(self) -> str:
        """The extractor, its layers, and the weights."""
        how = "all channels weigh 1"
        if self._weights is not None:
            assert self._heads is not None
            how = f"weights {self._weights.name}, {fingerprint(self._heads)}"
        return f"{self._features.description}; layers {', '.join(self._layers)}; {how}"

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Compare a batch's translations with its targets."""
        maps = [self._maps(batch[side].float()) for side in ("fake", "target")]
        if self._weights is not None and self._heads is None:
            self._heads = _read(self._weights, [each.shape[1] for each in maps[0]])
        total = torch.zeros(len(batch["fake"]), device=batch["fake"].device, dtype=torch.float64)
        for number, (fake, target) in enumerate(zip(*maps, strict=True)):
            squares = (_unit(fake) - _unit(target)).square()
            if self._heads is not None:
                head = self._heads.state_dict()[f"lin{number}.model.1.weight"].to(squares)
                squares = squares * head
            total += squares.sum(1).mean((1, 2))
        self._average.add(total)

    def _maps(self, images: Tensor) -> list[Tensor]:
        """The maps (N, C, h, w) of the layers, in float64."""
        network = self._network.to(images.device)
        asked = [each for each in self._layers if each != OUTPUT]
        found = dict(inner(network, images, asked)) if asked else {}
        if OUTPUT in self._layers:
            found[OUTPUT] = network(images)
        maps = []
        for name in self._layers:
            each = found[name].double()
            if each.dim() not in (2, 4):
                raise TranslateError(
                    f"the layer {name!r:.60} of the extractor answers {tuple(each.shape)}; name one of maps "
                    "(N, C, h, w)"
                )
            maps.append(each if each.dim() == 4 else each[:, :, None, None])
        return maps

    def result(self) -> Mapping[str, float]:
        """The mean over images and its standard error."""
        return self._average.result()

    def per_image(self) -> Mapping[str, Mapping[str, Tensor]]:
        """The distance of each translation from its target."""
        return {"fake": {"perceptual_distance": self._average.each}}


def _within(network: nn.Module) -> nn.Module:
    """The extractor itself, whose layers have the names that its author gave them."""
    own = getattr(network, "network", None)
    return own if isinstance(own, nn.Module) else network


def _unit(features: Tensor) -> Tensor:
    """Features (N, C, h, w) with the length 1 at each position."""
    unit: Tensor = features / (features.norm(dim=1, keepdim=True) + 1e-10)
    return unit


def _read(path: Path, channels: list[int]) -> nn.Module:
    """The learned weights of each layer, under the names of the published files."""
    heads = nn.Module()
    for number, count in enumerate(channels):
        line = nn.Module()
        # The published layers are a dropout, which does nothing here, and a convolution.
        line.model = nn.Sequential(nn.Identity(), nn.Conv2d(count, 1, 1, bias=False))
        heads.add_module(f"lin{number}", line)
    shapes = ", ".join(map(str, channels))
    read_weights(heads, path, f"LPIPS for layers of {shapes} channels; give the file that was learned for these layers")
    if any(bool((each < 0).any()) for each in heads.parameters()):
        raise TranslateError(f"{path} holds weights below 0, by which there is no distance; give another file")
    return heads
