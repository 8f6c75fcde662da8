"""The reference of the commands, out of the program: the directive ``commands`` writes a section for each."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click
from sphinx.util.docutils import SphinxDirective

from translate.cli import cli
from translate.cli.flags import Session
from translate.cli.training import MethodCommand, Methods
from translate.run import Config

if TYPE_CHECKING:
    from docutils.nodes import Node
    from sphinx.application import Sphinx

UNDERLINES = "--~"


def every_command() -> Iterator[tuple[click.Command, click.Context]]:
    """The program, its commands and their subcommands, each with the context in which it would be called."""
    # What happens to be installed beside is not described.
    yield from _below(cli, click.Context(cli, info_name="translate", obj=Session([], []), **cli.context_settings))


def _below(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    yield command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None, name
            yield from _below(found, click.Context(found, info_name=name, parent=context))


def reference() -> str:
    """The whole reference, as reStructuredText."""
    return "\n".join(line for command, context in every_command() for line in section(command, context))


def section(command: click.Command, context: click.Context) -> Iterator[str]:
    """A command: its help, how it is called, and its options, which are told once for all methods."""
    path = context.command_path
    yield from (f".. _{anchor(path)}:", "", path, UNDERLINES[path.count(" ")] * len(path), "")
    yield from described(command.help or "")
    yield from (".. code-block:: text", "", f"   {usage(command, context)}", "")
    yield f".. program:: {path}"
    yield ""
    own, training = told_here(command, context)
    yield from options(own, context)
    if isinstance(command, MethodCommand):
        yield from (f"All :ref:`options of the training <{anchor('translate fit')}>`, too.", "")
    elif training:
        yield from ("Options of the training, which stand behind METHOD, or with ``--resume``:", "")
        yield from options(training, context)


def anchor(path: str) -> str:
    """The label of a command's section."""
    return "command-" + path.replace(" ", "-")


def told_here(command: click.Command, context: click.Context) -> tuple[list[click.Parameter], list[click.Parameter]]:
    """The options of a command that its section lists: its own, and those of every training."""
    shown = [each for each in command.get_params(context) if each.get_help_record(context) is not None]
    if context.parent is not None:
        shown = [each for each in shown if each.name != "help"]
    training = Config.parameters() if isinstance(command, (Methods, MethodCommand)) else {}
    own = [each for each in shown if each.name not in training]
    return own, [each for each in shown if each.name in training] if isinstance(command, Methods) else []


def options(parameters: Iterable[click.Parameter], context: click.Context) -> Iterator[str]:
    """Options with their help texts, as the program prints them."""
    for parameter in parameters:
        record = parameter.get_help_record(context)
        assert record is not None
        flags = record[0].replace(" / ", ", ")
        yield from (f".. option:: {flags}", "", f"   {inline(record[1])}", "")


def usage(command: click.Command, context: click.Context) -> str:
    """How a command is called, in one line."""
    return " ".join([context.command_path, *command.collect_usage_pieces(context)])


def described(text: str) -> Iterator[str]:
    """A help text: paragraphs, and blocks that click leaves as they are, which hold commands."""
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        first, _, rest = paragraph.strip("\n").partition("\n")
        if first.strip() == "\b":
            block = textwrap.dedent(rest)
            yield from (".. code-block:: console", "", textwrap.indent(block, "   "), "")
        else:
            yield from (inline(" ".join(paragraph.split())), "")


def inline(text: str) -> str:
    """Text of the program as reStructuredText: what stands between backticks is code, all else is plain."""
    parts = re.split(r"`+([^`]+)`+", text)
    return "".join(f"``{part}``" if odd % 2 else re.sub(r"([\\*|_<])", r"\\\1", part) for odd, part in enumerate(parts))


class Commands(SphinxDirective):
    """Stands for the sections of all commands."""

    def run(self) -> list[Node]:
        """The sections."""
        self.env.note_reread()
        return self.parse_text_to_nodes(reference(), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Offer the directive."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
