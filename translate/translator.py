"""Translator: a trained image-to-image network, loaded from one file that needs no flags and no other file."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from translate import images
from translate.compute import PassBytes, algorithms, convolve_fast, lay_out
from translate.data import Depth, Domain
from translate.derived import tensors_of
from translate.devices import pick_device
from translate.directions import domains_of
from translate.draws import seeded_draws
from translate.errors import TranslateError, UnfitError, nearest
from translate.large import InParts
from translate.method import Method, Parts
from translate.parts import SavedMethod, build, metadata_of
from translate.paths import expanded, quoted
from translate.plugins import Catalog, discover
from translate.programs import ProgramNetwork, is_program, open_program, refuse_other
from translate.reshaping import padded, resized
from translate.runtime import Precision, Runtime, Seen, copy_sharing_weights
from translate.sizes import Size
from translate.traits import Traits

if TYPE_CHECKING:
    import PIL.Image

    Picture = TypeVar("Picture", Tensor, NDArray[Any], PIL.Image.Image)

ROUNDING = 0.01
"""How far a float tensor may leave [-1, 1] before it is told: resizing and bf16 round by less."""

COUNTED = (128, 512)
"""The least sides of the images whose passes are counted for ``bytes_for``."""

__all__ = ["Translator", "load"]


class Translator:
    """Turns images of one domain into images of another.

    ``source`` and ``target`` are the domains of the chosen ``direction``; ``size`` is the training size. Images may
    have any size: they are padded to a multiple of ``size_multiple``, and the outputs are cropped back. For a network
    with a ``fixed_size``, they are resized to it and back.
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
        self._counted: PassBytes | None = None
        self._parts: dict[str, InParts] = {}
        self._runtime: Runtime | None = None
        self.runtime_name = runtime
        if runtime:
            self._build_runtime(runtime)
        elif precision == "int8":
            raise TranslateError("torch alone does not compute networks in int8; add --runtime openvino")
        else:
            half = precision == "bf16"
            lay_out(self.network, "mixed" if device.type == "cpu" else "channels_last" if half else "contiguous")
            if device.type == "cpu":
                convolve_fast(self.network)

    def __repr__(self) -> str:
        height, width = self.size
        kinds = f"{_kind(self.source)} -> {_kind(self.target)}"
        return (
            f"<Translator {self.direction}: {kinds}, trained at {height}x{width}, on {self.device} in {self.precision}>"
        )

    @property
    def needs_calibration(self) -> bool:
        """Whether ``calibrate`` must be called before it can translate, as for int8."""
        return self._runtime is not None and self._runtime.needs_calibration

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Calibrate the runtime, if any, on representative images (N, C, H, W) in [-1, 1]."""
        if (runtime := self._current_runtime()) is not None:
            runtime.calibrate(self._prepare(batch) for batch in batches)

    def replicate(self) -> Translator | None:
        """A replica that shares the weights, for use in another thread; None if only one thread may translate.

        State that a network keeps between calls is not shared, so threads do not disturb each other.
        """
        if self.device.type != "cpu" or self._runtime is not None:
            # Runtimes use all cores themselves, and just as well.
            return None
        other = copy.copy(self)
        try:
            other.network = copy_sharing_weights(self.network, *algorithms(self.network))
        except TypeError:
            # The network holds something that cannot be copied.
            return None
        return other

    @torch.inference_mode()
    def translate(self, batch: Tensor, *, samples: int | None = None, seed: int = 0) -> Tensor:
        """Translate (N, C, H, W) in [-1, 1] to (N, C', H, W) in float32 on the translator's device.

        A network with the trait ``takes_float64`` answers float64 in float64. With ``samples``, the network's noise is
        drawn from ``seed`` that many times for each image, and the output is (N * samples, C', H, W). Without
        ``samples``, the output is deterministic.
        """
        height, width = batch.shape[-2:]
        output = self._forward(self._prepare(batch), samples, seed)
        if self.fixed_size is not None:
            return resized(output.float(), (height, width))
        return output[..., :height, :width].to(self._type_for(batch))

    @property
    def in_parts(self) -> InParts | None:
        """Its network for images that are too large for one pass; None with a runtime or a fixed size.

        Replicas share it.
        """
        if self._runtime is not None or self.fixed_size is not None:
            return None
        made = InParts(
            self.network,
            channels=self.source.channels,
            multiple=self.size_multiple,
            device=self.device,
            half=self.precision == "bf16",
            bytes_for=self.bytes_for,
        )
        return self._parts.setdefault("", made)

    def bytes_for(self, size: Size) -> int:
        """About how much memory on the device the translation of one image (height, width) takes, from above.

        It is taken from two passes of a replica of the network, which are counted at the first call.
        """
        if isinstance(self.network, ProgramNetwork):
            return self.network.program.bytes_for(size)
        if self._counted is None:
            self._counted = self._count_passes()
        height, width = (side + -side % self.size_multiple for side in self.fixed_size or size)
        outside = 16 * size[0] * size[1] * max(self.source.channels, self.target.channels) if self.fixed_size else 0
        # Convolutions that are computed with fewer multiplications keep weights of up to four times the size.
        fast = [each for each in self.network.modules() if getattr(each, "kernel_size", None) == (3, 3)]
        transformed = 4 * sum(weight.nbytes for each in fast for weight in each.parameters(recurse=False))
        return self._counted.at(height * width) + transformed + outside

    def _count_passes(self) -> PassBytes:
        sides = [-(-side // self.size_multiple) * self.size_multiple for side in COUNTED]
        sizes = [(side, side) for side in sides] if self.fixed_size is None else [self.fixed_size]

        def compute(height: int, width: int) -> Tensor:
            image = torch.zeros(1, self.source.channels, height, width, device=self.device)
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
                output: Tensor = network(image)
                return output.float()

        try:
            # A stateful network stays as it was, and noise is drawn from a generator of its own.
            network = copy_sharing_weights(self.network, *algorithms(self.network))
            with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
                return PassBytes.count(compute, *sizes)
        except Exception:  # a network that cannot be copied, or that fails for an image too and says why there
            return PassBytes((1, 0), (1, 0))

    def _build_runtime(self, runtime: str) -> Runtime:
        """Build a runtime from the network's current weights."""
        built: Runtime = build(
            self.catalog, "runtimes", runtime, network=self.network, precision=self.precision, device=self.device
        )
        self._runtime, self._unchanged = built, Seen(self._tensors())
        return built

    def _current_runtime(self) -> Runtime | None:
        """The runtime, if any; it is rebuilt if the weights have changed since it was built."""
        if self._runtime is None or self._unchanged(self._tensors()):
            return self._runtime
        with torch.inference_mode(False), torch.no_grad():
            return self._build_runtime(self.runtime_name)

    def _tensors(self) -> Iterator[Tensor]:
        yield from self.network.parameters()
        yield from self.network.buffers()

    def _prepare(self, batch: Tensor) -> Tensor:
        """Move images to the device and pad or resize them to a size that the network takes."""
        given = batch.to(self.device, self._type_for(batch))
        return padded(given, self.size_multiple) if self.fixed_size is None else resized(given, self.fixed_size)

    def _type_for(self, batch: Tensor) -> torch.dtype:
        exact = batch.dtype == torch.float64 and Traits(self.network).takes_float64 and self._runtime is None
        return torch.float64 if exact and self.device.type != "mps" else torch.float32

    def _forward(self, batch: Tensor, samples: int | None, seed: int) -> Tensor:
        """The network's outputs, computed by torch or by the runtime."""
        if (runtime := self._current_runtime()) is not None:
            if samples is not None:
                raise UnfitError("samples are drawn by torch alone; leave out --samples or --runtime")
            return runtime(batch)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            output: Tensor
            if samples is None:
                output = self.network(batch)
                return output
            try:
                with seeded_draws(seed):
                    output = self.network(batch, samples=samples)
            except TypeError as error:
                if "samples" not in str(error):
                    raise
                raise UnfitError("this translator draws no noise, so it has one answer; leave out --samples") from None
            return output

    def __call__(self, picture: Picture, *, samples: int | None = None, seed: int = 0) -> Picture:
        """Translate a tensor, an array or a PIL image; the result has the same type.

        Float tensors are (N, C, H, W) or (C, H, W) in [-1, 1], and uint8 or uint16 ones hold what files store. Arrays
        are (H, W), (H, W, C) or (N, H, W, C) as files store them: uint8, uint16 or floats in the domain's range. A PIL
        image of any mode is read as its file is (``translate.images.load``), and keeps its alpha. With ``samples`` the
        result is a batch; for a PIL image, it is the first sample.
        """
        if isinstance(picture, Tensor):
            batch = picture[None] if picture.dim() == 3 else picture
            answer = self._tensor(batch, samples, seed)
            return answer[0] if picture.dim() == 3 and samples is None else answer
        if isinstance(picture, np.ndarray):
            return self._array(picture, samples, seed)
        import PIL.Image

        if isinstance(picture, PIL.Image.Image):
            return self._picture(picture, samples, seed)
        raise TranslateError(f"a translator takes a tensor, an array or a PIL image, not a {type(picture).__name__}")

    def _tensor(self, batch: Tensor, samples: int | None, seed: int) -> Tensor:
        """Translate (N, C, H, W): floats in [-1, 1], or stored integers, whose result is stored integers too."""
        planes = batch.shape[1] if batch.dim() == 4 else 0
        stored = batch.dtype in (torch.uint8, torch.uint16)
        wanted = 1 if stored and self.source.classes else self.source.channels
        if planes != wanted or not batch.numel():
            raise TranslateError(
                f"a tensor of the shape {tuple(batch.shape)} does not fit; this translator takes (N, {wanted}, H, W)"
            )
        if stored:
            depth: Depth = "uint8" if batch.dtype == torch.uint8 else "uint16"
            return self._stored(batch.to(self.device), depth, samples, seed)
        if not batch.is_floating_point():
            raise TranslateError(
                f"a tensor of {str(batch.dtype).removeprefix('torch.')} is no image; "
                "give floats in [-1, 1], or uint8 or uint16 as files store them"
            )
        low, high = (float(value) for value in batch.aminmax())
        if not (low >= -1 - ROUNDING and high <= 1 + ROUNDING) and not Traits(self.network).unbounded:
            warnings.warn(
                f"a float tensor for a translator holds values in [-1, 1], but this one goes from {low:.4g} to "
                f"{high:.4g}; give uint8 or uint16 tensors for values as files store them",
                stacklevel=3,
            )
        return self.translate(batch, samples=samples, seed=seed)

    def _stored(self, stored: Tensor, depth: Depth, samples: int | None, seed: int) -> Tensor:
        """Translate stored values (N, C, H, W), or class indices (N, 1, H, W), to stored values of that depth."""
        domain = self.source if self.source.classes else self.source.at(depth)
        if self.source.classes and (largest := int(stored.long().max())) >= self.source.classes:
            raise TranslateError(
                f"class indices of this translator go from 0 to {self.source.classes - 1}, but these hold {largest}"
            )
        answer = self.translate(images.normalize(stored, domain), samples=samples, seed=seed)
        return images.to_stored(answer, self.target, "uint8" if self.source.classes else depth)

    def _array(self, array: NDArray[Any], samples: int | None, seed: int) -> NDArray[Any]:
        stack = array if array.ndim == 4 else array[None]
        if array.dtype.kind in "iu" and array.dtype not in (np.uint8, np.uint16) and not self.source.classes:
            raise TranslateError(
                f"the array holds values of type {array.dtype}; give it as uint8 or uint16, as files store them, or as "
                "floats in the domain's range"
            )
        if self.source.classes:
            rows = [images.load_indices(row)[..., None] for row in stack]
        else:
            rows = [images.as_channels(images.load(row).pixels, self.source.channels, "the array") for row in stack]
        if not rows:
            raise TranslateError("the array holds no images")
        stored = torch.from_numpy(np.ascontiguousarray(np.stack(rows).transpose(0, 3, 1, 2)))
        result = self._stored(stored, str(rows[0].dtype), samples, seed)  # type: ignore[arg-type]
        pixels: NDArray[Any] = result.permute(0, 2, 3, 1).cpu().numpy()
        return pixels if array.ndim == 4 or samples is not None else pixels[0]

    def _picture(self, picture: PIL.Image.Image, samples: int | None, seed: int) -> PIL.Image.Image:
        """Translate a PIL image; Pillow holds 16 bits and floats of one plane only, so others become 8 bits."""
        import PIL.Image

        read = None if self.source.classes else images.load(picture)
        pixels = images.load_indices(picture) if read is None else read.pixels
        answer = self._array(pixels, samples, seed)
        answer = answer[0] if samples is not None else answer
        target = self.target
        if answer.shape[-1] not in (1, 3):
            raise TranslateError(
                f"a PIL image cannot hold {answer.shape[-1]} channels; give this translator an array or a tensor"
            )
        alpha = None if read is None or target.classes else read.alpha
        if answer.shape[-1] == 3 or alpha is not None:
            answer = images.as_depth(answer, "uint8", target.low, target.high)
        if alpha is not None:
            answer = np.concatenate([answer, images.as_depth(alpha[..., None], "uint8")], axis=2)
        return PIL.Image.fromarray(np.ascontiguousarray(answer[..., 0] if answer.shape[-1] == 1 else answer))


def _kind(domain: Domain) -> str:
    """The images of a domain in a few words."""
    if domain.classes:
        return f"{domain.classes} classes"
    channels = {1: "gray", 3: "RGB"}.get(domain.channels, f"{domain.channels} channels")
    return channels if domain.depth == "uint8" else f"{channels} {domain.depth}"


def contents(
    method: Method,
    *,
    name: str,
    options: Mapping[str, Any],
    parts: Parts,
    plugin: Any,
    step: int = 0,
    notes: Mapping[str, str | None] | None = None,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and metadata of ``translator.safetensors``: a method's trained networks and how to rebuild them.

    ``notes`` are its licence and its description, by name.
    """
    metadata = metadata_of(method, name=name, options=options, parts=parts, plugin=plugin, step=step)
    metadata.update({name: text for name, text in (notes or {}).items() if text})
    return tensors_of(method), metadata


def load(
    path: str | Path,
    *,
    step: int | None = None,
    direction: str | None = None,
    device: str = "auto",
    precision: Precision = "float32",
    runtime: str = "",
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
    range: str = "",  # noqa: A002 - the command line's word
    layout: str = "",
) -> Translator:
    """Load a translator from a run's folder, its ``translator.safetensors``, one of its checkpoints, or an ONNX file.

    ``step`` chooses a checkpoint of a run's folder; without it, the last weights are taken. ``direction`` chooses one
    of the run's translators, by default the first. ``runtime`` names an inference runtime to use instead of torch, such
    as ``openvino``; in int8 call ``calibrate`` on some images first. ``plugins`` are files or modules of plugins that
    are not installed; ``no_plugins`` names plugins to block.

    An ``.onnx`` file is run by onnxruntime on the CPU. ``range`` (-1..1, 0..1 or 0..255, or two as INPUT,OUTPUT) and
    ``layout`` (NCHW or NHWC) are for such files that do not tell them; what is found out is told, and noted beside it.
    """
    catalog = discover(extra=plugins, blocked=no_plugins)
    if is_program(path):
        others = {"step": step, "runtime": runtime, "precision": precision}
        program = open_program(
            expanded(path), direction=direction, device=device, others=others, limits=range, layout=layout
        )
        return Translator(ProgramNetwork(program), catalog=catalog, device=pick_device("cpu"), **program.described)
    refuse_other(path)
    if range or layout:
        raise TranslateError(f"{path} says itself which range and layout it has; leave out --range and --layout")
    saved = SavedMethod.open(path, catalog, step)
    directions = saved.directions("translator")
    if not directions:
        verb = "sample" if saved.directions("sampler") else "classify"
        raise TranslateError(f"{path} does not turn images into images; use `translate {verb} {quoted(path)}`")
    chosen = direction or directions[0]
    if chosen not in directions:
        raise TranslateError(f"{path} has no direction {chosen!r}; {nearest(chosen, directions)}")
    source, target = domains_of(saved.metadata, chosen)
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
