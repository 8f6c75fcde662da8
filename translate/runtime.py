"""Runtimes: what computes a trained network's answers when images are converted, in place of eager torch."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from translate.common_options import Precision
from translate.errors import UnfitError

__all__ = ["MOST_SIZES", "Precision", "Runtime", "twin"]

MOST_SIZES = 8
"""How many sizes stay prepared; of more, the one that was used longest ago is prepared again when it comes back."""


def twin(network: nn.Module, *shared: object) -> nn.Module:
    """A copy of a network with the same tensors, and with whatever else is shared; it may be changed, or keep things.

    >>> layer = nn.Conv2d(1, 1, 1)
    >>> twin(layer) is layer, twin(layer).weight is layer.weight
    (False, True)
    """
    same = (*network.parameters(), *network.buffers(), *shared)
    return copy.deepcopy(network, {id(each): each for each in same})


class Runtime(ABC):
    """Computes one network's answers, prepared for each size of images when it first comes.

    What is prepared fits one shape and no other, because networks may do other things with smaller or larger images.
    That takes seconds and pays for many images of few sizes.
    """

    wants_images = False
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
        if self.wants_images:
            raise UnfitError("int8 must see some images before it can answer; call the translator's calibrate first")
        if batch.shape not in self._prepared:
            self._prepared[batch.shape] = self.prepare(batch)
            if len(self._prepared) > MOST_SIZES:
                self._prepared.popitem(last=False)
        self._prepared.move_to_end(batch.shape)
        return self._prepared[batch.shape](batch)
