"""Random draws of one thread from a generator of their own, with torch's global generators untouched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from translate.errors import UnfitError
from translate.seeds import mixed


@contextmanager
def seeded_draws(seed: int, number: int = 0) -> Iterator[Draws]:
    """Inside, every random operation of this thread draws from generators that ``seed`` and ``number`` alone decide.

    Dropout and functions such as ``torch.randn`` then draw what they draw after ``seed_step(seed, 0)``, and those of a
    further ``number`` what they draw after ``seed_step(seed, 0, number=number)``, but they neither disturb other
    threads nor change the state of torch's generators. Raises ``UnfitError`` for a random operation that takes no
    generator.
    """
    with Draws(seed, number) as draws:
        yield draws


class Draws(TorchDispatchMode):
    """Hands a generator to each random operation; torch enters dispatch modes for each thread by itself.

    ``drew`` says whether there was any.
    """

    def __init__(self, seed: int, number: int = 0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.drew = False
        self._seed = mixed(seed, 0, 0, number) if number else mixed(seed, 0, 0)
        self._generators: dict[torch.device, torch.Generator] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # In inference mode composite operations arrive whole; what they draw shows only in their parts.
        with self:
            whole = func.decompose(*args, **kwargs)
        if whole is not NotImplemented:
            return whole
        if torch.Tag.nondeterministic_seeded not in func.tags or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        tensors = [each for each in args if isinstance(each, Tensor)]
        device = torch.device(kwargs.get("device") or (tensors[0].device if tensors else "cpu"))
        if func is torch.ops.aten.native_dropout.default:
            return _dropout(*args, generator=self._generator(device), **kwargs)
        drawing = _with_generator(func)
        if drawing is None and _drops_nothing(func, args, kwargs):
            return func(*args, **kwargs)
        if drawing is None:
            raise UnfitError(f"the network draws noise by {func}, which takes no generator; leave out --samples")
        return drawing(*args, **kwargs, generator=self._generator(device))

    def _generator(self, device: torch.device) -> torch.Generator:
        self.drew = True
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]


def _with_generator(func: Any) -> Any:
    """The overload of a random operation that takes a generator; None if there is none."""
    if any(argument.name == "generator" for argument in func._schema.arguments):
        return func
    packet, own = func.overloadpacket, [argument.name for argument in func._schema.arguments]
    for name in packet.overloads():
        other = getattr(packet, name)
        names = [argument.name for argument in other._schema.arguments]
        if "generator" in names and [each for each in names if each != "generator"] == own:
            return other
    return None


def _drops_nothing(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether a fused operation, such as attention or a recurrent layer, has dropout and is asked for none of it."""
    given = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
    defaults = {argument.name: argument.default_value for argument in func._schema.arguments}
    names = [name for name in ("dropout_p", "dropout") if name in defaults]
    return bool(names) and all(not given.get(name, defaults[name]) for name in names)


def _dropout(x: Tensor, p: float, train: bool | None = True, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Dropout with its mask, as the fused operation of GPUs returns them."""
    if not train or p == 0:
        return x, torch.ones_like(x, dtype=torch.bool)
    mask = torch.empty_like(x).bernoulli_(1 - p, generator=generator)
    return x * mask / (1 - p) if p < 1 else torch.zeros_like(x), mask.bool()
