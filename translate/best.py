"""Best: the checkpoint of a training that a metric of its validation prefers, and where it lies."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

Better = Literal["higher", "lower"]
"""Which values of a score are the better ones."""


VALIDATED = "val"
"""The split on which a training is validated, by which its best checkpoint is chosen."""


@dataclass(frozen=True, slots=True)
class Best:
    """The best value of the score ``name`` so far, and its step; ``waited`` counts the validations since.

    >>> first = Best("psnr").with_value(20.0, 100, "higher")
    >>> later = first.with_value(19.0, 200, "higher").with_value(19.5, 300, "higher")
    >>> later.value, later.step, later.waited
    (20.0, 100, 2)
    """

    name: str
    value: float | None = None
    step: int = 0
    waited: int = 0

    def with_value(self, value: float, step: int, better: Better) -> Best:
        """The state after a validation; a value that is no number is never the best."""
        if self._is_surpassed(value, better):
            return Best(self.name, value, step)
        return replace(self, waited=self.waited + 1)

    def _is_surpassed(self, value: float, better: Better) -> bool:
        if math.isnan(value):
            return False
        return self.value is None or (value > self.value if better == "higher" else value < self.value)

    def facts(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON values."""
        return {"name": self.name, "value": as_json(self.value), "step": self.step, "waited": self.waited}

    @classmethod
    def restored(cls, name: str | None, facts: Mapping[str, Any] | None = None) -> Best | None:
        """The state that a checkpoint kept, or a new one if that is of another score; None where no best is kept."""
        if name is None:
            return None
        if facts is None or facts["name"] != name:
            return cls(name)
        value = facts["value"]
        return cls(name, None if value is None else float(value), facts["step"], facts["waited"])


def as_json(value: float | None) -> float | str | None:
    """A score as a JSON value: a number that is not finite becomes text.

    >>> as_json(20.5), as_json(float("inf")), as_json(None)
    (20.5, 'inf', None)
    """
    return value if value is None or math.isfinite(value) else str(value)


def best_checkpoint(folder: Path, name: str) -> Path:
    """Where the best checkpoint of a run's folder lies; ``--keep`` counts and deletes none of this name.

    >>> best_checkpoint(Path("run"), "backward/psnr").as_posix()
    'run/checkpoints/best-backward-psnr.safetensors'
    """
    return folder / "checkpoints" / f"best-{_as_file(name)}.safetensors"


def best_translator(folder: Path, name: str) -> Path:
    """Where the translator of the best checkpoint lies.

    >>> best_translator(Path("run"), "psnr").as_posix()
    'run/best-psnr.safetensors'
    """
    return folder / f"best-{_as_file(name)}.safetensors"


def _as_file(name: str) -> str:
    return re.sub(r"[^\w]+", "-", name)
