"""The header of a file of tensors, read and checked without its tensors and without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from translate.errors import TranslateError
from translate.schema import CheckpointFacts, FactsError, TranslatorFacts, check_file, open_file, parse_json

FORMAT = "1"

MOST_HEADER = 100_000_000
"""The largest header that safetensors reads, in bytes."""

MOST_SIDES = 16
"""The most dimensions of a tensor."""

OTHERS = {
    (".pth", ".pt", ".ckpt", ".bin"): "holds weights without a network; import it first: translate import FILE -o OUT",
    (".pt2",): "is a program of torch, whose loading may run code from it; export it as .onnx",
}
"""Files that others call a model, and what to do with them."""

Holds = Literal["training", "translator"]
"""What a file holds: a checkpoint the state of a training, a translator the networks to use."""


class CheckpointError(TranslateError):
    """A file of tensors cannot be read or written, or is damaged; the message names the file."""


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """The facts of a file, and the number of values of each of its tensors by name."""

    facts: Mapping[str, Any]
    counts: Mapping[str, int]


def unreadable(path: Path, reason: str) -> CheckpointError:
    """The error of a file that is no safetensors file: what it is by its name, else the ``reason``."""
    suffix = path.suffix.lower()
    exported = "is an exported network, which convert and show take; name the run that it was exported from"
    for suffixes, what in {**OTHERS, (".onnx", ".xml"): exported}.items():
        if suffix in suffixes:
            return CheckpointError(f"{path} {what}")
    if suffix != ".safetensors":
        return CheckpointError(f"{path} is neither a run nor a translator or a checkpoint (.safetensors): {reason}")
    return CheckpointError(f"{path} is not a readable safetensors file: {reason}")


def read_header(path: Path) -> TensorHeader:
    """Read the header of a checkpoint or a translator; what its checksum covers is not read, so it is not checked.

    Raises ``CheckpointError`` if it is missing, of another type, or does not fit its schema.
    """
    try:
        values = parse_json(_header_of(path))
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}") from None
    except (OSError, FactsError) as error:
        raise unreadable(path, getattr(error, "strerror", None) or str(error)) from None
    header = values.pop("__metadata__", {}) if isinstance(values, dict) else None
    if not isinstance(header, dict) or not all(isinstance(text, str) for text in header.values()):
        raise unreadable(path, "its header is no header")
    facts, _ = check_header(path, header, list(values))
    check_kind(path, facts, None)
    return TensorHeader(facts, {name: _count(path, name, each) for name, each in values.items()})


def _header_of(path: Path) -> bytes:
    """The JSON text at the beginning of a safetensors file, whose length stands in its first eight bytes."""
    with open_file(path) as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MOST_HEADER, path.stat().st_size - 8):
            raise FactsError("it does not begin with the length of a header")
        return file.read(length)


def _count(path: Path, name: str, entry: Any) -> int:
    shape = entry.get("shape") if isinstance(entry, dict) else None
    if not isinstance(shape, list) or len(shape) > MOST_SIDES or not all(map(_is_side, shape)):
        raise unreadable(path, f"{name!r:.100} has no shape")
    return math.prod(shape)


def _is_side(value: Any) -> bool:
    return type(value) is int and value >= 0


def check_header(path: Path, header: Mapping[str, str], names: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The facts and aliases in the metadata ``header`` of a file with tensors of these ``names``, checked."""
    if header.get("format") != "translate":
        raise CheckpointError(
            f"{path} is a safetensors file, but not one of ours; give a run or its translator.safetensors"
        )
    if header.get("version") != FORMAT:
        raise CheckpointError(
            f"{path} has format {header.get('version', '?'):.20}, this version of translate reads {FORMAT}; "
            "use the version that made it"
        )
    if header.keys() != {"format", "version", "content", "sha256"}:
        raise CheckpointError(f"{path} is damaged: its header holds other entries than it should")
    try:
        content = parse_json(header["content"])
    except FactsError as error:
        raise CheckpointError(f"{path} is damaged: of its metadata, {error}") from None
    if not isinstance(content, dict) or content.keys() != {"facts", "aliases"}:
        raise CheckpointError(f"{path} is damaged: its metadata hold other entries than they should")
    facts, aliases = content["facts"], content["aliases"]
    if not isinstance(facts, dict) or not isinstance(aliases, dict):
        raise CheckpointError(f"{path} is damaged: its metadata are no names and values")
    stored = set(names)
    for alias, name in aliases.items():
        if not isinstance(name, str) or name not in stored or alias in stored:
            raise CheckpointError(f"{path} is damaged: {alias!r:.100} stands for {name!r:.100}, which it cannot")
    for name in (*names, *aliases):
        if len(name) > 1000 or not name.isprintable():
            raise CheckpointError(f"{path} holds a tensor of the name {name!r:.100}, which no network has")
    return facts, aliases


def check_kind(path: Path, facts: Mapping[str, Any], holds: Holds | None) -> None:
    """Check the metadata of a checkpoint or a translator against its schema."""
    kind: Holds | None = "training" if "engine" in facts else "translator" if "directions" in facts else None
    if kind is not None:
        check_file(path, CheckpointFacts if kind == "training" else TranslatorFacts, facts, CheckpointError)
    if holds is not None and kind != holds:
        article = {"training": "checkpoint of a training", "translator": "translator"}
        raise CheckpointError(f"{path} is no {article[holds]}; give the run's folder")
