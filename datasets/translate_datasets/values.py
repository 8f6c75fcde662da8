"""Values: which stored values become -1 and 1, what becomes of transparency, and whether a range is hardly used."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from translate import images
from translate.data import Alpha, Domain
from translate.errors import TranslateError
from translate.images import Header, ImageError
from translate.memory import Budget
from translate.options import Call, Option

SideName = Literal["source", "target"]
Low = Annotated[float | None, Option("stored value that becomes -1 (default: by the depth, or found in floats)")]
High = Annotated[float | None, Option("stored value that becomes 1")]
Bits = Annotated[int | None, Option("bits that whole numbers use, such as 12 for 0 to 4095", ge=1, le=16)]
Ranged = Annotated[SideName | None, Option("domain that the range is for (default: each that can hold it)")]
Background = Annotated[
    Literal["white", "black", "gray", "none"], Option("what transparent images are laid on; none: hidden colours show")
]
AlphaPlane = Annotated[
    Literal["plane", "mask"] | None,
    Option("plane: alpha becomes a plane of its own, the last; mask: the source's is the stream mask"),
]

_usual_bits = (1, 2, 4, 8, 10, 12, 14)


@dataclass(frozen=True, slots=True)
class Values:
    """What a user says of the values of the domains; ``default`` is the layout's own background."""

    low: float | None = None
    high: float | None = None
    bits: int | None = None
    ranged: SideName | None = None
    background: str = "white"
    alpha: str | None = None
    default: str = "white"

    def __post_init__(self) -> None:
        if self.bits is not None and (self.low is not None or self.high is not None):
            raise TranslateError("bits= and low=, high= give the same range twice; leave out one of them")
        if self.low is not None and self.high is None:
            raise TranslateError("low= needs the other end of the range, too: high=...")
        found = self.range
        if found is not None and not (np.isfinite(found).all() and found[0] < found[1]):
            raise TranslateError(f"low={found[0]:g} must be below high={found[1]:g}")
        if self.ranged is not None and found is None:
            raise TranslateError(f"ranged={self.ranged} needs a range: bits=..., or low=... and high=...")
        if self.alpha == "plane" and self.background != self.default:
            raise TranslateError(f"alpha=plane and background={self.background} exclude each other; leave out one")

    @property
    def range(self) -> tuple[float, float] | None:
        """The range that was asked for."""
        if self.bits is not None:
            return 0.0, 2.0**self.bits - 1
        return None if self.high is None else (self.low or 0.0, self.high)

    @property
    def mode(self) -> Alpha:
        """What becomes of alpha."""
        if self.alpha == "plane":
            return "plane"
        modes: Mapping[str, Alpha] = {"white": "white", "black": "black", "gray": "gray"}
        # Of an array's planes the last is alpha only where colours are laid on something.
        alone: Alpha = "white" if self.alpha == "mask" and self.default == "none" else "dropped"
        return modes.get(self.background, alone)

    def options(self) -> dict[str, object]:
        """The options that differ from the defaults."""
        given = {"low": self.low, "high": self.high, "bits": self.bits, "ranged": self.ranged, "alpha": self.alpha}
        found: dict[str, object] = {name: value for name, value in given.items() if value is not None}
        return found | ({"background": self.background} if self.background != self.default else {})

    def applied(self, domains: Mapping[str, Domain], whole: Container[str]) -> dict[str, Domain]:
        """The domains with the range and the treatment of alpha; maps of classes have neither.

        ``whole`` are the sides whose values are whole numbers, whatever depth they are read with.
        """
        found = {side: domain if domain.classes else self._with_alpha(domain) for side, domain in domains.items()}
        if self.range is None:
            return found
        chosen = [
            side for side, domain in found.items() if self.ranged in (None, side) and self._fits(domain, side in whole)
        ]
        if not chosen:
            kinds = "; ".join(f"{side}: {domain.summary}" for side, domain in found.items())
            raise TranslateError(
                f"the range {self.range[0]:g} to {self.range[1]:g} fits none of the domains ({kinds}); correct it"
            )
        low, high = self.range
        for side in chosen:
            domain = replace(found[side], low=low, high=high)
            found[side] = replace(domain, ranged=domain.depth != "float32" and (low, high) != found[side].limits)
            if found[side].depth != "float32" and not found[side].ranged:
                found[side] = replace(found[side], low=0.0, high=1.0)
        return found

    def _with_alpha(self, domain: Domain) -> Domain:
        if domain.channels not in (1, 3):
            return domain
        return replace(domain, alpha=self.mode, channels=domain.channels + (self.mode == "plane"))

    def _fits(self, domain: Domain, whole: bool) -> bool:
        if domain.classes or self.range is None:
            return False
        if domain.depth == "float32":
            return self.bits is None or whole
        return self.range[0] >= 0 and self.range[1] <= (255 if domain.depth == "uint8" else 65535)


def found_in(headers: Mapping[Path, Header], domain: Domain) -> tuple[float, float] | None:
    """The lowest and highest visible value in files of the domain's depth; None if none can be read."""
    alike = [path for path, header in headers.items() if header.depth == domain.depth]
    budget = Budget()
    # Of 8-bit files a few tell enough; deep ones are told by their largest values.
    low, high = np.inf, -np.inf
    for path in alike if domain.depth != "uint8" else alike[:: max(1, len(alike) // 4)]:
        try:
            image = images.load(path, budget=budget)
        except ImageError:
            continue
        shown = image.pixels if image.alpha is None else image.pixels[image.alpha > 0]
        if shown.size:
            low, high = min(low, float(shown.min())), max(high, float(shown.max()))
    return (low, high) if low <= high else None


def hardly_used(side: str, domain: Domain, found: tuple[float, float] | None, call: Call) -> str | None:
    """A sentence if values use less than a quarter of their range, with the option to paste."""
    low, high = domain.limits
    if found is None or domain.classes or found[0] == found[1] or 4 * (found[1] - found[0]) >= high - low:
        return None
    seen = [2 * (value - low) / (high - low) - 1 for value in found]
    whole = domain.depth != "float32" and found[0] >= 0
    bits = next((bits for bits in _usual_bits if whole and found[1] < 2**bits and 2**bits - 1 < high), None)
    options: dict[str, object] = {"bits": bits} if bits else {"low": found[0], "high": found[1]}
    others = {name: value for name, value in call.options.items() if name not in ("low", "high", "bits")}
    return (
        f"the {side}'s values go from {found[0]:g} to {found[1]:g}, less than a quarter of {low:g} to {high:g}, so "
        f'that a network sees {seen[0]:.2f} to {seen[1]:.2f}; if that is their range, give it: --layout "'
        f'{Call(call.name, others | options)}"'
    )
