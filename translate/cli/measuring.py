"""What the machine makes of it: ``translate bench``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from translate.errors import TranslateError


@click.command()
@click.argument("method", metavar="METHOD")
@click.argument("options", nargs=-1, metavar="[NAME=VALUE]...")
@click.option(
    "--what",
    multiple=True,
    type=click.Choice(["steps", "cost", "feeding", "conversion", "beginning"]),
    help="What to measure; may be repeated [default: all].",
)
@click.option("--data", type=click.Path(path_type=Path), metavar="DATA", help="Folder of images [default: made up].")
@click.option("--size", type=click.IntRange(min=1), default=256, show_default=True, help="Sides of the images.")
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Images in a batch.")
@click.option("--rounds", type=click.IntRange(min=1), default=10, show_default=True, help="Turns of each rival.")
@click.option("--images", type=click.IntRange(min=2), default=100, show_default=True, help="How many to convert.")
@click.option(
    "--rival",
    multiple=True,
    metavar="NAME",
    help="A way to convert: float32, bf16, openvino-int8 ...; may be repeated [default: all that there are].",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ...")
@click.option("--json", "file", type=click.Path(path_type=Path), metavar="FILE", help="Keep the numbers in a file.")
def bench(method: str, options: tuple[str, ...], what: tuple[str, ...], file: Path | None, **asked: Any) -> None:
    """Measure METHOD on this machine, against what one writes by hand.

    \b
      translate bench pix2pix
      translate bench cyclegan --size 128 --what steps generator="resnet(width=32)"

    NAME=VALUE are options of the method or of the training. Rivals take turns in one process, so that a busy machine
    slows all alike; a ratio of 2.00x is twice as fast, with the interval of its median.
    """
    from translate.benchmark import WHAT
    from translate.benchmark import bench as measure

    values: dict[str, Any] = {}
    for each in options:
        name, equals, value = each.partition("=")
        if not equals:
            raise TranslateError(f"bench: {each!r} is no NAME=VALUE, such as generator=unet")
        values[name.replace("-", "_")] = value
    report = measure(method, what=what or WHAT, **asked, **values)
    for line in report.lines():
        click.echo(line)
    if file is not None:
        file.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
