"""Translator: a trained image-to-image network, loaded from one file that needs no flags and no other file."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from translate import images
from translate.data import Depth, Domain
from translate.derived import tensors_of
from translate.devices import pick_device
from translate.directions import domains_of
from translate.errors import TranslateError, nearest
from translate.given import Given, Ready, fill_alpha, fitted, keep_known, read_given, seeds_of, stacked
from translate.inference import Inference, OfInference
from translate.large import InParts
from translate.method import Method, Parts
from translate.parts import SavedMethod, metadata_of
from translate.paths import expanded, quoted
from translate.plugins import Catalog, discover
from translate.programs import ProgramNetwork, is_program, open_program, refuse_other
from translate.reshaping import padded, resized
from translate.runtime import Precision
from translate.sizes import Size
from translate.taken import Taken, taken_by, taken_of
from translate.traits import Traits

if TYPE_CHECKING:
    import PIL.Image

    Picture = TypeVar("Picture", Tensor, NDArray[Any], PIL.Image.Image)

ROUNDING = 0.01
"""How far a float tensor may leave [-1, 1] before it is told: resizing and bf16 round by less."""

__all__ = ["Translator", "load"]


class Translator:
    """Turns images of one domain into images of another.

    ``source`` and ``target`` are the domains of the chosen ``direction``; ``size`` is the training size. Images may
    have any size: they are padded to a multiple of ``size_multiple``, and the outputs are cropped back. For a network
    with a ``fixed_size``, they are resized to it and back.
    """

    network = OfInference[nn.Module]()
    device = OfInference[torch.device]()
    precision = OfInference[Precision]()
    runtime_name = OfInference[str]()
    size_multiple = OfInference[int]()
    fixed_size = OfInference["Size | None"]()

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
        taken: Taken | None = None,
    ) -> None:
        self.taken = taken_by(network, domains={"source": source, "target": target}) if taken is None else taken
        self.catalog = catalog
        self.direction = direction
        self.directions = tuple(directions)
        self.source = source
        self.target = target
        self.size = size
        self.inference = Inference(
            network,
            taken=self.taken,
            catalog=catalog,
            channels=(source.channels, target.channels),
            size=size,
            device=device,
            precision=precision,
            runtime=runtime,
        )

    def __repr__(self) -> str:
        height, width = self.size
        kinds = f"{_kind(self.source)} -> {_kind(self.target)}"
        return (
            f"<Translator {self.direction}: {kinds}, trained at {height}x{width}, on {self.device} in {self.precision}>"
        )

    @property
    def needs_calibration(self) -> bool:
        """Whether ``calibrate`` must be called before it can translate, as for int8."""
        return self.inference.needs_calibration({})

    def calibrate(self, batches: Iterable[Tensor], options: Mapping[str, Any] | None = None) -> None:
        """Calibrate the runtime, if any, on representative images (N, C, H, W) in [-1, 1].

        What is found holds for translations with these ``options`` of the network.
        """
        self.inference.calibrate((self._prepare(batch) for batch in batches), options or {})

    def replicate(self) -> Translator | None:
        """A replica that shares the weights, for use in another thread; None if only one thread may translate.

        State that a network keeps between calls is not shared, so threads do not disturb each other.
        """
        inference = self.inference.replicate()
        if inference is None:
            return None
        other = copy.copy(self)
        other.inference = inference
        return other

    @torch.inference_mode()
    def translate(
        self,
        batch: Tensor,
        *,
        samples: int | None = None,
        seed: int | Sequence[int] = 0,
        given: Mapping[str, Any] | Ready | None = None,
    ) -> Tensor:
        """Translate (N, C, H, W) in [-1, 1] to (N, C', H, W) in float32 on the translator's device.

        A network with the trait ``takes_float64`` answers float64 in float64. With ``samples``, the network's noise is
        drawn from ``seed`` that many times for each image, and the output is (N * samples, C', H, W). Without
        ``samples``, the output is deterministic. An image's noise depends on its seed and the sample's number alone,
        not on the images beside it; ``seed`` is one for all, or one for each.

        ``given`` holds by name what the network takes beside its image (``taken`` says what): options, and inputs, for
        all images or as tensors with a row for each. Raises ``TranslateError`` for what does not fit.
        """
        height, width = batch.shape[-2:]
        if isinstance(given, Ready):
            ready = given
        else:
            ready = self.ready(self.read_given({} if given is None else given), len(batch), (height, width))
        own = batch.to(self.device, self._type_for(batch))
        tensors = fitted(ready.tensors, self.taken, self.size_multiple, self.fixed_size)
        seeds = seeds_of(seed, len(batch))
        output = self.inference.forward(self._prepare(own), Ready(ready.options, tensors), samples, seeds)
        cropped = output[..., :height, :width].to(own.dtype)
        made = cropped if self.fixed_size is None else resized(output.float(), (height, width))
        return keep_known(made, own, ready, self.taken)

    @property
    def in_parts(self) -> InParts | None:
        """Its network for images that are too large for one pass; None with a runtime or a fixed size.

        Replicas share it.
        """
        return self.inference.in_parts(Given(self.taken))

    def bytes_for(self, size: Size) -> int:
        """About how much memory on the device the translation of one image (height, width) takes, from above.

        It is taken from two passes of a replica of the network, which are counted at the first call.
        """
        return self.inference.bytes_for(size)

    @property
    def takes_noise(self) -> bool:
        """Whether every answer depends on noise, which is drawn from a seed for each image."""
        return bool(self.taken.noise) or self.inference.draws

    def needs_calibration_for(self, options: Mapping[str, Any]) -> bool:
        """Whether ``calibrate`` must be called before it can translate with these options of the network."""
        return self.inference.needs_calibration(options)

    def read_given(
        self, given: Mapping[str, Any], *, max_pixels: int = images.MAX_PIXELS, elsewhere: Collection[str] = ()
    ) -> Given:
        """Hold what is given by name against what the network takes, before any image is translated.

        Inputs that come from ``elsewhere`` may be missing. Raises ``TranslateError`` for what does not fit, and
        ``UnfitError`` for what a runtime cannot take.
        """
        if not given and not self.taken:
            return Given()
        where = f"the translator {self.direction}"
        found = read_given(given, self.taken, where, size=self.size, max_pixels=max_pixels, elsewhere=elsewhere)
        self.inference.refuse_unfit(found.names)
        return found

    def ready(self, given: Given, count: int, size: Size) -> Ready:
        """What is given for a batch of so many images of a (height, width), as ``translate`` takes it."""
        rows = given.rows(count, size, f"the translator {self.direction}")
        return Ready(given.options, stacked(rows, self.taken, self.device))

    def _prepare(self, batch: Tensor) -> Tensor:
        """Move images to the device and pad or resize them to a size that the network takes."""
        given = batch.to(self.device, self._type_for(batch))
        return padded(given, self.size_multiple) if self.fixed_size is None else resized(given, self.fixed_size)

    def _type_for(self, batch: Tensor) -> torch.dtype:
        exact = batch.dtype == torch.float64 and Traits(self.network).takes_float64 and not self.runtime_name
        return torch.float64 if exact and self.device.type != "mps" else torch.float32

    def __call__(
        self,
        picture: Picture,
        *,
        samples: int | None = None,
        seed: int | Sequence[int] = 0,
        given: Mapping[str, Any] | None = None,
    ) -> Picture:
        """Translate a tensor, an array or a PIL image; the result has the same type.

        Float tensors are (N, C, H, W) or (C, H, W) in [-1, 1], and uint8 or uint16 ones hold what files store. Arrays
        are (H, W), (H, W, C) or (N, H, W, C) as files store them: uint8, uint16 or floats in the domain's range. A PIL
        image of any mode is read as its file is (``translate.images.load``), and keeps its alpha. With ``samples`` the
        result is a batch; for a PIL image, it is the first sample.

        ``given`` holds by name what the network takes beside its image: options, such as ``{"passes": 4}``, and inputs:
        a class by name or number, an image or a vector as an array, a tensor or a file. Of a batch, they are for all
        images, or have a row for each: (N, C, H, W) images, (N, D) vectors, and classes (N,).
        """
        how = _How(samples, seed, {} if given is None else given)
        if isinstance(picture, Tensor):
            batch = picture[None] if picture.dim() == 3 else picture
            answer = self._tensor(batch, how)
            return answer[0] if picture.dim() == 3 and samples is None else answer
        if isinstance(picture, np.ndarray):
            return self._array(picture, how)
        import PIL.Image

        if isinstance(picture, PIL.Image.Image):
            return self._picture(picture, how)
        raise TranslateError(f"a translator takes a tensor, an array or a PIL image, not a {type(picture).__name__}")

    def _tensor(self, batch: Tensor, how: _How) -> Tensor:
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
            return self._stored(batch.to(self.device), depth, how)
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
        return self.translate(batch, samples=how.samples, seed=how.seed, given=how.given)

    def _stored(self, stored: Tensor, depth: Depth, how: _How) -> Tensor:
        """Translate stored values (N, C, H, W), or class indices (N, 1, H, W), to stored values of that depth."""
        domain = self.source if self.source.classes else self.source.at(depth)
        if self.source.classes and (largest := int(stored.long().max())) >= self.source.classes:
            raise TranslateError(
                f"class indices of this translator go from 0 to {self.source.classes - 1}, but these hold {largest}"
            )
        batch = images.normalize(stored, domain)
        answer = self.translate(batch, samples=how.samples, seed=how.seed, given=how.given)
        return images.to_stored(answer, self.target, "uint8" if self.source.classes else depth)

    def _array(self, array: NDArray[Any], how: _How) -> NDArray[Any]:
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
        result = self._stored(stored, str(rows[0].dtype), how)  # type: ignore[arg-type]
        pixels: NDArray[Any] = result.permute(0, 2, 3, 1).cpu().numpy()
        return pixels if array.ndim == 4 or how.samples is not None else pixels[0]

    def _picture(self, picture: PIL.Image.Image, how: _How) -> PIL.Image.Image:
        """Translate a PIL image; Pillow holds 16 bits and floats of one plane only, so others become 8 bits."""
        import PIL.Image

        read = None if self.source.classes else images.load(picture)
        pixels = images.load_indices(picture) if read is None else read.pixels
        answer = self._array(pixels, how)
        answer = answer[0] if how.samples is not None else answer
        target = self.target
        if answer.shape[-1] not in (1, 3):
            raise TranslateError(
                f"a PIL image cannot hold {answer.shape[-1]} channels; give this translator an array or a tensor"
            )
        alpha = None if read is None or target.classes else read.alpha
        if alpha is not None and any(each.hole for each in self.taken.inputs.values()):
            ready = self.ready(self.read_given(how.given), 1, (alpha.shape[0], alpha.shape[1]))
            alpha = fill_alpha(alpha, ready, self.taken)
        if answer.shape[-1] == 3 or alpha is not None:
            answer = images.as_depth(answer, "uint8", target.low, target.high)
        if alpha is not None:
            answer = np.concatenate([answer, images.as_depth(alpha[..., None], "uint8")], axis=2)
        return PIL.Image.fromarray(np.ascontiguousarray(answer[..., 0] if answer.shape[-1] == 1 else answer))


@dataclass(frozen=True, slots=True)
class _How:
    """How a picture is translated: what ``Translator.translate`` is called with beside a batch."""

    samples: int | None
    seed: int | Sequence[int]
    given: Mapping[str, Any]


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
        how: dict[str, Any] = {"device": pick_device("cpu"), "taken": program.taken, **program.described}
        return Translator(ProgramNetwork(program), catalog=catalog, **how)
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
    return translator_of(saved, chosen, device=device, precision=precision, runtime=runtime)


def translator_of(saved: SavedMethod, direction: str, *, device: str = "auto", **inference: Any) -> Translator:
    """The translator of a saved method's direction; ``inference`` are the precision and the runtime."""
    source, target = domains_of(saved.metadata, direction)
    network = saved.module(direction)
    return Translator(
        network,
        taken=taken_of(saved.metadata, direction, network),
        catalog=saved.catalog,
        direction=direction,
        directions=saved.directions("translator"),
        source=source,
        target=target,
        size=saved.size,
        device=pick_device(device),
        **inference,
    )
