"""Options: parsing of part names such as ``unet(depth=7)``, and type-checked options read from a factory's signature.

A part is written as a call, ``unet`` or ``unet(depth=7)``: the same text on the command line, in a config file and in
an error message. A factory's keyword-only arguments are its options. Each declares its name, type, default, bounds and
help in one place: ``l1: Annotated[float, Option("weight of the L1 term", ge=0)] = 100.0``.
"""

from __future__ import annotations

import ast
import inspect
import math
import re
import sys
import types
import typing
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from translate.errors import TranslateError, nearest, similar
from translate.paths import expanded

__all__ = [
    "Call",
    "Option",
    "Parameter",
    "check_options",
    "options_of",
    "parse_call",
    "parse_calls",
]


MOST_TEXT = 10_000
"""The longest text that names parts, in characters."""

MOST_SIGNS = 400
LARGEST = 2**63
"""Whole numbers of options are smaller."""

LONGEST = sys.float_info.max
"""The largest number in a text, so that none has thousands of digits."""

_UNQUOTED = re.compile(r"[(,]\s*(\w+)\s*=\s*(?!\w*\s*[,()]|[\w+.-]*\d\s*[,)])([^\s'\"(),=\[\]{}][^'\"(),=\[\]{}]*)")
"""An option of a call whose value is neither a word nor a number, and has no quotes."""


@dataclass(frozen=True, slots=True)
class Option:
    """Metadata of an option that its type annotation cannot express.

    ``help`` is a phrase, ``ge`` to ``lt`` are bounds, and ``part`` is the kind of part that the option names.
    ``parse(value, where)`` replaces the conversion by type, for example for a size. On the command line, ``metavar`` is
    the placeholder for the value, ``flag`` replaces the option's name, and ``short`` is a one-letter flag. ``fixed``
    says why a run that is resumed keeps the value it has; without a reason it may take another. ``assigns`` are flags
    in its place, each with its help, behind which NAME=VALUE stands; together they make one mapping.
    """

    help: str
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    part: str | None = None
    parse: Callable[[Any, str], Any] | None = None
    metavar: str | None = None
    flag: str | None = None
    short: str | None = None
    fixed: str = ""
    assigns: tuple[tuple[str, str], ...] = ()

    @property
    def bounds(self) -> str:
        """The bounds in words: ``>= 0 and < 1``."""
        signs = ((">=", self.ge), (">", self.gt), ("<=", self.le), ("<", self.lt))
        return " and ".join(f"{sign} {bound:g}" for sign, bound in signs if bound is not None)


@dataclass(frozen=True, slots=True)
class Parameter:
    """An option that a factory declares; ``kind`` is its type without ``Annotated``."""

    name: str
    kind: Any
    default: Any
    option: Option

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Call:
    """A part's name and its options.

    >>> Call("unet", {"depth": 7, "norm": "instance"})
    Call(name='unet', options={'depth': 7, 'norm': 'instance'})
    >>> str(_)
    "unet(depth=7, norm='instance')"
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{self.name}({inside})" if inside else self.name


def parse_call(text: str) -> Call:
    """Parse one part such as ``unet(depth=7)``; bare words are strings, so that a shell needs no inner quotes.

    >>> parse_call("unet(depth=7, norm=instance, betas=(0.5, 0.999))")
    Call(name='unet', options={'depth': 7, 'norm': 'instance', 'betas': (0.5, 0.999)})
    """
    calls = parse_calls(text)
    if len(calls) != 1:
        raise TranslateError(
            f"{_cut(text)} names {len(calls)} parts where one is expected; give one, such as unet(depth=7)"
        )
    return calls[0]


def parse_calls(text: str) -> list[Call]:
    """Parse parts joined by ``+``, such as ``hinge + r1(weight=10)``.

    >>> [str(call) for call in parse_calls("hinge + r1(weight=10)")]
    ['hinge', 'r1(weight=10)']
    """
    if len(text) > MOST_TEXT:
        raise TranslateError(
            f"{text!r:.60}... names a part in {len(text):,} characters; at most {MOST_TEXT:,} are read"
        )
    try:
        # Python's parser bounds how deep brackets nest, but neither signs nor sums.
        if sum(map(text.count, ("+", "-", "~", "not "))) > MOST_SIGNS:
            raise ValueError(text)
        with warnings.catch_warnings():
            # Python warns of strange literals, which are refused here anyway.
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(text.strip(), mode="eval").body
        return _calls(tree)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        if "/" in text and "(" not in text:
            # The name of a run or a file was meant, which may stand in the place of some parts.
            raise TranslateError(f"{_cut(text)} is neither a file or folder that is there, nor a part") from None
        found = _UNQUOTED.search(text)
        what = "is not the name of a part; write it as a call with named options, such as unet(depth=7)"
        if found is not None:
            what = f"lacks quotes around text that is no plain word; write {found[1]}={found[2].rstrip()!r:.80}"
        raise TranslateError(f"{_cut(text)} {what}") from None


def _cut(text: str) -> str:
    return repr(text) if len(text) <= 200 else f"{text[:200]!r}..."


def _calls(node: ast.expr) -> list[Call]:
    match node:
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _calls(left) + _calls(right)
        case ast.Name(id=name):
            return [Call(name)]
        case ast.Call(func=ast.Name(id=name), args=[], keywords=keywords):
            options: dict[str, Any] = {}
            for keyword in keywords:
                if keyword.arg is None or keyword.arg in options:
                    raise ValueError(keyword.arg)
                options[keyword.arg] = _value(keyword.value)
            return [Call(name, options)]
        case _:
            raise ValueError(ast.dump(node))


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Name(id="true" | "yes" | "on"):
            return True
        case ast.Name(id="false" | "no" | "off"):
            return False
        case ast.Name(id="none" | "null"):
            return None
        case ast.Name(id=word):
            return word
        case ast.Call() | ast.BinOp(op=ast.Add()):
            return " + ".join(str(call) for call in _calls(node))
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return tuple(_value(element) for element in elements)
        case ast.Constant(value=bool() | str() | None as value):
            return value
        case ast.Constant(value=int() | float()) | ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=ast.Constant()):
            number = ast.literal_eval(node)
            if not isinstance(number, (int, float)) or not -LONGEST <= number <= LONGEST:
                raise ValueError(node)
            return number
        case _:
            raise ValueError(ast.dump(node)[:200])


def options_of(factory: Callable[..., Any]) -> dict[str, Parameter]:
    """List the options of a factory: its keyword-only arguments, in the order of the signature.

    Raises ``TranslateError`` if the types of the options cannot be evaluated.

    >>> def unet(inputs: int, *, depth: Annotated[int, Option("number of halvings", ge=1)] = 8): ...
    >>> options_of(unet)["depth"].option.help
    'number of halvings'
    """
    return {name: parameter_of(name, hint, default) for name, (hint, default) in keywords_of(factory).items()}


def keywords_of(factory: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """The keyword-only arguments of a function, or of a class's ``__init__``: the type, with its extras, and default.

    Raises ``TranslateError`` if the types cannot be evaluated.
    """
    target = factory.__init__ if inspect.isclass(factory) else factory
    try:
        declared = [each for each in inspect.signature(target).parameters.values() if each.kind is each.KEYWORD_ONLY]
        # The types of other arguments may be imported under TYPE_CHECKING only, so their hints cannot be resolved.
        annotated = {each.name: each.annotation for each in declared if each.annotation is not each.empty}
        scope = getattr(inspect.unwrap(target), "__globals__", {})
        hints = typing.get_type_hints(types.SimpleNamespace(__annotations__=annotated), scope, include_extras=True)
    except Exception as error:  # an annotation is code of the factory's author
        raise TranslateError(
            f"the options of {getattr(factory, '__qualname__', factory)!s:.100} cannot be read "
            f"({type(error).__name__}: {' '.join(str(error).split()):.200}); import what its annotations name"
        ) from error
    return {each.name: (hints.get(each.name, Any), each.default) for each in declared}


def asked_of(function: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Check the arguments in ``values`` that a function declares with an ``Option``, and return them."""
    declared = declared_by(function)
    given = {name: value for name, value in values.items() if name in declared}
    return check_options(given, declared, function.__name__)


def declared_by(function: Callable[..., Any]) -> dict[str, Parameter]:
    """The keyword-only arguments that a function declares with an ``Option``; they are the flags of its command."""
    return {name: each for name, each in options_of(function).items() if each.option.help}


def parameter_of(name: str, hint: Any, default: Any) -> Parameter:
    """Describe one option from its annotation and its default."""
    option = Option("")
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        option = next((extra for extra in extras if isinstance(extra, Option)), option)
    if get_origin(hint) is Sequence:
        hint = types.GenericAlias(tuple, (get_args(hint)[0], Ellipsis))
    return Parameter(name, hint, default, option)


def check_options(options: Mapping[str, Any], parameters: Mapping[str, Parameter], where: str) -> dict[str, Any]:
    """Convert and check the given options against the declared ones; ``where`` names the part in an error."""
    checked: dict[str, Any] = {}
    for name, value in options.items():
        if name not in parameters:
            raise TranslateError(f"{where} has no option {name!r}; {nearest(name, parameters)}")
        checked[name] = check(value, parameters[name], where)
    for name, parameter in parameters.items():
        if parameter.required and name not in checked:
            raise TranslateError(f"{where} needs the option {name!r}: {parameter.option.help or describe(parameter)}")
    return checked


def check(value: Any, parameter: Parameter, where: str) -> Any:
    """Convert a value, which may be text, to the parameter's type, and check its bounds."""
    if parameter.option.parse is not None:
        optional = types.NoneType in get_args(parameter.kind)
        return None if optional and value in (None, "none") else parameter.option.parse(value, where)
    try:
        result = _convert(value, parameter.kind)
    except (ValueError, TypeError, OverflowError):
        suggestions = [similar(str(each), _choices(parameter.kind)) for each in _as_sequence(value)]
        hint = "".join(f"; {each}" for each in suggestions[:1] if each)
        raise TranslateError(
            f"{where}: {parameter.name} must be {describe(parameter)}, not {value!r:.200}{hint}"
        ) from None
    if result == ("none",) and parameter.default == ():
        # An empty list, as the command line can say it.
        result = ()
    option = parameter.option
    for number in result if isinstance(result, tuple) else (result,):
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            continue
        if (
            not _is_sound(number)
            or (option.ge is not None and number < option.ge)
            or (option.gt is not None and number <= option.gt)
            or (option.le is not None and number > option.le)
            or (option.lt is not None and number >= option.lt)
        ):
            raise TranslateError(f"{where}: {parameter.name} must be {describe(parameter)}, not {value!r:.200}")
    return result


def _is_sound(number: int | float) -> bool:
    return math.isfinite(number) if isinstance(number, float) else abs(number) < LARGEST


def _choices(kind: Any) -> list[str]:
    """The choices of a ``Literal``, or of the elements of a tuple type."""
    if get_origin(kind) is Literal:
        return [str(argument) for argument in get_args(kind)]
    return [choice for argument in get_args(kind) for choice in _choices(argument)]


def _as_sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else (value,)


def describe(parameter: Parameter) -> str:
    """Describe the values that a parameter accepts.

    >>> describe(Parameter("depth", int | None, None, Option("", ge=1, le=9)))
    'a whole number >= 1 and <= 9, or none'
    """
    bounds = parameter.option.bounds
    return _name(parameter.kind, f" {bounds}" if bounds else "")


_words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path", Any: "a value"}


def _name(kind: Any, bounds: str = "") -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(repr(argument) for argument in arguments)
    if origin in (Union, types.UnionType):
        named = [_name(argument, bounds) for argument in arguments if argument is not types.NoneType]
        return " or ".join(named) + (", or none" if types.NoneType in arguments else "")
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return f"a list of which each is {_name(arguments[0], bounds)}"
        return f"{len(arguments)} values ({', '.join(_name(argument, bounds) for argument in arguments)})"
    return _words.get(kind, str(kind)) + (bounds if kind in (int, float) else "")


def _convert(value: Any, kind: Any) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin is Literal:
        if isinstance(value, bool):
            # YAML, and the parser of parts, read the words yes and no as these.
            value = "yes" if value else "no"
        for argument in arguments:
            # The parser turns a bare `none` into None before the choices are known.
            if value == argument or str(value) == str(argument) or (value is None and argument == "none"):
                return argument
        raise ValueError(value)
    if origin in (Union, types.UnionType):
        if types.NoneType in arguments and (value is None or value in ("none", "null", "None")):
            return None
        for argument in arguments:
            if argument is not types.NoneType:
                try:
                    return _convert(value, argument)
                except (ValueError, TypeError):
                    continue
        raise ValueError(value)
    if origin is tuple:
        return _tuple(value, arguments)
    if kind is bool:
        return _bool(value)
    if kind is int:
        return _int(value)
    if kind is float:
        if isinstance(value, bool):
            raise ValueError(value)
        return float(value)
    if kind is str:
        if not isinstance(value, (str, Path)):
            raise ValueError(value)
        return str(value)
    if kind is Path:
        return expanded(value)
    if isinstance(value, kind):
        return value
    raise ValueError(value)


def _bool(value: Any) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError(value)


def _int(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(value)
    return int(value.replace("_", "")) if isinstance(value, str) else int(value)


def _tuple(value: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    if value is None and arguments[-1] is Ellipsis:
        # Nothing in a list, as YAML's and JSON's null say it.
        value = ()
    if isinstance(value, str) and arguments == (str, Ellipsis):
        # A single string of a list of strings; it is not split, since it may contain commas.
        value = [value]
    elif isinstance(value, str):
        value = [part.strip() for part in value.strip("()[] ").split(",") if part.strip()]
    elif not isinstance(value, (list, tuple)):
        value = [value]
    if arguments[-1] is Ellipsis:
        return tuple(_convert(element, arguments[0]) for element in value)
    if len(value) != len(arguments):
        raise ValueError(value)
    return tuple(_convert(element, argument) for element, argument in zip(value, arguments, strict=True))
