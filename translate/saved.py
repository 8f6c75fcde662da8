"""Samplers and classifiers: trained networks that are not translators, loaded for use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from translate.data import Domain
from translate.devices import pick_device
from translate.errors import TranslateError
from translate.method import Role
from translate.parts import SavedMethod
from translate.plugins import Catalog, discover
from translate.seeds import noise_of
from translate.sizes import Size

BATCH = 64
"""Images per forward pass."""


class Sampler:
    """Generates images of ``domain`` from noise, each (C, H, W) at the training ``size``."""

    def __init__(
        self, network: nn.Module, *, catalog: Catalog, domain: Domain, size: Size, device: torch.device
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.catalog = catalog
        self.domain = domain
        self.size = size
        self.device = device

    @torch.inference_mode()
    def draw(self, indices: Sequence[int], seed: int = 0) -> Tensor:
        """The images (N, C, H, W) in [-1, 1] of these indices; each depends on its index and ``seed`` only."""
        drawn = [
            self.network(noise_of(self.network, indices[start : start + BATCH], seed).to(self.device)).float()
            for start in range(0, len(indices), BATCH)
        ]
        return torch.cat(drawn)


class Classifier:
    """Predicts the classes of images of ``domain``; ``labels`` are the names of the classes."""

    def __init__(
        self, network: nn.Module, *, catalog: Catalog, domain: Domain, size: Size, device: torch.device
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.catalog = catalog
        self.domain = domain
        self.labels = domain.labels
        self.size = size
        self.device = device

    @torch.inference_mode()
    def classify(self, batch: Tensor) -> Tensor:
        """The class probabilities (N, K) of images (N, C, H, W) in [-1, 1] at the training size."""
        logits = [self.network(each.to(self.device, torch.float32)).float() for each in batch.split(BATCH)]
        return torch.cat(logits).softmax(dim=1)


def load_sampler(
    path: str | Path,
    *,
    step: int | None = None,
    device: str = "auto",
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> Sampler:
    """Load the sampler of a run's folder, its ``translator.safetensors`` or a checkpoint of it.

    ``step`` chooses a checkpoint of a run's folder.
    """
    saved, direction = _only_direction(path, step, "sampler", plugins, no_plugins)
    network = saved.module(direction)
    return Sampler(
        network, catalog=saved.catalog, domain=saved.domain(direction), size=saved.size, device=pick_device(device)
    )


def load_classifier(
    path: str | Path,
    *,
    step: int | None = None,
    device: str = "auto",
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> Classifier:
    """Load the classifier of a run's folder, its ``translator.safetensors`` or a checkpoint of it.

    ``step`` chooses a checkpoint of a run's folder.
    """
    saved, direction = _only_direction(path, step, "classifier", plugins, no_plugins)
    network = saved.module(direction)
    return Classifier(
        network, catalog=saved.catalog, domain=saved.domain(direction), size=saved.size, device=pick_device(device)
    )


def _only_direction(
    path: str | Path, step: int | None, role: Role, plugins: Sequence[str], no_plugins: Sequence[str]
) -> tuple[SavedMethod, str]:
    saved = SavedMethod.open(path, discover(extra=plugins, blocked=no_plugins), step)
    directions = saved.directions(role)
    if not directions:
        raise TranslateError(f"{path} keeps no {role}; the method {saved.metadata['method']} has not trained one here")
    return saved, directions[0]
