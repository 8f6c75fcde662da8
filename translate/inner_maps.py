"""Inner maps: what chosen layers of a network answer during a pass, for losses on features of its own.

Layers are named as ``named_modules`` names them; ``""`` is the network's input. A built-in generator lists those worth
asking for in its trait ``feature_layers``. Hooks are the mechanism, and the same ones each time, so that a compiled
network is traced once with them and once without.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary, ref

from torch import Tensor, nn

from translate.errors import TranslateError, nearest
from translate.traits import Traits

__all__ = [
    "inner",
    "watch",
]


@contextmanager
def watch(network: nn.Module, layers: Sequence[str]) -> Iterator[Mapping[str, Tensor]]:
    """Note what ``layers`` of a network answer to the pass inside the ``with``: (N, C, h, w) or (N, D) by name.

    The maps are part of the pass's graph, so losses on them reach the weights before their layer. They are fixed when
    the ``with`` ends, which must be before the method yields. Of several passes the last counts. Raises
    ``TranslateError`` for a layer that the network does not have, or that a pass did not call or left without a tensor.

    >>> import torch
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 3, 3))
    >>> with watch(network, ["", "1"]) as maps:
    ...     answer = network(torch.zeros(2, 3, 9, 9))
    >>> {name: tuple(each.shape) for name, each in maps.items()}
    {'': (2, 3, 9, 9), '1': (2, 8, 7, 7)}
    """
    recorder = _recorder(network, layers)
    maps = _Maps(type(network).__name__)
    with recorder.listening():
        yield maps
        maps.update(recorder.found())


def inner(network: nn.Module, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """What ``layers`` of a network answer to images (N, C, H, W), computed only as far as the last of them.

    Of a compiled network these layers are compiled for themselves. Raises ``TranslateError`` as ``watch`` does.

    >>> import torch
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 3, 3))
    >>> inner(network, torch.zeros(2, 3, 9, 9), ["0"])["0"].shape
    torch.Size([2, 8, 7, 7])
    """
    recorder = _recorder(network, layers)
    compiling = getattr(network.forward, "compiling", None)
    if compiling is not None:
        return recorder.compiled(compiling, image)
    with recorder.listening(stop=True):
        with suppress(_ReachedError):
            network(image)
        return recorder.found()


def open_watches() -> int:
    """How many passes are watched now in this thread."""
    return getattr(_state, "open", 0)


class _Maps(dict[str, Tensor]):
    """Maps by name, which says why one is not there."""

    def __init__(self, network: str) -> None:
        super().__init__()
        self._network = network

    def __missing__(self, name: str) -> Tensor:
        if not self:
            raise TranslateError(f"the maps of {self._network} are there when its `with` ends; read them after it")
        raise TranslateError(f"no map of {self._network} was asked for as {name!r:.80}; {nearest(str(name), self)}")


class _ReachedError(Exception):
    """All layers that were asked for have answered."""


_state = threading.local()
_recorders: WeakKeyDictionary[nn.Module, dict[tuple[str, ...], _Recorder]] = WeakKeyDictionary()


class _Recorder:
    """The hooks on some layers of one network, which are registered only while it listens."""

    def __init__(self, network: nn.Module, layers: tuple[str, ...]) -> None:
        self._name = type(network).__name__
        self._layers = layers
        self._maps: dict[str, Any] = {}
        self._stop = False
        self._listens = False
        self._places: list[tuple[dict[int, Any], int, Any]] = []
        self._modules = {name: ref(network.get_submodule(name)) for name in layers}
        for name in layers:
            module = network.get_submodule(name)
            hooks: Any = module._forward_hooks if name else module._forward_pre_hooks
            hook = self._hook(name)
            handle = module.register_forward_hook(hook) if name else module.register_forward_pre_hook(hook)
            handle.remove()
            # A compiler's guards compare these numbers, so they stay the same from pass to pass.
            self._places.append((hooks, handle.id, hook))

    def _hook(self, name: str) -> Callable[..., None]:
        def note(_module: nn.Module, given: tuple[Any, ...], answer: Any = None) -> None:
            # None is told as a layer that answered no tensor.
            self._maps[name] = answer if name else next(iter(given), None)
            if self._stop and len(self._maps) == len(self._layers):
                raise _ReachedError

        return note

    @contextmanager
    def listening(self, *, stop: bool = False) -> Iterator[None]:
        if self._listens:
            raise TranslateError(f"these layers of {self._name} are watched already; leave the inner `with watch`")
        self._maps, self._stop, self._listens = {}, stop, True
        _state.open = open_watches() + 1
        for hooks, number, hook in self._places:
            hooks[number] = hook
        try:
            yield
        finally:
            for hooks, number, _ in self._places:
                hooks.pop(number, None)
            _state.open -= 1
            # Nothing holds the maps longer than who asked for them.
            self._maps, self._stop, self._listens = {}, False, False

    def found(self) -> dict[str, Tensor]:
        """The maps in the order in which they were asked for."""
        for name in self._layers:
            if not isinstance(self._maps.get(name), Tensor):
                if name == "" and name in self._maps:
                    raise TranslateError(f"a watched pass of {self._name} got its input by name; give it as the first")
                what = f"answered a {type(self._maps[name]).__name__}" if name in self._maps else "was not called"
                raise TranslateError(
                    f"the layer {name!r} of {self._name} {what} in a watched pass; name a layer that answers a tensor"
                )
        return {name: self._maps[name] for name in self._layers}

    def compiled(self, compiling: Any, image: Tensor) -> dict[str, Tensor]:
        """The maps by compiled code, from which the compiler leaves out what no map needs."""
        # The network holds this, and not the recorder: what held the network would keep it for ever.
        if self not in compiling.others:

            def passing(given: Tensor) -> tuple[Any, ...]:
                compiling.uncompiled(given)
                return tuple(self._maps.get(name) for name in self._layers if name)

            compiling.others[self] = compiling.more(passing)
        with self.listening():
            answers = iter(compiling.others[self](image))
            # A pre-hook of the network itself is not part of what is compiled.
            found = {name: next(answers) if name else image for name in self._layers}
            self._maps = {name: answer for name, answer in found.items() if answer is not None}
            return self.found()

    def fits(self, network: nn.Module) -> bool:
        """Whether the layers are still those of the network, of which one may have been replaced."""
        try:
            return all(network.get_submodule(name) is layer() for name, layer in self._modules.items())
        except AttributeError:
            return False


def _recorder(network: nn.Module, layers: Sequence[str]) -> _Recorder:
    """The recorder of some layers; raises ``TranslateError`` for a name that is no layer of the network."""
    if not isinstance(network, nn.Module) or isinstance(layers, str) or not isinstance(layers, Iterable):
        raise TranslateError(
            f"inner maps are asked for by a network and a list of its layers' names, not by a {type(network).__name__} "
            f"and {layers!r:.80}"
        )
    names = tuple(dict.fromkeys(layers))
    if not names:
        raise TranslateError(f"no layers of {type(network).__name__} were asked for; name at least one")
    of_network = _recorders.setdefault(network, {})
    if names in of_network and not of_network[names].fits(network):
        del of_network[names]
    if names not in of_network:
        modules = dict(network.named_modules())
        for name in names:
            if not isinstance(name, str) or name not in modules:
                # The empty name is the input, which nobody misspells.
                known = [each for each in Traits(network).feature_layers or modules if each]
                raise TranslateError(f"{type(network).__name__} has no layer {name!r:.80}; {nearest(str(name), known)}")
            if isinstance(modules[name], (nn.ModuleList, nn.ModuleDict)):
                raise TranslateError(
                    f"the layer {name!r} of {type(network).__name__} is a list of modules and never called itself; "
                    "name one of its modules"
                )
        of_network[names] = _Recorder(network, names)
    return of_network[names]
