"""Runtimes: compute a trained network's outputs for conversion, in place of eager torch."""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable
from weakref import ref

from torch import Tensor, nn

from translate.common_options import Precision
from translate.errors import UnfitError

__all__ = [
    "MOST_SIZES",
    "Precision",
    "Runtime",
    "copy_sharing_weights",
]

MOST_SIZES = 8
"""The number of input sizes that stay prepared; of more, the least recently used one is dropped."""


def copy_sharing_weights(network: nn.Module, *shared: object) -> nn.Module:
    """Copy a network's modules but share its tensors and ``shared`` objects; the copy may be changed or hold caches.

    >>> layer = nn.Conv2d(1, 1, 1)
    >>> copy_sharing_weights(layer) is layer, copy_sharing_weights(layer).weight is layer.weight
    (False, True)
    """
    same = (*network.parameters(), *network.buffers(), *shared)
    return copy.deepcopy(network, {id(each): each for each in same})


class Seen:
    """A cache key of tensors: calling it says whether given tensors are the same ones, unchanged.

    It compares identity, address, dtype, device and version counter. torch does not count changes of tensors that were
    made in inference mode, nor changes through ``data``.

    >>> layer = nn.Conv2d(1, 1, 1)
    >>> seen = Seen([layer.weight])
    >>> seen([layer.weight]), layer.requires_grad_(False).weight.add_(1).shape, seen([layer.weight])
    (True, torch.Size([1, 1, 1, 1]), False)
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        # An address alone is not enough: a new tensor may reuse the address of a freed one.
        self._known = [(ref(each), _state(each)) for each in tensors]

    def __call__(self, tensors: Iterable[Tensor]) -> bool:
        """Whether these are the same tensors, unchanged."""
        current = list(tensors)
        return len(current) == len(self._known) and all(
            known() is each and state == _state(each) for (known, state), each in zip(self._known, current, strict=True)
        )


def _state(tensor: Tensor) -> tuple[object, ...]:
    version = None if tensor.is_inference() else tensor._version
    return version, tensor.data_ptr(), tensor.dtype, tensor.device


class Runtime(ABC):
    """Computes one network's outputs, prepared for each input shape when it first occurs.

    Each preparation fits one shape only, because networks may do other things with smaller or larger images. It takes
    seconds, and pays for many images of few sizes.
    """

    needs_calibration = False
    """Whether ``calibrate`` must be called with some of the images first."""

    def __init__(self) -> None:
        self._prepared: OrderedDict[object, Callable[..., Tensor]] = OrderedDict()

    @abstractmethod
    def prepare(self, example: Tensor, *inputs: Tensor) -> Callable[..., Tensor]:
        """A function from batches of the example's shape (N, C, H, W) float32 to (N, C', H', W').

        ``inputs`` are examples of what the network takes behind its image, such as classes (N,) int64 or masks
        (N, C, H, W); the function then takes as many. A runtime whose ``prepare`` takes the image alone is not asked
        for networks with inputs.
        """

    @property
    def takes_inputs(self) -> bool:
        """Whether ``prepare`` takes inputs behind the image."""
        kinds = {each.kind for each in inspect.signature(self.prepare).parameters.values()}
        return inspect.Parameter.VAR_POSITIONAL in kinds

    def calibrate(self, batches: Iterable[Tensor]) -> None:  # noqa: B027 - most need no calibration
        """Measure ranges of activations on batches (N, C, H, W) such as the network will get."""

    def __call__(self, batch: Tensor, *inputs: Tensor) -> Tensor:
        """Compute the outputs of a batch (N, C, H, W) float32 and of the inputs that the network takes behind it."""
        if self.needs_calibration:
            raise UnfitError("int8 must see some images before it can answer; call the translator's calibrate first")
        shape = (batch.shape, *((each.shape, each.dtype) for each in inputs))
        if shape not in self._prepared:
            self._prepared[shape] = self.prepare(batch, *inputs)
            if len(self._prepared) > MOST_SIZES:
                self._prepared.popitem(last=False)
        self._prepared.move_to_end(shape)
        return self._prepared[shape](batch, *inputs)
