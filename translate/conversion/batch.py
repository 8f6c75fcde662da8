"""What is around the network in a conversion, without threads: decode files, write the outputs."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from translate import images
from translate.conversion.algorithms import algorithm_for
from translate.conversion.banding import Adapt, BandedAlpha, BandedPixels, bands_of
from translate.conversion.keeping import Known, hole_of, known_of, tell
from translate.conversion.manifest import Ledger
from translate.conversion.notices import Notices
from translate.conversion.padding import pad
from translate.conversion.partners import partners_of
from translate.conversion.plan import FORMATS, Task, deepest
from translate.conversion.resizing import Resizing
from translate.conversion.showing import Showing
from translate.conversion.size_warnings import SizeWarnings
from translate.conversion.sources import Sources
from translate.conversion.stages import Stages
from translate.conversion.stamps import Stamp
from translate.data import Depth, Domain
from translate.given import Given, OwnAlpha, Planes, Value
from translate.plugins import Catalog
from translate.programs import ArrayTranslator
from translate.sizes import Size

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from translate.large import Algorithm


class Translating(Protocol):
    """The interface of ``translate.translator.Translator`` that a conversion uses."""

    catalog: Catalog
    direction: str
    source: Domain
    target: Domain
    size_multiple: int
    device: torch.device

    @property
    def needs_calibration(self) -> bool:
        """Whether ``calibrate`` must be called before ``translate``."""
        ...

    def calibrate(self, batches: Iterable[Tensor], /) -> None:
        """Calibrate on images (N, C, H, W) in [-1, 1]."""
        ...

    def replicate(self) -> Translating | None:
        """A replica for use in another thread; None if only one thread at a time may translate."""
        ...

    def translate(self, batch: Tensor, /, *, samples: int | None = None, seed: int = 0) -> Tensor:
        """Translate (N, C, H, W) in [-1, 1] to (N, C', H, W), or (N * samples, C', H, W).

        One that has ``read_given`` takes ``given`` as well, and a seed for each image.
        """
        ...


AnyTranslator = Translating | ArrayTranslator
"""What a conversion translates with: tensors on a device, or arrays."""


@dataclass(frozen=True, slots=True)
class Work:
    """The settings of a conversion that hold for every image."""

    translator: AnyTranslator
    at: Size | None = None
    samples: int | None = None
    seed: int = 0
    quality: int = 95
    max_pixels: int = images.MAX_PIXELS
    memory: int | None = None
    """The most bytes that the images in flight may need together; None: a share of what is free."""
    metadata: Literal["keep", "drop"] = "keep"
    gps: bool = False
    frames: Literal["all", "first"] = "all"
    whole: int | None = None
    """The most bytes of a network's pass over a whole image; None: a constant of the device's kind."""
    statistics: Literal["exact", "tile"] = "exact"
    """Whether parts of an image are normalized by the statistics of the whole, or each by its own."""
    long_side: int | None = None
    scale: float | None = None
    sizes: SizeWarnings = field(default_factory=SizeWarnings, compare=False)
    """What was told of sizes; threads and replicas share it, and what follows."""
    notices: Notices = field(default_factory=Notices, compare=False)
    """What was left out of the outputs, by image."""
    stages: Stages = field(default_factory=Stages, compare=False)
    """The seconds of each image in each stage."""
    sources: Sources = field(default_factory=Sources, compare=False)
    """The files of the images in flight."""
    ledger: Ledger | None = field(default=None, compare=False)
    """The manifest that converted images are added to, if one is kept."""
    showing: Showing | None = None
    """What is made of the inputs beside the outputs."""
    given: Given = field(default_factory=Given, compare=False)
    """What the translator takes beside each image."""

    @property
    def resizing(self) -> Resizing:
        """How images are resized before they are translated."""
        return Resizing(self.at, self.long_side, self.scale)


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A decoded image, ready for the network.

    ``pixels`` (H', W', C) are stored values, padded to the network's size multiple; ``size`` is (H, W) before padding.
    ``alpha`` (H, W) is the alpha channel. Both are read when they are asked for, if a TIFF file is read in bands.
    ``depth`` is the type in which the output is stored. ``metadata`` are those of the file, None if they shall not be
    written. ``shown`` is the input for a gallery or for outputs side by side, None where neither is asked for.
    """

    task: Task
    pixels: NDArray[Any] | BandedPixels
    size: Size
    alpha: NDArray[Any] | BandedAlpha | None
    depth: Depth
    metadata: images.Metadata | None = None
    shown: images.Image | None = None
    algorithm: Algorithm = "whole"
    given: Mapping[str, Value] = field(default_factory=dict)
    """What the network takes beside the image; what is as large as the image is padded as it is."""
    known: Known | None = None
    """What is kept of the image, if the network fills a hole in it."""

    @property
    def bucket(self) -> tuple[Any, ...]:
        """The key of the images that can share a batch.

        Shape and dtype of the padded pixels, the algorithm, and what planes beside them are like.
        """
        beside = tuple(each.kind for each in self.given.values() if isinstance(each, Planes))
        return self.pixels.shape, self.pixels.dtype, self.algorithm, *beside


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The network's output for an image: stored values (S, C, H, W), a tensor on the device or an array.

    S is 1 without ``samples``.

    ``algorithm`` is how it was computed, a function of the network, the image's size and the options. ``written`` are
    sentences about what was left out of a file that is written already, row by row; ``stored`` is empty then.
    """

    task: Task
    stored: Tensor | NDArray[Any]
    finite: Tensor | bool
    alpha: NDArray[Any] | BandedAlpha | None
    metadata: images.Metadata | None = None
    shown: images.Image | None = None
    algorithm: Algorithm = "whole"
    written: tuple[str, ...] | None = None
    known: Known | None = None
    """What is put back into ``stored`` before it is written."""


def decode(task: Task, work: Work) -> Decoded:
    """Read an image, and convert it to the source domain's channels and the requested size; its file is released."""
    try:
        return _decode(task, work)
    finally:
        work.sources.release(task.source)


def _decode(task: Task, work: Work) -> Decoded:
    if (bands := bands_of(task, work)) is not None:
        return _in_bands(bands, task, work)
    return prepare(read(task, work), task, work, metadata_of(task, work))


def read(task: Task, work: Work) -> images.Image:
    """Read an image, or class indices as its one plane."""
    source, name = work.translator.source, str(task.source)
    file = work.sources.held(task.source) or task.source
    if source.classes:
        return images.Image(images.load_indices(file, name=name, max_pixels=work.max_pixels)[..., None])
    planes = source.channels if source.alpha == "dropped" else None
    return images.load(file, name=name, max_pixels=work.max_pixels, channels=planes)


def source_of(decoded: Decoded, translator: AnyTranslator) -> Domain:
    """The source domain, of the depth of an image's file: integers of another depth than its own use their full range.

    Floats have the range of the domain.
    """
    domain = translator.source
    return domain if domain.classes else domain.at(str(decoded.pixels.dtype))  # type: ignore[arg-type]


def metadata_of(task: Task, work: Work) -> images.Metadata | None:
    """The metadata of an image's file, as far as they hold for an output; None if they shall not be kept."""
    if work.metadata == "drop":
        return None
    found = images.metadata(work.sources.held(task.source) or task.source, gps=work.gps)
    # Class indices are no colours.
    return replace(found, profile=b"", srgb=False) if work.translator.target.classes else found


def prepare(image: images.Image, task: Task, work: Work, metadata: images.Metadata | None = None) -> Decoded:
    """Convert an image, or class indices as its one plane, to the source domain's channels and the requested size."""
    source = work.translator.source
    pixels, alpha = _adapt(image, task, work)
    own: Depth = str(pixels.dtype)  # type: ignore[assignment]
    own_size = pixels.shape[0], pixels.shape[1]
    size, multiple = work.resizing.of(own_size), work.translator.size_multiple
    given = partners_of(task, work, own_size, size, multiple, partial(_opacity, image, task=task))
    hole = hole_of(given, work, size)
    kept = pixels if hole is None else _kept(image, pixels, task=task, work=work)
    if alpha is not None and hole is None:
        alpha = _held(alpha, task)
    if size != own_size:
        laid = kept is not pixels
        pixels = images.resize(pixels, size, nearest=source.classes > 0)
        kept = images.resize(kept, size) if laid else pixels
        alpha = None if alpha is None else images.resize(alpha[..., None], size)[..., 0]
    if alpha is not None and hole is not None:
        alpha = _held(images.opaque_inside(alpha, hole), task)
    depth = _output_depth(own, task, work)
    if alpha is not None and depth != str(alpha.dtype):
        alpha = images.as_depth(alpha[..., None], depth)[..., 0]
    shown = None if work.showing is None else work.showing.input(image, None if size == own_size else size)
    if hole is not None:
        tell(hole, task, work, resized=size != own_size)
    algorithm, known = algorithm_for(work, size), known_of(kept, hole, depth, work)
    return Decoded(task, pad(pixels, multiple), size, alpha, depth, metadata, shown, algorithm, given, known)


def _held(alpha: NDArray[Any], task: Task) -> NDArray[Any] | None:
    """The alpha plane that the output's format holds; an opaque one may be dropped without loss."""
    if task.format.alpha:
        return alpha
    _check_opaque(images.is_opaque(alpha), task)
    return None


def _opacity(image: images.Image, task: Task) -> NDArray[np.uint16]:
    """The alpha plane of an image's own (H, W, 1), at 16 bits."""
    return images.seen(image, OwnAlpha.DOMAIN, str(task.source))


def _kept(image: images.Image, pixels: NDArray[Any], task: Task, work: Work) -> NDArray[Any]:
    """The planes of an image that an output keeps: ``pixels``, unless these are laid on a ground."""
    source = work.translator.source
    if image.alpha is None or source.alpha in ("dropped", "plane"):
        return pixels
    return images.seen(image, replace(source, alpha="dropped"), str(task.source))


def _in_bands(bands: images.Bands, task: Task, work: Work) -> Decoded:
    """The same as ``prepare`` of a file that is read in bands, none of which is kept."""

    def read(adapt: Adapt, multiple: int = 1) -> BandedPixels:
        return BandedPixels(bands, adapt, multiple)

    size, multiple = (bands.height, bands.width), work.translator.size_multiple
    pixels = read(partial(_adapt, task=task, work=work), multiple)

    def opacity() -> NDArray[np.uint16]:
        return np.asarray(read(lambda image: (_opacity(image, task), None)))

    given = partners_of(task, work, size, size, multiple, opacity)
    hole = hole_of(given, work, size)
    own: Depth = str(pixels.dtype)  # type: ignore[assignment]
    depth = _output_depth(own, task, work)
    alpha = BandedAlpha(pixels, bands.height, depth, hole) if pixels.has_alpha else None
    if alpha is not None and not task.format.alpha:
        _check_opaque(pixels.opaque or (hole is not None and images.is_opaque(np.asarray(alpha))), task)
        alpha = None
    kept = pixels
    if hole is not None:
        tell(hole, task, work, resized=False)
        if pixels.has_alpha and work.translator.source.alpha not in ("dropped", "plane"):
            kept = read(lambda image: (_kept(image, _adapt(image, task, work)[0], task, work), None))
    known, metadata = known_of(kept, hole, depth, work), metadata_of(task, work)
    return Decoded(task, pixels, size, alpha, depth, metadata, None, algorithm_for(work, size), given, known)


def _output_depth(own: Depth, task: Task, work: Work) -> Depth:
    """The depth in which an image's output is stored, as ``deepest`` says; what its file cannot hold is told."""
    domains = work.translator.source, work.translator.target
    depth = deepest(own, *domains, task.format)
    if (wanted := deepest(own, *domains, FORMATS["npy"])) != depth:
        suffix = task.outputs[0].suffix.lower()
        sentence = f"{_in_bits[wanted]} are rounded to {_in_bits[depth]}: {suffix} files hold no more"
        work.notices.add(task.source, [sentence])
    return depth


_in_bits: dict[Depth, str] = {"uint8": "8 bits", "uint16": "16 bits", "float32": "floats"}


def _adapt(image: images.Image, task: Task, work: Work) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The planes that the network sees of an image, or class indices, and the alpha plane for the output."""
    source, target, path = work.translator.source, work.translator.target, task.source
    if source.classes:
        if (largest := int(image.pixels.max())) >= source.classes:
            raise images.ImageError(
                f"{path} holds the class index {largest}, but this translator knows 0 to {source.classes - 1}; "
                "give it maps of the kind that it was trained on"
            )
        return image.pixels, None
    # Where alpha is a plane of the target, the network makes it.
    alpha = None if target.classes or target.alpha == "plane" else image.alpha
    return images.seen(image, source, str(path)), alpha


def _check_opaque(opaque: bool, task: Task) -> None:
    if not opaque:
        suffix = task.outputs[0].suffix
        raise images.ImageError(
            f"{task.source} has transparency, which {suffix} cannot hold; convert it with --format png"
        )


def record(task: Task, work: Work, written: Mapping[Path, Stamp], algorithm: str = "whole") -> None:
    """Note that an image's outputs are written; ``written`` are the stamps of those that are known."""
    if work.ledger is not None:
        outputs = {path: written.get(path) or Stamp.of(path) for path in task.outputs}
        partners = work.sources.partners(task.source)
        work.ledger.add(task.name, work.sources.end(task.source), outputs, algorithm, partners)
    work.stages.done(task.source)


def write(answer: Answer, work: Work) -> dict[Path, Stamp]:
    """Write an image's output, or its samples, to files, and record them in a gallery if there is one.

    Returns the stamps of the files that are known without reading them again.
    """
    task, begun = answer.task, time.perf_counter()
    if answer.written is not None:
        work.notices.add(task.source, answer.written)
        return {}
    stamps: dict[Path, Stamp] = {}
    made = outputs(answer, work)
    for path, image in zip(task.outputs, as_files(made, answer, work), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        written = images.put(path, image, quality=work.quality, metadata=answer.metadata)
        work.notices.add(task.source, written.told)
        if work.ledger is not None and written.mtime is not None:
            stamps[path] = Stamp.of_written(written.data, written.mtime)
    show(made, answer, work, sum(work.stages.of(task.source).values()) + time.perf_counter() - begun)
    return stamps


def as_files(made: Sequence[images.Image], answer: Answer, work: Work) -> Sequence[images.Image]:
    """What the files of an image hold: its outputs, or one image of the input and all outputs beside each other."""
    if work.showing is None or answer.shown is None:
        return made
    return work.showing.files(answer.shown, made, answer.task.outputs[0].suffix, str(answer.task.source))


def show(made: Sequence[images.Image], answer: Answer, work: Work, seconds: float) -> None:
    """Record an image, its outputs and what it took in the gallery, if there is one."""
    if work.showing is not None and answer.shown is not None:
        work.showing.record(answer.task, answer.shown, made, seconds=seconds)


def outputs(answer: Answer, work: Work) -> Sequence[images.Image]:
    """An image's output, or its samples, as they are written."""
    if not bool(answer.finite):
        raise not_finite(answer.task, work.translator)
    stored = answer.stored if isinstance(answer.stored, np.ndarray) else answer.stored.cpu().numpy()
    made = []
    for pixels in stored.transpose(0, 2, 3, 1):
        if answer.known is not None:
            pixels = answer.known.put_back(pixels, slice(None), slice(None))
        alpha = None if answer.alpha is None else np.asarray(answer.alpha)
        if work.translator.target.alpha == "plane" and answer.task.outputs[0].suffix.lower() != ".npy":
            pixels, alpha = pixels[..., :-1], np.ascontiguousarray(pixels[..., -1])
        made.append(images.Image(np.ascontiguousarray(pixels), alpha))
    return made


def not_finite(task: Task, translator: AnyTranslator) -> images.ImageError:
    """The error of an image whose output is none."""
    precision = getattr(translator, "precision", None)
    if precision is None:
        advice = "check what it was exported from, and --range"
    else:
        advice = "train anew, or take an earlier --step" if precision == "float32" else "try --precision float32"
    return images.ImageError(f"{task.source}: the network's answer is not finite; {advice}")


def image_seed(seed: int, name: str) -> int:
    """The seed of an image's samples: a hash of the conversion's seed and the image's name alone.

    >>> image_seed(0, "a/b.png") == image_seed(0, "a/b.png") != image_seed(1, "a/b.png")
    True
    """
    digest = hashlib.blake2b(f"{seed}/{name}".encode(errors="surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest) >> 1
