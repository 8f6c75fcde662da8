"""What a network takes beside its image: options and inputs, the keyword-only arguments of its class's ``forward``.

An option is a constant, declared with ``translate.options.Option`` as an option of a method is. An input is a tensor
with a row for each image of a batch, declared with ``Input``. Both are read from the class, since a compiled network
hides the signature, and written into the translator's metadata, so that a file tells them without its network.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from translate.assignments import Typed
from translate.data import Domain, domain_of
from translate.errors import TranslateError, nearest
from translate.options import Option, Parameter, check, describe, keywords_of, parameter_of

__all__ = [
    "Input",
]

Kind = Literal["class", "image", "aligned", "vector", "noise", "latent"]
"""What an input holds for each image."""

KINDS: tuple[str, ...] = get_args(Kind)

DRAWN = ("noise", "latent")
"""The kinds that are drawn where they are not given."""

RESERVED = frozenset({"image", "samples", "seed", "given", "translation"})
"""Names of arguments that mean something else wherever images are translated."""

BOUNDS = ("ge", "gt", "le", "lt")

_TYPES: Mapping[type, str] = {int: "int", float: "float", bool: "bool", str: "str"}


@dataclass(frozen=True, slots=True)
class Input:
    """Declares an input of a network's ``forward``: a tensor that holds something for each of its N images.

    - ``"class"``: (N,) int64, the index of a class of the domain ``of``, such as ``"target"``.
    - ``"image"``: (N, C, H, W) float32 in [-1, 1], an image of the domain ``of``, resized to the training size.
    - ``"aligned"``: (N, C, H, W), an image as large as the network's own, such as a mask; ``of`` is the data's stream
      or domain that tells how it is read, without which it is gray with ``channels`` planes (default 1).
    - ``"vector"``: (N, D) float32, of the data's vectors ``of``, if they have a name.
    - ``"noise"``: (N, C, H, W), standard normal, as large as the network's image, with ``channels`` planes, or as many
      as the domain ``of`` (default ``"target"``). It is drawn from the seed, the image's name and the sample's number.
    - ``"latent"``: (N, D), standard normal, drawn likewise; (D,) is the network's trait ``noise``.

    ``hole`` is for an aligned image that marks what the network fills, see ``translate.holes``: all that is not white,
    or, if ``of`` is alpha, all that is opaque, is kept. A conversion copies it from the image's file to the bit.

    ``help`` is a phrase. An argument with the default None may be left out; one without a default must be given, but
    for what is drawn.

    >>> Input("class", of="target", help="class to show").kind
    'class'
    """

    kind: Kind
    of: str = ""
    help: str = ""
    channels: int | None = None
    hole: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise TranslateError(f"an input is no {self.kind!r:.60}; {nearest(str(self.kind), KINDS)}")
        if self.hole and self.kind != "aligned":
            raise TranslateError(f"a hole is marked by an aligned input, not by one of the kind {self.kind}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An input of one network: ``domain`` of its images, or whose classes it has, and ``length`` of its numbers.

    Both are None where nothing is known of them.
    """

    name: str
    kind: Kind
    of: str = ""
    help: str = ""
    required: bool = False
    domain: Domain | None = None
    length: int | None = None
    hole: bool = False

    @property
    def drawn(self) -> bool:
        """Whether it is drawn where it is not given."""
        return self.kind in DRAWN

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes."""
        return () if self.domain is None else self.domain.labels

    def describe(self) -> str:
        """What it is, in a few words.

        >>> Wanted("label", "class", of="target", domain=Domain(3, labels=("day", "night"))).describe()
        'a class of the target: day, night'
        """
        of = f" of the {self.of}" if self.of else ""
        if self.kind == "class":
            return f"a class{of}" + (f": {_listed(self.labels)}" if self.labels else "")
        if self.kind == "vector":
            return f"a vector{of}" + (f" of {self.length} numbers" if self.length else "")
        if self.kind == "latent":
            return f"{self.length} numbers, drawn"
        what = {"image": "an image", "aligned": "an image as large as its image", "noise": "noise"}[self.kind]
        planes = "" if self.domain is None else f", {_planes(self.domain)}"
        return what + of + planes


def _listed(names: Collection[str]) -> str:
    shown = list(names)[:12]
    return ", ".join(shown) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _planes(domain: Domain) -> str:
    if domain.classes:
        return f"{domain.classes} classes"
    return {1: "gray", 3: "RGB"}.get(domain.channels, f"{domain.channels} channels")


@dataclass(frozen=True, slots=True)
class Taken:
    """What one network takes beside its image: options and inputs by name."""

    options: Mapping[str, Parameter] = field(default_factory=dict)
    inputs: Mapping[str, Wanted] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.options or self.inputs)

    @property
    def noise(self) -> tuple[Wanted, ...]:
        """The inputs that are drawn."""
        return tuple(each for each in self.inputs.values() if each.drawn)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, the options first."""
        return (*self.options, *self.inputs)

    def check_names(self, given: Mapping[str, Any], where: str) -> None:
        """Raise ``TranslateError`` for a name that the network does not take, or that stood behind the other flag."""
        for name, value in given.items():
            if name not in self.options and name not in self.inputs:
                there = nearest(name, self.names) if self else "there is nothing else that it takes"
                raise TranslateError(f"{where} takes no {name!r:.60}; {there}")
            flag, what = ("--set", "an option") if name in self.options else ("--with", "an input")
            if isinstance(value, Typed) and value.flag != flag:
                raise TranslateError(f"{where}: {name} is {what} of the network; give it with {flag} {name}=VALUE")

    def constants(self, given: Mapping[str, Any], where: str) -> dict[str, Any]:
        """The options among the names and values that are given, checked; those that have their default are left out.

        Raises ``TranslateError`` for a wrong value, and if an option without a default is missing.
        """
        found: dict[str, Any] = {}
        for name, parameter in self.options.items():
            if name in given:
                value = check(given[name], parameter, where)
                if parameter.required or value != parameter.default or type(value) is not type(parameter.default):
                    found[name] = value
            elif parameter.required:
                raise TranslateError(
                    f"{where} needs the option {name!r}, {describe(parameter)}; give it with --set {name}=VALUE"
                )
        return found

    def refuse_missing(self, given: Collection[str], where: str) -> None:
        """Raise ``TranslateError`` if an input that must be given is not; noise is drawn."""
        for name, wanted in self.inputs.items():
            if wanted.required and not wanted.drawn and name not in given:
                raise TranslateError(f"{where} needs {name}, {wanted.describe()}; give it with --with {name}=VALUE")

    def choices(self, name: str) -> tuple[str, ...]:
        """The values among which an option or a class is one; none where there are others."""
        if name in self.inputs:
            return self.inputs[name].labels if self.inputs[name].kind == "class" else ()
        facts = _type_of(self.options[name], "a network") if name in self.options else {"choices": []}
        return tuple(map(str, facts["choices"]))

    def lines(self) -> list[str]:
        """The options and inputs as lines of text."""
        rows = []
        for each in self.options.values():
            default = " (needed)" if each.required else f" (default: {each.default})"
            rows.append((each.name, f"{describe(each)}{default}", each.option.help))
        for wanted in self.inputs.values():
            needed = " (needed)" if wanted.required and not wanted.drawn else ""
            rows.append((wanted.name, wanted.describe() + needed, wanted.help))
        return [f"{name}: {what}" + (f"; {told}" if told else "") for name, what, told in rows]

    def to_json(self) -> dict[str, Any]:
        """The names, kinds, types, bounds, defaults and help texts as JSON values."""
        return {
            "options": {name: _option_to_json(each) for name, each in self.options.items()},
            "inputs": {name: _input_to_json(each) for name, each in self.inputs.items()},
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Taken:
        """Read what ``to_json`` has written, checked by its schema."""
        return cls(
            {name: _option_from_json(name, each) for name, each in facts.get("options", {}).items()},
            {name: _input_from_json(name, each) for name, each in facts.get("inputs", {}).items()},
        )


def taken_by(
    network: type | object,
    *,
    domains: Mapping[str, Domain],
    vectors: Mapping[str, int] | None = None,
    known: Taken | None = None,
) -> Taken:
    """Read what a network, or a class of networks, takes beside its image.

    ``domains`` are those of the data by name, ``source`` and ``target`` among them, and ``vectors`` the lengths of its
    vectors. What they do not tell is taken from ``known``, which a file says of the network. Raises ``TranslateError``
    for arguments that cannot be given.
    """
    owner = network if isinstance(network, type) else type(network)
    forward: Callable[..., Any] | None = getattr(owner, "forward", None)
    if forward is None:
        return Taken()
    where = f"the forward of {owner.__name__}"
    options: dict[str, Parameter] = {}
    inputs: dict[str, Wanted] = {}
    _refuse_positional(forward, where)
    for name, (hint, default) in _keywords(forward).items():
        extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        asked = [each for each in extras if isinstance(each, Input)]
        parameter = parameter_of(name, hint, default)
        if not asked and not parameter.option.help:
            if default is inspect.Parameter.empty:
                raise TranslateError(f"{where} needs {name}, but does not declare it; annotate it with Option or Input")
            continue
        if name in RESERVED:
            raise TranslateError(f"{where} calls an argument {name!r}, which means something else; choose another name")
        if len(asked) > 1 or (asked and parameter.option.help):
            raise TranslateError(f"{where} declares {name} twice; annotate it with one Option or one Input")
        if asked:
            if default not in (None, inspect.Parameter.empty):
                raise TranslateError(f"{where} gives the input {name} a default; let it be None, or leave it out")
            required = default is inspect.Parameter.empty
            inputs[name] = _wanted(name, asked[0], required, domains, vectors or {}, known or Taken(), where)
            if asked[0].kind == "latent":
                inputs[name] = replace(inputs[name], length=_length_of_latent(network, inputs[name], where))
        else:
            _type_of(parameter, where)
            options[name] = parameter
    return Taken(options, inputs)


def named_by(parts: Any) -> tuple[dict[str, Domain], dict[str, int]]:
    """The domains and the lengths of the vectors that a method's parts know, by name."""
    domains = {"source": parts.source, "target": parts.target, **getattr(parts, "aligned", {})}
    return domains, dict(getattr(parts, "vectors", {}))


def facts_of(translators: Mapping[str, Any], parts: Any) -> dict[str, Any]:
    """What a translator's metadata say of it: ``takes``, by direction, if any network takes more than an image."""
    domains, vectors = named_by(parts)
    found = {
        direction: taken_by(network, domains=domains, vectors=vectors) for direction, network in translators.items()
    }
    takes = {direction: taken.to_json() for direction, taken in found.items() if taken}
    return {"takes": takes} if takes else {}


def taken_of(metadata: Mapping[str, Any], direction: str, network: object) -> Taken:
    """What the network of a direction takes, by its class and by the metadata of its file."""
    found = {"source": metadata["source"], "target": metadata["target"], **metadata.get("aligned", {})}
    domains = {name: domain_of(each) for name, each in found.items()}
    known = Taken.from_json(metadata.get("takes", {}).get(direction, {}))
    return taken_by(network, domains=domains, vectors=metadata.get("vectors", {}), known=known)


def _refuse_positional(forward: Callable[..., Any], where: str) -> None:
    for each in inspect.signature(forward).parameters.values():
        text = each.annotation if isinstance(each.annotation, str) else ""
        extras = get_args(each.annotation)[1:] if get_origin(each.annotation) is Annotated else ()
        declared = any(isinstance(extra, Input) for extra in extras) or "Input(" in text
        if declared and each.kind is not each.KEYWORD_ONLY:
            raise TranslateError(f"{where} takes the input {each.name} by position; put it behind a *")


def _keywords(forward: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """The keyword-only arguments with their types; none of a network that only draws samples."""
    names = [each.name for each in inspect.signature(forward).parameters.values() if each.kind is each.KEYWORD_ONLY]
    return keywords_of(forward) if set(names) - {"samples"} else {}


def _wanted(
    name: str,
    asked: Input,
    required: bool,
    domains: Mapping[str, Domain],
    vectors: Mapping[str, int],
    known: Taken,
    where: str,
) -> Wanted:
    """An input with what is known of its images, classes or vectors."""
    of = asked.of or ("target" if asked.kind == "noise" else "")
    told = known.inputs.get(name)
    if told is None or told.kind != asked.kind:
        told = Wanted(name, asked.kind)
    domain = domains.get(of) or told.domain
    length = vectors.get(of.removeprefix("source_").removeprefix("target_")) or told.length
    if asked.kind in ("class", "image") and domain is None:
        there = nearest(of, domains) if of else f"name one of {', '.join(domains)}"
        raise TranslateError(f"{where} has an input {name} of the domain {of!r:.60}, which is not there; {there}")
    if asked.kind == "noise":
        planes = asked.channels or (domain.channels if domain is not None else None)
        if planes is None:
            raise TranslateError(f"{where} has noise {name} of {of!r:.60}, which is not there; {nearest(of, domains)}")
        domain = Domain(planes)
    if asked.kind == "latent":
        return Wanted(name, "latent", asked.of, asked.help, required, None, told.length)
    if asked.kind == "aligned":
        domain = domain or Domain(asked.channels or 1)
    if asked.kind == "vector":
        return Wanted(name, asked.kind, of, asked.help, required, None, length)
    return Wanted(name, asked.kind, of, asked.help, required, domain, None, asked.hole)


def _length_of_latent(network: type | object, wanted: Wanted, where: str) -> int:
    """How many numbers a latent has: by the network itself, or by what a file says of it."""
    shape = getattr(network, "noise", None)
    length = shape[0] if isinstance(shape, tuple) and len(shape) == 1 else wanted.length
    if type(length) is not int or length < 1:
        raise TranslateError(
            f"{where} has a latent {wanted.name}, and the network does not tell its length; give it an attribute "
            "noise, a tuple of one whole number"
        )
    return length


def _type_of(parameter: Parameter, where: str) -> dict[str, Any]:
    """An option's type as JSON values; raises ``TranslateError`` for one that no text can give."""
    kind, none, several = parameter.kind, False, None
    if parameter.option.parse is None and parameter.option.part is None:
        if get_origin(kind) in (Union, types.UnionType):
            inner = [each for each in get_args(kind) if each is not types.NoneType]
            none = len(inner) < len(get_args(kind))
            kind = inner[0] if len(inner) == 1 else None
        if get_origin(kind) is tuple:
            arguments = get_args(kind)
            several = 0 if arguments[-1] is Ellipsis else len(arguments)
            kind = arguments[0] if several == 0 or len(set(arguments)) == 1 else None
        if get_origin(kind) is Literal:
            return {"type": "choice", "choices": list(get_args(kind)), "none": none, "several": several}
        if kind in _TYPES:
            return {"type": _TYPES[kind], "choices": [], "none": none, "several": several}
    raise TranslateError(
        f"{where} has an option {parameter.name} of a type that nobody can give; let it be a number, a truth value, "
        "text, a Literal, one of these or None, or a tuple of one of them"
    )


def _option_to_json(parameter: Parameter) -> dict[str, Any]:
    bounds = {name: getattr(parameter.option, name) for name in BOUNDS}
    default = None if parameter.required else parameter.default
    return {
        **_type_of(parameter, "a network"),
        "required": parameter.required,
        "default": list(default) if isinstance(default, tuple) else default,
        "help": parameter.option.help,
        **{name: bound for name, bound in bounds.items() if bound is not None},
    }


def _option_from_json(name: str, facts: Mapping[str, Any]) -> Parameter:
    types_by_name: dict[str, Any] = {text: each for each, text in _TYPES.items()}
    kind: Any = Literal[tuple(facts["choices"])] if facts["type"] == "choice" else types_by_name[facts["type"]]
    several = facts.get("several")
    if several is not None:
        kind = types.GenericAlias(tuple, (kind, Ellipsis) if several == 0 else (kind,) * several)
    if facts.get("none"):
        kind = Union[kind, None]  # noqa: UP007 - made at run time
    default = facts.get("default")
    if facts.get("required"):
        default = inspect.Parameter.empty
    elif isinstance(default, list):
        default = tuple(default)
    bounds = {each: facts[each] for each in BOUNDS if facts.get(each) is not None}
    return Parameter(name, kind, default, Option(facts.get("help") or "an option", **bounds))


def _input_to_json(wanted: Wanted) -> dict[str, Any]:
    found = {each.name: getattr(wanted, each.name) for each in fields(wanted) if each.name != "name"}
    found["domain"] = None if wanted.domain is None else asdict(wanted.domain)
    return {name: value for name, value in found.items() if value not in (None, "", False)}


def _input_from_json(name: str, facts: Mapping[str, Any]) -> Wanted:
    domain = facts.get("domain")
    return Wanted(
        name,
        facts["kind"],
        facts.get("of", ""),
        facts.get("help", ""),
        bool(facts.get("required")),
        None if domain is None else domain_of(domain),
        facts.get("length"),
        bool(facts.get("hole")),
    )
