"""What is done with a run: ``translate convert``, ``sample``, ``classify``, ``evaluate``, and ``bench``.

A verb's function declares what it may be asked, as keyword-only arguments; here are its arguments, what its help says
beyond them, and how its result is printed.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from translate.cli.flags import given, option_of, session_of
from translate.errors import TranslateError
from translate.options import Parameter, declared_by


class Verb(click.Command):
    """A command that calls one function, named by its import path, whose declared options are its flags.

    ``positional`` names the arguments that the function is handed in their order, all of them by default; the flags
    that were typed go with them, and what ``further`` makes of the values. ``report`` prints what comes back, and
    ``flags`` are the command's own, which say how.
    """

    def __init__(
        self,
        name: str,
        function: str,
        *,
        arguments: Sequence[click.Argument],
        report: Callable[..., None],
        positional: Sequence[str] | None = None,
        further: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        flags: Sequence[click.Option] = (),
        help: str,  # noqa: A002 - click's word
    ) -> None:
        callback = click.pass_context(self._call)
        super().__init__(name, params=[*arguments, *flags], callback=callback, help=inspect.cleandoc(help))
        self._path = function
        self._positional = [each.name or "" for each in arguments] if positional is None else list(positional)
        self._report, self._further = report, further

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The function, imported when it is first needed; its module reads without torch."""
        module, _, name = self._path.partition(":")
        function: Callable[..., Any] = getattr(import_module(module), name)
        return function

    @property
    def declared(self) -> dict[str, Parameter]:
        """The function's options."""
        return declared_by(self.function)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The arguments, the function's options, the command's own flags, and ``--help``."""
        arguments = [each for each in self.params if isinstance(each, click.Argument)]
        flags = [each for each in self.params if not isinstance(each, click.Argument)]
        catalog = session_of(ctx).catalog
        own = [option_of(parameter, catalog, self.name or "") for parameter in self.declared.values()]
        help_option = self.get_help_option(ctx)
        return [*arguments, *own, *flags, *([help_option] if help_option else [])]

    def _call(self, context: click.Context, /, **values: Any) -> None:
        typed = {name: value for name, value in given(context).items() if name in self.declared}
        if "plugins" in inspect.signature(self.function).parameters:
            session = session_of(context)
            typed |= {"plugins": session.extra, "no_plugins": session.blocked}
        positional = [values[name] for name in self._positional]
        result = self.function(*positional, **typed, **(self._further(values) if self._further else {}))
        self._report(context, result, **values)


def _path(name: str, metavar: str) -> click.Argument:
    return click.Argument([name], metavar=metavar, type=click.Path(path_type=Path))


def _json(help_text: str) -> click.Option:
    return click.Option(["--json", "as_json"], is_flag=True, help=help_text)


def _report_conversion(context: click.Context, result: Any, **_: Any) -> None:
    from translate.ranks import is_launcher_or_main

    if not is_launcher_or_main():
        return
    failed = f", {len(result.failed)} could not be converted" if result.failed else ""
    click.echo(f"converted {result.converted} to {result.target}{failed}")
    if result.failed:
        context.exit(1)


convert = Verb(
    "convert",
    "translate.conversion:convert",
    arguments=[_path("run", "RUN_OR_FILE"), _path("source", "IN"), _path("target", "OUT")],
    report=_report_conversion,
    help="""Convert an image, or a folder of them with its tree, with what a run has learned.

    \b
      translate convert runs/one photos/ converted/
      translate convert runs/one/translator.safetensors in.jpg out.png

    Each image keeps its size, its bit depth and its alpha. A file that cannot be converted is named, the rest goes
    on, and the exit code is then 1.
    """,
)


def _report_samples(_: click.Context, result: Any, target: Path, **__: Any) -> None:
    click.echo(f"made {len(result)} images in {target}")


sample = Verb(
    "sample",
    "translate.sampling:sample",
    arguments=[_path("run", "RUN_OR_FILE"), _path("target", "OUT")],
    report=_report_samples,
    help="""Make images out of noise, with what a run of a sampler (sgan, vae ...) has learned.

    \b
      translate sample runs/digits made/ -n 100
    """,
)


def _report_predictions(context: click.Context, result: Any, as_json: bool, **_: Any) -> None:
    failed = 0
    for prediction in result:
        if prediction.error is not None:
            failed += 1
            click.echo(f"{prediction.source}: {prediction.error}", err=True)
        elif as_json:
            line = {"file": str(prediction.source), "class": prediction.label}
            click.echo(json.dumps(line | {"probability": round(prediction.probability, 6)}))
        else:
            click.echo(f"{prediction.source}\t{prediction.label}\t{prediction.probability:.4f}")
    if failed:
        context.exit(1)


classify = Verb(
    "classify",
    "translate.classification:classify",
    arguments=[_path("run", "RUN_OR_FILE"), _path("source", "IN")],
    report=_report_predictions,
    flags=[_json("print one JSON object a line")],
    help="""Predict the class of an image, or of each image below a folder, with what a run has learned.

    \b
      translate classify runs/digits photos/

    A line holds the file, its class and the probability of it, with tabs between. A file that cannot be read is named,
    the rest goes on, and the exit code is then 1.
    """,
)


def _report_scores(_: click.Context, result: Any, as_json: bool, **__: Any) -> None:
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2, allow_nan=False))
        return
    for line in result.lines():
        click.echo(line)


evaluate = Verb(
    "evaluate",
    "translate.evaluation:evaluate",
    arguments=[_path("run", "RUN_OR_FILE"), click.Argument(["data"], metavar="DATA")],
    report=_report_scores,
    flags=[_json("print JSON")],
    help="""Measure what a run has learned on data that it was not trained on.

    \b
      translate evaluate runs/one photos/ --metric psnr --metric ssim
      translate evaluate runs/one photos/ --metric "frechet(extractor=squeezenet(weights='squeezenet.pth'))"
    """,
)


def _method_options(values: dict[str, Any]) -> dict[str, Any]:
    """NAME=VALUE arguments as options of the method or of the training."""
    found: dict[str, Any] = {}
    for each in values["others"]:
        name, equals, value = each.partition("=")
        if not equals:
            raise TranslateError(f"bench: {each!r} is no NAME=VALUE, such as generator=unet")
        found[name.replace("-", "_")] = value
    return found


def _report_benchmark(_: click.Context, report: Any, file: Path | None, **__: Any) -> None:
    for line in report.lines():
        click.echo(line)
    if file is not None:
        file.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")


bench = Verb(
    "bench",
    "translate.benchmark:bench",
    arguments=[
        click.Argument(["method"], metavar="METHOD"),
        click.Argument(["others"], nargs=-1, metavar="[NAME=VALUE]..."),
    ],
    positional=("method",),
    further=_method_options,
    report=_report_benchmark,
    flags=[
        click.Option(
            ["--json", "file"], type=click.Path(path_type=Path), metavar="FILE", help="keep the numbers in a file"
        )
    ],
    help="""Measure METHOD on this machine, against what one writes by hand.

    \b
      translate bench pix2pix
      translate bench cyclegan --size 128 --what steps generator="resnet(width=32)"

    NAME=VALUE are options of the method or of the training. Rivals take turns in one process, so that a busy machine
    slows all alike; a ratio of 2.00x is twice as fast, with the interval of its median.
    """,
)
