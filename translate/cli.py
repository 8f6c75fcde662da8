"""The command line: reads what was typed, calls one function, and prints what it returns. It holds no logic.

Exit codes: 0 done; 1 done, but some images could not be converted; 2 wrong use, nothing was harmed; 3 training stopped
at a value that is not finite; 130 interrupted and saved (143 by SIGTERM).
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
from click.shell_completion import get_completion_class

from translate import __version__
from translate.errors import TranslateError, nearest
from translate.flags import Session, given, option_of, session_of
from translate.options import options_of
from translate.run import Config, parse_size, read_config


class Commands(click.Group):
    """Our commands and those of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Ours first."""
        return [*super().list_commands(ctx), *sorted(self._theirs(ctx).keys() - self.commands.keys())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Ours win."""
        return super().get_command(ctx, cmd_name) or self._theirs(ctx).get(cmd_name)

    def _theirs(self, context: click.Context) -> dict[str, click.Command]:
        answers = session_of(context).catalog.ask("commands")
        return {command.name or "": command for _, commands in answers for command in commands}

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Suggest the nearest command."""
        if args and self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            raise click.UsageError(f"there is no command {args[0]!r}; {nearest(args[0], self.list_commands(ctx))}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, "--version", prog_name="translate")
@click.option(
    "-p",
    "--plugin",
    multiple=True,
    is_eager=True,  # before --help, which shows what the plugin adds
    metavar="FILE_OR_MODULE",
    help="Load a plugin that is not installed; may be repeated.",
)
@click.option(
    "--no-plugin", multiple=True, is_eager=True, metavar="NAME", help="Block an installed plugin; may be repeated."
)
def cli(plugin: tuple[str, ...], no_plugin: tuple[str, ...]) -> None:
    """Teach a machine to turn images of one kind into images of another, then turn whole folders.

    \b
      translate data photos/                       look at a folder before training on it
      translate fit pix2pix photos/ -o runs/one    train
      translate convert runs/one in/ out/          convert a folder with what was learned
    """


class MethodCommand(click.Command):
    """``translate fit METHOD``: the method's options apart from those of every training."""

    def __init__(self, name: str, *, own: set[str | None], **settings: Any) -> None:
        super().__init__(name, **settings)
        self.own = own

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the method's options under its name, then the training's."""
        records: dict[bool, list[tuple[str, str]]] = {True: [], False: []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                records[parameter.name in self.own].append(record)
        for title, rows in ((f"Options of {self.name}", records[True]), ("Options of the training", records[False])):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


class Methods(click.Group):
    """The methods on offer, each a command with its own options."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All methods by name; imports none."""
        return list(session_of(ctx).catalog.offers("methods"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Make the command of a method; its module is imported only to read its options."""
        offers = session_of(ctx).catalog.offers("methods")
        if cmd_name not in offers:
            return None
        summary = offers[cmd_name].summary
        path = click.Path(path_type=Path)
        params: list[click.Parameter] = [
            click.Argument(["data"], required=False, metavar="DATA", type=path),
            click.Option(
                ["-o", "--output"], metavar="RUN", type=path, help="folder of the run [default: runs/METHOD-DATA]"
            ),
            click.Option(
                ["--config"], metavar="FILE", type=path, help="YAML or JSON file of options; the command line wins"
            ),
            click.Option(["--dry-run"], is_flag=True, help="try one step, say what a run would do, write nothing"),
        ]
        catalog = session_of(ctx).catalog
        if ctx.resilient_parsing:
            own = [click.Option(["--" + name.replace("_", "-")]) for name in offers[cmd_name].option_names]
        else:
            declared = options_of(catalog.offer("methods", cmd_name).load())
            own = [option_of(parameter, catalog) for parameter in declared.values()]
        core = [option_of(parameter, catalog) for parameter in Config.parameters().values()]
        return MethodCommand(
            cmd_name,
            own={option.name for option in own},
            params=[*params, *own, *core],
            callback=click.pass_context(_fit_method),
            help=f"{summary}\n\nDATA is a folder of images or the name of a dataset, such as demo. "
            "See `translate data DATA` for what is found in it.",
            short_help=summary,
        )

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Suggest the nearest method."""
        if args and not ctx.resilient_parsing:
            session_of(ctx).catalog.offer("methods", args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the methods under their own title."""
        with formatter.section("Methods (translate fit METHOD --help shows all options)"):
            formatter.write_dl(
                [(name, offer.summary) for name, offer in session_of(ctx).catalog.offers("methods").items()]
            )


@cli.group(cls=Methods, invoke_without_command=True, subcommand_metavar="[METHOD DATA [OPTIONS]...]")
@click.option("--resume", metavar="RUN", type=click.Path(path_type=Path), help="Go on with a run that was stopped.")
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --resume: another length; the schedule is recomputed.",
)
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Take everything, method and data too, from a YAML or JSON file.",
)
@click.option(
    "-o", "--output", metavar="RUN", type=click.Path(path_type=Path), help="With --config: folder of the run."
)
@click.pass_context
def fit(
    context: click.Context, resume: Path | None, steps: int | None, config: Path | None, output: Path | None
) -> None:
    """Train METHOD on DATA, or go on with a run.

    \b
      translate fit pix2pix photos/ --size 128 --steps 20000
      translate fit --resume runs/pix2pix-photos
    """
    if context.invoked_subcommand is not None:
        if resume or config or steps or output:
            raise click.UsageError(
                "options before METHOD are for --resume and --config; give the method's after it", context
            )
        return
    session = session_of(context)
    if resume is not None and config is None:
        from translate.training import resume as go_on

        _report(go_on(resume, steps=steps, plugins=session.extra, no_plugins=session.blocked))
    elif config is not None and resume is None:
        values = read_config(config)
        _fit({**values, **({"steps": steps} if steps else {})}, session, output, str(config), dry_run=False)
    elif resume is not None:
        raise click.UsageError("a resumed run has its config already; leave out --config", context)
    else:
        click.echo(context.get_help())


def _fit_method(context: click.Context, **_params: Any) -> None:
    typed = given(context)
    file = typed.pop("config", None)
    output = typed.pop("output", None)
    dry_run = typed.pop("dry_run", False)
    values = read_config(file) if file is not None else {}
    method = context.info_name or ""
    if values.get("method", method) != method:
        raise TranslateError(
            f"{file} is for the method {values['method']!r}, not {method!r}; use `translate fit --config {file}`"
        )
    if "data" in typed:
        typed["data"] = str(typed["data"])
    _fit(
        {**values, **typed, "method": method},
        session_of(context),
        output or values.get("output"),
        "fit",
        dry_run=dry_run,
    )


def _fit(values: Mapping[str, Any], session: Session, output: Any, where: str, *, dry_run: bool) -> None:
    from translate.training import plan, train

    config = Config.from_values(
        {"plugins": session.extra, **{name: value for name, value in values.items() if name != "output"}}, where
    )
    if dry_run:
        for line in plan(config, no_plugins=session.blocked):
            click.echo(line)
    else:
        _report(train(config, output=Path(output) if output else None, no_plugins=session.blocked))


def _report(run: Any) -> None:
    click.echo(f"trained {run.step} steps: {run.folder}")
    click.echo(f"  look:    {run.samples}")
    click.echo(f"  convert: translate convert {run.folder} IN OUT")


@cli.command()
@click.argument("translator", metavar="RUN_OR_FILE", type=click.Path(path_type=Path))
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--direction", help="Which way, for methods that train several (forward, backward).")
@click.option("--at", metavar="SIZE", help="Convert at this size, such as the training's, instead of each image's own.")
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    metavar="N",
    help="Draw N answers for each image (name-1.png ...), where the network has noise.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the noise of --samples.")
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    metavar="N",
    help="Images of one size at a time [default: 1 on a CPU, 8 on a GPU].",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["same", "png", "jpg", "webp", "tiff", "npy"]),
    default="same",
    show_default=True,
    help="Format of the outputs.",
)
@click.option("--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="Of JPEG and WebP.")
@click.option("--max-pixels", type=click.IntRange(min=1), metavar="N", help="Refuse larger images [default: 2**28].")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ...")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bf16"]),
    default="float32",
    show_default=True,
    help="Arithmetic of the network.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Threads that decode and encode (0: one a core).",
)
@click.pass_context
def convert(
    context: click.Context, /, translator: Path, source: Path, target: Path, format_: Any, **options: Any
) -> None:
    """Convert an image, or a folder of them with its tree, with what a run has learned.

    \b
      translate convert runs/one photos/ converted/
      translate convert runs/one/translator.safetensors in.jpg out.png

    Each image keeps its size, its bit depth and its alpha. A file that cannot be converted is named, the rest goes
    on, and the exit code is then 1.
    """
    from translate.conversion import convert as run_conversion

    session = session_of(context)
    if options["at"] is not None:
        options["at"] = parse_size(options["at"], "--at")
    if options["max_pixels"] is None:
        del options["max_pixels"]
    result = run_conversion(
        translator, source, target, format=format_, plugins=session.extra, no_plugins=session.blocked, **options
    )
    failed = f", {len(result.failed)} could not be converted" if result.failed else ""
    click.echo(f"converted {result.converted} to {result.target}{failed}")
    if result.failed:
        context.exit(1)


@cli.command()
@click.argument("path", metavar="DATA")
@click.option("--layout", metavar="NAME(...)", help="How the folder is laid out, where it is not clear.")
@click.option(
    "--picture",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where to write a picture of some pairs [default: DATA.png in the working directory].",
)
@click.option(
    "--export", metavar="DIR", type=click.Path(path_type=Path), help="Write the dataset as a folder of paired images."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON and write no picture.")
@click.pass_context
def data(
    context: click.Context, path: str, layout: str | None, picture: Path | None, export: Path | None, as_json: bool
) -> None:
    """Show what a folder or a named dataset holds: layout, pairs, sizes, depths, unreadable files, and a picture.

    \b
      translate data photos/
      translate data "demo(size=64)" --export demo/
    """
    from translate import inspection
    from translate.parts import open_dataset

    dataset = open_dataset(session_of(context).catalog, path, layout)
    if export is not None:
        inspection.export(dataset, export)
        click.echo(f"written: {export}")
        return
    found = inspection.inspect(dataset)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
        return
    for line in found.lines():
        click.echo(line)
    file = picture or Path(f"{Path(path).name.partition('(')[0] or 'data'}.png")
    inspection.picture(dataset, file)
    click.echo(f"picture: {file}")


@cli.command()
@click.argument("part", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def plugins(context: click.Context, part: str | None, as_json: bool) -> None:
    """List who is installed, in which version, and what each offers; or the options of one PART, such as unet."""
    catalog = session_of(context).catalog
    if part is not None:
        from translate.parts import told as told_of

        click.echo("\n".join(told_of(catalog, part)))
    elif as_json:
        told = [
            {
                "name": each.name,
                "distribution": each.distribution,
                "version": each.version,
                "offers": catalog.offered_by(each),
            }
            for each in catalog.plugins
        ]
        click.echo(json.dumps(told, indent=2))
    else:
        for each in catalog.plugins:
            click.echo(f"{each.name}  ({each.distribution} {each.version})")
            for kind, names in catalog.offered_by(each).items():
                click.echo(f"    {kind.replace('_', ' '):<20} {', '.join(names)}")


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


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command; every mistake of the user is one sentence and an exit code."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    sys.exit(_guarded(lambda: cli.main(args=arguments, prog_name="translate", standalone_mode=False)))


def _guarded(call: Callable[[], Any]) -> int:
    try:
        code = call()
        return code if isinstance(code, int) else 0
    except TranslateError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as error:
        sentence = str(error.__cause__ or error) or "interrupted"
        click.echo(sentence, err=True)
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; do not fail again while closing it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
