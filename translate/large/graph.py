"""Graph: the operations of a network on one image, recorded on the meta device.

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
from translate.large.moments import GlobalOperation, global_operation
from translate.large.rules import Rule, rule_of
from translate.sizes import Size


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


IN_PLACE = frozenset(
    f"{name}_"
    for name in ("add", "sub", "mul", "div", "neg", "relu", "leaky_relu", "tanh", "sigmoid", "clamp", "square")
)


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
        raise UnknownOperationError(f"it cannot be recorded ({type(error).__name__})") from None
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
        half = self._half and name in ("conv2d", "conv_transpose2d")
        # Autocast, which would convert it, knows no meta device.
        result = func(args[0].float(), *args[1:], **kwargs) if half else func(*args, **kwargs)
        many = result if isinstance(result, (tuple, list)) else [result]
        if not any(isinstance(each, Tensor) for each in many):
            return result
        if name in IN_PLACE:
            func, name = getattr(torch, name[:-1], None) or getattr(F, name[:-1]), name[:-1]
        for number, each in enumerate(many):
            made = self._node(func, name, args, kwargs, inputs, each)
            made.item = number if isinstance(result, (tuple, list)) else None
            self.enter(each, made)
        if half:
            converted = result.bfloat16()
            self.enter(converted, self.nodes_of[id(result)]).dtype = torch.bfloat16
            return converted
        return result

    def _node(self, func: Any, name: str, args: Any, kwargs: Any, inputs: list[Node], result: Tensor) -> Node:
        arguments, options = self._symbols(args), self._symbols(kwargs)
        kind = "map" if any(each.kind in ("image", "map") for each in inputs) else "number"
        node = Node(kind, func, arguments, options, name, result.shape, result.dtype, None, list(inputs))
        if kind != "map":
            return node
        maps = node.maps
        if name in ("conv2d", "conv_transpose2d") and id(args[1] if len(args) > 1 else None) in self._layers:
            node.function = self._layers[id(args[1])].forward
            node.arguments, node.options = node.arguments[:1], {}
        fits = result.dim() == 4 and result.shape[0] == 1 and all(len(each.shape) == 4 for each in maps)
        node.rule = rule_of(name, args, kwargs, maps[0].rows, node.rows) if fits else None
        if node.rule is None:
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

    def _global(
        self, func: Any, name: str, args: Any, kwargs: Any, inputs: list[Node], operation: GlobalOperation
    ) -> Any:
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
        return _mapped(
            lambda value: self._constants.get(id(value), value) if isinstance(value, Tensor) else value, given
        )


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
