"""The commands that use what is trained: ``convert``, ``sample``, ``classify``, ``encode``, ``bench`` and others.

The function of a command declares its options as keyword-only arguments. Defined here are its positional arguments, its
help text, and how its result is printed.
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

from translate import atomic, outputs
from translate.cli.flags import PathType, assigned, assignments_of, given, option_of, session_of
from translate.cli.output import say, say_fields
from translate.errors import TranslateError
from translate.options import Parameter, declared_by
from translate.paths import quoted


class Verb(click.Command):
    """A command that calls one function, named by its import path, whose declared options are its flags.

    ``positional`` names the arguments that are passed to the function in their order, by default all. The typed flags
    are passed by name, together with the options that ``further`` makes from all values. ``report`` prints the result;
    ``flags`` are options of the command alone, for ``report``.
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
        """The function, imported on first use; importing its module does not import torch."""
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
        own = []
        for parameter in self.declared.values():
            several = assignments_of(parameter)
            own += several or [option_of(parameter, catalog, self.name or "")]
        help_option = self.get_help_option(ctx)
        return [*arguments, *own, *flags, *([help_option] if help_option else [])]

    def _call(self, context: click.Context, /, **values: Any) -> None:
        typed = {name: value for name, value in given(context).items() if name in self.declared}
        for name, parameter in self.declared.items():
            if found := assigned(parameter, values, self.name or ""):
                typed[name] = found
        if "plugins" in inspect.signature(self.function).parameters:
            session = session_of(context)
            typed |= {"plugins": session.extra, "no_plugins": session.blocked}
        positional = [values[name] for name in self._positional]
        result = self.function(*positional, **typed, **(self._further(values) if self._further else {}))
        self._report(context, result, **values)


def _path(name: str, metavar: str) -> click.Argument:
    return click.Argument([name], metavar=metavar, type=PathType())


def _sources() -> click.Argument:
    return click.Argument(["source"], metavar="IN...", type=PathType(), nargs=-1, required=True)


def _json(help_text: str) -> click.Option:
    return click.Option(["--json", "as_json"], is_flag=True, help=help_text)


def _report_conversion(context: click.Context, result: Any, as_json: bool, **_: Any) -> None:
    from translate.job import is_launcher_or_main

    if not is_launcher_or_main():
        return
    # Standard output may hold the image.
    aside = str(result.target) == "-"
    if as_json:
        found = result.forecast.to_json() if result.forecast is not None else _conversion_as_json(result)
        click.echo(json.dumps(found, indent=2), err=aside)
    elif result.forecast is not None:
        for line in result.forecast.lines():
            say(line)
    else:
        kept = f", kept {result.kept}" if result.kept else ""
        failed = f", {len(result.failed)} could not be converted" if result.failed else ""
        say(f"converted {result.converted} to {result.target}{kept}{failed}", error=aside)
    if result.failed:
        context.exit(1)


def _conversion_as_json(result: Any) -> dict[str, Any]:
    return {
        "converted": result.converted,
        "kept": result.kept,
        "failed": [{"file": str(file), "reason": reason} for file, reason in result.failed],
        "target": str(result.target),
    }


convert = Verb(
    "convert",
    "translate.conversion:convert",
    arguments=[
        _path("run", "RUN_OR_FILE"),
        _sources(),
        _path("target", "OUT"),
    ],
    report=_report_conversion,
    flags=[_json("print JSON")],
    help="""Convert an image, or a folder with its subfolders, with a trained translator.

    \b
      translate convert runs/one photos/ converted/
      translate convert runs/one/translator.safetensors in.jpg out.png
      translate convert runs/one a/ b/ "c/*.jpg" @list.txt converted/

    Run the same command again to go on where it was stopped; what is converted already is kept.
    Each image keeps its size, its bit depth and its alpha. A file that cannot be converted is named,
    the others are still converted, and the exit code is 1. A full disk ends it with exit code 5.
    """,
)


def _report_import(_: click.Context, result: Any, file: Path, **__: Any) -> None:
    say(f"took {file.name} for {result.summary}")
    for note in result.notes:
        say(f"  note:    {note}")
    say(f"written: {result.path}")
    say(f"  convert: translate convert {quoted(result.path)} IN OUT")


import_ = Verb(
    "import",
    "translate.importing:import_network",
    arguments=[_path("file", "STATE_DICT")],
    report=_report_import,
    help="""Import another project's network, such as a .pth file of CycleGAN, pix2pix or CUT.

    \b
      translate import latest_net_G.pth -o cats.safetensors
      translate import latest_net_G.pth -o cats.safetensors --importer "cyclegan_pix2pix(dropout=0)"

    What it is comes from the names and shapes in its state dict, and is told. An .onnx file needs no import:
    translate convert model.onnx IN OUT.
    """,
)


def _report_export(_: click.Context, result: Any, **__: Any) -> None:
    files = " and ".join(str(file) for file in result.files)
    sizes = ", ".join(dict.fromkeys(f"{height}x{width}" for height, width in result.sizes))
    say(f"exported {result.direction} to {files}, at most {result.difference:.1e} off torch's output at {sizes}")


export = Verb(
    "export",
    "translate.exporting:export",
    arguments=[_path("run", "RUN_OR_FILE"), _path("target", "FILE")],
    report=_report_export,
    help="""Export a trained translator for other programs: to ONNX, torch.export or OpenVINO.

    \b
      translate export runs/one model.onnx
      translate export runs/one model.pt2
      translate export runs/one model.xml

    The file takes images of any size that divides by the network's multiple, and holds its domains, range, direction,
    licence and versions. It is compared with torch at three sizes, and not written if its output differs.
    """,
)


def _report_description(_: click.Context, result: Any, as_json: bool, **__: Any) -> None:
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2, allow_nan=False))
        return
    for line in result.lines():
        say(line)


show = Verb(
    "show",
    "translate.description:show",
    arguments=[_path("run", "RUN_OR_FILE")],
    report=_report_description,
    flags=[_json("print JSON")],
    help="""Show what a run, a translator, a checkpoint or an exported network holds, from its header.

    \b
      translate show runs/one
      translate show model.onnx

    Method, directions, domains, size, steps trained, licence, description and versions. The weights are not read.
    """,
)


def _report_samples(_: click.Context, result: Any, target: Path, interpolate: Any, traverse: Any, **__: Any) -> None:
    strips = interpolate is not None or traverse is not None
    say(f"made {result[0]}" if strips else f"made {len(result)} images in {target}")


sample = Verb(
    "sample",
    "translate.sampling:sample",
    arguments=[_path("run", "RUN_OR_FILE"), _path("target", "OUT")],
    report=_report_samples,
    help="""Generate images from noise with a trained sampler (sgan, vae ...).

    \b
      translate sample runs/digits made/ -n 100
      translate sample runs/digits made/ --interpolate 3 7
      translate sample runs/vae made/ --interpolate a.png b.png --steps 12
      translate sample runs/vae made/ --traverse 0,3,5 --around a.png

    Or show, as picture strips, what lies between two of its images and along the axes of its code.
    """,
)


def _report_predictions(context: click.Context, result: Any, as_json: bool, **_: Any) -> None:
    failed = 0
    for prediction in result:
        if prediction.error is not None:
            failed += 1
            say(f"{prediction.source}: {prediction.error}", error=True)
        elif as_json:
            line = {"file": str(prediction.source), "class": prediction.label}
            click.echo(json.dumps(line | {"probability": round(prediction.probability, 6)}))
        else:
            say_fields(prediction.source, prediction.label, f"{prediction.probability:.4f}")
    if failed:
        context.exit(1)


classify = Verb(
    "classify",
    "translate.classification:classify",
    arguments=[_path("run", "RUN_OR_FILE"), _sources()],
    report=_report_predictions,
    flags=[_json("print one JSON object a line")],
    help="""Predict the class of an image, or of each image below a folder, with a trained classifier.

    \b
      translate classify runs/digits photos/
      translate classify runs/digits a/ b/ "c/*.png" @list.txt

    A line holds the file, its class and the probability, separated by tabs. A file that cannot be read is named, the
    others are still classified, and the exit code is 1.
    """,
)


def _report_encoding(context: click.Context, result: Any, **_: Any) -> None:
    arrays = ", ".join(f"{name} {'x'.join(map(str, shape)) or '1'}" for name, shape in result.shapes.items())
    failed = f", {len(result.failed)} could not be encoded" if result.failed else ""
    say(f"encoded {result.encoded} images by {result.direction} to {result.target}: {arrays} each{failed}")
    if result.failed:
        context.exit(1)


encode = Verb(
    "encode",
    "translate.encoding:encode",
    arguments=[
        _path("run", "RUN_OR_FILE"),
        _sources(),
        _path("target", "OUT.npz"),
    ],
    report=_report_encoding,
    help="""Write the codes of images, by a trained autoencoder or classifier, to an .npz file.

    \b
      translate encode runs/vae photos/ codes.npz
      translate encode runs/unit night/ codes.npz --direction target
      translate encode runs/digits a/ b/ "c/*.png" @list.txt codes.npz

    The file holds the images' names, and float32 arrays in the same order: mean and log_variance of an autoencoder's
    codes, features of a classifier. A file that cannot be read is named and has no row, the others are still encoded,
    and the exit code is 1. A full disk ends it with exit code 5.
    """,
)


def _method_options(values: dict[str, Any]) -> dict[str, Any]:
    """Parse NAME=VALUE arguments as options of the method or of the training; refuse --json FILE if that exists."""
    if (file := values["file"]) is not None:
        # Before the measurements, which take minutes.
        outputs.refuse_standard(file, "what bench measures")
        if not file.absolute().parent.is_dir():
            raise TranslateError(f"bench: there is no folder {file.parent} for {file.name}; make it first")
        if not values["overwrite"]:
            outputs.refuse_existing(file)
    found: dict[str, Any] = {}
    for each in values["others"]:
        name, equals, value = each.partition("=")
        if not equals:
            raise TranslateError(f"bench: {each!r} is no NAME=VALUE, such as generator=unet")
        found[name.replace("-", "_")] = value
    return found


def _report_benchmark(_: click.Context, report: Any, file: Path | None, **__: Any) -> None:
    for line in report.lines():
        say(line)
    if file is not None:
        text = json.dumps(report.to_json(), indent=2) + "\n"
        try:
            atomic.write(file, text.encode())
        except OSError as error:
            raise TranslateError(f"cannot write {file}: {error.strerror}; the results are printed above") from None


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
        click.Option(["--json", "file"], type=PathType(), metavar="FILE", help="write the results to a JSON file"),
        click.Option(["--overwrite"], is_flag=True, help="replace FILE if it exists"),
    ],
    help="""Benchmark METHOD on this machine against hand-written loops.

    \b
      translate bench pix2pix
      translate bench cyclegan --size 128 --what steps generator="resnet(width=32)"

    NAME=VALUE are options of the method or of the training. Rivals take turns, so that other load on the machine slows
    all alike. A ratio of 2.00x means twice as fast; the interval is that of its median.
    """,
)
