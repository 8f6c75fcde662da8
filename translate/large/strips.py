"""Strips: a network layer by layer in strips of rows, with maps in temporary files between the layers.

Each map whose statistics are needed is computed once, row by row, measured on the way, and kept in a file; what follows
reads it from there and normalizes it by the whole's statistics. Maps of the image's own size, which would take most of
the disk, are computed anew where that takes two layers at most.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from translate.large.graph import Node, UnknownOperationError, record
from translate.large.moments import Moments, global_operation
from translate.large.passes import Picture
from translate.large.rules import Rows
from translate.large.spill import Spilled, all_closed, check_space
from translate.sizes import Size

STRIP_BYTES = 2**28
"""About how many bytes all maps of one strip may take together."""

ROWS = 8
"""Strips have a multiple of so many rows, where they have more."""

DEEPEST = 2
"""The most layers that are computed anew to leave a map out of the files."""


@dataclass(slots=True)
class Sweep:
    """One run over the rows of a map: it is measured, kept, or the output; ``also`` are maps kept on the way.

    ``order`` are the nodes that a strip computes, in order; the maps that it reads are among them.
    """

    target: Node
    moments: list[Node] = field(default_factory=list)
    keep: bool = False
    also: list[Node] = field(default_factory=list)
    order: list[Node] = field(default_factory=list)
    reads: set[Node] = field(default_factory=set)
    row_bytes: float = 0.0
    forgets: list[Node] = field(default_factory=list)


class Plan:
    """The sweeps of a network over an image of one size, and what they take."""

    def __init__(self, nodes: list[Node], output: Node) -> None:
        self.nodes = nodes
        self.output = output
        self._kept: set[Node] = set()
        self.sweeps = self._plan()
        self._find_lives()

    @property
    def disk_bytes(self) -> int:
        """The most bytes that lie in files at one time."""
        held = most = 0
        for sweep in self.sweeps:
            held += sum(each.rows * each.row_bytes for each in self._kept_by(sweep))
            most = max(most, held)
            held -= sum(each.rows * each.row_bytes for each in sweep.forgets)
        return most

    @property
    def least_bytes(self) -> int:
        """About how many bytes the strips take that have only one row."""
        found = 0
        for sweep in self.sweeps:
            need = rows_needed(sweep, (sweep.target.rows // 2, sweep.target.rows // 2 + 1))
            found = max(found, sum((last - first) * each.row_bytes for each, (first, last) in need.items()))
        return found

    def _kept_by(self, sweep: Sweep) -> list[Node]:
        return [*([sweep.target] if sweep.keep else []), *sweep.also]

    def _plan(self) -> list[Sweep]:
        depth: dict[Node, int] = {}
        bases: dict[Node, frozenset[Node]] = {}
        uses: dict[Node, int] = {}
        measured: dict[Node, list[Node]] = {}
        for node in self.nodes:
            for each in {*node.inputs}:
                uses[each] = uses.get(each, 0) + (node.kind == "map")
            if node.kind == "moments":
                measured.setdefault(node.inputs[0], []).append(node)
        sweeps: list[Sweep] = []
        waiting: list[Node] = []
        full = self.nodes[0].rows
        for node in self.nodes:
            if node.kind not in ("map", "image"):
                continue
            maps = node.maps
            heavy = node.rule is not None and node.rule.heavy
            depth[node] = max((depth[each] for each in maps), default=0) + heavy
            bases[node] = frozenset().union(*(bases[each] for each in maps)) if maps else frozenset()
            keep = depth[node] > DEEPEST or (depth[node] > 0 and node in measured and node.rows < full)
            if node is self.output:
                keep = False
            if node in measured or keep:
                sweeps.append(Sweep(node, measured.get(node, []), keep, waiting))
                waiting = []
            elif len(bases[node]) > 1 and uses.get(node, 0) > 1 and not heavy and node is not self.output:
                # A sum that goes on in two ways would be summed up anew, from its beginning, each time.
                waiting.append(node)
                keep = True
            if keep:
                self._kept.add(node)
                depth[node], bases[node] = 0, frozenset({node})
        sweeps.append(Sweep(self.output, also=[]))
        done: set[Node] = set()
        for sweep in sweeps:
            self._order(sweep, done)
            # What is kept on the way must be on the way, and all of its rows.
            sweep.also = [each for each in sweep.also if each in sweep.order]
            done |= {*self._kept_by(sweep)}
        self._kept &= done
        return sweeps

    def _order(self, sweep: Sweep, done: set[Node]) -> None:
        wanted = {sweep.target}
        for node in reversed(self.nodes):
            if node in wanted and node in done:
                sweep.reads.add(node)
            elif node in wanted:
                wanted.update(node.maps)
        sweep.order = [node for node in self.nodes if node in wanted]
        target = sweep.target
        sweep.row_bytes = sum(each.row_bytes * each.rows / target.rows for each in sweep.order)

    def _find_lives(self) -> None:
        last: dict[Node, Sweep] = {}
        for sweep in self.sweeps:
            for each in (*self._kept_by(sweep), *sweep.reads):
                last[each] = sweep
        for node, sweep in last.items():
            sweep.forgets.append(node)


def rows_needed(sweep: Sweep, rows: Rows) -> dict[Node, Rows]:
    """The rows that a strip computes or reads of each map, for some rows of the sweep's target."""
    need: dict[Node, Rows] = {sweep.target: rows}
    for node in reversed(sweep.order):
        if node not in need or node in sweep.reads or node.rule is None:
            continue
        for each in node.maps:
            start, stop = node.rule.input_rows(need[node], each.rows)
            known = need.get(each, (start, stop))
            need[each] = min(start, known[0]), max(stop, known[1])
    return need


def _rows_at_once(sweep: Sweep, strip_bytes: int, count: int) -> int:
    """How many rows of a sweep's target are computed at once."""
    rows = max(1, min(int(strip_bytes / sweep.row_bytes), sweep.target.rows // count))
    # Fast convolutions compute tiles of rows.
    return rows - (rows % ROWS if rows > ROWS else 0)


class Strips:
    """A network over images of one size, in strips."""

    def __init__(self, network: nn.Module, channels: int, size: Size, device: torch.device, half: bool = False) -> None:
        nodes, output = record(network, channels, size, half)
        self.plan = Plan(nodes, output)
        self._device = device
        self._files: dict[int, Spilled] = {}
        self._numbers: dict[int, Any] = {}

    def translate(self, picture: Picture, *, strip_bytes: int | None = None, count: int = 1) -> None:
        """Translate a picture of the size that this was made for, each map in at least ``count`` strips."""
        check_space(self.plan.disk_bytes)
        self._files, self._numbers = {}, {}
        with all_closed(self._files):
            for sweep in self.plan.sweeps:
                self._run(sweep, picture, strip_bytes or STRIP_BYTES, count)

    @property
    def most_rows(self) -> int:
        """The most rows of the image that are read, or of the output that are written, at once."""
        found = 1
        for sweep in self.plan.sweeps:
            rows = _rows_at_once(sweep, STRIP_BYTES, 1)
            begin = (sweep.target.rows - rows) // 2
            for node, (first, last) in rows_needed(sweep, (begin, begin + rows)).items():
                if node.kind == "image" or node is self.plan.output:
                    found = max(found, last - first)
        return found

    def _run(self, sweep: Sweep, picture: Picture, strip_bytes: int, count: int) -> None:
        target = sweep.target
        step = _rows_at_once(sweep, strip_bytes, count)
        for node in sweep.moments:
            self._numbers[id(node)] = Moments(node.groups)
        for first in range(0, target.rows, step):
            last = min(first + step, target.rows)
            part = self._compute(sweep, (first, last), picture)
            for node in sweep.moments:
                self._numbers[id(node)].add(part)
            if sweep.keep:
                self._keep(target, first, part)
            if target is self.plan.output and sweep is self.plan.sweeps[-1]:
                picture.write(slice(first, last), slice(0, target.shape[-1]), part)
        for each in sweep.also:
            if self._files[id(each)].written < each.rows:
                raise UnknownOperationError("a map has rows that nothing asks for")
        for each in sweep.forgets:
            self._files.pop(id(each)).close()

    def _keep(self, node: Node, first: int, part: Tensor) -> None:
        if id(node) not in self._files:
            self._files[id(node)] = Spilled(node.shape, self._device)
        self._files[id(node)].write(first, part)

    def _compute(self, sweep: Sweep, rows: Rows, picture: Picture) -> Tensor:
        """Some rows of a sweep's target."""
        need = rows_needed(sweep, rows)
        values: dict[int, Tensor] = {}
        uses: dict[int, int] = {}
        for node in sweep.order:
            if node not in sweep.reads:
                for each in {*node.inputs}:
                    uses[id(each)] = uses.get(id(each), 0) + 1
        for node in sweep.order:
            if node not in need:
                continue
            if node in sweep.reads:
                values[id(node)] = self._files[id(node)].read(*need[node])
                continue
            if node.kind == "image":
                values[id(node)] = picture.read(slice(*need[node]), slice(0, node.shape[-1]))
                continue
            values[id(node)] = self._evaluate(node, need, values)
            if node in sweep.also:
                self._keep(node, need[node][0], values[id(node)])
            for each in {*node.inputs}:
                uses[id(each)] -= 1
                if not uses[id(each)]:
                    values.pop(id(each), None)
        return values[id(sweep.target)]

    def _evaluate(self, node: Node, need: dict[Node, Rows], values: dict[int, Tensor]) -> Tensor:
        """The needed rows of a map, from those of its inputs."""
        assert node.rule is not None
        assert node.function is not None
        rule, (first, last) = node.rule, need[node]
        given: dict[int, Tensor] = {}
        start = stop = height = 0
        for each in node.maps:
            height = each.rows
            start, stop = rule.input_rows((first, last), height)
            offset = need[each][0]
            given[id(each)] = values[id(each)][:, :, start - offset : stop - offset]
        args, options = self._filled(node, given)
        if rule.pads is not None:
            return _pad(args[0], options, rule.pads, (first, last), (start, height))
        moments = next((each for each in node.inputs if each.kind == "moments"), None)
        if moments is not None:
            operation = global_operation(node.name, args, options)
            assert operation is not None
            made: Tensor = operation.apply(operation.x, self._numbers[id(moments)])
            return made
        result = node.function(*args, **options)
        made = result if node.item is None else result[node.item]
        begin = first - start * rule.up // rule.down
        part = made[:, :, begin : begin + last - first]
        if part.shape[2] != last - first:
            raise UnknownOperationError(f"{node.name} gives fewer rows than it should")
        return part

    def _number(self, node: Node) -> Any:
        """Numbers of the whole, computed from moments when they are first asked for."""
        if id(node) not in self._numbers:
            assert node.function is not None
            moments = next((each for each in node.inputs if each.kind == "moments"), None)
            if moments is not None:
                source = moments.inputs[0]
                stand_in = torch.zeros(1, source.shape[1], 1, 1, dtype=source.dtype, device=self._device)
                args, options = self._filled(node, {id(source): stand_in})
                operation = global_operation(node.name, args, options)
                assert operation is not None
                result = operation.apply(operation.x, self._numbers[id(moments)])
            else:
                args, options = self._filled(node, {})
                result = node.function(*args, **options)
            self._numbers[id(node)] = result if node.item is None else result[node.item]
        return self._numbers[id(node)]

    def _filled(self, node: Node, given: dict[int, Tensor]) -> tuple[Any, Any]:
        """A node's arguments, with values in place of nodes."""

        def fill(value: Any) -> Any:
            if not isinstance(value, Node):
                return value
            return given[id(value)] if id(value) in given else self._number(value)

        args, options = tree_map(fill, (node.arguments, dict(node.options)))
        return args, options


def _pad(x: Tensor, options: Any, pads: Rows, rows: Rows, strip: Rows) -> Tensor:
    """Some rows of a padded map, from a strip of it that begins at ``strip[0]`` of the map's ``strip[1]`` rows."""
    (top, bottom), (first, last), (start, height) = pads, rows, strip
    upper = top if first < top else 0
    lower = bottom if last > height + top else 0
    sides = (*options["pad"][:2], upper, lower)
    with torch.autocast("cpu", enabled=False):
        padded = F.pad(x, sides, options["mode"], options["value"])
    begin = first - (0 if upper else start + top)
    return padded[:, :, begin : begin + last - first]
