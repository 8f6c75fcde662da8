"""The command ``translate fit``, with one subcommand per method and its own options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from translate import changes
from translate.asked_optimizers import as_meant
from translate.cli.flags import PathType, Session, given, option_of, session_of
from translate.cli.output import say
from translate.errors import TranslateError
from translate.options import options_of
from translate.paths import expanded, quoted
from translate.plugins import Catalog
from translate.run import Config, Run
from translate.trust import check_named

SHOWN_CHANGES = 5
"""How many changes of a run are printed."""


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

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The group's own options and those of every training, for a run that is resumed or read from a config."""
        *own, help_option = super().get_params(ctx)
        catalog = session_of(ctx).catalog
        return [*own, *(option_of(each, catalog) for each in Config.parameters().values()), help_option]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options; one that only a method has is refused in a sentence where a run is resumed."""
        typed = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            folder = _path_among(typed, "--resume")
            if folder is not None and not ctx.resilient_parsing:
                _refuse_option(error.option_name, folder, session_of(ctx).catalog)
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the group's own options, the methods, and what a resumed run may take anew."""
        declared = Config.parameters()
        rows: dict[bool, list[tuple[str, str]]] = {True: [], False: []}
        for parameter in self.get_params(ctx):
            name = parameter.name or ""
            record = parameter.get_help_record(ctx)
            if record is not None and not (name in declared and declared[name].option.fixed):
                rows[name in declared].append(record)
        with formatter.section("Options"):
            formatter.write_dl(rows[False])
        self.format_commands(ctx, formatter)
        with formatter.section("With --resume: other settings from here on, by default those of the run"):
            formatter.write_dl([(flags, text.partition("  [default")[0]) for flags, text in rows[True]])

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
            config = _path_among(args[1:], "--config")
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
    "--data", metavar="DATA", type=PathType(), help="With --resume: where the data lies now, if it has moved."
)
@click.option(
    "--changed-data", is_flag=True, help="With --resume: use data that lost or gained images; no longer exact."
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
    /,
    resume: Path | None,
    data: Path | None,
    changed_data: bool,
    config: Path | None,
    output: Path | None,
    dry_run: bool,
    **_settings: Any,
) -> None:
    """Train METHOD on DATA, or resume a run, also with other settings.

    \b
      translate fit pix2pix photos/ --size 128 --steps 20000
      translate fit --resume runs/pix2pix-photos
      translate fit --resume runs/pix2pix-photos --steps 40000 --optimizer "adam(lr=1e-4)"
    """
    settings = {name: value for name, value in given(context).items() if name in Config.parameters()}
    if context.invoked_subcommand is not None:
        if resume or config or settings or output or dry_run or data or changed_data:
            raise click.UsageError(
                "options before METHOD are for --resume and --config; give the method's after it", context
            )
        return
    session = session_of(context)
    if resume is None and (data or changed_data):
        raise click.UsageError("--data and --changed-data are for --resume; add it, or give DATA after METHOD", context)
    if resume is not None and config is None:
        if output or dry_run:
            raise click.UsageError("a resumed run has its folder and its options; leave out -o and --dry-run", context)
        from translate.training import resume as resume_run

        _report(
            resume_run(
                resume,
                data=data,
                changed_data=changed_data,
                plugins=session.extra,
                no_plugins=session.blocked,
                **settings,
            )
        )
    elif config is not None and resume is None:
        values = _overridden(_values_of(config), settings)
        _tell_changes(config)
        _fit(values, session, output, str(config), dry_run=dry_run)
    elif resume is not None:
        raise click.UsageError("a resumed run has its config already; leave out --config", context)
    elif settings or output or dry_run:
        raise click.UsageError("options need METHOD and DATA before them, or --resume RUN, or --config FILE", context)
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
    if file is not None:
        _tell_changes(file)
    values = _overridden(values, {**typed, "method": method})
    _fit(values, session_of(context), output, "fit", dry_run=dry_run)


def _overridden(values: Mapping[str, Any], typed: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a config with what was typed; a typed length replaces any kind of length."""
    lengths = ("steps", "epochs", "minutes")
    length = dict.fromkeys(lengths) if typed.keys() & set(lengths) else {}
    return {**values, **length, **typed}


def _tell_changes(file: Path) -> None:
    """Say what a run, whose ``config.json`` is used anew, had changed on its way."""
    found = changes.read(file.parent) if file.name == "config.json" else []
    if found:
        say(f"{file} holds the settings after these changes, and the new run has them from its first step:", error=True)
        _say_changes(found, error=True)


def _say_changes(found: Sequence[changes.Change], *, error: bool = False) -> None:
    if len(found) > SHOWN_CHANGES:
        say(f"  changed:  {len(found) - SHOWN_CHANGES} settings earlier, see {changes.NAME}", error=error)
    for each in found[-SHOWN_CHANGES:]:
        say(f"  changed:  {each}", error=error)


def _refuse_option(name: str, folder: Path, catalog: Catalog) -> None:
    """Raise ``TranslateError`` for an option of its method that a resumed run cannot take."""
    from translate.resuming import check_asked, method_options

    option = name.lstrip("-").replace("-", "_").partition("=")[0]
    run = Run.open(folder)
    for each in (option, option.removeprefix("no_")):
        if each in method_options(run, catalog):
            check_asked(run, {each: None}, catalog)


def _values_of(file: Path | None) -> dict[str, Any]:
    """The options in a config file; a run's own ``config.json`` nests them, beside facts of the run."""
    # Imported where a file is read: it takes longer than all of the command line.
    from translate.config_file import read_config

    values = read_config(file) if file is not None else {}
    nested = values.get("config")
    if not isinstance(nested, Mapping):
        return values
    options = nested.get("options")
    return {**as_meant(nested), **(options if isinstance(options, Mapping) else {}), "options": {}}


def _path_among(arguments: Sequence[str], option: str) -> Path | None:
    """The path of ``--config FILE`` or ``--config=FILE``, say, among arguments that are not parsed yet."""
    found = None
    for place, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == option and (equals or place + 1 < len(arguments)):
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
    from translate.job import is_launcher_or_main
    from translate.method import role_of
    from translate.training import directions_of
    from translate.validation import scores_of

    if not is_launcher_or_main():
        return
    say(f"trained {run.step} steps: {run.folder}")
    _say_changes(run.changes)
    roles = dict.fromkeys(role_of(direction) for direction in directions_of(run))
    if roles.keys() - {"classifier"}:
        say(f"  look:     {run.samples}")
    for line in scores_of(run):
        say(f"  {line}")
    uses = {"translator": "convert", "sampler": "sample", "classifier": "classify"}
    arguments = {"convert": "IN OUT", "sample": "OUT", "classify": "IN"}
    for role in roles:
        verb = uses[role]
        say(f"  {verb + ':':<9} translate {verb} {quoted(run.folder)} {arguments[verb]}")
