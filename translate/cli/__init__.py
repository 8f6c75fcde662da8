"""The command line: parses arguments, calls one function of the Python API, and prints its result; without logic.

Exit codes: 0 done; 1 done, but some images could not be converted; 2 usage error, or a file that cannot be read or
written; 3 training stopped at a value that is not finite; 4 one of several devices' processes died or was stopped; 5 a
training was ended by its disk, its files, its memory or a plugin; 130 interrupted and saved (143 by SIGTERM, 129 by a
hangup).
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import click
from click.shell_completion import get_completion_class

from translate import __version__
from translate.cli.flags import session_of
from translate.cli.looking import data, plugins
from translate.cli.measures import compare, evaluate
from translate.cli.output import prepare_output, say
from translate.cli.reports import report, runs, watch
from translate.cli.serving import serve
from translate.cli.training import fit
from translate.cli.verbs import bench, classify, convert, encode, export, import_, sample, show
from translate.errors import TranslateError, nearest
from translate.job import is_distributed
from translate.signals import EXIT_BASE, ending_cleanly
from translate.strangers import broken_plugin

FULL_OR_FAILING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
"""Errors of a disk, which may come without the name of a file."""


class Commands(click.Group):
    """The group of our commands and those of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, ours first."""
        return [*super().list_commands(ctx), *sorted(self._theirs(ctx).keys() - self.commands.keys())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name; ours win."""
        return super().get_command(ctx, cmd_name) or self._theirs(ctx).get(cmd_name)

    def _theirs(self, context: click.Context) -> dict[str, click.Command]:
        answers = session_of(context).catalog.ask("commands")
        return {command.name: command for _, commands in answers for command in commands}

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Suggest similar commands for an unknown one."""
        if args and self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            raise click.UsageError(f"there is no command {args[0]!r}; {nearest(args[0], self.list_commands(ctx))}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, "--version", prog_name="translate")
@click.option(
    "-p",
    "--plugin",
    multiple=True,
    is_eager=True,  # parsed before --help, which also shows the plugin's parts
    metavar="FILE_OR_MODULE",
    help="Load a plugin that is not installed; may be repeated.",
)
@click.option(
    "--no-plugin", multiple=True, is_eager=True, metavar="NAME", help="Block an installed plugin; may be repeated."
)
def cli(plugin: tuple[str, ...], no_plugin: tuple[str, ...]) -> None:
    """Train image-to-image translation, then convert whole folders.

    \b
      translate data photos/                       look at a folder before training on it
      translate fit pix2pix photos/ -o runs/one    train
      translate convert runs/one in/ out/          convert a folder with the trained translator
      translate evaluate runs/one photos/          measure it with metrics
      translate bench pix2pix                      benchmark it on this machine
    """


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
      translate completion bash >> ~/.bashrc
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "translate", "_TRANSLATE_COMPLETE").source())


COMMANDS = (
    data, fit, report, runs, watch, convert, export, import_, show, serve, sample, classify, encode, evaluate, compare,
    bench, plugins,
)  # fmt: skip

for command in COMMANDS:
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit; errors of the user are printed as one sentence."""
    # At its end the interpreter would look for cycles among all that was imported, which takes most of a second.
    atexit.register(gc.freeze)
    prepare_output()
    try:
        code = _guarded(lambda: cli.main(args=arguments, prog_name="translate", standalone_mode=False))
    except SystemExit as end:
        if not (is_distributed() and isinstance(end.code, int)):
            raise
        code = end.code
    if is_distributed():
        _leave(code)
    sys.exit(code)


def _leave(code: int) -> NoReturn:
    """End a rank at once, with what is left to do at an exit, but without taking the interpreter down.

    A thread of gloo may still have a tensor of the last collective to release. For that it needs the interpreter, and
    if that is on its way down, the process ends by SIGABRT, after a training that was finished and saved.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _show(error: click.ClickException) -> None:
    """What click says of wrong use, which holds what was typed: the usage, then one line."""
    context = getattr(error, "ctx", None)
    if context is not None:
        click.echo(context.get_usage(), err=True)
        say(f"Try '{context.command_path} --help' for help.", error=True)
        click.echo(err=True)
    say(f"Error: {error.format_message()}", error=True)


def _guarded(call: Callable[[], Any]) -> int:
    try:
        with ending_cleanly():
            code = call()
        return code if isinstance(code, int) else 0
    except TranslateError as error:
        say(f"error: {error}", error=True)
        return error.exit_code
    except click.ClickException as error:
        _show(error)
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as error:
        sentence = str(error.__cause__ or error) or "interrupted"
        say(sentence, error=True)
        return getattr(error.__cause__ or error, "exit_code", EXIT_BASE + signal.SIGINT)
    except BrokenPipeError:
        # The reader of our output has closed the pipe; closing stdout must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        # What a path, a disk or its permissions cause; an error of neither is a fault of the program.
        if error.filename is None and error.errno not in FULL_OR_FAILING:
            return _broken(error)
        where = "" if error.filename is None else f"{error.filename}: "
        say(f"error: {where}{error.strerror}; check the path, its permissions, and the space on its disk", error=True)
        return TranslateError.exit_code
    except Exception as error:
        return _broken(error)


def _broken(error: Exception) -> int:
    """Tell of an error in a stranger's plugin in one sentence; what is our own fault is raised on."""
    sentence = broken_plugin(error)
    if sentence is None:
        raise error
    say(f"error: {sentence}", error=True)
    return TranslateError.exit_code
