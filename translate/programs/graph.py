"""What an ONNX file says of itself: read before any library computes with it, and never run.

The numbers of the fields are those of the format's public definition, onnx.proto3.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from translate.errors import TranslateError
from translate.programs.protobuf import WireError, fields, last, messages, text

MODEL_GRAPH, MODEL_FUNCTION = 7, 25
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_OUTPUT = 1, 5, 12
NODE_INPUT, NODE_OUTPUT, NODE_TYPE, NODE_ATTRIBUTE, NODE_DOMAIN = 1, 2, 4, 5, 7
ATTRIBUTE_NAME, ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH, ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPHS = 1, 5, 6, 10, 11
TENSOR_FLOATS, TENSOR_NAME, TENSOR_RAW, TENSOR_EXTERNAL = 4, 8, 9, 13
FUNCTION_NAME, FUNCTION_NODE, FUNCTION_DOMAIN = 1, 7, 10

STANDARD = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""The domains whose operations the library has."""

PASSING = ("Identity", "Transpose", "Reshape", "Cast", "Squeeze", "Unsqueeze")
"""Operations that leave values as they are."""

MOST_NESTING = 16
MOST_NODES = 1_000_000


Bounds = dict[str, tuple[float, float, str]]
"""By output: its least and largest value, and the operation that ensures them."""


@dataclass(frozen=True, slots=True)
class Graph:
    """The names of files with weights, foreign operations, and by what each output is bounded."""

    external: frozenset[str]
    foreign: tuple[str, ...]
    bounds: Bounds


def read_graph(path: Path) -> Graph:
    """Read an ONNX file's graph; raises ``TranslateError`` for what is none."""
    try:
        return _read(memoryview(_content(path)))
    except OSError as error:
        raise TranslateError(f"cannot read {path}: {error.strerror}; check the path") from None
    except (WireError, ValueError, RecursionError, struct.error) as error:
        reason = "it is empty" if "empty file" in str(error) else str(error)
        raise TranslateError(f"{path} is damaged, or no ONNX file: {reason}; export it anew") from None


def refuse_missing(path: Path) -> None:
    """Raise ``TranslateError`` for what is no regular file."""
    if not path.is_file():
        raise TranslateError(f"{path} is no file; give a model's" if path.exists() else f"there is no file {path}")


def _content(path: Path) -> mmap.mmap:
    """A file's bytes, read as they are needed; they stay until nothing views them."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _read(model: memoryview) -> Graph:
    graphs = list(messages(model, MODEL_GRAPH))
    if len(graphs) != 1:
        raise WireError("it holds no graph")
    functions = list(messages(model, MODEL_FUNCTION))
    known = {(text(each, FUNCTION_DOMAIN), text(each, FUNCTION_NAME)) for each in functions}
    walk = _Walk()
    walk.graph(graphs[0], 0)
    for function in functions:
        for node in messages(function, FUNCTION_NODE):
            walk.node(node, 0)
    foreign = sorted(
        f"{domain}.{kind}" for domain, kind in walk.kinds if domain not in STANDARD and (domain, kind) not in known
    )
    return Graph(frozenset(walk.external), tuple(foreign), _bounds(graphs[0]))


class _Walk:
    """Gathers what nodes and tensors say, also those of inner graphs."""

    def __init__(self) -> None:
        self.kinds: set[tuple[str, str]] = set()
        self.external: set[str] = set()
        self._nodes = 0

    def graph(self, graph: memoryview, depth: int) -> None:
        """A graph with its tensors and nodes."""
        if depth > MOST_NESTING:
            raise WireError("its graphs are nested too deeply")
        for number, value in fields(graph):
            if isinstance(value, int):
                continue
            if number == GRAPH_NODE:
                self.node(value, depth)
            elif number == GRAPH_INITIALIZER:
                self.tensor(value)

    def node(self, node: memoryview, depth: int) -> None:
        """A node with its attributes."""
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise WireError(f"it holds more than {MOST_NODES:,} operations")
        self.kinds.add((text(node, NODE_DOMAIN), text(node, NODE_TYPE)))
        for attribute in messages(node, NODE_ATTRIBUTE):
            for number, value in fields(attribute):
                if isinstance(value, int):
                    continue
                if number in (ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS):
                    self.tensor(value)
                elif number in (ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS):
                    self.graph(value, depth + 1)

    def tensor(self, tensor: memoryview) -> None:
        """A tensor, whose values may lie in another file."""
        for entry in messages(tensor, TENSOR_EXTERNAL):
            if text(entry, 1) == "location":
                self.external.add(text(entry, 2))


def _bounds(graph: memoryview) -> dict[str, tuple[float, float, str]]:
    """By what the outputs are bounded: tanh, a sigmoid, or a clip between constants."""
    makers: dict[str, memoryview] = {}
    constants: dict[str, float] = {}
    for node in messages(graph, GRAPH_NODE):
        for value in messages(node, NODE_OUTPUT):
            makers[bytes(value).decode("utf-8", "replace")] = node
    for tensor in messages(graph, GRAPH_INITIALIZER):
        if (number := _scalar(tensor)) is not None:
            constants[text(tensor, TENSOR_NAME)] = number
    found: dict[str, tuple[float, float, str]] = {}
    for output in messages(graph, GRAPH_OUTPUT):
        name = at = text(output, 1)
        for _ in range(MOST_NESTING):
            if (maker := makers.get(at)) is None or text(maker, NODE_TYPE) not in PASSING:
                break
            at = next(_names(maker), "")
        if maker is not None and (bound := _bound(maker, makers, constants)) is not None:
            found[name] = bound
    return found


def _bound(
    node: memoryview, makers: dict[str, memoryview], constants: dict[str, float]
) -> tuple[float, float, str] | None:
    kind = text(node, NODE_TYPE)
    if kind == "Tanh":
        return -1.0, 1.0, kind
    if kind == "Sigmoid":
        return 0.0, 1.0, kind
    if kind != "Clip":
        return None
    limits = []
    for name in list(_names(node))[1:3]:
        value = constants.get(name)
        if value is None and (maker := makers.get(name)) is not None and text(maker, NODE_TYPE) == "Constant":
            for attribute in messages(maker, NODE_ATTRIBUTE):
                for tensor in messages(attribute, ATTRIBUTE_TENSOR):
                    value = _scalar(tensor)
        if value is None:
            return None
        limits.append(value)
    return (limits[0], limits[1], kind) if len(limits) == 2 else None


def _names(node: memoryview) -> Iterator[str]:
    for value in messages(node, NODE_INPUT):
        yield bytes(value).decode("utf-8", "replace")


def _scalar(tensor: memoryview) -> float | None:
    """The value of a tensor of one float; None for any other."""
    for number in (TENSOR_RAW, TENSOR_FLOATS):
        value = last(tensor, number)
        if isinstance(value, memoryview) and len(value) == 4 and last(tensor, 2) == 1:
            return float(struct.unpack("<f", value)[0])
    return None
