"""An albumentations pipeline read from a file, with the same results for any number of threads.

The file is what ``albumentations.save`` writes (JSON or YAML), or a short list of transforms by name::

    - HorizontalFlip: {p: 0.5}
    - OneOf: {transforms: [Blur, Sharpen: {p: 1}], p: 0.3}
    - RandomCrop: {height: 256, width: 256}
"""

from __future__ import annotations

import copy
import difflib
import json
import os
import queue
import random
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from translate import images
from translate.data import Domain
from translate.errors import TranslateError


class Pipeline:
    """A pipeline that augments an image, or both images of a pair alike, by a seed.

    Images get geometry and colour, class maps and aligned streams geometry only, by nearest neighbour; all that belong
    together share every random number. ``copies`` is how many threads may run it at once.
    """

    def __init__(self, path: Path, domains: Mapping[str, Domain], *, copies: int) -> None:
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else importing it asks the network for updates
        import albumentations

        self._path = path
        self._domains = dict(domains)
        kinds = {_key(name): "mask" if domain.by_nearest else "image" for name, domain in domains.items()}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # albumentations only warns of a misspelt argument
                transform = _transform(_read(path), path)
                compose = albumentations.Compose([transform], additional_targets=kinds, strict=True)
        except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError, Warning) as error:
            raise TranslateError(f"{path}: albumentations refuses the pipeline: {_reason(error)}") from error
        self._composes: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(copies):
            self._composes.put(copy.deepcopy(compose))

    def __call__(self, pixels: Mapping[str, NDArray[Any]], seed: int) -> dict[str, NDArray[Any]]:
        """Augment what belongs together, (H, W, C) by the name of its domain or stream; the sizes may change.

        16-bit and float images are converted to float32 in [0, 1] and back. Another image of another size is first
        resized to that of the first. ``seed`` is any integer >= 0.
        """
        shape = next(iter(pixels.values())).shape
        lead = next((name for name in pixels if not self._domains[name].by_nearest), None)
        given: dict[str, NDArray[Any]] = {}
        for name, stored in pixels.items():
            domain = self._domains[name]
            if stored.shape[:2] != shape[:2]:
                stored = images.resize(stored, (shape[0], shape[1]), nearest=domain.by_nearest)
            given["image" if name == lead else _key(name)] = _to_albumentations(stored, domain)
        if lead is None:
            given["image"] = np.zeros((*shape[:2], 3), np.uint8)  # albumentations refuses to run without an image
        compose = self._composes.get()
        try:
            # One generator for all transforms: set_random_seed would seed each of them alike, so that a horizontal and
            # a vertical flip would always come together.
            compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
            found = compose(**given)
        except Exception as error:
            raise TranslateError(f"{self._path}: the albumentations pipeline fails: {_reason(error)}") from error
        finally:
            self._composes.put(compose)
        return {
            name: self._from_albumentations(found["image" if name == lead else _key(name)], name) for name in pixels
        }

    def _from_albumentations(self, found: NDArray[Any], name: str) -> NDArray[Any]:
        domain = self._domains[name]
        stored = found[:, :, None] if found.ndim == 2 else found
        wanted = np.uint8 if domain.classes or domain.depth == "uint8" else np.float32
        planes = 1 if domain.classes else domain.channels
        if stored.dtype != wanted or stored.shape[2:] != (planes,):
            raise TranslateError(
                f"{self._path}: the pipeline turns a {name} image into {stored.dtype} of shape {stored.shape}; "
                "leave out what changes the type or the number of channels, such as Normalize, ToFloat or ToTensorV2"
            )
        if domain.classes or domain.depth == "uint8":
            return stored
        return images.as_depth(stored * (domain.high - domain.low) + domain.low, domain.depth, domain.low, domain.high)


def _key(name: str) -> str:
    # A saved pipeline may have additional targets of its own, named source or target.
    return f"translate_{name}"


def _to_albumentations(stored: NDArray[Any], domain: Domain) -> NDArray[Any]:
    if domain.classes:
        return np.ascontiguousarray(stored[:, :, 0])
    if domain.depth == "uint8":
        return np.ascontiguousarray(stored)
    low, high = (0.0, 65535.0) if domain.depth == "uint16" else (domain.low, domain.high)
    return (stored.astype(np.float32) - np.float32(low)) / np.float32(high - low)


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise TranslateError(f"cannot read the albumentations pipeline {path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise TranslateError(f"{path} is neither YAML nor JSON: {_reason(error)}") from None


def _transform(content: Any, path: Path) -> Any:
    import albumentations

    if isinstance(content, dict) and isinstance(content.get("transform"), dict):
        for name in _named(content["transform"]):
            _known(name, path)
        return albumentations.from_dict(content)
    if isinstance(content, list):
        return albumentations.Sequential([_entry(entry, path) for entry in content], p=1.0)
    raise TranslateError(
        f"{path} holds no albumentations pipeline; write a list such as `- HorizontalFlip: {{p: 0.5}}`, "
        "or what albumentations.save writes"
    )


def _entry(entry: Any, path: Path) -> Any:
    if isinstance(entry, str):
        entry = {entry: {}}
    if not isinstance(entry, dict) or len(entry) != 1:
        raise TranslateError(f"{path}: {entry!r} is no transform; write it as `- HorizontalFlip: {{p: 0.5}}`")
    name, options = next(iter(entry.items()))
    options = {} if options is None else options
    if not isinstance(options, dict):
        raise TranslateError(f"{path}: {name} needs named options, such as {{p: 0.5}}, not {options!r}")
    if isinstance(options.get("transforms"), list):
        options = {**options, "transforms": [_entry(inner, path) for inner in options["transforms"]]}
    return _known(str(name), path)(**options)


def _named(serialized: dict[str, Any]) -> list[str]:
    """All class names of a saved pipeline, outermost first."""
    names = [str(serialized.get("__class_fullname__"))]
    for inner in serialized.get("transforms") or ():
        names += _named(inner)
    return names


def _known(name: str, path: Path) -> Any:
    import albumentations

    kinds = (albumentations.BasicTransform, albumentations.BaseCompose)
    known = {
        each: kind for each, kind in vars(albumentations).items() if isinstance(kind, type) and issubclass(kind, kinds)
    }
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see its documentation for the names"
        raise TranslateError(f"{path}: albumentations has no transform {name!r}; {hint}")
    return known[name]


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split(" [type=")[0].split()) or type(error).__name__
