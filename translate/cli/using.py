"""What is done with what a run has learned: ``translate convert``, ``sample``, ``classify``, ``evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from translate.cli.flags import session_of
from translate.sizes import parse_size


class _Named(click.Option):
    """An option that names a part, whose help names those on offer."""

    def __init__(self, *names: Any, kind: str, **rest: Any) -> None:
        super().__init__(*names, **rest)
        self.kind = kind

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Add the names."""
        record = super().get_help_record(ctx)
        names = ", ".join(session_of(ctx).catalog.offers(self.kind))
        return record and (record[0], f"{record[1]}: {names}")


@click.command()
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
    "--devices",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Devices of this machine that share the images.",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "bf16", "int8"]),
    default="float32",
    show_default=True,
    help="Arithmetic of the network; int8 needs a runtime that has it.",
)
@click.option(
    "--runtime",
    cls=_Named,
    kind="runtimes",
    default="",
    metavar="NAME(...)",
    help="What computes the network's answers in place of torch as it is, faster for many images of one size",
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
    from translate.ranks import announces

    session = session_of(context)
    if options["at"] is not None:
        options["at"] = parse_size(options["at"], "--at")
    if options["max_pixels"] is None:
        del options["max_pixels"]
    result = run_conversion(
        translator, source, target, format=format_, plugins=session.extra, no_plugins=session.blocked, **options
    )
    if not announces():
        return
    failed = f", {len(result.failed)} could not be converted" if result.failed else ""
    click.echo(f"converted {result.converted} to {result.target}{failed}")
    if result.failed:
        context.exit(1)


@click.command()
@click.argument("run", metavar="RUN_OR_FILE", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("-n", "--count", type=click.IntRange(min=1), default=64, show_default=True, help="How many images.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the noise; image i depends on it and i alone.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["png", "jpg", "webp", "tiff", "npy"]),
    default="png",
    show_default=True,
    help="Format of the images.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ...")
@click.pass_context
def sample(context: click.Context, /, run: Path, target: Path, format_: Any, **options: Any) -> None:
    """Make images out of noise, with what a run of a sampler (sgan, vae ...) has learned.

    \b
      translate sample runs/digits made/ -n 100
    """
    from translate.sampling import sample as draw

    session = session_of(context)
    written = draw(run, target, format=format_, plugins=session.extra, no_plugins=session.blocked, **options)
    click.echo(f"made {len(written)} images in {target}")


@click.command()
@click.argument("run", metavar="RUN_OR_FILE", type=click.Path(path_type=Path))
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.pass_context
def classify(context: click.Context, run: Path, source: Path, device: str, as_json: bool) -> None:
    """Tell the class of an image, or of each image below a folder, with what a run has learned.

    \b
      translate classify runs/digits photos/

    A line holds the file, its class and the probability of it, with tabs between. A file that cannot be read is named,
    the rest goes on, and the exit code is then 1.
    """
    from translate.classification import classify as tell

    session = session_of(context)
    failed = 0
    for told in tell(run, source, device=device, plugins=session.extra, no_plugins=session.blocked):
        if told.error is not None:
            failed += 1
            click.echo(f"{told.source}: {told.error}", err=True)
        elif as_json:
            line = {"file": str(told.source), "class": told.label, "probability": round(told.probability, 6)}
            click.echo(json.dumps(line))
        else:
            click.echo(f"{told.source}\t{told.label}\t{told.probability:.4f}")
    if failed:
        context.exit(1)


@click.command()
@click.argument("run", metavar="RUN_OR_FILE", type=click.Path(path_type=Path))
@click.argument("data", metavar="DATA")
@click.option(
    "--metric",
    "metrics",
    cls=_Named,
    kind="metrics",
    multiple=True,
    required=True,
    metavar="NAME(...)",
    help="What to measure; may be repeated",
)
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True)
@click.option("--layout", metavar="NAME(...)", help="How the folder is laid out, where it is not clear.")
@click.option("--direction", help="What of the run, where it keeps several (forward, backward, sample, classify).")
@click.option("--size", metavar="SIZE", help="Measure at this size instead of the training's.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many images a domain.")
@click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True, help="Images at a time.")
@click.option(
    "--samples",
    type=click.IntRange(min=2),
    default=8,
    show_default=True,
    help="Answers drawn for each image, for metrics of their diversity.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the noise.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def evaluate(context: click.Context, /, run: Path, data: str, as_json: bool, **options: Any) -> None:
    """Measure what a run has learned on data that it was not trained on.

    \b
      translate evaluate runs/one photos/ --metric psnr --metric ssim
      translate evaluate runs/one photos/ --metric "frechet(extractor=squeezenet(weights='squeezenet.pth'))"
    """
    from translate.evaluation import evaluate as measure

    session = session_of(context)
    found = measure(run, data, plugins=session.extra, no_plugins=session.blocked, **options)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, allow_nan=False))
        return
    for line in found.lines():
        click.echo(line)
