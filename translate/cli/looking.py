"""The commands that inspect: ``translate data`` and ``translate plugins``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from translate.cli.flags import session_of


@click.command()
@click.argument("path", metavar="DATA")
@click.option("--layout", metavar="NAME(...)", help="Layout of the folder, if it is ambiguous.")
@click.option(
    "--picture",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where to write a picture of some pairs [default: DATA.png in the working directory].",
)
@click.option(
    "--export", metavar="DIR", type=click.Path(path_type=Path), help="Write the dataset as a folder of paired images."
)
@click.option("--memory", metavar="BYTES", help="Most memory to decode with, 6GB ... [default: 80 % of what is free].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON and write no picture.")
@click.pass_context
def data(
    context: click.Context,
    path: str,
    layout: str | None,
    picture: Path | None,
    export: Path | None,
    memory: str | None,
    as_json: bool,
) -> None:
    """Show what a folder or a named dataset holds: layout, pairs, sizes, depths, unreadable files, and a picture.

    \b
      translate data photos/
      translate data "demo(size=64)" --export demo/
    """
    from translate import inspection
    from translate.memory import parse_memory
    from translate.parts import open_dataset

    most = None if memory is None else parse_memory(memory, "--memory")
    dataset = open_dataset(session_of(context).catalog, path, layout)
    if export is not None:
        inspection.export(dataset, export, memory=most)
        click.echo(f"written: {export}")
        return
    found = inspection.inspect(dataset, memory=most)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
        return
    for line in found.lines():
        click.echo(line)
    file = picture or Path(f"{Path(path).name.partition('(')[0] or 'data'}.png")
    inspection.picture(dataset, file, memory=most)
    click.echo(f"picture: {file}")


@click.command()
@click.argument("part", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def plugins(context: click.Context, part: str | None, as_json: bool) -> None:
    """List the installed plugins with their versions and parts; or the options of one PART, such as unet."""
    catalog = session_of(context).catalog
    if part is not None:
        from translate.parts import describe_part

        click.echo("\n".join(describe_part(catalog, part)))
    elif as_json:
        listed = [
            {
                "name": each.name,
                "distribution": each.distribution,
                "version": each.version,
                "offers": catalog.offered_by(each),
            }
            for each in catalog.plugins
        ]
        click.echo(json.dumps(listed, indent=2))
    else:
        for each in catalog.plugins:
            click.echo(f"{each.name}  ({each.distribution} {each.version})")
            for kind, names in catalog.offered_by(each).items():
                click.echo(f"    {kind.replace('_', ' '):<20} {', '.join(names)}")
