"""Conditions: what an image is made from, a class or vectors, as one vector; and what a network declares of it."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import torch
from torch import Tensor, nn

from translate.errors import TranslateError
from translate.method import Parts
from translate.taken import Input

CLASS = "class"
LABEL = "label"
OTHER_MEANINGS = ("image", "noise", "samples", "seed", "given", "translation")
"""Names of arguments that mean something else where images are made."""

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Condition:
    """What images are made from: a class, one of ``classes``, or vectors of these ``widths`` by name."""

    classes: int
    widths: Mapping[str, int]

    @classmethod
    def read(cls, text: str, parts: Parts) -> Condition:
        """Read ``class``, or the names of the data's vectors; raise ``TranslateError`` for what the data lacks."""
        names = tuple(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))
        if not names:
            raise TranslateError("cgan makes images from a condition; name one: --condition class, or of the vectors")
        if names == (CLASS,):
            if not parts.target.labels:
                there = f"; or name its vectors: --condition {', '.join(parts.vectors)}" if parts.vectors else ""
                raise TranslateError(f"cgan makes images of classes, and the data has no labels; give it some{there}")
            return cls(len(parts.target.labels), {})
        if CLASS in names:
            raise TranslateError(
                "cgan takes a class or vectors, not both; bring the class as one of the vectors, as zeros and a one"
            )
        for name in names:
            if name not in parts.vectors:
                there = f"has only {', '.join(parts.vectors)}" if parts.vectors else "has none"
                raise TranslateError(
                    f"cgan takes its condition from the vectors {name!r:.60}, and the data {there}; name them in its "
                    f'layout, such as --layout "folders(vectors={name:.60})", or choose --condition class'
                )
            if name in OTHER_MEANINGS or keyword.iskeyword(name):
                raise TranslateError(f"vectors called {name!r} cannot be given to a network; rename them")
        return cls(0, {name: parts.vectors[name] for name in names})

    @property
    def width(self) -> int:
        """The numbers of the whole condition."""
        return self.classes or sum(self.widths.values())

    @property
    def inputs(self) -> dict[str, Any]:
        """What a network declares of it: a type for each argument of its ``forward``."""
        if self.classes:
            asked = Input("class", of="target", help="class to show; without it one that the noise chooses")
            return {LABEL: Annotated[Tensor | None, asked]}
        return {
            name: Annotated[Tensor, Input("vector", of=name, help="what the image is made from")]
            for name in self.widths
        }

    def vector(self, given: Mapping[str, Tensor]) -> Tensor:
        """The condition as vectors (N, width): a class as zeros and a one, vectors side by side.

        >>> Condition(3, {}).vector({"label": torch.tensor([1, 0])})
        tensor([[0., 1., 0.],
                [1., 0., 0.]])
        """
        if self.classes:
            label = given[LABEL]
            return torch.eq(label[:, None], torch.arange(self.classes, device=label.device)).float()
        return torch.cat([given[name] for name in self.widths], dim=1)

    def chosen(self, normal: Tensor) -> Tensor:
        """Classes (N,) that standard normal numbers (N,) choose, each as often.

        >>> Condition(2, {}).chosen(torch.tensor([-1.0, 1.0]))
        tensor([0, 1])
        """
        share: Tensor = torch.special.ndtr(normal.float())
        return (share * self.classes).long().clamp(0, self.classes - 1)

    def other(self, label: Tensor) -> Tensor:
        """Another class for each of labels (N,), all others equally often; drawn from torch's generator."""
        step = torch.randint(1, self.classes, label.shape, device=label.device)
        return (label + step) % self.classes


def declaring(network: type[N], first: str, condition: Condition) -> type[N]:
    """A class of networks whose ``forward`` declares the inputs of a condition by their names.

    The network's own ``forward`` takes ``first`` by position and anything by name. What there is to take is known only
    from the data, and is read from the class.
    """

    def forward(self: N, value: Tensor, **given: Tensor | None) -> Any:
        return network.forward(self, value, **given)

    kinds = inspect.Parameter
    forward.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            kinds("self", kinds.POSITIONAL_OR_KEYWORD),
            kinds(first, kinds.POSITIONAL_OR_KEYWORD, annotation=Tensor),
            *(
                kinds(
                    name,
                    kinds.KEYWORD_ONLY,
                    annotation=hint,
                    default=None if condition.classes else kinds.empty,
                )
                for name, hint in condition.inputs.items()
            ),
        ],
        return_annotation=Tensor,
    )
    forward.__doc__ = network.forward.__doc__
    return type(network.__name__, (network,), {"forward": forward, "__doc__": network.__doc__})
