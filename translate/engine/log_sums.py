"""Sums for the log: what the terms and the logged values of each step were since the log was last written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from translate.engine.players import MethodError
from translate.engine.state import under
from translate.errors import TranslateError
from translate.ranks import ProcessGroup


class LogSums:
    """Sums on the device, so that no step waits for it; a recorded step adds to the same tensors when it is replayed.

    Every term has a value in every step in which it is yielded, so Python counts them (``counts``). A logged value may
    be NaN or infinite, which means that there is none; the device counts those.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._terms: dict[str, Tensor] = {}
        self._values: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add_term(self, name: str, term: Tensor) -> None:
        """Add a term (a scalar in float32)."""
        if name in self._terms:
            self._terms[name].add_(term.detach())
        elif name in self._values:
            raise self._both(name)
        else:
            self._terms[name] = term.detach().clone()
        self.counts[name] = self.counts.get(name, 0) + 1

    def add_value(self, name: str, value: Tensor) -> None:
        """Add a value that is no loss, unless it is not finite."""
        value = value.detach().float()
        there = value.isfinite()
        added = torch.stack([torch.where(there, value, 0.0), there.float()])
        if name in self._values:
            self._values[name].add_(added)
        elif name in self._terms:
            raise self._both(name)
        else:
            self._values[name] = added

    @staticmethod
    def _both(name: str) -> MethodError:
        return MethodError(f"{name} is a term of one update and logged by another; give what is logged another name")

    def changed(self) -> list[Tensor]:
        """All tensors that a step adds to."""
        return [*self._terms.values(), *self._values.values()]

    def take(self, group: ProcessGroup) -> tuple[dict[str, float], dict[str, float]]:
        """The means of terms and of values since the last call, over all ranks; values that never were are left out."""
        names = [name for name, count in self.counts.items() if count]
        both = [self._terms[name].double() for name in names]
        both += [part.double() for value in self._values.values() for part in value]
        found = group.mean(torch.stack(both)).tolist() if both else []
        terms = {name: value / self.counts[name] for name, value in zip(names, found, strict=False)}
        pairs = zip(self._values, found[len(names) :: 2], found[len(names) + 1 :: 2], strict=True)
        values = {name: total / count for name, total, count in pairs if count}
        for name in names:
            self.counts[name] = 0
        # In place, so that a recorded step still finds them.
        for each in self.changed():
            each.zero_()
        return terms, values

    def tensors(self, group: ProcessGroup | None) -> dict[str, Tensor]:
        """The sums for a checkpoint, so that a resumed run writes the same lines; means over the ranks of a group."""
        found = {f"log/{name}": self._terms[name] for name, count in self.counts.items() if count}
        found.update({f"logged/{name}": value for name, value in self._values.items()})
        for value in found.values() if group is not None else ():
            value.copy_(group.mean(value))  # type: ignore[union-attr]
        return found

    def metadata(self) -> dict[str, int]:
        """The counts of the terms."""
        return {name: count for name, count in self.counts.items() if count}

    @staticmethod
    def check(tensors: Mapping[str, Tensor], counts: Mapping[str, Any]) -> None:
        """Raise ``TranslateError`` unless a checkpoint's sums and counts belong together."""
        terms = under(tensors, "log/")
        shapes: dict[str, tuple[Tensor, tuple[int, ...]]] = {name: (value, ()) for name, value in terms.items()}
        shapes.update({f"logged {name}": (value, (2,)) for name, value in under(tensors, "logged/").items()})
        if terms.keys() != counts.keys() or not all(
            value.shape == shape and value.dtype == torch.float32 for value, shape in shapes.values()
        ):
            raise TranslateError("the checkpoint's sums for the log do not fit their counts; it cannot be resumed")

    def load(self, tensors: Mapping[str, Tensor], counts: Mapping[str, Any]) -> None:
        """Load checked sums and counts."""
        self._terms = {name: value.to(self._device) for name, value in under(tensors, "log/").items()}
        self._values = {name: value.to(self._device) for name, value in under(tensors, "logged/").items()}
        # In place, since what records steps holds it.
        self.counts.clear()
        self.counts.update({name: int(count) for name, count in counts.items()})
