"""Graph: the operations of a network on one image, recorded on the meta device, and which rows each needs of its inputs.

Nothing is computed while recording, so an image of any size is recorded in milliseconds.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from translate.errors import TranslateError
from translate.large.moments import global_operation
from translate.sizes import Size

Rows = tuple[int, int]
"""Rows of a map, from the first to behind the last."""


class UnknownOperationError(TranslateError):
    """A network that does something whose rows are not known."""


@dataclass(eq=False, slots=True)
class Node:
    """One operation; ``arguments`` hold other nodes in place of tensors.

    ``kind`` is "image", "map", "moments" or "number"; the latter two are of the whole. ``shape`` is that of a map.
    """

    kind: str
    function: Callable[..., Any] | None = None
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    shape: torch.Size = torch.Size(())  # noqa: RUF009
    dtype: torch.dtype = torch.float32
    rule: Rule | None = None
    inputs: list[Node] = field(default_factory=list)
    item: int | None = None
    groups: int = 0

    @property
    def maps(self) -> list[Node]:
        """The inputs that are maps, or the image."""
        return [each for each in self.inputs if each.kind in ("image", "map")]

    @property
    def rows(self) -> int:
        """The height of a map."""
        return int(self.shape[-2])

    @property
    def row_bytes(self) -> int:
        """The bytes of one row of a map."""
        return int(self.shape[1] * self.shape[-1]) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Rule:
    """Which rows of its input an operation needs, and how it is computed on them.

    ``needs(first, last)`` are input rows for the output rows first to last, before they are clipped to the input. A
    strip begins at an input row that ``down`` divides, and its output at that row * ``up`` / ``down``; but a padding
    adds ``pads`` rows at the image's upper and lower border only. ``heavy`` operations are not for computing anew.
    """

    needs: Callable[[int, int], Rows]
    up: int = 1
    down: int = 1
    heavy: bool = True
    pads: tuple[int, int] | None = None

    def input_rows(self, rows: Rows, height: int) -> Rows:
        """The input rows to compute output rows from, of an input of that height."""
        first, last = self.needs(*rows)
        first = min(max(0, first), height - 1) // self.down * self.down
        return first, min(height, max(last, first + 1))


POINTWISE = frozenset(
    "add sub mul div true_divide neg abs square sqrt rsqrt exp log sin cos pow __add__ __radd__ __sub__ __rsub__ "
    "__mul__ __rmul__ __truediv__ __rtruediv__ __rdiv__ __neg__ __pow__ relu leaky_relu elu selu gelu silu mish "
    "softplus sigmoid logsigmoid tanh hardtanh hardswish hardsigmoid relu6 prelu clamp clamp_min clamp_max maximum "
    "minimum where to float double half bfloat16 contiguous clone detach type_as cat concat dropout dropout2d "
    "alpha_dropout feature_dropout lerp addcmul addcdiv erf".split()
)
"""Operations whose output row depends on the same row of each input; those along channels have rules of their own."""

IN_PLACE = frozenset("add_ sub_ mul_ div_ neg_ relu_ leaky_relu_ tanh_ sigmoid_ clamp_ square_ sqrt_ rsqrt_".split())


def record(network: nn.Module, channels: int, size: Size, half: bool) -> tuple[list[Node], Node]:
    """Record a network on an image (1, channels, *size); return all nodes in order, the image first, and the output.

    ``half`` says that convolutions will be computed in bf16. Raises ``UnknownOperationError`` for a network with an
    operation that is not known.
    """
    real = [*network.parameters(), *network.buffers()]
    hollow = {id(each): _hollow(each) for each in real}
    # The memo keeps what it is given; these tensors are the copies' own.
    try:
        twin = copy.deepcopy(network, dict(hollow))
    except TypeError:
        raise UnknownOperationError("it cannot be copied") from None
    for module in twin.modules():
        # A convolution with an algorithm of its own is recorded as what it is.
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            vars(module).pop("forward", None)
    layers = {
        id(theirs._parameters["weight"]): ours
        for ours, theirs in zip(network.modules(), twin.modules(), strict=True)
        if isinstance(ours, (nn.Conv2d, nn.ConvTranspose2d)) and ours.padding_mode == "zeros"
        if isinstance(theirs, nn.Module) and theirs._parameters.get("weight") is not None
    }
    recorder = _Recorder({id(hollow[id(each)]): each for each in real}, layers, half)
    dtype = next((each.dtype for each in real if each.dtype == torch.float64), torch.float32)
    image = torch.empty(1, channels, *size, dtype=dtype, device="meta")
    recorder.enter(image, Node("image", shape=image.shape))
    try:
        with torch.inference_mode(), recorder:
            output = twin(image)
    except UnknownOperationError:
        raise
    except Exception as error:
        # Whatever a network does with a tensor without values.
        raise UnknownOperationError(f"it cannot be recorded ({type(error).__name__})") from error
    node = recorder.nodes_of.get(id(output)) if isinstance(output, Tensor) else None
    if node is None or node.kind not in ("map", "image") or tuple(output.shape[-2:]) != size:
        raise UnknownOperationError("its output is not an image of the input's size")
    return recorder.nodes, node


def _hollow(tensor: Tensor) -> Tensor:
    made = torch.empty_like(tensor, device="meta")
    return nn.Parameter(made, requires_grad=False) if isinstance(tensor, nn.Parameter) else made


class _Recorder(TorchFunctionMode):
    def __init__(self, constants: Mapping[int, Tensor], layers: Mapping[int, nn.Module], half: bool) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.nodes_of: dict[int, Node] = {}
        self._constants = dict(constants)
        self._layers = layers
        self._half = half
        self._alive: list[Tensor] = []

    def enter(self, tensor: Tensor, node: Node) -> Node:
        """Remember that a tensor is a node's result."""
        # A tensor that is gone could leave its id to another.
        self._alive.append(tensor)
        self.nodes_of[id(tensor)] = node
        if node not in self.nodes:
            self.nodes.append(node)
        return node

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Record a call, if it is about the image, and answer with the shapes of its result."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        tensors = list(_tensors((args, kwargs)))
        inputs = [self.nodes_of[id(each)] for each in tensors if id(each) in self.nodes_of]
        if not inputs:
            result = func(*args, **kwargs)
            if isinstance(result, Tensor) and any(id(each) in self._constants for each in tensors):
                # Made of weights alone: computed at once.
                real = func(*self._real(args), **self._real(kwargs))
                self._constants[id(result)] = real
                self._alive.append(result)
            return result
        operation = global_operation(name, args, kwargs) if args and inputs[0].kind in ("image", "map") else None
        if operation is not None:
            return self._global(func, name, args, kwargs, inputs, operation)
        args, kwargs = _out_of_place(func, args, kwargs)
        result = func(*args, **kwargs)
        many = result if isinstance(result, (tuple, list)) else [result]
        if not any(isinstance(each, Tensor) for each in many):
            return result
        if name in IN_PLACE:
            func, name = getattr(torch, name[:-1], None) or getattr(F, name[:-1]), name[:-1]
        for number, each in enumerate(many):
            made = self._node(func, name, args, kwargs, inputs, each)
            made.item = number if isinstance(result, (tuple, list)) else None
            self.enter(each, made)
        if self._half and name in ("conv2d", "conv_transpose2d"):
            half = result.bfloat16()
            self.enter(half, self.nodes_of[id(result)]).dtype = torch.bfloat16
            return half
        return result

    def _node(
        self, func: Any, name: str, args: Any, kwargs: Any, inputs: list[Node], result: Tensor
    ) -> Node:
        arguments, options = self._symbols(args), self._symbols(kwargs)
        kind = "map" if any(each.kind in ("image", "map") for each in inputs) else "number"
        node = Node(kind, func, arguments, options, name, result.shape, result.dtype, None, list(inputs))
        if kind != "map":
            return node
        maps = node.maps
        if name in ("conv2d", "conv_transpose2d") and id(args[1] if len(args) > 1 else None) in self._layers:
            node.function = self._layers[id(args[1])].forward
            node.arguments, node.options = node.arguments[:1], {}
        node.rule = rule_of(name, args, kwargs, maps[0].shape, result)
        if node.rule is None or result.dim() != 4 or result.shape[0] != 1:
            raise UnknownOperationError(f"it computes {name or func!r:.60}, whose rows are not known")
        if node.rule.pads is not None:
            node.arguments, node.options = node.arguments[:1], _padding(*args[1:], **kwargs)
        elif node.rule.down == node.rule.up == 1 and not node.rule.heavy:
            same = {each.rows for each in maps} == {node.rows}
            if not same:
                raise UnknownOperationError(f"it computes {name} on maps of different heights")
            if any(isinstance(each, Tensor) and each.dim() > 1 and each.shape[-2] not in (1,) and name != "prelu"
                   for each in _tensors((args, kwargs)) if id(each) not in self.nodes_of):  # fmt: skip
                raise UnknownOperationError(f"it computes {name} with a map of its own")
        elif len(maps) > 1:
            raise UnknownOperationError(f"it computes {name} on several maps")
        return node

    def _global(self, func: Any, name: str, args: Any, kwargs: Any, inputs: list[Node], operation: Any) -> Any:
        source, local = inputs[0], operation.local
        moments = Node("moments", inputs=[source], groups=operation.groups)
        self.nodes.append(moments)
        result = torch.empty_like(args[0]) if local else func(*args, **kwargs)
        many = result if isinstance(result, tuple) else (result,)
        for number, each in enumerate(many):
            node = Node(
                "map" if local else "number", func, self._symbols(args), self._symbols(kwargs), name, each.shape,
                each.dtype, Rule(lambda first, last: (first, last), heavy=False) if local else None,
                [source, moments] if local else [moments], number if len(many) > 1 else None,
            )  # fmt: skip
            node.inputs += [each for each in inputs[1:] if each.kind == "number"]
            self.enter(each, node)
        return result

    def _symbols(self, given: Any) -> Any:
        def symbol(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            if id(value) in self.nodes_of:
                return self.nodes_of[id(value)]
            if id(value) in self._constants:
                return self._constants[id(value)]
            if value.device.type == "meta":
                raise UnknownOperationError("it uses a tensor that it makes on its way")
            return value

        return _mapped(symbol, given)

    def _real(self, given: Any) -> Any:
        return _mapped(lambda value: self._constants.get(id(value), value) if isinstance(value, Tensor) else value, given)


def _tensors(given: Any) -> list[Tensor]:
    found: list[Tensor] = []
    _mapped(lambda value: found.append(value) if isinstance(value, Tensor) else None, given)
    return found


def _out_of_place(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """The arguments of a call, without the wish to write over its input."""
    if not isinstance(func, FunctionType) or "inplace" not in inspect.signature(func).parameters:
        return args, kwargs
    bound = inspect.signature(func).bind(*args, **kwargs)
    bound.arguments["inplace"] = False
    return bound.args, bound.kwargs


def _padding(pad: Any, mode: str = "constant", value: Any = None) -> dict[str, Any]:
    return {"pad": tuple(pad), "mode": mode, "value": value}


def _mapped(function: Callable[[Any], Any], given: Any) -> Any:
    return tree_map(function, given)


def rule_of(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], shape: torch.Size, result: Tensor) -> Rule | None:
    """The rule of an operation by the name of its torch function; None if it is not known."""
    if name in POINTWISE:
        return _pointwise(name, args, kwargs)
    found = _RULES.get(name)
    try:
        return None if found is None else found(shape, result.shape, *args, **kwargs)
    except (TypeError, ValueError):
        return None


def _pointwise(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Rule | None:
    if name in ("cat", "concat") and (args[1] if len(args) > 1 else kwargs.get("dim", 0)) not in (1, -3):
        return None
    if name in ("dropout", "dropout2d", "alpha_dropout", "feature_dropout"):
        training = kwargs.get("training", args[2] if len(args) > 2 else True)
        if training:
            return None
    return Rule(lambda first, last: (first, last), heavy=False)


def _first(value: Any) -> int:
    return int(value[0]) if isinstance(value, (tuple, list)) else int(value)


def _window(kernel: int, stride: int, padding: int, dilation: int = 1) -> Rule:
    def needs(first: int, last: int) -> Rows:
        return first * stride - padding, (last - 1) * stride - padding + (kernel - 1) * dilation + 1

    return Rule(needs, 1, stride)


def _conv2d(
    shape: torch.Size, made: torch.Size, input: Any, weight: Tensor, bias: Any = None, stride: Any = 1,  # noqa: A002
    padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> Rule | None:  # fmt: skip
    kernel = int(weight.shape[2])
    if isinstance(padding, str):
        if padding == "same" and (kernel - 1) * _first(dilation) % 2:
            return None
        padding = 0 if padding == "valid" else (kernel - 1) * _first(dilation) // 2
    return _window(kernel, _first(stride), _first(padding), _first(dilation))


def _conv_transpose2d(
    shape: torch.Size, made: torch.Size, input: Any, weight: Tensor, bias: Any = None, stride: Any = 1,  # noqa: A002
    padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Rule:  # fmt: skip
    step, pad, reach = _first(stride), _first(padding), (int(weight.shape[2]) - 1) * _first(dilation)

    def needs(first: int, last: int) -> Rows:
        # One row more than strictly needed, so that the strip's output reaches far enough.
        return (first + pad - reach) // step, (last - 1 + pad) // step + 2

    return Rule(needs, step, 1)


def _pool(
    shape: torch.Size, made: torch.Size, input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,  # noqa: A002
    *others: Any, **more: Any,
) -> Rule | None:  # fmt: skip
    if more.get("ceil_mode") or more.get("return_indices") or any(each is True for each in others[:1]):
        return None
    return _window(_first(kernel_size), _first(kernel_size if stride is None else stride), _first(padding))


def _max_pool(
    shape: torch.Size, made: torch.Size, input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,  # noqa: A002
    dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Rule | None:  # fmt: skip
    if ceil_mode or return_indices:
        return None
    step = _first(kernel_size if stride is None else stride)
    return _window(_first(kernel_size), step, _first(padding), _first(dilation))


def _pad(
    shape: torch.Size, made: torch.Size, input: Any, pad: Sequence[int], mode: str = "constant", value: Any = None  # noqa: A002
) -> Rule | None:
    if mode == "circular" or len(pad) not in (2, 4):
        return None
    top, bottom = (int(pad[2]), int(pad[3])) if len(pad) == 4 else (0, 0)
    if top < 0 or bottom < 0:
        return None
    height = int(shape[-2])

    def needs(first: int, last: int) -> Rows:
        start, stop = first - top, last - top
        # What lies beyond a border mirrors rows on its inside.
        return (
            min(start, height - bottom - 1) if stop > height else start,
            max(stop, top + 1) if start < 0 else stop,
        )

    return Rule(needs, heavy=False, pads=(top, bottom))


def _unshuffle(shape: torch.Size, made: torch.Size, input: Any, factor: int) -> Rule:  # noqa: A002
    return Rule(lambda first, last: (first * factor, last * factor), 1, factor, heavy=False)


def _shuffle(shape: torch.Size, made: torch.Size, input: Any, factor: int) -> Rule:  # noqa: A002
    return Rule(lambda first, last: (first // factor, -(-last // factor)), factor, 1, heavy=False)


def _interpolate(
    shape: torch.Size, made: torch.Size, input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest",  # noqa: A002
    *others: Any, **more: Any,
) -> Rule | None:  # fmt: skip
    if mode != "nearest" or size is not None or made[-2] % shape[-2] or _first(scale_factor) != made[-2] // shape[-2]:
        return None
    return _shuffle(shape, made, input, int(made[-2] // shape[-2]))


def _getitem(shape: torch.Size, made: torch.Size, input: Any, index: Any) -> Rule | None:  # noqa: A002
    parts = index if isinstance(index, tuple) else (index,)
    whole = all(each is Ellipsis or isinstance(each, slice) for each in parts)
    along = [each for each in parts if each is not Ellipsis]
    if not whole or parts[0] is Ellipsis or any(each != slice(None) for number, each in enumerate(along) if number != 1):
        return None
    return Rule(lambda first, last: (first, last), heavy=False)


def _split(shape: torch.Size, made: torch.Size, input: Any, sections: Any, dim: int = 0) -> Rule | None:  # noqa: A002
    return Rule(lambda first, last: (first, last), heavy=False) if dim in (1, -3) else None


_RULES: Mapping[str, Callable[..., Rule | None]] = {
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "avg_pool2d": _pool,
    "max_pool2d": _max_pool,
    "boolean_dispatch": _max_pool,
    "pad": _pad,
    "pixel_unshuffle": _unshuffle,
    "pixel_shuffle": _shuffle,
    "interpolate": _interpolate,
    "__getitem__": _getitem,
    "chunk": _split,
    "split": _split,
}
