"""Memory of a conversion: what each image needs is planned from its header, and images in flight share a limit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from translate import images
from translate.conversion.algorithms import algorithm_for, bytes_in_parts, bytes_whole, rows_in_parts, why_whole
from translate.conversion.banding import bands_of, writes_rows
from translate.conversion.batch import Work
from translate.conversion.partners import bytes_beside
from translate.conversion.plan import Task
from translate.errors import TranslateError
from translate.memory import ASSUMED, Budget, free_share, in_words
from translate.programs import ArrayTranslator
from translate.sizes import Size

if TYPE_CHECKING:
    from translate.large import Algorithm

_DEPTHS = {"uint8": 1, "uint16": 2, "float32": 4}

BASE = 2**20
"""Bytes that any image takes, whatever its size."""

AVIF = {False: 80, True: 620}
"""Bytes a pixel that AVIF's encoder takes, for a still image and for an animation of any length."""


@dataclass(frozen=True, slots=True)
class Need:
    """What an image needs: bytes to decode it, to hold its pixels, and to write the outputs; ``size`` is the network's.

    ``algorithm`` is how the network translates it.

    All are 0 where the header refuses the image: decoding then says why.
    """

    decoding: int = 0
    held: int = 0
    writing: int = 0
    size: Size = (0, 0)
    several: Literal["", "frames", "pages"] = ""
    """What the file holds more than one of, each of which needs as much."""
    algorithm: Algorithm = "whole"

    def total(self, network: int) -> int:
        """The peak, with a network's pass of so many bytes in the same memory."""
        return max(self.decoding, self.held + network, self.held + self.writing) + BASE


def plan_memory(task: Task, work: Work) -> Need:
    """Read an image's header, and plan what its conversion needs."""
    try:
        held = work.sources.held(task.source)
        header = images.probe(task.source) if held is None else held.header
    except (TranslateError, OSError):
        return Need()
    if header.height * header.width > work.max_pixels:
        return Need()
    own = header.height, header.width
    translator = work.translator
    trained = translator.trained if isinstance(translator, ArrayTranslator) else getattr(translator, "size", None)
    work.sizes.look(task.name, own, work.resizing, trained)
    need = need_of(header, work)
    if task.outputs[0].suffix.lower() == ".avif":
        beside = 1 + (work.samples or 1) if work.showing is not None and work.showing.side_by_side else 1
        encoder = AVIF[need.several == "frames"] * need.size[0] * need.size[1] * beside
        need = replace(need, writing=need.writing + encoder)
    if need.algorithm == "whole" or need.several:
        return need
    try:
        return _in_bands(need, header, task, work)
    except (TranslateError, OSError):
        # Decoding says what is wrong.
        return need


def _in_bands(need: Need, header: images.Header, task: Task, work: Work) -> Need:
    """What an image needs in parts where its file is read in bands, its output is written in rows, or both."""
    assert need.algorithm != "whole"
    bands = bands_of(task, work)
    height = need.size[0]
    rows = min(rows_in_parts(work, need.algorithm, need.size), height)
    stored, written = _stored(header, work), _written(header, work)
    if bands is not None:
        # Bands of the file hold the rows of a part, which come out of them as a copy.
        kept = stored * min(rows + 2 * bands.rows, height) // height
        decoding = bands.decoding + kept
        need = replace(need, decoding=decoding, held=need.held - 2 * stored + kept + decoding)
    if writes_rows(task, work, alpha=header.alpha):
        # A band of rows, and as much where it is cut into the strips of the file.
        band = written * rows // height
        need = replace(need, held=need.held - written + 2 * band, writing=0)
    return need


def _stored(header: images.Header, work: Work) -> int:
    """The bytes of an image's pixels as the network sees them, and of its alpha."""
    source = work.translator.source
    return _DEPTHS[header.depth] * ((1 if source.classes else source.channels) + header.alpha) * _pixels(header, work)


def _written(header: images.Header, work: Work) -> int:
    """The bytes of an image's output as it is stored."""
    target = work.translator.target
    return _DEPTHS[header.depth] * ((1 if target.classes else target.channels) + header.alpha) * _pixels(header, work)


def _pixels(header: images.Header, work: Work) -> int:
    height, width = work.resizing.of((header.height, header.width))
    return height * width


def need_of(header: images.Header, work: Work) -> Need:
    """What the conversion of an image with a header needs."""
    size = work.resizing.of((header.height, header.width))
    algorithm = algorithm_for(work, size)
    pixels = _pixels(header, work)
    depth = _DEPTHS[header.depth]
    target = work.translator.target
    stored = _stored(header, work)
    beside = bytes_beside(work, pixels)
    outputs = 4 * pixels * ((1 if target.classes else target.channels) + header.alpha) * (work.samples or 1)
    if work.showing is not None:
        # The input is kept as it is displayed, and joins the outputs, which may become colours.
        shown = depth * pixels * (max(3, header.channels) + header.alpha)
        stored += shown
        outputs += (4 if work.showing.side_by_side else 1) * pixels * 4 * (1 + (work.samples or 1))
    # Stored values are padded and stacked to a batch; an output becomes an array and an encoder's copy and bytes.
    several = header.several if work.frames == "all" else ""
    if algorithm != "whole":
        # Strips are stacked, normalized and stored one by one, so the outputs exist only as they are stored.
        written = _written(header, work)
        return Need(header.decoding + beside, 2 * stored + beside + written, 2 * written, size, several, algorithm)
    return Need(header.decoding + beside, 3 * stored + beside, 3 * outputs, size, several)


class Account:
    """The memory that the images of a conversion hold, each from its decoding to its last output."""

    def __init__(self, work: Work) -> None:
        self._budget = Budget(work.memory)
        self._work = work
        self._held: dict[Task, int] = {}
        device = work.translator.device
        self._device = None if device.type == "cpu" else free_share(str(device))

    def take(self, task: Task, need: Need) -> bool:
        """Hold what an image needs, if that much is free now."""
        if need == Need():
            return True
        return self._hold(task, self._assumed(need)) or (self._device is None and self._hold(task, self._counted(need)))

    def refusal(self, task: Task, need: Need) -> str | None:
        """Why an image can never fit, in one sentence; None if it can."""
        if self._device is not None and need != Need() and need.algorithm == "whole":
            on_device = self._network(need)
            if on_device > self._device:
                return (
                    f"{task.source} has {need.size[1]} x {need.size[0]} pixels, which need {in_words(on_device)} on "
                    f"{self._work.translator.device}, and {in_words(self._device)} are free; convert it smaller, with "
                    f"--long-side{why_whole(self._work, need.size)}"
                )
        if self._budget.too_large(self._assumed(need)) is None:
            return None
        reason = self._budget.too_large(self._counted(need))
        if reason is None:
            return None
        why = why_whole(self._work, need.size) if need.algorithm == "whole" else ""
        return f"{task.source} has {need.size[1]} x {need.size[0]} pixels and {reason}{why}"

    def at_once(self, need: Need, most: int) -> int:
        """How many frames of one need fit into the memory together, up to ``most`` and at least one."""
        return max(1, min(most, self._budget.total // max(self._assumed(need), 1)))

    def needed(self, need: Need) -> int:
        """The bytes that an image needs at its peak."""
        return 0 if need == Need() else self._counted(need)

    def fits(self, task: Task) -> bool:
        """Whether an image fits by its header, if it has a readable one."""
        return self.refusal(task, plan_memory(task, self._work)) is None

    def give_back(self, task: Task) -> None:
        """Release what an image held; nothing if it held nothing."""
        self._budget.give_back(self._held.pop(task, 0))

    def _hold(self, task: Task, wanted: int) -> bool:
        if not self._budget.take(wanted):
            return False
        self._held[task] = wanted
        return True

    def _assumed(self, need: Need) -> int:
        if need.algorithm != "whole":
            return self._counted(need)
        pixels = need.size[0] * need.size[1] * (self._work.samples or 1)
        return need.total(ASSUMED * pixels if self._device is None else 0)

    def _counted(self, need: Need) -> int:
        return need.total(self._network(need) if self._device is None else 0)

    def _network(self, need: Need) -> int:
        """The bytes of the network's pass; 0 if the translator does not say."""
        if need.algorithm != "whole":
            return bytes_in_parts(self._work, need.algorithm, need.size)
        return (bytes_whole(self._work, need.size) or 0) * (self._work.samples or 1)
