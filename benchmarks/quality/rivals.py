"""What a trained translator is compared with: answers that need no training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.quality.scores import Photos
from translate.data import Dataset, Domain
from translate.images import denormalize
from translate.loader import preview_batch
from translate.parts import CatalogParts, build_method
from translate.plugins import Catalog
from translate.seeds import seed_step
from translate.sizes import Size


@dataclass(frozen=True, slots=True)
class Pairs:
    """A split at one size: ``sources`` (N, C, H, W) in [-1, 1], as a network sees them, and the real ``photos``."""

    sources: Tensor
    photos: Photos


def pairs(dataset: Dataset, split: str, size: Size) -> Pairs:
    """Read a split, stretched to a size: label maps by nearest neighbour, photos by the mean over the area."""
    found = preview_batch(
        dataset.splits[split],
        dataset.domains,
        count=len(dataset.splits[split]["source"]),
        size=size,
        resize="stretch",
        device=torch.device("cpu"),
    ).images
    return Pairs(found["source"], stored(found["target"]))


def stored(images: Tensor) -> Photos:
    """Bring images (N, 3, H, W) in [-1, 1] to photos as a file would store them."""
    photos: Photos = denormalize(images, "uint8").permute(0, 2, 3, 1).contiguous().numpy()
    return photos


def mean_photo(train: Pairs, test: Pairs) -> Photos:
    """The mean of all training photos, for every source."""
    mean = np.rint(train.photos.astype(np.float64).mean(0)).astype(np.uint8)
    return np.repeat(mean[None], len(test.sources), axis=0)


def nearest(train: Pairs, test: Pairs) -> Photos:
    """For each source the training photo whose label map agrees with it in the most pixels."""
    return train.photos[nearest_rows(train.sources.argmax(1), test.sources.argmax(1))]


def nearest_rows(known: Tensor, asked: Tensor) -> list[int]:
    """For each label map of ``asked`` (N, H, W) the row of ``known`` (M, H, W) with the most equal pixels.

    >>> nearest_rows(torch.tensor([[[0, 1]], [[2, 2]]]), torch.tensor([[[2, 1]], [[0, 1]], [[0, 2]]]))
    [0, 0, 0]
    >>> nearest_rows(torch.tensor([[[0, 1]], [[2, 2]]]), torch.tensor([[[2, 2]]]))
    [1]
    """
    return [int((known == each).flatten(1).sum(1).argmax()) for each in asked]


def drawn(train: Pairs, test: Pairs, seed: int) -> Photos:
    """Training photos drawn without replacement, whatever the source: real, but of something else."""
    rows = np.random.default_rng(seed).permutation(len(train.photos))[: len(test.sources)]
    return train.photos[rows]


@torch.inference_mode()
def untrained(catalog: Catalog, source: Domain, target: Domain, test: Pairs, seed: int) -> Photos:
    """pix2pix's generator as ``translate fit pix2pix --seed SEED`` starts with it."""
    height, width = test.sources.shape[-2:]
    parts = CatalogParts(catalog, source=source, target=target, size=(height, width))
    seed_step(seed, 0)
    network = build_method(catalog, "pix2pix", {}, parts).translators["forward"].eval()
    return stored(torch.cat([network(each) for each in test.sources.split(5)]))
