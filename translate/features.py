"""Features of a run: which of its networks gives them, its classifier or the encoder of one of its domains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor, nn

from translate.data import Domain, domain_of
from translate.directions import role_of
from translate.errors import TranslateError, nearest
from translate.frozen import ClassifierFeatures
from translate.overview import is_there
from translate.paths import expanded
from translate.sizes import Size, fitting_sizes
from translate.terminal import printable
from translate.traits import Traits

Side = Literal["source", "target"]


def run_and_choice(text: str) -> tuple[str, str] | None:
    """The run and the network that a text such as ``runs/one:target`` names, "" for none; None if there is no such run.

    A file or folder whose own name has a colon is that file or folder.
    """
    if is_there(expanded(text)):
        return text, ""
    run, colon, choice = text.rpartition(":")
    return (run, choice) if colon and run and is_there(expanded(run)) else None


def offered(translators: Mapping[str, nn.Module]) -> dict[str, Side]:
    """The directions whose networks give features, each with the domain of the images that they are of."""
    found: dict[str, Side] = {}
    for direction, module in translators.items():
        traits = Traits(module)
        if role_of(direction) == "classifier" and traits.features is not None:
            found[direction] = traits.domain
        elif role_of(direction) == "translator" and traits.feature_extractor is not None:
            found[direction] = traits.encodes or ("target" if direction == "backward" else "source")
    return found


def chosen(
    run: object, metadata: Mapping[str, Any], translators: Mapping[str, nn.Module], choice: str, like: int | None = None
) -> str:
    """The direction whose network gives the features that are asked for.

    ``choice`` is a direction or a domain. Without it the classifier is taken if there is one, then the only encoder,
    then the only one for images of ``like`` channels. Raises ``TranslateError`` if there is none, or more than one.
    """
    found = offered(translators)
    method = printable(metadata["method"])
    if not found:
        raise TranslateError(
            f"{run} was trained by {method} and keeps no classifier and no encoder whose features could be used; name "
            "the run of a method that has one, such as classifier or vae"
        )
    if choice in found:
        return choice
    if choice:
        fitting = [direction for direction, side in found.items() if side == choice]
        if not fitting:
            known = list(dict.fromkeys([*found, *found.values()]))
            raise TranslateError(f"{run} gives no features of {choice!r:.100}; {nearest(choice, known)}")
    else:
        fitting = [direction for direction in found if role_of(direction) == "classifier"] or list(found)
        if len(fitting) > 1 and like is not None:
            alike = [each for each in fitting if domain_of(metadata[found[each]]).channels == like]
            fitting = alike if len(alike) == 1 else fitting
    if len(fitting) > 1:
        sides = [found[direction] for direction in fitting]
        words = sides if len(set(sides)) == len(sides) else fitting
        listed = " or ".join(f"{run}:{word}" for word in words)
        raise TranslateError(f"{run} has {len(fitting)} networks that give features; choose one of them: {listed}")
    return fitting[0]


def domain_of_features(metadata: Mapping[str, Any], module: nn.Module, direction: str) -> Domain:
    """The domain of the images that a direction's features are of."""
    return domain_of(metadata[offered({direction: module})[direction]])


def check_size(run: object, module: nn.Module, size: Size) -> None:
    """Raise ``TranslateError`` if a network takes no images of a (height, width)."""
    traits = Traits(module)
    if traits.fixed_size not in (None, size):
        height, width = traits.fixed_size
        raise TranslateError(
            f"the encoder of {run} takes images of {height}x{width} only, and these have {size[0]}x{size[1]}; choose "
            f"--size {height if height == width else f'{height}x{width}'}, or train it on images of this size"
        )
    if any(side % traits.size_multiple for side in size):
        raise TranslateError(
            f"the encoder of {run} needs sides that divide by {traits.size_multiple}, which {size[0]}x{size[1]} does "
            f"not; choose --size {fitting_sizes(size, traits.size_multiple)}"
        )


def as_features(module: nn.Module, direction: str) -> nn.Module:
    """The network of a direction as one from images to features, without what only its outputs need."""
    if role_of(direction) == "classifier":
        return ClassifierFeatures(module)
    extractor = Traits(module).feature_extractor
    if extractor is None:
        raise TranslateError(f"the network of the direction {direction!r:.100} gives no features")
    return extractor if isinstance(extractor, nn.Module) else TranslatorFeatures(module)


class TranslatorFeatures(nn.Module):
    """A translator whose features are a method of it, used as a feature extractor."""

    def __init__(self, translator: nn.Module) -> None:
        super().__init__()
        self.translator = translator

    def forward(self, image: Tensor) -> Tensor:
        """Features (N, D) or (N, D, h, w) of images (N, C, H, W)."""
        extractor = Traits(self.translator).feature_extractor
        assert extractor is not None
        features: Tensor = extractor(image)
        return features
