"""Losses on images (N, C, H, W): means over all values, computed in float32 (float64 stays)."""

from __future__ import annotations

from torch import Tensor

from translate.errors import TranslateError
from translate.precision import to_float32


class L1:
    """The mean absolute difference ``E |image - target|``.

    >>> import torch
    >>> L1()(torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5))
    tensor(0.5000)
    """

    def __call__(self, image: Tensor, target: Tensor) -> Tensor:
        """Compare images of one shape."""
        return _difference(image, target, "l1").abs().mean()


class L2:
    """The mean squared difference ``E (image - target)^2``."""

    def __call__(self, image: Tensor, target: Tensor) -> Tensor:
        """Compare images of one shape."""
        return _difference(image, target, "l2").square().mean()


class TotalVariation:
    """The mean absolute difference of neighbouring pixels, ``E |x[i+1, j] - x[i, j]| + E |x[i, j+1] - x[i, j]|``.

    The anisotropic form of Rudin, Osher & Fatemi 1992 (doi:10.1016/0167-2789(92)90242-F); it favours
    smooth images and ignores the target. A side of one pixel has no neighbours and adds nothing.
    """

    def __call__(self, image: Tensor, target: Tensor | None = None) -> Tensor:
        """The total variation of the images."""
        x = to_float32(image)
        down, right = x.diff(dim=-2).abs(), x.diff(dim=-1).abs()
        return down.sum() / max(down.numel(), 1) + right.sum() / max(right.numel(), 1)


def _difference(image: Tensor, target: Tensor, name: str) -> Tensor:
    # Tensors of different shapes would be broadcast silently.
    if image.shape != target.shape:
        raise TranslateError(f"{name} compares images of one shape, not {tuple(image.shape)} and {tuple(target.shape)}")
    return to_float32(image) - to_float32(target)
