"""Inception-v3 as the Frechet inception distance uses it: the network of 2015 with 1,008 classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from translate.errors import TranslateError
from translate.options import Option
from translate.precision import to_float32
from translate.weights import read_weights
from translate_features.resizing import RESIZES, Resize

SIDE = 299
"""Side in pixels of the images that the network takes."""

CLASSES = 1008
"""Classes of the network of 2015; later ones of the same layers have 1,000 and other features."""

FEATURES = 2048

EPSILON = 1e-3
"""What the batch normalizations add to the variance."""

WHOSE = (
    "FID's Inception-v3; give pt_inception-2015-12-05-6726825d.pth, or its tensors as .safetensors: torchvision's "
    "inception_v3 of 1,000 classes is another network"
)

LAST = {
    "pool1": "maxpool1",
    "pool2": "maxpool2",
    "mixed_6e": "Mixed_6e",
    "pool3": "avgpool",
    "logits": "fc",
}
"""The module whose answer each layer is."""


@dataclass(frozen=True, slots=True)
class Step:
    """A convolution of a path: its name, its output channels, its kernel (height, width), its stride and padding."""

    name: str
    outputs: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    pads: bool = True


class Normalization(nn.Module):
    """Batch normalization by stored statistics."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (N, C, H, W)."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=EPSILON)


class Convolution(nn.Module):
    """A convolution without bias, normalization and ReLU."""

    def __init__(self, inputs: int, step: Step) -> None:
        super().__init__()
        height, width = step.kernel
        padding = (height // 2, width // 2) if step.pads else 0
        self.conv = nn.Conv2d(inputs, step.outputs, step.kernel, step.stride, padding, bias=False)
        self.bn = Normalization(step.outputs)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, h, w)."""
        answer: Tensor = self.bn(self.conv(x)).relu()
        return answer


class Mixed(nn.Module):
    """Parallel paths of convolutions, and of a pooling, concatenated.

    A path is a sequence of steps; where the last is a pair, both of it see what comes before, side by side. The
    pooling is 3 x 3: an ``average`` that leaves out the padding, or the ``largest`` value, of ``stride``; ``outputs``
    are the channels of the 1 x 1 convolution behind it, 0 for none.
    """

    def __init__(
        self,
        inputs: int,
        paths: Sequence[Sequence[Step | tuple[Step, Step]]],
        *,
        pooling: Literal["average", "largest"] = "average",
        outputs: int = 0,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self._paths: list[list[tuple[str, ...]]] = []
        self.outputs = outputs or inputs
        for path in paths:
            channels, names = inputs, []
            for given in path:
                steps = given if isinstance(given, tuple) else (given,)
                for step in steps:
                    self.add_module(step.name, Convolution(channels, step))
                channels = sum(step.outputs for step in steps)
                names.append(tuple(step.name for step in steps))
            self._paths.append(names)
            self.outputs += channels
        self._average, self._stride = pooling == "average", stride
        if outputs:
            self.branch_pool = Convolution(inputs, Step("branch_pool", outputs))
        self._convolves = bool(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, h, w)."""
        found = []
        for path in self._paths:
            answers = [x]
            for names in path:
                answers = [self.get_submodule(name)(answers[0]) for name in names]
            found += answers
        return torch.cat([*found, self._pooled(x)], dim=1)

    def _pooled(self, x: Tensor) -> Tensor:
        if self._average:
            pooled = F.avg_pool2d(x, 3, 1, padding=1, count_include_pad=False)
        else:
            pooled = F.max_pool2d(x, 3, self._stride, padding=1 if self._stride == 1 else 0)
        return self.branch_pool(pooled) if self._convolves else pooled


class Inception(nn.Module):
    """Inception-v3 (Szegedy et al. 2015, arXiv:1512.00567) as FID uses it (arXiv:1706.08500), up to a chosen layer.

    ``pool3`` is the mean of the last map, (N, 2048), by which FID is defined; ``logits`` are those of 1,008 classes,
    (N, 1008). The others are maps: ``pool1`` (N, 64, 73, 73), ``pool2`` (N, 192, 35, 35), ``mixed_6e``
    (N, 768, 17, 17). Images are RGB, or gray and repeated to RGB, and resized to 299 px. ``clean`` is the resizing of
    clean-fid (arXiv:2104.11222), the antialiased bicubic one of Pillow on floats; ``legacy_pytorch`` and
    ``legacy_tensorflow`` are the bilinear ones of earlier programs, which skip pixels. ``quantize`` rounds the values
    to 8 bits before that, as image files hold them; the gradient passes it by.

    The network is that of the graph of 2015: average pooling leaves the padding out, the last block pools by the
    largest value, and values x from 0 to 255 go in as ``x / 128 - 1``, with ``legacy_pytorch`` as ``x / 127.5 - 1``.
    Weights have the names of ``pt_inception-2015-12-05-6726825d.pth``; those of layers beyond the chosen one are
    ignored, but the head must be there, since it tells this network from others of the same layers.

    >>> network = Inception(3, weights=None, layer="pool2")
    >>> sum(weight.numel() for weight in network.parameters())
    172672
    """

    resizes = True

    def __init__(
        self,
        inputs: int,
        size: tuple[int, int] | None = None,
        shrunk: int = 1,
        *,
        weights: Annotated[Path | None, Option("file of weights, .pth or .safetensors; none: random weights")],
        layer: Annotated[
            Literal["pool1", "pool2", "mixed_6e", "pool3", "logits"], Option("layer whose answer is the output")
        ] = "pool3",
        resize: Annotated[Resize, Option("how images are resized to 299 px")] = "clean",
        quantize: Annotated[bool, Option("round values to 8 bits first, as image files hold them")] = False,
    ) -> None:
        """``shrunk`` divides the numbers of channels, for tests."""
        super().__init__()
        if inputs not in (1, 3):
            raise TranslateError(
                f"inception takes RGB or gray images, not images of {inputs} channels; name the run of a classifier "
                "that was trained on such images instead"
            )
        self._resize, self._quantize, self._head = RESIZES[resize], quantize, (CLASSES, FEATURES // shrunk)
        self._middle = 127.5 if resize == "legacy_pytorch" else 128.0
        for name, module in _layers(shrunk).items():
            self.add_module(name, module)
            if name == LAST[layer]:
                break

    def forward(self, image: Tensor) -> Tensor:
        """The layer's answer to images (N, 1 or 3, H, W) in [-1, 1]."""
        values = (to_float32(image) + 1) * 127.5
        if self._quantize:
            # The gradient is that of the values as they were.
            values = values + (values.detach().round().clamp(0, 255) - values.detach())
        # One image at a time, since a batch of large ones would take much memory.
        resized = torch.stack([self._resize(each, SIDE) for each in values])
        answer = ((resized - self._middle) / self._middle).expand(-1, 3, -1, -1)
        for module in self.children():
            answer = module(answer)
        return answer

    def read(self, weights: Path) -> None:
        """Load the weights from a ``.pth`` or ``.safetensors`` file with the published names."""
        read_weights(self, weights, WHOSE, also={"fc.weight": self._head})


class _Mean(nn.Module):
    """The mean over all positions."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C)."""
        return x.mean((2, 3))


def _layers(shrunk: int) -> Mapping[str, nn.Module]:
    """All layers in order, under their published names; those of poolings have no tensors."""

    def of(name: str, outputs: int, kernel: tuple[int, int] = (1, 1), *, stride: int = 1, pads: bool = True) -> Step:
        return Step(name, outputs // shrunk, kernel, stride, pads)

    found: dict[str, nn.Module] = {}
    channels = 3

    def add(name: str, module: nn.Module, outputs: int) -> None:
        nonlocal channels
        found[name], channels = module, outputs

    def convolve(step: Step) -> None:
        add(step.name, Convolution(channels, step), step.outputs)

    def mix(name: str, *paths: Sequence[Step | tuple[Step, Step]], **pooling: Any) -> None:
        block = Mixed(channels, paths, **pooling)
        add(name, block, block.outputs)

    square, row, column = (3, 3), (1, 7), (7, 1)
    convolve(of("Conv2d_1a_3x3", 32, square, stride=2, pads=False))
    convolve(of("Conv2d_2a_3x3", 32, square, pads=False))
    convolve(of("Conv2d_2b_3x3", 64, square))
    add("maxpool1", nn.MaxPool2d(3, 2), channels)
    convolve(of("Conv2d_3b_1x1", 80))
    convolve(of("Conv2d_4a_3x3", 192, square, pads=False))
    add("maxpool2", nn.MaxPool2d(3, 2), channels)
    for name, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
        mix(
            name,
            [of("branch1x1", 64)],
            [of("branch5x5_1", 48), of("branch5x5_2", 64, (5, 5))],
            [of("branch3x3dbl_1", 64), of("branch3x3dbl_2", 96, square), of("branch3x3dbl_3", 96, square)],
            outputs=pooled // shrunk,
        )
    mix(
        "Mixed_6a",
        [of("branch3x3", 384, square, stride=2, pads=False)],
        [
            of("branch3x3dbl_1", 64),
            of("branch3x3dbl_2", 96, square),
            of("branch3x3dbl_3", 96, square, stride=2, pads=False),
        ],
        pooling="largest",
        stride=2,
    )
    for name, inner in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
        mix(
            name,
            [of("branch1x1", 192)],
            [of("branch7x7_1", inner), of("branch7x7_2", inner, row), of("branch7x7_3", 192, column)],
            [
                of("branch7x7dbl_1", inner),
                of("branch7x7dbl_2", inner, column),
                of("branch7x7dbl_3", inner, row),
                of("branch7x7dbl_4", inner, column),
                of("branch7x7dbl_5", 192, row),
            ],
            outputs=192 // shrunk,
        )
    mix(
        "Mixed_7a",
        [of("branch3x3_1", 192), of("branch3x3_2", 320, square, stride=2, pads=False)],
        [
            of("branch7x7x3_1", 192),
            of("branch7x7x3_2", 192, row),
            of("branch7x7x3_3", 192, column),
            of("branch7x7x3_4", 192, square, stride=2, pads=False),
        ],
        pooling="largest",
        stride=2,
    )
    for name in ("Mixed_7b", "Mixed_7c"):
        mix(
            name,
            [of("branch1x1", 320)],
            [of("branch3x3_1", 384), (of("branch3x3_2a", 384, (1, 3)), of("branch3x3_2b", 384, (3, 1)))],
            [
                of("branch3x3dbl_1", 448),
                of("branch3x3dbl_2", 384, square),
                (of("branch3x3dbl_3a", 384, (1, 3)), of("branch3x3dbl_3b", 384, (3, 1))),
            ],
            # The graph of 2015 pools its last block by the largest value, which no paper says.
            pooling="largest" if name == "Mixed_7c" else "average",
            outputs=192 // shrunk,
        )
    add("avgpool", _Mean(), channels)
    add("fc", nn.Linear(channels, CLASSES), CLASSES)
    return found
