"""The reference of Python, out of docstrings: the directive ``public`` describes the public names of some modules.

Which names are public is said by ``translate/public.py``. Options that a function or a class declares are arguments
here, with the help texts of the command line.
"""

from __future__ import annotations

import inspect
import re
import sys
import typing
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective
from sphinx.util.inspect import stringify_signature
from sphinx.util.typing import stringify_annotation

from translate.options import Parameter, options_of
from translate.public import PUBLIC
from translate.run import Config

if TYPE_CHECKING:
    from docutils.nodes import Node
    from sphinx.application import Sphinx


def hooks(module: ModuleType) -> list[str]:
    """The extension points of a module, in their order."""
    return [name for name, value in vars(module).items() if hasattr(value, "translate_spec")]


def reference(name: str) -> Iterator[str]:
    """A public module: its docstring and its names, as reStructuredText."""
    module = import_module(name)
    yield from (f"``{name}``", "-" * (len(name) + 4), "", f".. automodule:: {name}", "")
    for each in PUBLIC[name] or hooks(module):
        yield from entry(module, each)
        yield ""


def entry(module: ModuleType, name: str) -> Iterator[str]:
    """One name of a module."""
    value, path = getattr(module, name), f"{module.__name__}.{name}"
    if module.__name__ != "translate" and name in PUBLIC["translate"]:
        yield from (f".. py:function:: {name}", "", f"   The same as :func:`translate.{name}`.")
    elif inspect.isclass(value):
        yield f".. auto{'exception' if issubclass(value, BaseException) else 'class'}:: {path}"
        yield from ("   :members:", "   :undoc-members:")
        if value.__bases__ not in ((object,), (typing.Protocol,)):
            yield "   :show-inheritance:"
        if value is Config:
            yield f"   :exclude-members: {', '.join(Config.parameters())}"
    elif inspect.isroutine(value):
        yield f".. autofunction:: {path}"
    else:
        yield f".. py:data:: {name}"
        if shown := shown_value(value):
            yield f"   :value: {shown}"
        yield ""
        yield from (f"   {line}" for line in text_below(module, name))


def shown_value(value: Any) -> str:
    """A constant or an alias of types in one line, or nothing if that would say little."""
    if typing.get_origin(value) is not None:
        return re.sub(r"~[\w.]*\.", "", stringify_annotation(value, "smart"))
    text = repr(value)
    return text if isinstance(value, (str, int, float, tuple)) and len(text) <= 100 else ""


def text_below(module: ModuleType, name: str) -> list[str]:
    """What the module, or the room of its folder that assigns a name, says below the assignment."""
    own = module.__name__
    # The rooms of the package itself are modules of their own.
    below = [each for each in sorted(sys.modules) if each.startswith(own + ".")] if own != "translate" else []
    for room in [own, *below]:
        analyzer = ModuleAnalyzer.for_module(room)
        analyzer.analyze()
        if ("", name) in analyzer.attr_docs:
            return list(analyzer.attr_docs["", name])
    return []


def declared(value: Any) -> dict[str, Parameter]:
    """The options that a function or a class declares with a help text."""
    if value is Config:
        return dict(Config.parameters())
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return {}
    try:
        return {name: each for name, each in options_of(value).items() if each.option.help}
    except Exception:  # a class whose constructor has no signature
        return {}


class Public(SphinxDirective):
    """Stands for the sections of the modules that its content names."""

    has_content = True

    def run(self) -> list[Node]:
        """The sections."""
        self.env.note_reread()
        text = "\n".join(line for name in " ".join(self.content).split() for line in reference(name))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def _signature(
    _app: Sphinx, _what: str, _name: str, value: Any, _options: Any, signature: str | None, _returns: str | None
) -> tuple[str, str] | None:
    """The types of arguments without what the command line says of them, which stands below."""
    if signature is None or "Option(" not in signature:
        return None
    target = value.__init__ if inspect.isclass(value) else value
    plain = inspect.signature(value)
    try:
        hints = typing.get_type_hints(target)
    except NameError:
        # Types that are imported for type checkers alone stay the text that they are.
        hints = {name: each.annotation for name, each in plain.parameters.items()}
        hints |= {name: each.kind for name, each in options_of(value).items()}
        hints["return"] = plain.return_annotation
    arguments = [each.replace(annotation=hints.get(each.name, each.empty)) for each in plain.parameters.values()]
    returned = "" if inspect.isclass(value) else stringify_annotation(hints.get("return"), "smart")
    return stringify_signature(plain.replace(parameters=arguments, return_annotation=plain.empty)), returned


def _docstring(_app: Sphinx, _what: str, _name: str, value: Any, _options: Any, lines: list[str]) -> None:
    """The help texts of declared options, as those of arguments."""
    found = declared(value)
    if not found:
        return
    lines += [""] if lines and lines[-1] else []
    for name, each in found.items():
        bounds = f" ({each.option.bounds})" if each.option.bounds else ""
        lines.append(f":param {name}: {each.option.help}{bounds}")
    lines.append("")


def setup(app: Sphinx) -> dict[str, Any]:
    """Offer the directive, and complete what autodoc finds."""
    app.add_directive("public", Public)
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _docstring)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
