"""The commands that inspect: ``translate data`` and ``translate plugins``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from translate.cli.flags import PathType, session_of
from translate.cli.output import say
from translate.cli.parts import describe_part
from translate.paths import expanded


@click.command()
@click.argument("path", metavar="DATA")
@click.option("--layout", metavar="NAME(...)", help="Layout of the folder, if it is ambiguous.")
@click.option(
    "--picture",
    metavar="FILE",
    type=PathType(),
    help="Write a picture of some pairs to this file, outside of the data.",
)
@click.option("--export", metavar="DIR", type=PathType(), help="Write the dataset as a folder of paired images.")
@click.option("--overwrite", is_flag=True, help="Replace files of --picture and --export that exist.")
@click.option("--memory", metavar="BYTES", help="Most memory to decode with, 6GB ... [default: 80 % of what is free].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def data(
    context: click.Context,
    path: str,
    layout: str | None,
    picture: Path | None,
    export: Path | None,
    overwrite: bool,
    memory: str | None,
    as_json: bool,
) -> None:
    """Show what a folder or a named dataset holds: layout, pairs, sizes, values and unreadable files.

    It writes nothing unless --picture or --export says where.


    \b
      translate data photos/
      translate data photos/ --picture look.png
      translate data "demo(size=64)" --export demo/

    The exit code is 2 if `translate fit` would refuse the data, and 1 if only some images cannot be read.
    """
    from translate import inspection
    from translate.memory import parse_memory
    from translate.parts import open_dataset

    most = None if memory is None else parse_memory(memory, "--memory")
    dataset = open_dataset(session_of(context).catalog, path, layout)
    root = expanded(path)
    if export is not None:
        inspection.export(dataset, export, root=root, overwrite=overwrite, memory=most)
        say(f"written: {export}", error=as_json)
    if picture is not None:
        readable = [name for name, sides in dataset.splits.items() if any(sides.values())]
        split = readable[0] if readable and "train" not in readable else "train"
        inspection.picture(dataset, picture, split=split, root=root, overwrite=overwrite, memory=most)
        say(f"picture: {picture}", error=as_json)
    if export is not None and not as_json:
        return
    found = inspection.inspect(dataset, memory=most)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
        context.exit(found.exit_code)
    for line in found.lines():
        say(line)
    if picture is None:
        say("See some of them: add --picture FILE, such as --picture look.png")
    context.exit(found.exit_code)


@click.command()
@click.argument("part", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--times", is_flag=True, help="Print how long the import of each plugin took, the slowest first.")
@click.pass_context
def plugins(context: click.Context, part: str | None, as_json: bool, times: bool) -> None:
    """List the installed plugins with their versions and parts; or the options of one PART, such as unet."""
    catalog = session_of(context).catalog
    if part is not None:
        for line in describe_part(catalog, part):
            say(line)
    elif as_json:
        listed = [
            {
                "name": each.name,
                "distribution": each.distribution,
                "version": each.version,
                "offers": catalog.offered_by(each),
            }
            | ({"seconds": round(each.seconds, 6)} if times else {})
            for each in catalog.plugins
        ]
        click.echo(json.dumps(listed, indent=2))
    elif times:
        for each in sorted(catalog.plugins, key=lambda each: -each.seconds):
            say(f"{1000 * each.seconds:8.1f} ms  {each.name}  ({each.distribution} {each.version})")
    else:
        for each in catalog.plugins:
            say(f"{each.name}  ({each.distribution} {each.version})")
            for kind, names in catalog.offered_by(each).items():
                say(f"    {kind.replace('_', ' '):<20} {', '.join(names)}")
