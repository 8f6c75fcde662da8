"""The multi-scale discriminator of pix2pixHD: equal patch discriminators, each at half the size of the last."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from translate.discriminator import DiscriminatorOutput
from translate.errors import TranslateError
from translate.options import Option
from translate_networks.normalization import Norm
from translate_networks.patch import STRIDED, Patch, check_condition, smallest_side

Field = Literal[16, 70, 286]


class MultiScale(nn.Module):
    """Patch discriminators of one architecture at several scales of the image (Wang et al. 2018, arXiv:1711.11585).

    ``D_1`` takes the image, ``D_2`` the image at half the size and ``D_3`` at a quarter, each with its condition; the
    coarsest has the largest field of view, the finest sees details. As published: 3 scales, each C64-C128-C256-C512 of
    70 px (2.77 million parameters for RGB pairs), instance normalization. The default ``receptive_field`` is the
    largest, up to 70 px, that leaves a logit at the coarsest scale of training images of ``size`` (height, width).

    Raises ``TranslateError`` if the images are too small for the scales.
    """

    def __init__(
        self,
        inputs: int,
        condition: int = 0,
        size: tuple[int, int] | None = None,
        *,
        scales: Annotated[int, Option("number of discriminators, each at half the size of the last", ge=1, le=6)] = 3,
        receptive_field: Annotated[
            Field | None,
            Option("receptive field: side of a patch in pixels of its scale; none: 70, or 16 for small images"),
        ] = None,
        width: Annotated[int, Option("channels of the first map; deeper ones have up to 8 times as many", ge=1)] = 64,
        norm: Annotated[Norm, Option("normalization")] = "instance",
        spectral: Annotated[bool, Option("spectral normalization of the weights")] = False,
    ) -> None:
        super().__init__()
        side = None if size is None else coarsest_side(size, scales)
        if receptive_field is None:
            receptive_field = 70 if side is None or side >= smallest_side(70) else 16
        if size is not None and side is not None and side < smallest_side(receptive_field):
            fitting = [f"receptive_field={field}" for field in STRIDED if side >= smallest_side(field)]
            enough = smallest_side(receptive_field)
            fitting += [f"scales={n}" for n in range(scales - 1, 0, -1) if coarsest_side(size, n) >= enough][:1]
            raise TranslateError(
                f"images of {size[0]}x{size[1]} have a side of {side} px at scale {scales} of multiscale, which needs "
                f"{enough} px there with receptive_field={receptive_field}; "
                f"choose {', '.join([*fitting, 'or larger images']) if fitting else 'larger images'}"
            )
        self.condition = condition
        self.scales = nn.ModuleList(
            Patch(inputs, condition, receptive_field=receptive_field, width=width, norm=norm, spectral=spectral)
            for _ in range(scales)
        )

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Discriminate (N, inputs, H, W), concatenated with a condition (N, condition, H, W) if built for one.

        ``logits`` holds a map (N, 1, h, w) for each scale, finest first; ``features`` the activations of all scales.
        """
        check_condition(condition, self.condition, "multiscale")
        logits: list[Tensor] = []
        features: list[Tensor] = []
        for number, discriminator in enumerate(self.scales):
            if number:
                image, condition = halve(image), None if condition is None else halve(condition)
            output: DiscriminatorOutput = discriminator(image, condition)
            logits.extend(output.logits)
            features.extend(output.features)
        return DiscriminatorOutput(logits=tuple(logits), features=tuple(features))


def halve(image: Tensor) -> Tensor:
    """Average pooling (3x3, stride 2) of (N, C, H, W) to half the size, rounded up; padding is not counted.

    >>> import torch
    >>> halve(torch.arange(25.0).reshape(1, 1, 5, 5))[0, 0, :, 0]
    tensor([ 3.0000, 10.5000, 18.0000])
    """
    return F.avg_pool2d(image, 3, 2, 1, count_include_pad=False)


def coarsest_side(size: tuple[int, int], scales: int) -> int:
    """The shorter side in pixels at the last of ``scales`` scales.

    >>> coarsest_side((256, 512), 3), coarsest_side((33, 40), 3)
    (64, 9)
    """
    side = min(size)
    for _ in range(scales - 1):
        side = -(-side // 2)
    return side
