"""Flags: command-line options made from the options that factories, the config and functions declare."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from translate.assignments import typed_pairs
from translate.errors import TranslateError
from translate.options import Parameter, check, describe
from translate.paths import expanded
from translate.plugins import Catalog, discover


class Session:
    """The plugins of one invocation, discovered on first use."""

    def __init__(self, extra: Sequence[str], blocked: Sequence[str]) -> None:
        self.extra = tuple(extra)
        self.blocked = tuple(blocked)

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog of the plugins that are installed or given, without the blocked ones."""
        return discover(extra=self.extra, blocked=self.blocked)


def session_of(context: click.Context) -> Session:
    root = context.find_root()
    if not isinstance(root.obj, Session):
        root.obj = Session(root.params.get("plugin") or (), root.params.get("no_plugin") or ())
    return root.obj


class PathType(click.Path):
    """A path; ``~`` stands for the home folder, which shells do not put in behind ``=`` nor within quotes."""

    def __init__(self) -> None:
        # Each verb says itself what it cannot read, in one sentence.
        super().__init__(path_type=Path, readable=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert text to a path."""
        checked = super().convert(value, param, ctx)
        # As a path an empty text is the working folder.
        return expanded(value if isinstance(value, str) else checked)  # type: ignore[arg-type]


class Declared(click.ParamType[Any]):
    """The click type of a declared option; it converts and checks values as the Python API does."""

    def __init__(self, parameter: Parameter, where: str) -> None:
        self.parameter = parameter
        self.where = where
        self.name = "value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert text to the declared type and check it."""
        parameter = self.parameter
        if _repeats(parameter.kind) or _several(parameter):
            kind = _several(parameter)[0] if _several(parameter) else get_args(parameter.kind)[0]
            parameter = Parameter(parameter.name, kind, parameter.default, parameter.option)
        return check(value, parameter, self.where)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """The placeholder of the value: the choices of a ``Literal``, otherwise its type."""
        option = self.parameter.option
        if option.metavar or option.part:
            return option.metavar or "NAME(...)"
        kind = get_args(self.parameter.kind)[0] if _repeats(self.parameter.kind) else self.parameter.kind
        if get_origin(kind) is Literal:
            return "[" + "|".join(str(choice) for choice in get_args(kind)) + "]"
        kinds = [each for each in (get_args(kind) or (kind,)) if each is not type(None)]
        return {int: "N", float: "X", str: "TEXT", Path: "PATH"}.get(kinds[0], "VALUE")

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the choices of a ``Literal``, the names of parts, or files."""
        kind, part = self.parameter.kind, self.parameter.option.part
        kind = get_args(kind)[0] if _repeats(kind) else kind
        if get_origin(kind) is Literal:
            return _suggest(get_args(kind), incomplete)
        if part:
            return _suggest(session_of(ctx).catalog.offers(part), incomplete)
        return [CompletionItem(incomplete, type="file")] if kind is Path else []


def _suggest(names: Any, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(str(name)) for name in names if str(name).startswith(incomplete)]


def _repeats(kind: Any) -> bool:
    return get_origin(kind) is tuple and get_args(kind)[-1] is Ellipsis


def _several(parameter: Parameter) -> tuple[Any, ...]:
    """The types of the values that stand behind an option's flag, if they are several, as many as its tuple has."""
    kinds = [each for each in (get_args(parameter.kind) or ()) if get_origin(each) is tuple]
    fixed = kinds and get_args(kinds[0])[-1] is not Ellipsis and parameter.option.parse is None
    return get_args(kinds[0]) if fixed else ()


class Assignment(click.ParamType[Any]):
    """The click type of NAME=VALUE behind one of an option's flags; names are completed from the file of a network."""

    name = "NAME=VALUE"

    def __init__(self, flag: str) -> None:
        self.flag = flag

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the names that the network takes, and the names of classes and choices behind them."""
        from translate.description import taken_in

        try:
            # Arguments that are not all typed yet are left to themselves.
            run = ctx.params.get("run") or (ctx.params.get("runs") or ctx.args)[0]
            taken = taken_in(run, ctx.params.get("step"), ctx.params.get("direction"))
        except (TranslateError, OSError, IndexError):
            return []
        if taken is None:
            return []
        name, equals, _ = incomplete.partition("=")
        if not equals:
            return _suggest(
                [f"{each}=" for each in (taken.options if self.flag == "--set" else taken.inputs)], incomplete
            )
        return _suggest([f"{name}={each}" for each in taken.choices(name)], incomplete)


def assignments_of(parameter: Parameter) -> list[click.Option]:
    """The click options of a declared option that NAME=VALUE make, one for each of its flags."""
    return [
        click.Option(
            [_behind(parameter, flag), flag], type=Assignment(flag), multiple=True, metavar="NAME=VALUE", help=told
        )
        for flag, told in parameter.option.assigns
    ]


def assigned(parameter: Parameter, values: dict[str, Any], where: str) -> dict[str, Any]:
    """What was typed behind the flags of a declared option, by name; empty if nothing was."""
    found: dict[str, Any] = {}
    for flag, _ in parameter.option.assigns:
        for name, value in typed_pairs(values.get(_behind(parameter, flag)) or (), flag, where).items():
            if name in found:
                raise TranslateError(f"{where}: {name} is given twice; give it once")
            found[name] = value
    return found


def _behind(parameter: Parameter, flag: str) -> str:
    return f"{parameter.name}_{flag.strip('-')}"


def option_of(parameter: Parameter, catalog: Catalog | None, where: str = "fit") -> click.Option:
    """Make a click option from a declared option; ``where`` names the command in an error.

    The catalog lists the parts that an option may name.
    """
    option = parameter.option
    flag = option.flag or "--" + parameter.name.replace("_", "-")
    names = [parameter.name, flag, *([option.short] if option.short else [])]
    help_text = option.help or describe(parameter)
    if option.bounds:
        help_text += f" ({option.bounds})"
    if option.part and catalog is not None:
        help_text += f": {', '.join(catalog.offers(option.part))}"
    if parameter.kind is bool:
        names[1] = f"{flag}/--no-{flag[2:]}"
        return click.Option(names, default=parameter.default, show_default=True, help=help_text)
    repeats = _repeats(parameter.kind)
    default: Any = None if parameter.required or parameter.default in (None, (), "") else parameter.default
    if option.parse is not None and isinstance(default, tuple):
        default = "x".join(str(side) for side in dict.fromkeys(default))
    return click.Option(
        names,
        type=Declared(parameter, where),
        multiple=repeats,
        nargs=len(_several(parameter)) or 1,
        show_default=default is not None,
        required=parameter.required,
        help=help_text,
        # To click a default of None is a value, by which a required option would never be missing.
        **({} if default is None else {"default": default}),
    )


def given(context: click.Context) -> dict[str, Any]:
    """The values given on the command line, without defaults, which must not override a config file."""
    return {
        name: value
        for name, value in context.params.items()
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
