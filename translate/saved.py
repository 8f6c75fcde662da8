"""Samplers, classifiers and encoders: trained networks in other uses than translation, loaded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from translate.compute import PassBytes
from translate.data import Domain
from translate.devices import pick_device
from translate.errors import TranslateError
from translate.features import as_features, chosen, domain_of_features, offered, run_and_choice
from translate.given import Given, examples, read_given, stacked
from translate.method import Role
from translate.parts import SavedMethod
from translate.plugins import Catalog, discover
from translate.seeds import noise_of
from translate.sizes import Size
from translate.taken import Taken, taken_by, taken_of
from translate.traits import Traits

Loaded = TypeVar("Loaded", "Sampler", "Classifier", "Encoder")

BATCH = 64
"""Images per forward pass."""


class Sampler:
    """Generates images of ``domain`` from noise, each (C, H, W) at the training ``size``."""

    def __init__(
        self,
        network: nn.Module,
        *,
        catalog: Catalog,
        domain: Domain,
        size: Size,
        device: torch.device,
        taken: Taken | None = None,
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.catalog = catalog
        self.domain = domain
        self.size = size
        self.device = device
        self.taken = taken_by(network, domains={"source": domain, "target": domain}) if taken is None else taken
        if self.taken.noise:
            raise TranslateError("a sampler takes its noise by position; its forward declares an Input of noise")

    def read_given(self, given: Mapping[str, Any], *, elsewhere: Collection[str] = ()) -> Given:
        """Hold what is given by name, options and inputs, against what the network takes beside its noise.

        Inputs that come from ``elsewhere`` may be missing. Raises ``TranslateError`` for what does not fit.
        """
        return read_given(given, self.taken, "the sampler", size=self.size, elsewhere=elsewhere)

    @torch.inference_mode()
    def draw(
        self,
        indices: Sequence[int],
        seed: int = 0,
        *,
        at_once: int = BATCH,
        given: Given | Mapping[str, Any] | None = None,
    ) -> Tensor:
        """The images (N, C, H, W) in [-1, 1] of these indices; each depends on its index and ``seed`` only.

        ``at_once`` is the most images a pass. ``given`` holds by name what the network takes beside its noise; of
        several rows, image i gets row i.
        """
        found = given if isinstance(given, Given) else self.read_given({} if given is None else given)
        if not len(indices):
            return torch.empty(0, self.domain.channels, *self.size, device=self.device)
        drawn = []
        for start in range(0, len(indices), at_once):
            some = indices[start : start + at_once]
            noise = noise_of(self.network, some, seed).to(self.device)
            inputs = stacked(found.numbered(some), self.taken, self.device)
            drawn.append(self.network(noise, **found.options, **inputs).float())
        return torch.cat(drawn)

    def bytes_for(self, size: Size) -> int:
        """About how much memory the pass for one image takes, from above; ``size`` is the training size."""

        @torch.inference_mode()
        def compute(*_: int) -> Tensor:
            inputs = examples(self.taken, (), {}, 1, self.size, self.size)
            noise = noise_of(self.network, [0], 0).to(self.device)
            made: Tensor = self.network(noise, **{name: each.to(self.device) for name, each in inputs.items()})
            return made.float()

        return PassBytes.count(compute, size).at(size[0] * size[1])


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
    def classify(self, batch: Tensor, *, at_once: int = BATCH) -> Tensor:
        """The class probabilities (N, K) of images (N, C, H, W) in [-1, 1] at the training size.

        ``at_once`` is the most images a pass.
        """
        return self.logits(batch, at_once).softmax(dim=1)

    def logits(self, batch: Tensor, at_once: int = BATCH) -> Tensor:
        """The logits (N, K) of images (N, C, H, W) in [-1, 1]."""
        return torch.cat([self.network(each.to(self.device, torch.float32)).float() for each in batch.split(at_once)])

    def bytes_for(self, size: Size) -> int:
        """About how much memory the pass over one image (height, width) takes, from above."""

        def compute(height: int, width: int) -> Tensor:
            return self.logits(torch.zeros(1, self.domain.channels, height, width))

        return PassBytes.count(compute, size).at(size[0] * size[1])


class Encoder:
    """Encodes images of ``domain``, the ``side`` of the training's data; ``direction`` is the network's name."""

    def __init__(
        self,
        network: nn.Module,
        *,
        catalog: Catalog,
        direction: str,
        method: str,
        side: str,
        domain: Domain,
        size: Size,
        device: torch.device,
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.catalog = catalog
        self.direction = direction
        self.method = method
        self.side = side
        self.domain = domain
        self.size = size
        self.device = device
        self._named = Traits(network).named_codes
        self._features = as_features(network, direction)

    @torch.inference_mode()
    def encode(self, batch: Tensor, *, at_once: int = BATCH) -> dict[str, Tensor]:
        """The codes of images (N, C, H, W) in [-1, 1] at the training size, by name, each (N, ...) float32 on the CPU.

        An autoencoder gives ``mean`` and ``log_variance``, a classifier ``features``. ``at_once`` is the most images a
        pass. Raises ``TranslateError`` for a network that gives something else.
        """
        parts = [self._codes(each.to(self.device, torch.float32)) for each in batch.split(at_once)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _codes(self, images: Tensor) -> dict[str, Tensor]:
        found = self._named(images) if self._named is not None else {"features": self._features(images)}
        if not isinstance(found, Mapping) or not found:
            raise TranslateError(f"{self._who} gives no codes by name, but {type(found).__name__}")
        for name, code in found.items():
            if not isinstance(name, str) or not name.isidentifier():
                raise TranslateError(f"{self._who} calls a code {name!r:.80}; a name is a word such as mean")
            if not isinstance(code, Tensor) or code.shape[:1] != images.shape[:1] or code.is_complex():
                shown = tuple(code.shape) if isinstance(code, Tensor) else type(code).__name__
                raise TranslateError(
                    f"{self._who} gives {shown} as {name} of {len(images)} images, not ({len(images)}, ...)"
                )
        return {name: code.float().cpu() for name, code in found.items()}

    @property
    def _who(self) -> str:
        return f"the direction {self.direction} of the method {self.method}"

    def bytes_for(self, size: Size) -> int:
        """About how much memory the pass over one image (height, width) takes, from above."""

        def compute(height: int, width: int) -> Tensor:
            return next(iter(self.encode(torch.zeros(1, self.domain.channels, height, width)).values()))

        return PassBytes.count(compute, size).at(size[0] * size[1])


def loaded(
    network: Loaded | str | Path,
    load: Callable[..., Loaded],
    asked: Mapping[str, Any],
    plugins: Sequence[str],
    no_plugins: Sequence[str],
) -> Loaded:
    """What ``load`` loads from a path, with the options of a verb, or the network itself if it is loaded already."""
    if not isinstance(network, (str, Path)):
        return network
    further = {"direction": asked["direction"]} if "direction" in asked else {}
    return load(network, step=asked["step"], device=asked["device"], plugins=plugins, no_plugins=no_plugins, **further)


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
    return sampler_of(saved, direction, device)


def sampler_of(saved: SavedMethod, direction: str, device: str = "auto") -> Sampler:
    """The sampler of a saved method's direction."""
    network = saved.module(direction)
    return Sampler(
        network,
        catalog=saved.catalog,
        domain=saved.domain(direction),
        size=saved.size,
        device=pick_device(device),
        taken=taken_of(saved.metadata, direction, network),
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
    return classifier_of(saved, direction, device)


def classifier_of(saved: SavedMethod, direction: str, device: str = "auto") -> Classifier:
    """The classifier of a saved method's direction."""
    network = saved.module(direction)
    return Classifier(
        network, catalog=saved.catalog, domain=saved.domain(direction), size=saved.size, device=pick_device(device)
    )


def load_encoder(
    path: str | Path,
    *,
    step: int | None = None,
    direction: str | None = None,
    device: str = "auto",
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> Encoder:
    """Load a network with features of a run's folder, its ``translator.safetensors`` or a checkpoint of it.

    ``direction`` is a direction or a domain, which may also follow the path: ``runs/one:target``. ``step`` chooses a
    checkpoint of a run's folder. Raises ``TranslateError`` if no network fits, or more than one.
    """
    run, choice = run_and_choice(str(path)) or (str(path), "")
    if choice and direction and choice != direction:
        raise TranslateError(f"{path} names {choice!r:.100}, and the direction is {direction!r:.100}; name one of them")
    saved = SavedMethod.open(run, discover(extra=plugins, blocked=no_plugins), step)
    found = chosen(run, saved.metadata, saved.method.translators, direction or choice)
    module = saved.module(found)
    return Encoder(
        module,
        catalog=saved.catalog,
        direction=found,
        method=saved.metadata["method"],
        side=offered({found: module})[found],
        domain=domain_of_features(saved.metadata, module, found),
        size=saved.size,
        device=pick_device(device),
    )


def _only_direction(
    path: str | Path, step: int | None, role: Role, plugins: Sequence[str], no_plugins: Sequence[str]
) -> tuple[SavedMethod, str]:
    saved = SavedMethod.open(path, discover(extra=plugins, blocked=no_plugins), step)
    directions = saved.directions(role)
    if not directions:
        raise TranslateError(f"{path} keeps no {role}; the method {saved.metadata['method']} has not trained one here")
    return saved, directions[0]
