"""Codes: what lies between two images of a sampler or an encoder-decoder, and along the axes of its code."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from translate import images
from translate.data import Domain, Example, domain_of
from translate.devices import pick_device
from translate.directions import domains_of, role_of
from translate.errors import TranslateError, nearest
from translate.given import Constant, Given, Rows, Value, read_given, stacked
from translate.loader import normalize, planes
from translate.memory import Budget
from translate.parts import SavedMethod
from translate.paths import expanded
from translate.plugins import Catalog, discover
from translate.saved import BATCH, Sampler
from translate.seeds import noise_of
from translate.sizes import Size
from translate.taken import Taken, taken_of
from translate.terminal import printable
from translate.traits import Traits

Place = int | str | Path | Tensor
"""A code's place: the number of a sample, an image file, or an image (C, H, W) in [-1, 1] at the training size."""

PARALLEL = 1e-6
"""The sine of the angle below which two codes count as parallel."""


class Codes:
    """The codes of one network of a run, and the images that it makes of them.

    A sampler's code is its noise, the numbered draws of a seed. That of a translator is what its trait ``code_of``
    makes of images of ``source``, and ``image_of`` makes images of ``target`` of it. ``size`` is the training size.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        catalog: Catalog,
        direction: str,
        method: str,
        source: Domain,
        target: Domain,
        size: Size,
        device: torch.device,
        taken: Taken,
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.catalog, self.direction, self.method = catalog, direction, method
        self.source, self.target, self.size, self.device, self.taken = source, target, size, device, taken
        self.is_sampler = role_of(direction) == "sampler"
        traits = Traits(network)
        self._encode, self._decode = traits.code_of, traits.image_of
        if self.is_sampler and not traits.noise_is_code:
            raise TranslateError(
                f"{self._who} takes its noise as random numbers, which are no code, so nothing lies between two of its "
                "images"
            )
        if not self.is_sampler and (role_of(direction) == "classifier" or not self._encode or not self._decode):
            raise TranslateError(f"{self._who} has no code that it decodes, so nothing lies between two images")
        decoded = inspect.signature(self._decode).parameters if self._decode else {}
        self._image: inspect.Parameter | None = decoded.get("image")

    @property
    def takes_image(self) -> bool:
        """Whether images are made of a code and of an image that it changes."""
        return self._image is not None

    def read_given(self, given: Mapping[str, Any]) -> Given:
        """Hold what is given by name against what the network takes.

        Raises ``TranslateError`` for what does not fit, and for what the codes make no use of.
        """
        found = read_given(given, self.taken, self._who, size=self.size)
        for name in (*found.options, *found.names):
            if not self.is_sampler and not any(name in _keywords(each) for each in (self._encode, self._decode)):
                raise TranslateError(f"{self._who} makes no use of {name} for its codes; leave it out")
        return found

    @torch.inference_mode()
    def at(self, place: Place, seed: int = 0, given: Mapping[str, Any] | None = None) -> Tensor:
        """The code (1, ...) at a place; ``given`` holds tensors of one row by name, and options."""
        if self.is_sampler:
            if isinstance(place, bool) or not isinstance(place, int) or place < 0:
                raise TranslateError(f"{self._who} has samples by their numbers from 0, and {place!s:.100} is none")
            return noise_of(self.network, [place], seed).to(self.device)
        assert self._encode is not None
        code = self._encode(self.image(place), **_fitting(self._encode, given or {}))
        if not isinstance(code, Tensor) or code.dim() < 2 or len(code) != 1 or not code.is_floating_point():
            shown = tuple(code.shape) if isinstance(code, Tensor) else type(code).__name__
            raise TranslateError(f"{self._who} gives {shown} as the code of one image, not (1, D) or (1, D, h, w)")
        return code

    def image(self, place: Place) -> Tensor:
        """The image (1, C, H, W) in [-1, 1] of a file or a tensor."""
        if isinstance(place, Tensor):
            if place.shape != (self.source.channels, *self.size):
                raise TranslateError(
                    f"{self._who} takes images of the shape {(self.source.channels, *self.size)}, not "
                    f"{tuple(place.shape)}"
                )
            return place[None].to(self.device, torch.float32)
        if isinstance(place, int):
            raise TranslateError(f"{self._who} has codes of images, not numbered samples; give an image file")
        path = expanded(place)
        pixels = images.read_example(Example(path, path.name), self.source, budget=Budget(None, None))
        return normalize(planes(pixels, self.source, self.size, "stretch")[None], self.source).to(self.device)

    @torch.inference_mode()
    def decode(self, codes: Tensor, given: Mapping[str, Any] | None = None, image: Tensor | None = None) -> Tensor:
        """The images (N, C, H, W) of codes (N, ...), in float32.

        ``given`` holds tensors with a row for each by name, and options; ``image`` is one that all codes change.
        """
        made = []
        for start in range(0, len(codes), BATCH):
            part = slice(start, start + BATCH)
            rows = {name: each[part] if isinstance(each, Tensor) else each for name, each in (given or {}).items()}
            if self.is_sampler:
                found = self.network(codes[part], **rows)
            else:
                assert self._decode is not None
                rows = _fitting(self._decode, rows)
                if image is not None:
                    rows["image"] = image.expand(len(codes[part]), *image.shape[1:])
                found = self._decode(codes[part], **rows)
            if not isinstance(found, Tensor) or found.dim() != 4 or found.shape[1] != self.target.channels:
                shown = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
                raise TranslateError(f"{self._who} makes {shown} of its codes, not images")
            made.append(found.float())
        return torch.cat(made)

    @classmethod
    def of_sampler(cls, sampler: Sampler) -> Codes:
        """Those of a sampler that is loaded."""
        return cls(
            sampler.network, catalog=sampler.catalog, direction="sample", method="", source=sampler.domain,
            target=sampler.domain, size=sampler.size, device=sampler.device, taken=sampler.taken,
        )  # fmt: skip

    def content(self, around: Place | None) -> Tensor | None:
        """The image that codes change, if the network takes one."""
        if self._image is None:
            return None
        if around is None:
            if self._image.default is inspect.Parameter.empty:
                raise TranslateError(f"{self._who} changes an image by its codes; name one with --around IMAGE")
            return None
        return self.image(around)

    @property
    def _who(self) -> str:
        return f"the direction {self.direction} of the method {self.method}" if self.method else "the sampler"


def interpolate(
    network: Codes | str | Path,
    start: Place,
    end: Place,
    *,
    steps: int = 8,
    seed: int = 0,
    given: Mapping[str, Any] | None = None,
    around: Place | None = None,
) -> Tensor:
    """Images (steps, C, H, W) in [-1, 1] of codes from ``start`` to ``end``, both included.

    Noise of a sampler is interpolated on a sphere (``spherical``), codes of images on a straight line. ``given`` holds
    by name what the network takes: the same for all, or two rows, of which vectors are interpolated, too. ``around`` is
    the image that the codes change, for a network that takes one. Raises ``TranslateError`` for a network without a
    code, and for what cannot lie between two.
    """
    codes = network if isinstance(network, Codes) else load_codes(network, numbered=isinstance(start, int))
    _refuse_steps(steps)
    found = codes.read_given(given or {})
    ends = [_row(found, place, row, codes.is_sampler) for row, place in enumerate((start, end))]
    first, last = (
        codes.at(place, seed, {**found.options, **stacked([row], codes.taken, codes.device)})
        for place, row in zip((start, end), ends, strict=True)
    )
    shares = [step / (steps - 1) for step in range(steps)]
    between = spherical if codes.is_sampler else linear
    path = torch.cat([between(first, last, share) for share in shares])
    if around is not None and not codes.takes_image:
        raise TranslateError(f"{codes._who} makes whole images of its codes; leave out --around")
    tensors = _between(ends, shares, codes)
    made: Tensor = codes.decode(path, {**found.options, **tensors}, codes.content(around))
    return made


def traverse(
    network: Codes | str | Path,
    axes: Sequence[int],
    *,
    around: Place | None = None,
    steps: int = 8,
    range: float = 3.0,  # noqa: A002 - the command line's word
    seed: int = 0,
    given: Mapping[str, Any] | None = None,
) -> Tensor:
    """Images (axes, steps, C, H, W) in [-1, 1] of a code whose axes take values from ``-range`` to ``range``.

    One axis at a time, while the others keep the values of the code of ``around``: an image, or a sample's number (0).
    Axis k of a code (D,) is its k-th number, of one of maps (D, h, w) the k-th map, all of whose positions take the
    value. Raises ``TranslateError`` for a network without a code, and for an axis that there is not.
    """
    codes = (
        network
        if isinstance(network, Codes)
        else load_codes(network, numbered=around is None or isinstance(around, int))
    )
    _refuse_steps(steps)
    place = 0 if around is None and codes.is_sampler else around
    if place is None:
        raise TranslateError(f"{codes._who} has the codes of images; name one with --around IMAGE")
    found = codes.read_given(given or {})
    row = _row(found, place, 0, codes.is_sampler)
    tensors = stacked([row], codes.taken, codes.device)
    code = codes.at(place, seed, {**found.options, **tensors})
    for axis in axes:
        if not 0 <= axis < code.shape[1]:
            raise TranslateError(
                f"{codes._who} has a code of {code.shape[1]} axes, 0 to {code.shape[1] - 1}, not {axis}"
            )
    if not axes:
        raise TranslateError("there is no axis to traverse; name some, such as 0,3,5")
    rows = []
    for axis in axes:
        moved = code.repeat(steps, *[1] * (code.dim() - 1))
        for number, value in enumerate(values_of(steps, range)):
            moved[number, axis] = value
        rows.append(moved)
    repeated = {name: each.repeat_interleave(steps * len(rows), dim=0) for name, each in tensors.items()}
    made = codes.decode(torch.cat(rows), {**found.options, **repeated}, codes.content(place))
    strips: Tensor = made.unflatten(0, (len(rows), steps))
    return strips


def values_of(steps: int, limit: float) -> list[float]:
    """The values that an axis takes, evenly from ``-limit`` to ``limit``.

    >>> values_of(3, 2)
    [-2.0, 0.0, 2.0]
    """
    return [limit * (2 * step / (steps - 1) - 1) for step in range(steps)]


def spherical(first: Tensor, last: Tensor, share: float) -> Tensor:
    """Spherical linear interpolation (Shoemake 1985) of codes (1, ...), as for Gaussian latents by White 2016.

    Sampling Generative Networks, arXiv:1609.04468. With the angle w between the codes::

        sin((1 - t) w) / sin(w) * first  +  sin(t w) / sin(w) * last

    Standard normal codes of many dimensions lie near a sphere, and a straight line would leave it, towards codes that
    the sampler has never seen. Codes that are parallel are interpolated on the straight line.

    >>> spherical(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 0.5)
    tensor([[0.7071, 0.7071]])
    """
    a, b = first.double(), last.double()
    cosine = (a * b).sum() / (a.norm() * b.norm()).clamp_min(torch.finfo(torch.float64).tiny)
    angle = torch.acos(cosine.clamp(-1, 1))
    if torch.sin(angle) < PARALLEL:
        return linear(first, last, share)
    found: Tensor = (torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b) / torch.sin(angle)
    return found.to(first.dtype)


def linear(first: Tensor, last: Tensor, share: float) -> Tensor:
    """Linear interpolation: ``(1 - t) * first + t * last``."""
    return (1 - share) * first + share * last


def load_codes(
    path: str | Path,
    *,
    numbered: bool = False,
    step: int | None = None,
    direction: str | None = None,
    device: str = "auto",
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> Codes:
    """Load the network of a run, a translator or a checkpoint whose codes are asked for.

    ``numbered`` asks for the sampler, whose codes have numbers, otherwise for the translator that has a code;
    ``direction`` names it. Raises ``TranslateError`` if there is none, or more than one.
    """
    saved = SavedMethod.open(path, discover(extra=plugins, blocked=no_plugins), step)
    chosen = direction or _chosen(str(path), saved, numbered)
    modules = saved.method.translators
    if chosen not in modules:
        raise TranslateError(f"{path} has no direction {chosen!r:.100}; {nearest(chosen, list(modules))}")
    network, method = saved.module(chosen), printable(saved.metadata["method"])
    if role_of(chosen) == "sampler":
        source = target = saved.domain(chosen)
    else:
        source, target = domains_of(saved.metadata, chosen)
        own = Traits(network).encodes
        source = source if own is None else domain_of(saved.metadata[own])
    return Codes(
        network, catalog=saved.catalog, direction=chosen, method=method, source=source, target=target, size=saved.size,
        device=pick_device(device), taken=taken_of(saved.metadata, chosen, network),
    )  # fmt: skip


def _chosen(path: str, saved: SavedMethod, numbered: bool) -> str:
    modules, method = saved.method.translators, printable(saved.metadata["method"])
    samplers = [each for each in modules if role_of(each) == "sampler"]
    coded = [
        each
        for each, module in modules.items()
        if role_of(each) == "translator" and Traits(module).code_of is not None and Traits(module).image_of is not None
    ]
    found, other = (samplers, coded) if numbered else (coded, samplers)
    if len(found) == 1:
        return found[0]
    if found:
        raise TranslateError(
            f"{path} has {len(found)} networks with a code; choose one by --direction {' or '.join(found)}"
        )
    if not other:
        raise TranslateError(
            f"{path} was trained by {method} and keeps no sampler and no translator that makes a code of an image and "
            "an image of a code, so nothing lies between two of its images; name the run of a method that has one, "
            "such as vae or sgan"
        )
    if numbered:
        raise TranslateError(f"{path} keeps no sampler, so there are no numbered samples; give image files")
    raise TranslateError(f"{path} makes codes of no images; give numbers of samples, such as 3 7")


def _row(given: Given, place: Place, row: int, numbered: bool) -> dict[str, Value]:
    """The values for one end: a sample's are those of its number, an image's those of its place or its name."""
    if numbered:
        return given.numbered([place])[0] if isinstance(place, int) else {}
    found: dict[str, Value] = {}
    for name, source in given.sources.items():
        if isinstance(source, Constant):
            found[name] = source.value
        elif isinstance(source, Rows):
            if row >= len(source.values):
                raise TranslateError(f"{name} has {len(source.values)} rows; give one value, or one for each end")
            found[name] = source.values[row]
        else:
            path = expanded(place) if isinstance(place, (str, Path)) else Path("image")
            found[name] = source.of(path.name, path).value
    return found


def _between(ends: Sequence[Mapping[str, Value]], shares: Sequence[float], codes: Codes) -> dict[str, Tensor]:
    """What is given at each step: vectors are interpolated, and all else must be the same at both ends."""
    first, last = (stacked([dict(row)], codes.taken, codes.device) for row in ends)
    found = {}
    for name, tensor in first.items():
        other = last[name]
        if codes.taken.inputs[name].kind == "vector":
            found[name] = torch.cat([linear(tensor, other, share) for share in shares])
        elif tensor.shape == other.shape and torch.equal(tensor, other):
            found[name] = tensor.repeat(len(shares), *[1] * (tensor.dim() - 1))
        else:
            raise TranslateError(
                f"{name} differs at the two ends, and only vectors have something between; give one value"
            )
    return found


def _keywords(function: Callable[..., Any] | None) -> set[str]:
    if function is None:
        return set()
    return {each.name for each in inspect.signature(function).parameters.values() if each.kind is each.KEYWORD_ONLY}


def _fitting(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that a method takes by keyword."""
    return {name: value for name, value in given.items() if name in _keywords(function)}


def _refuse_steps(steps: int) -> None:
    if steps < 2:
        raise TranslateError(f"a strip has 2 images or more, not {steps}")
