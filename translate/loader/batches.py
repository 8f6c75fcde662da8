"""The loader: decodes each image once; gathers, crops, mirrors and normalises batches on the device.

Every random draw is a hash of (seed, stream, epoch, example), so a batch is a pure function of the seed and its
number: worker count, cache and wall clock never matter, and resuming needs no stored state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import torch
from torch import Tensor

from translate.data import DOMAINS, Domain, Example
from translate.devices import free_memory, one_thread
from translate.errors import TranslateError
from translate.images import ImageError, read_example
from translate.loader.albumentations_file import Pipeline
from translate.loader.augmenting import Augmentation, Augmentations
from translate.loader.cache import Resize, decode_all, dtype_of, normalize, planes, planes_of, undecodable
from translate.loader.disk_cache import decode_stored
from translate.loader.left_out import BrokenImagesError, LeftOut
from translate.loader.partners import refuse_unlike, unlike
from translate.loader.references import References
from translate.loader.sampling import Draw, Order
from translate.loader.streaming import Streaming
from translate.loader.vectors import VectorDraws, vector_bytes
from translate.loader.windows import crop, slices
from translate.machine import cores
from translate.memory import Budget
from translate.method import Needs
from translate.sizes import Size
from translate.streams import members_of, only_or_target, refuse_unmet

Cache = Literal["auto", "device", "host", "stream"]
Ready = tuple[list[Draw], dict[str, Tensor]]
"""A batch's draws, and the images of each of its streams, and its vectors."""

SHARE = 0.6
"""The fraction of the free memory that an ``auto`` cache may take."""


class Loader:
    """Batches of a split; the seed alone decides their order, crops and mirroring.

    Each epoch is a permutation of the domain; batches straddle the ends of epochs, so that no example is dropped.
    Unpaired domains have their own orders and lengths; ``paired`` ones are drawn together and share crop and mirroring.
    Images are resized to ``load_size`` (by default 286/256 of ``size``), stretched or so that they cover it, and
    cropped to ``size`` at random. Of several ranks, rank r takes rows r, r + ranks ... of the global batch of
    ``batch * ranks``. An albumentations pipeline replaces crop and mirroring: it gets whole images, its output is
    resized to ``size``, and it needs the stream cache.

    ``cache``: "device" keeps all decoded images on the device, "host" in RAM, "stream" decodes for each batch; the
    batches are the same. "auto" takes the first that fits into 60 % of the free memory. ``augment`` maps images
    (N, C, H, W) in [-1, 1] and seeds (N,) int64 to images; it is applied to gray and RGB images, and if its attribute
    ``geometric`` is true, which says that it moves pixels, to all: by nearest neighbour to class maps and streams.
    ``workers``: decoding threads, 0 for one per core. ``cache_folder``: where decoded images are stored for later runs.

    ``aligned`` says to which domain each further stream of ``examples`` belongs; those that ``needs`` names are loaded
    beside it, and a broken image among them counts as its partner's.

    ``left_out`` says which images are left out, and what becomes of broken ones; by default the first is refused.

    Raises a TranslateError for data that cannot be trained on, and for all files that do not decode, at once.
    """

    cache: str
    """The cache in use: ``device``, ``host`` or ``stream``."""
    decoded: dict[str, Tensor]  # (n, C, H, W) of each stream as it is cached; none if images are streamed

    def __init__(
        self,
        examples: Mapping[str, Sequence[Example]],
        domains: Mapping[str, Domain],
        *,
        paired: bool,
        needs: Needs,
        batch: int,
        size: Size,
        load_size: Size | None,
        resize: Resize,
        flip: bool,
        augment: Sequence[Augmentation] = (),
        albumentations: Path | None = None,
        cache: Cache = "auto",
        cache_folder: Path | None = None,
        workers: int = 0,
        memory: int | None = None,
        max_pixels: int | None = None,
        seed: int = 0,
        device: torch.device,
        rank: int = 0,
        ranks: int = 1,
        on_progress: Callable[[int, int], None] | None = None,
        left_out: LeftOut | None = None,
        aligned: Mapping[str, str] | None = None,
    ) -> None:
        sides = {name: examples[name] for name in DOMAINS if name in examples}
        self._aligned = {name: partner for name, partner in (aligned or {}).items() if name in needs.aligned}
        self._examples = sides | {name: examples[name] for name in self._aligned if name in examples}
        self._domains = {name: domains[name] for name in self._examples}
        self._paired = paired and len(sides) == 2
        self._mismatched = "mismatched" in needs.streams
        only = only_or_target(sides)
        self._homes = {"source": "source", "target": "target", "mismatched": "source", "labelled": only}
        self._homes |= {"reference": only, "reference2": only} | {name: name for name in self._aligned}
        self._load_size = load_size or (round(size[0] * 286 / 256), round(size[1] * 286 / 256))
        self._check(needs, size)
        labelled: list[int] = []
        if "labelled" in needs.streams:
            labelled = [row for row, example in enumerate(self._examples[only]) if example.label >= 0]
            if not labelled:
                raise TranslateError(
                    f"the method needs labelled images, but none of the {only}'s training images has a label; "
                    "give some labels"
                )
        refuse_unmet(needs, self._examples, {name: self._domains[name] for name in sides}, self._aligned)
        members = members_of(sides[only]) if needs.references else {}
        self._batch, self._size, self._resize, self._flip = batch, size, resize, flip
        self._augment, self._ranks = Augmentations(augment, self._aligned), ranks
        self._device = device
        workers = workers or cores()
        self._budget = Budget(memory, max_pixels)

        self._pipeline: Pipeline | None = None
        if albumentations is not None:
            if cache not in ("auto", "stream"):
                raise TranslateError(
                    f"an albumentations pipeline decodes for each batch and cannot use the cache {cache!r}; "
                    "leave out --cache or --albumentations"
                )
            self._pipeline = Pipeline(albumentations, self._domains, copies=workers)
            cache = "stream"
        beside = vector_bytes(needs.vectors, sides, sides)
        self.cache = self._choose(stored=cache_folder is not None, beside=beside) if cache == "auto" else cache

        # Random numbers are drawn where the decoded images are; without a cache on the device that is the CPU.
        home = device if self.cache == "device" else torch.device("cpu")
        vectors = VectorDraws(needs.vectors, sides, sides, seed=seed, device=home) if needs.vectors else None
        self._vectors = {} if vectors is None else vectors.values
        self._order = Order(
            {name: len(listed) for name, listed in sides.items()},
            paired=self._paired,
            mismatched=self._mismatched,
            batch=batch,
            seeds=len(augment),
            seed=seed,
            rank=rank,
            ranks=ranks,
            device=home,
            labelled=labelled,
            homes=self._homes,
            aligned=self._aligned,
            references=References(members, seed=seed, device=home) if members else None,
            vectors=vectors,
        )
        self._left_out = left_out or LeftOut()
        self._left_out.bind(
            sides,
            paired=self._paired,
            labelled={only: labelled} if labelled else {},
            least={"source": 2} if self._mismatched else {},
            classes={only: list(members.values())} if members else {},
        )
        self._across = torch.arange(size[1], device=device)
        self._down = torch.arange(size[0], device=device)
        self._positions = torch.arange(batch, device=device)
        self._labels = {
            name: torch.tensor([example.label for example in listed], device=device)
            for name, listed in sides.items()
            if name in needs.labels or any(example.label >= 0 for example in listed)
        }
        if labelled:
            self._labels["labelled"] = self._labels[only]
        if members:
            self._labels["reference"] = self._labels[only]

        self._prefetched: dict[int, Callable[[], Ready]] = {}
        self.decoded = {}
        if self.cache != "stream":
            decode = decode_all if cache_folder is None else partial(decode_stored, cache_folder)
            errors: dict[tuple[str, int], ImageError] = {}
            self.decoded = decode(
                self._examples,
                self._domains,
                size=self._load_size,
                resize=resize,
                device=home,
                workers=workers,
                memory=memory,
                max_pixels=max_pixels,
                on_progress=on_progress,
                on_broken=lambda name, row, error: errors.update({(name, row): error}),
            )
            if self._aligned and resize == "cover":
                found = unlike(self._examples, self._domains, self._aligned, budget=self._budget, workers=workers)
                errors = {**found, **errors}
            self._leave_out(errors)
            if self._mismatched:
                self.decoded["mismatched"] = self.decoded["source"]
            if labelled:
                self.decoded["labelled"] = self.decoded[only]
            if members:
                self.decoded["reference"] = self.decoded["reference2"] = self.decoded[only]
        self._order.leave_out(self._left_out.by_home)
        threads = {"device": 0, "host": 1, "stream": workers}[self.cache]
        self._ahead = max(2, -(-2 * workers // batch)) if self.cache == "stream" else 2
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="translate-loader") if threads else None
        self._streaming: Streaming | None = None
        if self._pool is not None and self.cache == "stream":
            self._streaming = Streaming(self._order, self._left_out, self._homes, self._decode, self._pool)

    def _leave_out(self, errors: Mapping[tuple[str, int], ImageError]) -> None:
        """Leave out the images that could not be decoded before the first batch."""
        places = {
            self._left_out.key(self._aligned.get(name, name), row): str(error) for (name, row), error in errors.items()
        }
        found = self._left_out.agree(places)
        if errors and self._left_out.mode == "stop":
            raise undecodable(list(errors.values()), sum(map(len, self._examples.values())))
        try:
            self._left_out.with_more(found)
        except BrokenImagesError as error:
            hint = "restore or remove them; `translate data DATA --full` names all"
            raise BrokenImagesError(f"{error}; {hint}") from None
        self._left_out.add(found)

    def _check(self, needs: Needs, size: Size) -> None:
        if not self._examples:
            raise TranslateError("the data has neither a source nor a target; give a folder with images of one of them")
        for name, listed in self._examples.items():
            if not listed:
                raise TranslateError(f"the data has no {name} images to train on; add some, or choose another --layout")
        counts = {name: len(listed) for name, listed in self._examples.items()}
        if self._paired and counts["source"] != counts["target"]:
            raise TranslateError(
                f"the data is marked as paired but has {counts['source']} source and {counts['target']} target images"
                "; give every image its partner"
            )
        if needs.paired and not self._paired:
            raise TranslateError(
                "the method needs pairs, but the data is not paired; choose a method for unpaired data"
            )
        if self._mismatched and counts.get("source", 0) < 2:
            raise TranslateError(
                "the method needs a source image besides the pair's own, but the data has fewer than two; add images"
            )
        if self._load_size[0] < size[0] or self._load_size[1] < size[1]:
            load, train = ("x".join(map(str, sides)) for sides in (self._load_size, size))
            raise TranslateError(
                f"the load size {load} is smaller than the training size {train}; make it at least as large"
            )

    def _choose(self, *, stored: bool = False, beside: int = 0) -> str:
        """The first cache that fits, if all ranks share this machine's RAM; a memory-mapped file always fits.

        ``beside`` are the bytes of vectors, which lie where the images do.
        """
        sides = self._load_size[0] * self._load_size[1]
        needed = sum(
            len(listed) * sides * planes_of(self._domains[name]) * dtype_of(self._domains[name]).itemsize
            for name, listed in self._examples.items()
        )
        needed += beside
        host = free_memory(torch.device("cpu")) // self._ranks
        free = host if self._device.type == "cpu" else free_memory(self._device)
        if needed <= SHARE * free or (stored and self._device.type == "cpu"):
            return "device"
        return "host" if needed <= SHARE * host or stored else "stream"

    def batch(self, index: int) -> dict[str, Tensor]:
        """The index-th batch of the training, from 0: a pure function of the seed and the index.

        ``source`` and ``target`` (N, C, H, W) float32 in [-1, 1]; ``source_label`` and ``target_label`` (N,) int64, -1
        for none, where any example has one or the method needs them; ``mismatched``, ``labelled`` with
        ``labelled_label``, ``reference`` and ``reference2`` with ``reference_label``, aligned streams and vectors
        (N, D) float32, where the method needs them.
        """
        with torch.no_grad():
            if self._pool is None:
                draws, stored, rows = self._order.draws(index), self.decoded, None
            else:
                draws, decoded = self._pop_prefetched(index)()
                stored = {name: self._move(pixels) for name, pixels in decoded.items()}
                draws = [Draw(draw.streams, self._move(draw.table), draw.vectors) for draw in draws]
                rows = self._positions
            found: dict[str, Tensor] = {}
            last = 5 + len(self._augment)
            for draw in draws:
                examples, seeds = draw.table[0], draw.table[5:last].unbind()
                if draw.vectors:
                    for vector, drawn in zip(draw.vectors, draw.table[last:], strict=True):
                        found[vector] = self._vectors[vector][drawn] if self._pool is None else stored[vector]
                cut = self._cut(draw.table, rows)
                for stream in draw.streams:
                    domain = self._domains[self._homes[stream]]
                    with nullcontext() if self._device.type == "cuda" else one_thread():
                        pixels = stored[stream] if self._pipeline is not None else cut(stored[stream])
                        image = normalize(pixels, domain)
                    found[stream] = self._augment(image, domain, seeds, stream) if seeds else image
                    if stream in self._labels:
                        found[f"{stream}_label"] = self._labels[stream][examples]
            return found

    def close(self) -> None:
        """Stop the threads and drop what they have prefetched."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._prefetched.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _cut(self, table: Tensor, rows: Tensor | None) -> Callable[[Tensor], Tensor]:
        """A function that crops images (n, C, H, W) to the batch's windows (N, C, h, w) and mirrors them.

        It takes the images at ``rows`` (N,), by default the examples of the draw.
        """
        (height, width), (load_height, load_width) = self._size, self._load_size
        down, along = load_height - height + 1, load_width - width + 1
        if self._device.type == "cpu":
            # For so few numbers Python's integers are faster than torch's operations.
            examples, tops, lefts, mirrors = table[:4].tolist()
            numbers = [
                (row, top % down, left % along, mirror & self._flip)
                for row, top, left, mirror in zip(
                    examples if rows is None else range(len(examples)), tops, lefts, mirrors, strict=True
                )
            ]
            return lambda kept: slices(kept, numbers, self._size)
        top, left, mirror = table[1] % down, table[2] % along, table[3] & int(self._flip)
        rows = table[0] if rows is None else rows
        across = torch.where(mirror.bool()[:, None], width - 1 - self._across, self._across)
        lines, columns = top[:, None] + self._down, left[:, None] + across
        return lambda kept: crop(kept, rows, lines, columns)

    # --- prefetched batches -----------------------------------------------------------------------------------------

    def _pop_prefetched(self, index: int) -> Callable[[], Ready]:
        """Pop a prefetched batch, and prefetch the next ones; a jump drops what does not fit."""
        last = index + self._ahead
        self._prefetched = {n: prefetched for n, prefetched in self._prefetched.items() if index <= n <= last}
        for number in range(index, last + 1):
            if number not in self._prefetched:
                begin = self._gather if self.cache == "host" else self._stream
                self._prefetched[number] = begin(number)
        return self._prefetched.pop(index)

    def _gather(self, index: int) -> Callable[[], Ready]:
        assert self._pool is not None
        draws = self._order.draws(index)

        def gather() -> Ready:
            found: dict[str, Tensor] = {}
            for draw in draws:
                for stream in draw.streams:
                    kept = self.decoded[stream]
                    found[stream] = self._pinned((self._batch, *kept.shape[1:]), kept.dtype)
                    torch.index_select(kept, 0, draw.table[0], out=found[stream])
            return draws, self._with_vectors(draws, found)

        return self._pool.submit(gather).result

    def _stream(self, index: int) -> Callable[[], Ready]:
        assert self._streaming is not None
        collect = self._streaming.begin(index)

        def stack() -> Ready:
            draws, decoded = collect()
            found: dict[str, Tensor] = {}
            for stream, parts in decoded.items():
                found[stream] = self._pinned((self._batch, *parts[0].shape), parts[0].dtype)
                torch.stack(parts, out=found[stream])
            return draws, self._with_vectors(draws, found)

        return stack

    def _with_vectors(self, draws: Sequence[Draw], found: dict[str, Tensor]) -> dict[str, Tensor]:
        """The images of a batch with its vectors, which come from the RAM."""
        for draw in draws if self._vectors else ():
            for vector, drawn in zip(draw.vectors, draw.table[5 + len(self._augment) :], strict=True):
                values = self._vectors[vector]
                found[vector] = self._pinned((self._batch, values.shape[1]), values.dtype)
                torch.index_select(values, 0, drawn, out=found[vector])
        return found

    def _decode(self, streams: tuple[str, ...], row: int, seed: int) -> list[Tensor]:
        """The planes (C, H, W) of one example for each of its streams."""
        homes = [self._homes[stream] for stream in streams]
        pixels = {
            home: read_example(self._examples[home][row], self._domains[home], budget=self._budget) for home in homes
        }
        size = self._load_size
        if self._aligned and self._resize == "cover" and self._pipeline is None:
            for name, partner in self._aligned.items():
                if name in pixels:
                    refuse_unlike(self._examples[name][row], pixels[name].shape, pixels[partner].shape)
        if self._pipeline is not None:
            pixels, size = self._pipeline(pixels, seed), self._size
        return [planes(pixels[home], self._domains[home], size, self._resize) for home in homes]

    def _pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        # Pinned memory, from which alone a copy to the GPU is asynchronous; torch holds it until the copy is done.
        return torch.empty(shape, dtype=dtype, pin_memory=self._device.type == "cuda")

    def _move(self, tensor: Tensor) -> Tensor:
        if self._device.type == "cuda" and not tensor.is_pinned():
            tensor = tensor.pin_memory()
        return tensor.to(self._device, non_blocking=True)
