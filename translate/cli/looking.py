"""The commands that inspect: ``translate data`` and ``translate plugins``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from translate.cli.flags import PathType, option_of, session_of
from translate.cli.output import say
from translate.cli.parts import describe_part
from translate.memory import MAX_PIXELS, MaxPixels, Memory, limits
from translate.options import parameter_of
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
@click.option("--full", is_flag=True, help="Decode every image, however many, and name every broken one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def data(
    context: click.Context,
    path: str,
    layout: str | None,
    picture: Path | None,
    export: Path | None,
    overwrite: bool,
    full: bool,
    as_json: bool,
    memory: int | None,
    max_pixels: int,
) -> None:
    """Show what a folder or a named dataset holds: layout, pairs, sizes, values and unreadable files.

    Of more than 5,000 files only the headers are read, unless --full is given; the last lines say what was checked. It
    writes nothing unless --picture or --export says where.

    \b
      translate data photos/
      translate data photos/ --picture look.png
      translate data photos/ --full
      translate data "demo(size=64)" --export demo/

    The exit code is 2 if `translate fit` would refuse the data, and 1 if only some images cannot be read.
    """
    from translate import inspection
    from translate.layouts import open_dataset

    bounds: dict[str, Any] = {"memory": memory, "max_pixels": max_pixels}
    with limits(**bounds):
        dataset = open_dataset(session_of(context).catalog, path, layout)
    root = expanded(path)
    if export is not None:
        inspection.export(dataset, export, root=root, overwrite=overwrite, **bounds)
        say(f"written: {export}", error=as_json)
    if picture is not None:
        readable = [name for name, sides in dataset.splits.items() if any(sides.values())]
        split = readable[0] if readable and "train" not in readable else "train"
        inspection.picture(dataset, picture, split=split, root=root, overwrite=overwrite, **bounds)
        say(f"picture: {picture}", error=as_json)
    if export is not None and not as_json:
        return
    last = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() - last > 0.1:
            last = time.monotonic()
            session_of(context).catalog.tell("images_decoded", done=done, total=total)

    found = inspection.inspect(dataset, full=full, on_progress=progress if full else None, **bounds)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
        context.exit(found.exit_code)
    for line in found.lines():
        say(line)
    if picture is None:
        say("See some of them: add --picture FILE, such as --picture look.png")
    context.exit(found.exit_code)


data.params += [
    option_of(parameter_of("memory", Memory, None), None, "data"),
    option_of(parameter_of("max_pixels", MaxPixels, MAX_PIXELS), None, "data"),
]


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
