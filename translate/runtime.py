"""Runtimes: what computes a trained network's answers when images are converted, in place of eager torch."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable
from weakref import ref

import torch
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
"""How many sizes stay prepared; of more, the one that was used longest ago is prepared again when it comes back."""


def copy_sharing_weights(network: nn.Module, *shared: object) -> nn.Module:
    """A copy of a network with the same tensors, and with whatever else is shared; it may be changed, or keep things.

    >>> layer = nn.Conv2d(1, 1, 1)
    >>> copy_sharing_weights(layer) is layer, copy_sharing_weights(layer).weight is layer.weight
    (False, True)
    """
    same = (*network.parameters(), *network.buffers(), *shared)
    return copy.deepcopy(network, {id(each): each for each in same})


class Seen:
    """Tensors as they were when something was made of them; calling it says whether they still are.

    It looks at which tensors they are, where they lie, and how often they were changed. The latter torch does not count
    for tensors that were made in inference mode, nor for what is done to their ``data``.

    >>> layer = nn.Conv2d(1, 1, 1)
    >>> seen = Seen([layer.weight])
    >>> seen([layer.weight]), layer.requires_grad_(False).weight.add_(1).shape, seen([layer.weight])
    (True, torch.Size([1, 1, 1, 1]), False)
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        # An address alone would not do: another tensor may come to lie where one has gone.
        self._them = [(ref(each), _state(each)) for each in tensors]

    def __call__(self, tensors: Iterable[Tensor]) -> bool:
        """Whether these are the same tensors, unchanged."""
        now = list(tensors)
        return len(now) == len(self._them) and all(
            known() is each and state == _state(each) for (known, state), each in zip(self._them, now, strict=True)
        )


def _state(tensor: Tensor) -> tuple[object, ...]:
    version = None if tensor.is_inference() else tensor._version
    return version, tensor.data_ptr(), tensor.dtype, tensor.device


class Runtime(ABC):
    """Computes one network's answers, prepared for each size of images when it first comes.

    What is prepared fits one shape and no other, because networks may do other things with smaller or larger images.
    That takes seconds and pays for many images of few sizes.
    """

    needs_calibration = False
    """Whether it must see some of the images before it can answer, see ``calibrate``."""

    def __init__(self) -> None:
        self._prepared: OrderedDict[torch.Size, Callable[[Tensor], Tensor]] = OrderedDict()

    @abstractmethod
    def prepare(self, example: Tensor) -> Callable[[Tensor], Tensor]:
        """What answers batches of the example's shape (N, C, H, W) float32, with (N, C', H', W')."""

    def calibrate(self, batches: Iterable[Tensor]) -> None:  # noqa: B027 - most have nothing to learn
        """Learn the range of what comes, from batches (N, C, H, W) as the network will be given them."""

    def __call__(self, batch: Tensor) -> Tensor:
        """Answer a batch (N, C, H, W) float32."""
        if self.needs_calibration:
            raise UnfitError("int8 must see some images before it can answer; call the translator's calibrate first")
        if batch.shape not in self._prepared:
            self._prepared[batch.shape] = self.prepare(batch)
            if len(self._prepared) > MOST_SIZES:
                self._prepared.popitem(last=False)
        self._prepared.move_to_end(batch.shape)
        return self._prepared[batch.shape](batch)
