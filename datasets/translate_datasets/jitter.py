"""Colour jitter: random brightness, contrast, saturation and hue of each image, by its seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from translate.errors import TranslateError
from translate.options import Option
from translate.seeds import uniform


def jitter(
    *,
    brightness: Annotated[float, Option("largest relative change of the brightness", ge=0, le=1)] = 0.1,
    contrast: Annotated[float, Option("largest relative change of the contrast", ge=0, le=1)] = 0.1,
    saturation: Annotated[float, Option("largest relative change of the saturation", ge=0, le=1)] = 0.1,
    hue: Annotated[float, Option("largest shift of the hue, in turns of the colour circle", ge=0, le=0.5)] = 0.02,
    p: Annotated[float, Option("probability that an image is changed", ge=0, le=1)] = 1.0,
) -> Callable[[Tensor, Tensor], Tensor]:
    """Build a colour jitter: images (N, C, H, W) in [-1, 1] and seeds (N,) int64 to images of that shape.

    On values in [0, 1], in this order: brightness scales the values, contrast scales differences from the image's mean
    luma, saturation scales differences from each pixel's luma, by factors uniform in [1 - x, 1 + x]; hue is rotated by
    an angle uniform in [-x, x] turns. Gray images get brightness and contrast only. The result is clamped and has the
    input's memory format. An image's change depends on its seed only, not on the batch. Raises a TranslateError for
    other than 1 or 3 channels.

    >>> change = jitter(brightness=0.5)
    >>> image, seed = torch.zeros(1, 3, 4, 4), torch.tensor([7])
    >>> torch.equal(change(image, seed), change(image, seed)), torch.equal(change(image, seed), image)
    (True, False)
    """

    def change(images: Tensor, seeds: Tensor) -> Tensor:
        from kornia import enhance

        channels = images.shape[1]
        if channels not in (1, 3):
            raise TranslateError(f"jitter changes gray and RGB images, not images of {channels} channels; leave it out")
        chance, *shifts = uniform(seeds, 5).to(images.dtype).unbind()
        changed = (images + 1) / 2
        if brightness:
            changed = enhance.adjust_brightness_accumulative(changed, 1 + brightness * shifts[0])
        if contrast:
            changed = enhance.adjust_contrast_with_mean_subtraction(changed, 1 + contrast * shifts[1])
        if saturation and channels == 3:
            changed = enhance.adjust_saturation_with_gray_subtraction(changed, 1 + saturation * shifts[2])
        if hue and channels == 3:
            changed = enhance.adjust_hue(changed, 2 * math.pi * hue * shifts[3])
        changed = changed.clamp(0, 1) * 2 - 1
        if p < 1:
            changed = torch.where((chance < 2 * p - 1)[:, None, None, None], changed, images)
        # kornia returns contiguous tensors for any memory format.
        last = images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()
        return changed.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)

    return change
