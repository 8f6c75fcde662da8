"""A translator: what training leaves behind, in one file that needs no flags and no other file."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from translate import images
from translate.compute import algorithms, convolve_fast, lay_out
from translate.data import Depth, Domain
from translate.devices import pick_device
from translate.errors import TranslateError, UnfitError, nearest
from translate.method import Method, Parts
from translate.parts import SavedMethod, build, domain_of, metadata_of
from translate.plugins import Catalog, discover
from translate.runtime import Precision, Runtime, Seen, copy_sharing_weights
from translate.seeds import seed_step
from translate.sizes import Size
from translate.traits import Traits

if TYPE_CHECKING:
    import PIL.Image

    Picture = TypeVar("Picture", Tensor, NDArray[Any], PIL.Image.Image)

__all__ = [
    "Translator",
    "load",
]


class Translator:
    """Turns images of one domain into images of another.

    ``source`` and ``target`` are the domains of the chosen ``direction``; ``size`` is the training size. Images of
    any size are welcome: they are padded to a multiple of ``size_multiple`` and cropped back, or, for a network that
    knows only its ``fixed_size``, resized to it and back.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        catalog: Catalog,
        direction: str,
        directions: Sequence[str],
        source: Domain,
        target: Domain,
        size: Size,
        device: torch.device,
        precision: Precision = "float32",
        runtime: str = "",
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.catalog = catalog
        self.direction = direction
        self.directions = tuple(directions)
        self.source = source
        self.target = target
        self.size = size
        traits = Traits(network)
        self.size_multiple = traits.size_multiple
        self.fixed_size = traits.fixed_size
        self.device = device
        self.precision = precision
        self._runtime: Runtime | None = None
        self._asked = runtime
        if runtime:
            self._run_by(runtime)
        elif precision == "int8":
            raise TranslateError("torch alone does not compute networks in int8; add --runtime openvino")
        else:
            half = precision == "bf16"
            lay_out(self.network, "mixed" if device.type == "cpu" else "channels_last" if half else "contiguous")
            if device.type == "cpu":
                convolve_fast(self.network)

    @property
    def needs_calibration(self) -> bool:
        """Whether it must see some images before it can translate, see ``calibrate``."""
        return self._runtime is not None and self._runtime.needs_calibration

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Show images (N, C, H, W) in [-1, 1], as they will come, to a runtime that learns their range."""
        if (runtime := self._runtime_of_now()) is not None:
            runtime.calibrate(self._prepared(batch) for batch in batches)

    def replicate(self) -> Translator | None:
        """Another translator with the same weights, for a thread of its own; None where one thread is all there is.

        What a network keeps from its last image is not shared, so threads do not disturb each other.
        """
        if self.device.type != "cpu" or self._runtime is not None:
            # Runtimes share out the cores themselves, and as well.
            return None
        other = copy.copy(self)
        try:
            other.network = copy_sharing_weights(self.network, *algorithms(self.network))
        except TypeError:
            # It keeps something that cannot be copied.
            return None
        return other

    @torch.inference_mode()
    def translate(self, batch: Tensor, *, samples: int | None = None, seed: int = 0) -> Tensor:
        """Translate (N, C, H, W) in [-1, 1] to (N, C', H, W) in float32 on the translator's device.

        With ``samples`` the network's noise is drawn from ``seed`` that many times for each image, and the answer is
        (N * samples, C', H, W). Without, the answer is always the same.
        """
        height, width = batch.shape[-2:]
        answer = self._answered(self._prepared(batch), samples, seed)
        if self.fixed_size is not None:
            return _resize(answer.float(), (height, width))
        return answer[..., :height, :width].float()

    def _run_by(self, runtime: str) -> Runtime:
        """Hand the network, as it is now, to a runtime."""
        found: Runtime = build(
            self.catalog, "runtimes", runtime, network=self.network, precision=self.precision, device=self.device
        )
        self._runtime, self._seen = found, Seen(self._tensors())
        return found

    def _runtime_of_now(self) -> Runtime | None:
        """The runtime, if there is one; anew where the weights are no longer those of which it has prepared things."""
        if self._runtime is None or self._seen(self._tensors()):
            return self._runtime
        with torch.inference_mode(False), torch.no_grad():
            return self._run_by(self._asked)

    def _tensors(self) -> Iterator[Tensor]:
        yield from self.network.parameters()
        yield from self.network.buffers()

    def _prepared(self, batch: Tensor) -> Tensor:
        """Images as the network takes them: on its device, padded, or of its size."""
        given = batch.to(self.device, torch.float32)
        return _pad(given, self.size_multiple) if self.fixed_size is None else _resize(given, self.fixed_size)

    def _answered(self, batch: Tensor, samples: int | None, seed: int) -> Tensor:
        """The network's answers, by torch or by what runs it in its place."""
        if (runtime := self._runtime_of_now()) is not None:
            if samples is not None:
                raise UnfitError("samples are drawn by torch alone; leave out --samples or --runtime")
            return runtime(batch)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            answer: Tensor
            if samples is None:
                answer = self.network(batch)
                return answer
            seed_step(seed, 0)
            try:
                answer = self.network(batch, samples=samples)
            except TypeError as error:
                if "samples" not in str(error):
                    raise
                raise UnfitError("this translator draws no noise, so it has one answer; leave out --samples") from None
            return answer

    def __call__(self, picture: Picture, *, samples: int | None = None, seed: int = 0) -> Picture:
        """Translate a tensor, an array or a PIL image; the answer is of the same kind.

        Tensors are (N, C, H, W) or (C, H, W) in [-1, 1]; arrays (H, W), (H, W, C) or (N, H, W, C) as files store
        them. With ``samples`` the answer is a batch; of a PIL image, the first sample.
        """
        if isinstance(picture, Tensor):
            batch = picture[None] if picture.dim() == 3 else picture
            answer = self.translate(batch, samples=samples, seed=seed)
            return answer[0] if picture.dim() == 3 and samples is None else answer
        if isinstance(picture, np.ndarray):
            return self._array(picture, samples, seed)
        import PIL.Image

        if isinstance(picture, PIL.Image.Image):
            indexed = self.source.classes > 0
            array = np.asarray(picture if indexed or picture.mode in ("L", "RGB") else picture.convert("RGB"))
            answer = self._array(array, samples, seed)
            answer = answer[0] if samples is not None else answer
            return PIL.Image.fromarray(answer[..., 0] if answer.shape[-1] == 1 else answer)
        raise TranslateError(f"a translator takes a tensor, an array or a PIL image, not a {type(picture).__name__}")

    def _array(self, array: NDArray[Any], samples: int | None, seed: int) -> NDArray[Any]:
        stack = array if array.ndim == 4 else array.reshape(1, *array.shape, *(1,) * (3 - array.ndim))
        wanted = 1 if self.source.classes else self.source.channels
        depth: Depth | None = next((each for each in get_args(Depth) if each == str(stack.dtype)), None)
        if depth is None:
            raise TranslateError(f"an array of {stack.dtype} is no image; give uint8, uint16 or float32")
        rows = np.stack([images.as_channels(row, wanted, "the array") for row in stack])
        stored = torch.from_numpy(np.ascontiguousarray(rows.transpose(0, 3, 1, 2)))
        domain = self.source if self.source.classes else _of_depth(self.source, depth)
        answer = self.translate(images.normalize(stored, domain), samples=samples, seed=seed)
        result = images.to_stored(answer, self.target, "uint8" if self.source.classes else depth)
        pixels: NDArray[Any] = result.permute(0, 2, 3, 1).cpu().numpy()
        return pixels if array.ndim == 4 or samples is not None else pixels[0]


def _of_depth(domain: Domain, depth: Depth) -> Domain:
    return replace(domain, depth=depth)


def _resize(batch: Tensor, size: Size) -> Tensor:
    """Resize (N, C, H, W); the mean over the area where it shrinks."""
    if batch.shape[-2:] == torch.Size(size):
        return batch
    return F.interpolate(batch, size, mode="bilinear", antialias=True)


def _pad(batch: Tensor, multiple: int) -> Tensor:
    """Pad (N, C, H, W) at the lower and right edge by reflection, as often as a small image needs it."""
    while True:
        height, width = batch.shape[-2:]
        down, right = -height % multiple, -width % multiple
        if not down and not right:
            return batch
        # Reflection reaches no further than the image; a side of one pixel can only be repeated.
        step = (0, min(right, max(width - 1, 1)), 0, min(down, max(height - 1, 1)))
        mode = "replicate" if min(height, width) == 1 else "reflect"
        batch = F.pad(batch, step, mode=mode)


def contents(
    method: Method, *, name: str, options: Mapping[str, Any], parts: Parts, plugin: Any
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What ``translator.safetensors`` holds: the tensors of all that the method keeps, and how to build it again."""
    tensors = {
        f"{direction}/{key}": value
        for direction, module in method.translators.items()
        for key, value in module.state_dict().items()
    }
    return tensors, metadata_of(method, name=name, options=options, parts=parts, plugin=plugin)


def load(
    path: str | Path,
    *,
    direction: str | None = None,
    device: str = "auto",
    precision: Precision = "float32",
    runtime: str = "",
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
) -> Translator:
    """Load a translator from a run's folder or from its ``translator.safetensors``.

    ``direction`` is needed only where a method trains several. ``runtime`` names what computes the network's answers in
    place of torch, such as ``openvino``; in int8 it must be shown some images first (``calibrate``). ``plugins`` are
    files or modules of plugins that are not installed, ``no_plugins`` names some to block.
    """
    catalog = discover(extra=plugins, blocked=no_plugins)
    saved = SavedMethod.open(path, catalog)
    directions = saved.directions("translator")
    if not directions:
        verb = "sample" if saved.directions("sampler") else "classify"
        raise TranslateError(f"{path} does not turn images into images; use `translate {verb} {path}`")
    chosen = direction or directions[0]
    if chosen not in directions:
        raise TranslateError(f"{path} has no direction {chosen!r}; {nearest(chosen, directions)}")
    source, target = domain_of(saved.metadata["source"]), domain_of(saved.metadata["target"])
    if chosen == "backward":
        source, target = target, source
    return Translator(
        saved.module(chosen),
        catalog=catalog,
        direction=chosen,
        directions=directions,
        source=source,
        target=target,
        size=saved.size,
        device=pick_device(device),
        precision=precision,
        runtime=runtime,
    )
