"""The command ``translate fit``, with one subcommand per method and its own options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from translate.cli.flags import PathType, Session, given, option_of, session_of
from translate.cli.output import say
from translate.errors import TranslateError
from translate.options import options_of
from translate.paths import expanded, quoted
from translate.run import Config, read_config
from translate.trust import check_named


class MethodCommand(click.Command):
    """``translate fit METHOD``, whose help separates the method's options from those of every training."""

    def __init__(self, name: str, *, own: set[str | None], **settings: Any) -> None:
        super().__init__(name, **settings)
        self.own = own

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the method's options first, then those of every training."""
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
    """The group of all methods, each a command with its own options."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all methods; imports none."""
        return list(session_of(ctx).catalog.offers("methods"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Make the command of a method; its module is imported to read its options, but not for shell completion."""
        offers = session_of(ctx).catalog.offers("methods")
        if cmd_name not in offers:
            return None
        summary = offers[cmd_name].summary
        path = PathType()
        params: list[click.Parameter] = [
            click.Argument(["data"], required=False, metavar="DATA", type=path),
            click.Option(
                ["-o", "--output"], metavar="RUN", type=path, help="folder of the run [default: runs/METHOD-DATA]"
            ),
            click.Option(
                ["--config"], metavar="FILE", type=path, help="YAML or JSON file of options; the command line wins"
            ),
            click.Option(["--dry-run"], is_flag=True, help="make one step, print a summary of the run, write nothing"),
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
            "See `translate data DATA` for its contents.",
            short_help=summary,
        )

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Suggest similar methods for an unknown one; plugins that only a config file names are refused first."""
        if args and not ctx.resilient_parsing:
            session = session_of(ctx)
            # A file that cannot be read is reported when the command reads it.
            named: list[str] = []
            config = _config_among(args[1:])
            with suppress(TranslateError):
                named = _plugins_of(_values_of(config))
            check_named(named, session.extra, config or "the config")
            session.catalog.offer("methods", args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the methods under their own title."""
        with formatter.section("Methods (translate fit METHOD --help shows all options)"):
            formatter.write_dl(
                [(name, offer.summary) for name, offer in session_of(ctx).catalog.offers("methods").items()]
            )


@click.group(cls=Methods, invoke_without_command=True, subcommand_metavar="[METHOD DATA [OPTIONS]...]")
@click.option("--resume", metavar="RUN", type=PathType(), help="Resume a run that was stopped.")
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --resume: another number of steps; the schedule is recomputed.",
)
@click.option(
    "--data", metavar="DATA", type=PathType(), help="With --resume: where the data lies now, if it has moved."
)
@click.option(
    "--changed-data", is_flag=True, help="With --resume: use data that lost or gained images; no longer exact."
)
@click.option(
    "--broken", type=click.Choice(["skip", "stop"]), help="With --resume: what becomes of broken images from here on."
)
@click.option(
    "--config",
    metavar="FILE",
    type=PathType(),
    help="Read all options, also method and data, from a YAML or JSON file, or from a run's config.json.",
)
@click.option("-o", "--output", metavar="RUN", type=PathType(), help="With --config: folder of the run.")
@click.option("--dry-run", is_flag=True, help="With --config: make one step, print a summary, write nothing.")
@click.pass_context
def fit(
    context: click.Context,
    resume: Path | None,
    steps: int | None,
    data: Path | None,
    changed_data: bool,
    broken: Any,
    config: Path | None,
    output: Path | None,
    dry_run: bool,
) -> None:
    """Train METHOD on DATA, or resume a run.

    \b
      translate fit pix2pix photos/ --size 128 --steps 20000
      translate fit --resume runs/pix2pix-photos
    """
    if context.invoked_subcommand is not None:
        if resume or config or steps or output or dry_run or data or changed_data or broken:
            raise click.UsageError(
                "options before METHOD are for --resume and --config; give the method's after it", context
            )
        return
    session = session_of(context)
    if resume is None and (data or changed_data or broken):
        raise click.UsageError("--data, --changed-data and --broken before METHOD are for --resume; add it", context)
    if resume is not None and config is None:
        if output or dry_run:
            raise click.UsageError("a resumed run has its folder and its options; leave out -o and --dry-run", context)
        from translate.training import resume as resume_run

        _report(
            resume_run(
                resume,
                steps=steps,
                data=data,
                changed_data=changed_data,
                broken=broken,
                plugins=session.extra,
                no_plugins=session.blocked,
            )
        )
    elif config is not None and resume is None:
        typed = {"steps": steps, "epochs": None} if steps else {}
        _fit({**_values_of(config), **typed}, session, output, str(config), dry_run=dry_run)
    elif resume is not None:
        raise click.UsageError("a resumed run has its config already; leave out --config", context)
    else:
        click.echo(context.get_help())


def _fit_method(context: click.Context, **_params: Any) -> None:
    typed = given(context)
    file = typed.pop("config", None)
    output = typed.pop("output", None)
    dry_run = typed.pop("dry_run", False)
    values = _values_of(file)
    method = context.info_name or ""
    if values.get("method", method) != method:
        raise TranslateError(
            f"{file} is for the method {values['method']!r}, not {method!r}; "
            f"use `translate fit --config {quoted(file)}`"
        )
    if "data" in typed:
        typed["data"] = str(typed["data"])
    _fit({**values, **typed, "method": method}, session_of(context), output, "fit", dry_run=dry_run)


def _values_of(file: Path | None) -> dict[str, Any]:
    """The options in a config file; a run's own ``config.json`` nests them, beside facts of the run."""
    values = read_config(file) if file is not None else {}
    nested = values.get("config")
    if not isinstance(nested, Mapping):
        return values
    options = nested.get("options")
    return {**nested, **(options if isinstance(options, Mapping) else {}), "options": {}}


def _config_among(arguments: Sequence[str]) -> Path | None:
    """The file of ``--config FILE`` or ``--config=FILE`` among arguments that are not parsed yet."""
    found = None
    for place, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == "--config" and (equals or place + 1 < len(arguments)):
            found = expanded(value if equals else arguments[place + 1])
    return found


def _plugins_of(values: Mapping[str, Any]) -> list[str]:
    """The plugins that a config names, one or several."""
    named = values.get("plugins") or ()
    return [str(each) for each in (named if isinstance(named, (list, tuple)) else (named,))]


def _fit(values: Mapping[str, Any], session: Session, output: Path | None, where: str, *, dry_run: bool) -> None:
    from translate.training import plan, train

    named = values.get("output")
    if named is not None and not isinstance(named, (str, Path)):
        raise TranslateError(f"{where}: output must be a path, not {named!r}")
    folder = output or (expanded(named) if named else None)
    others = {name: value for name, value in values.items() if name != "output"}
    check_named(_plugins_of(others), session.extra, "the config")
    config = Config.from_values({**others, "plugins": session.extra}, where)
    if dry_run:
        for line in plan(config, no_plugins=session.blocked):
            say(line)
    else:
        _report(train(config, output=folder, no_plugins=session.blocked))


def _report(run: Any) -> None:
    from translate.method import role_of
    from translate.ranks import is_launcher_or_main
    from translate.training import directions_of

    if not is_launcher_or_main():
        return
    say(f"trained {run.step} steps: {run.folder}")
    roles = dict.fromkeys(role_of(direction) for direction in directions_of(run))
    if roles.keys() - {"classifier"}:
        say(f"  look:     {run.samples}")
    uses = {"translator": "convert", "sampler": "sample", "classifier": "classify"}
    arguments = {"convert": "IN OUT", "sample": "OUT", "classify": "IN"}
    for role in roles:
        verb = uses[role]
        say(f"  {verb + ':':<9} translate {verb} {quoted(run.folder)} {arguments[verb]}")
