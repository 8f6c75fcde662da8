"""What must be known of an ONNX file to use it: from its own metadata, from beside it, or found out and noted there."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from translate import atomic
from translate.data import Domain
from translate.embedded import read_facts
from translate.errors import TranslateError
from translate.exported import LIMITS, Facts, Layout, Range
from translate.job import is_launcher_or_main
from translate.programs.graph import Bounds, Graph, read_graph, refuse_missing
from translate.programs.onnx_session import OnnxSession
from translate.programs.openvino_session import OpenVINOSession
from translate.programs.program import Program, further_of
from translate.programs.session import Session, channels_and_layout, to_range
from translate.schema import MOST_CHANNELS, FactsError, read_text
from translate.taken import Wanted

log = logging.getLogger("translate")

MULTIPLES = tuple(2**power for power in range(9))
LEAST_SIDE = 33
MOST_PIXELS = 2**24
"""The largest image of a fixed size that is tried."""
SPILL, USED = 0.1, 0.2
"""Shares of a range: by how much outputs of a fitting one may leave it, and how much of it they use at least."""


def open_program(
    path: Path,
    *,
    direction: str | None = None,
    device: str = "auto",
    others: Mapping[str, object] | None = None,
    limits: str = "",
    layout: str = "",
) -> Program:
    """Open an ONNX file or a model of OpenVINO; ``limits`` and ``layout`` are what was asked for, if anything.

    What it says of itself is taken; else what lies beside it, in a file of its name and ``.json``; else it is found
    out, told in one line, and noted there unless something lies there. ``others`` are options of other files, which
    must not be given, nor another ``direction`` than its own or a ``device`` but the CPU.
    """
    for name, value in (others or {}).items():
        if value not in (None, "", "float32"):
            raise TranslateError(f"{path} is computed as it was written; leave out --{name}")
    if device not in ("auto", "cpu"):
        raise TranslateError(f"{path} is computed on the CPU; leave out --device")
    refuse_missing(path)
    own = read_facts(path)
    session, bounds = _opened(path, further_of(own))
    facts, told = _facts(session, own, bounds, limits, layout)
    if direction not in (None, facts.direction):
        raise TranslateError(f"{path} has no direction {direction!r:.60}; it translates {facts.direction}")
    if told:
        _note(path, facts, told)
    return Program(session, facts)


def _opened(path: Path, further: Mapping[str, Wanted]) -> tuple[Session, Bounds]:
    """Open a file, and say by what its outputs are bounded, where that can be told."""
    if path.suffix.lower() == ".xml":
        return OpenVINOSession(path, further=further), {}
    graph = read_graph(path)
    _check(path, graph)
    session = OnnxSession(path, further=further)
    session.weights = tuple(path.resolve().parent / name for name in sorted(graph.external))
    return session, graph.bounds


def _facts(session: Session, own: Facts | None, bounds: Bounds, limits: str, layout: str) -> tuple[Facts, list[str]]:
    """The facts of an opened file, and how they were found out; nothing where they were said or noted."""
    path = session.path
    if own is not None:
        if limits or layout:
            raise TranslateError(f"{path} says itself which range and layout it has; leave out --range and --layout")
        facts = own
    elif (known := noted(path)) is not None:
        facts = _overridden(known, limits, layout)
    else:
        return _found(session, bounds, limits, layout)
    _check_noted(path, session, facts)
    return facts, []


def _check(path: Path, graph: Graph) -> None:
    if graph.foreign:
        raise TranslateError(
            f"{path} needs operations that are no part of ONNX ({', '.join(graph.foreign[:3])}); export it without them"
        )
    folder = path.resolve().parent
    for name in graph.external:
        file = (folder / name).resolve()
        if Path(name).is_absolute() or not file.is_relative_to(folder) or not file.is_file():
            raise TranslateError(
                f"{path} wants weights from {name!r:.200}, which is no file in its folder; get all files of the model"
            )


def _check_noted(path: Path, session: Session, facts: Facts) -> None:
    """Raise unless what was noted fits the input's shape."""
    axes = (1, 2, 3) if facts.layout == "NCHW" else (3, 1, 2)
    wanted = (facts.domains[0].channels, *(facts.fixed_size or (None, None)))
    for axis, side in zip(axes, wanted, strict=True):
        own = session.shape[axis]
        if own is not None and own != side:
            raise TranslateError(
                f"{path} takes {session.shape}, which does not fit what is noted of it ({facts.layout}, "
                f"{facts.domains[0].channels} channels, fixed size {facts.fixed_size})"
            )
    if facts.output is not None and facts.output not in session.outputs:
        raise TranslateError(f"{path} has no output {facts.output!r:.100}; it has {', '.join(session.outputs)}")


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def noted(path: Path) -> Facts | None:
    """The facts beside a file; None if there are none."""
    beside = _beside(path)
    try:
        facts = Facts.from_json(read_text(beside, 2**20))
    except FileNotFoundError:
        return None
    except FactsError as error:
        raise TranslateError(
            f"{beside} does not say what {path.name} takes: {error}; mend it, or move it away"
        ) from None
    except OSError as error:
        raise TranslateError(
            f"cannot read {beside}: {error.strerror}; check its permissions, or move it away"
        ) from None
    if facts.sha256 is not None and facts.sha256 != _digest(path):
        raise TranslateError(f"{beside} was noted of another file than {path.name} is now; delete it to find out anew")
    return facts


def _overridden(facts: Facts, limits: str, layout: str) -> Facts:
    """The facts with what was asked for in their place, for this time."""
    asked: dict[str, Any] = {}
    if limits:
        asked["range"], asked["output_range"] = ranges(limits)
    if layout:
        asked["layout"] = layout
    return facts.model_copy(update=asked)


def ranges(text: str) -> tuple[Range, Range | None]:
    """Read ``0..255``, or ``0..1,-1..1`` where the output has another range than the input.

    >>> ranges("0..255"), ranges("0..1,-1..1")
    (('0..255', None), ('0..1', '-1..1'))
    """
    first, comma, second = (each.strip() for each in text.partition(","))
    known = get_args(Range)
    if first not in known or (comma and second not in known):
        raise TranslateError(f"a range is one of {', '.join(known)}, or two of them as INPUT,OUTPUT, not {text!r:.80}")
    return cast("Range", first), cast("Range", second) if comma else None


def _found(session: Session, bounds: Bounds, limits: str, layout: str) -> tuple[Facts, list[str]]:
    """Find the facts out, and say how: from the shapes, from the last operation, by trial."""
    path = session.path
    channels, seen = channels_and_layout(session.shape)
    order = cast("Layout", layout or seen)
    if not order:
        raise TranslateError(
            f"{path} takes {session.shape}, which does not tell its layout; give --layout NCHW or NHWC"
        )
    axes = (1, 2, 3) if order == "NCHW" else (3, 1, 2)
    channels, height, width = (session.shape[axis] for axis in axes)
    if (height is None) != (width is None):
        raise TranslateError(f"{path} takes {session.shape}, of which one side is fixed; export it with both or none")
    if (channels or 1) > MOST_CHANNELS or (height or 1) * (width or 1) > MOST_PIXELS:
        raise TranslateError(
            f"{path} takes {session.shape}, which is larger than what is tried here; export it with free sides"
        )
    fixed = [height, width] if height is not None and width is not None else None
    if not session.outputs:
        raise TranslateError(f"{path} answers no image (N, C, H, W)")
    output = session.outputs[0]
    bound = bounds.get(output)
    known = [name for name, ends in LIMITS.items() if bound is not None and bound[:2] == ends]
    by_bytes = session.dtype == np.uint8
    given = ranges(limits) if limits else None
    tried = given[0] if given else "0..255" if by_bytes else known[0] if known else "0..1"
    multiple, counts = _multiple(session, output, order, channels, fixed, tried)
    made = Facts(
        format_version=1,
        direction="forward",
        source=asdict(Domain(counts[0])),
        target=asdict(Domain(counts[1])),
        size_multiple=multiple,
        fixed_size=fixed,
        layout=order,
        output=output if len(session.outputs) > 1 else None,
        sha256=_digest(path),
    )
    if given:
        taken, other, why = given[0], given[1], "as asked"
    else:
        # What takes bytes may answer in any range.
        answer = cast("Range", known[0]) if known else _tried(session, made, "0..255" if by_bytes else None)
        last = f"by its last operation, {cast(tuple[Any, ...], bound)[2]}" if known else ""
        taken, why = answer, last or "the only one whose answers stay in it"
        if by_bytes:
            taken, why = "0..255", f"its input takes bytes{'' if answer == '0..255' else f'; its output: {why}'}"
        other = None if answer == taken else answer
    made = made.model_copy(update={"range": taken, "output_range": other})
    sides = f"sides of {fixed[0]} x {fixed[1]}" if fixed else "any sides" if multiple == 1 else f"sides of {multiple} n"
    return made, [
        f"{counts[0]} -> {counts[1]} channels, {order}, {sides}",
        f"range {taken}{f' and {other}' if other else ''} ({why})",
        *([f"the output {output} of {len(session.outputs)}"] if len(session.outputs) > 1 else []),
    ]


def _sides(multiple: int) -> tuple[int, int]:
    """A small height and width that divide by ``multiple`` and by nothing larger."""
    odd = -(-LEAST_SIDE // multiple) | 1
    return odd * multiple, (odd + 2) * multiple


def _picture(channels: int, height: int, width: int) -> NDArray[np.float32]:
    """A smooth picture (1, C, H, W) in [-1, 1] with some noise, the same each time."""
    rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    planes = [np.sin(3 * rows + number) * np.cos(2 * columns - number) for number in range(channels)]
    noise = np.random.default_rng(0).uniform(-0.2, 0.2, (channels, height, width))
    return np.clip(np.stack(planes) + noise, -1, 1)[None].astype(np.float32)


def _multiple(
    session: Session, output: str, layout: Layout, channels: int | None, fixed: list[int] | None, limits: str
) -> tuple[int, tuple[int, int]]:
    """The least power of two whose multiples come out with the size that they had, and the channels in and out."""
    seen = ""
    for multiple in MULTIPLES if fixed is None else (1,):
        height, width = fixed if fixed is not None else _sides(multiple)
        for count in (3, 1, 4) if channels is None else (channels,):
            try:
                found = session.run(to_range(_picture(count, height, width), limits, layout, session.dtype), output)
            except (RuntimeError, MemoryError, TranslateError) as error:
                seen = str(error)
                continue
            made = found.shape if layout == "NCHW" else tuple(found.shape[axis] for axis in (0, 3, 1, 2))
            if made[2:] == (height, width):
                return multiple, (count, made[1])
            seen = f"an image of {width} x {height} pixels becomes one of {made[3]} x {made[2]}"
    raise TranslateError(f"{session.path} does not answer an image of its input's size: {seen}")


def _tried(session: Session, facts: Facts, given: Range | None) -> Range:
    """The only range in which the answers stay to images of it, or of a ``given`` range; raises where it is not one."""
    fitting: list[Range] = []
    height, width = facts.fixed_size or [2 * side for side in _sides(facts.size_multiple)]
    picture = _picture(facts.domains[0].channels, height, width)
    for each, (low, high) in LIMITS.items():
        image = to_range(picture, given or each, facts.layout, session.dtype)
        found = session.run(image, facts.output or session.outputs[0])
        least, most, span = float(found.min()), float(found.max()), high - low
        if least >= low - SPILL * span and most <= high + SPILL * span and most - least >= USED * span:
            fitting.append(cast("Range", each))
    if len(fitting) == 1:
        return fitting[0]
    why = "answers of several ranges look alike" if fitting else "no range's answers stay in it"
    *others, last = [each if given in (None, each) else f"{given},{each}" for each in LIMITS]
    raise TranslateError(f"{session.path} does not tell its range ({why}); give --range {', '.join(others)} or {last}")


def _note(path: Path, facts: Facts, how: list[str]) -> None:
    """Tell what was found out, and note it beside the file, if nothing lies there and the place can be written."""
    if not is_launcher_or_main():
        return
    beside = _beside(path)
    kept = f"noted in {beside.name}, where it can be changed"
    try:
        for temporary in _temporary(beside, facts.to_json()):
            # Unlike a rename, this never replaces what somebody has put there meanwhile.
            os.link(temporary, beside)
    except OSError as error:
        kept = f"not noted in {beside.name}: {error.strerror}"
    log.warning("%s: took it for %s; %s", path, ", ".join(how), kept)


def _temporary(beside: Path, text: str) -> Iterator[Path]:
    temporary = atomic.temporary_beside(beside)
    try:
        with temporary.open("x", encoding="utf-8") as file:
            file.write(text)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
