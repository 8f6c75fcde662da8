"""Large images: a network on an image that does not fit into memory, by the statistics of the whole image.

An image is translated by one of these algorithms, which the network and the image's size decide, never the memory that
happens to be free:

- ``whole``: the network takes the image as it is.
- ``strips``: layer by layer in strips of rows, with maps in temporary files. It takes networks whose operations are
  known (``graph``), and costs little more time than the whole.
- ``passes``: tiled passes that stop at each normalization in turn. It takes any network whose only global operations
  are normalizations, and costs a multiple of the whole's time.
- ``tile``: tiles with statistics of their own, only on request. It is another function than the whole's.

``strips`` and ``passes`` equal the whole up to rounding. Each is compared with the whole on a small image before its
first use, and a network for which it differs is refused.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from translate.errors import TranslateError
from translate.large.graph import UnknownOperationError
from translate.large.passes import Picture as Picture
from translate.large.passes import measure_halo, translate_tiles
from translate.large.passes import translate as translate_in_passes
from translate.large.strips import STRIP_BYTES, Strips
from translate.sizes import Size

Algorithm = Literal["whole", "strips", "passes", "tile"]
PartsAlgorithm = Literal["strips", "passes", "tile"]

TILE_BYTES = 3 * 2**29
"""About how many bytes a tile takes, unless its halo asks for more."""

WORKSPACE = 3
"""Bytes that strips take in all, as a factor of the bytes of their maps: convolutions need memory of their own."""

LEAST = 64
"""The least side of the images on which a network is tried."""


class InParts:
    """One network, computed in parts of an image.

    ``bytes_for(size)`` is about how much memory a pass over an image of a (height, width) takes. One thread at a time
    computes; the others wait.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        channels: int,
        multiple: int,
        device: torch.device,
        half: bool,
        bytes_for: Callable[[Size], int],
    ) -> None:
        self.network = network
        self._channels = channels
        self._multiple = multiple
        self._device = device
        self._half = half
        self._bytes_for = bytes_for
        self._lock = threading.RLock()
        self._halo: Size | None = None
        self._refused: dict[PartsAlgorithm, str | None] = {}
        self._chosen: dict[Size, PartsAlgorithm] = {}
        self._rows: dict[Size, int] = {}

    def algorithm(self, size: Size) -> PartsAlgorithm:
        """The algorithm for an image of a (height, width), a function of these and the network alone.

        Raises ``TranslateError`` with the reason, in half a sentence, if the network cannot be computed in parts.
        """
        size = self._padded(size)
        with self._lock:
            if size not in self._chosen:
                self._chosen[size] = self._choose(size)
            return self._chosen[size]

    def bytes_of(self, algorithm: PartsAlgorithm, size: Size) -> int:
        """About how many bytes an algorithm takes for an image of a (height, width), beside the image's pixels."""
        whole = self._bytes_for(size)
        if algorithm == "strips":
            return min(WORKSPACE * STRIP_BYTES, whole)
        with self._lock:
            inner, halo = self._tile()
            return min(self._bytes_for((inner + 2 * halo[0], inner + 2 * halo[1])), whole)

    def rows_of(self, algorithm: PartsAlgorithm, size: Size) -> int:
        """The most rows of an image of a (height, width) that an algorithm reads or writes at once."""
        height, width = self._padded(size)
        with self._lock:
            if algorithm == "strips":
                if (height, width) not in self._rows:
                    strips = Strips(self.network, self._channels, (height, width), self._device, self._half)
                    self._rows[height, width] = strips.most_rows
                return self._rows[height, width]
            inner, halo = self._tile()
            return min(height, inner + 2 * halo[0])

    @torch.inference_mode()
    def translate(self, picture: Picture, algorithm: PartsAlgorithm, before: Callable[[], None] = lambda: None) -> None:
        """Translate a picture whose sides are multiples of the network's ``size_multiple``.

        ``before`` is called first, while no other picture is translated.
        """
        with self._lock, torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._half):
            before()
            if algorithm == "strips":
                strips = Strips(self.network, self._channels, picture.size, self._device, self._half)
                strips.translate(picture)
                return
            inner, halo = self._tile()
            compute = translate_in_passes if algorithm == "passes" else translate_tiles
            compute(self.network, picture, inner=inner, halo=halo, multiple=self._multiple)

    def _padded(self, size: Size) -> Size:
        height, width = (side + -side % self._multiple for side in size)
        return height, width

    def _choose(self, size: Size) -> PartsAlgorithm:
        reason = self._tried("strips")
        if reason is None:
            try:
                strips = Strips(self.network, self._channels, size, self._device, self._half)
            except UnknownOperationError as error:
                reason = str(error)
            else:
                if strips.plan.least_bytes <= STRIP_BYTES:
                    self._rows[size] = strips.most_rows
                    return "strips"
                reason = "its rows are too wide"
        if self._tried("passes") is None:
            return "passes"
        raise TranslateError(reason)

    def _tried(self, algorithm: PartsAlgorithm) -> str | None:
        """Why an algorithm does not equal the whole on a small image; None if it does."""
        if algorithm not in self._refused:
            try:
                with torch.inference_mode(), torch.autocast(
                    self._device.type, dtype=torch.bfloat16, enabled=self._half
                ):  # fmt: skip
                    (self._try_strips if algorithm == "strips" else self._try_passes)()
                self._refused[algorithm] = None
            except TranslateError as error:
                self._refused[algorithm] = str(error)
            except RuntimeError as error:
                # What torch says of maps that the network does not expect.
                self._refused[algorithm] = f"it fails for parts ({' '.join(str(error).split())[:100]})"
        return self._refused[algorithm]

    def _try_strips(self) -> None:
        side = max(2, -(-LEAST // self._multiple)) * self._multiple
        size = (side, -(-LEAST // self._multiple) * self._multiple)
        trial = _Trial(self._channels, size, self._device)
        Strips(self.network, self._channels, size, self._device, self._half).translate(trial, count=5)
        trial.compare(self.network, self._half)

    def _try_passes(self) -> None:
        halo = self._measured()
        across = -(-LEAST // self._multiple) * self._multiple
        for along in (0, 1):
            inner = max(across, halo[along] + self._multiple)
            size = (2 * inner, across) if along == 0 else (across, 2 * inner)
            trial = _Trial(self._channels, size, self._device)
            translate_in_passes(self.network, trial, inner=inner, halo=halo, multiple=self._multiple)
            trial.compare(self.network, self._half)

    def _measured(self) -> Size:
        if self._halo is None:
            self._halo = measure_halo(self.network, self._channels, self._multiple, self._device)
        if self._halo is None:
            raise TranslateError("each pixel of its answer depends on the whole image")
        return self._halo

    def _tile(self) -> tuple[int, Size]:
        """How much is taken of a tile, each way, and its halo."""
        with torch.inference_mode(), torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._half):
            halo = self._measured()
        pixels = 2**20
        side = math.isqrt(int(TILE_BYTES * pixels / max(1, self._bytes_for((1024, 1024)))))
        inner = max(side - 2 * max(halo), max(halo) // 2, self._multiple)
        return -(-inner // self._multiple) * self._multiple, halo


class _Trial:
    """A small image of noise, translated in parts and as a whole."""

    def __init__(self, channels: int, size: Size, device: torch.device) -> None:
        self.size = size
        noise = torch.rand(1, channels, *size, generator=torch.Generator().manual_seed(0))
        self._source = noise.mul_(2).sub_(1).to(device)
        self._output: Tensor | None = None

    def read(self, rows: slice, columns: slice) -> Tensor:
        return self._source[..., rows, columns]

    def write(self, rows: slice, columns: slice, part: Tensor) -> None:
        if self._output is None:
            self._output = torch.full((1, part.shape[1], *self.size), torch.nan, device=part.device)
        self._output[..., rows, columns] = part

    def compare(self, network: Callable[[Tensor], Tensor], half: bool) -> None:
        """Raise ``TranslateError`` if the parts differ from the whole by more than rounding."""
        whole = network(self._source).float()
        assert self._output is not None
        error = float((whole - self._output).square().mean().sqrt())
        spread = float(whole.std())
        # Rounding lies below a thousandth in float32; another function, such as tiles' own statistics, at a tenth.
        if not error <= (0.05 if half else 1e-3) * spread + (0.02 if half else 1e-5):
            raise TranslateError("its answer in parts would not be that for the whole image")
