"""Serving: a page and an HTTP interface by which a trained translator turns images into images.

Only this package imports starlette, uvicorn and python-multipart, and only when a server is started.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from translate.common_options import Device, Direction, Precision, Step
from translate.libraries import require
from translate.memory import MaxPixels, Memory, parse_memory
from translate.options import Option, asked_of
from translate.paths import expanded

__all__ = ["serve"]

PACKAGES = ("starlette", "uvicorn", "h11", "python_multipart")


def serve(
    translator: str | Path,
    *,
    host: Annotated[str, Option("address to listen at; 0.0.0.0 is every address of this machine")] = "127.0.0.1",
    port: Annotated[int, Option("port to listen at (0: a free one)", ge=0, le=65535)] = 8000,
    step: Step = None,
    direction: Direction = None,
    device: Device = "auto",
    precision: Annotated[
        Precision, Option("arithmetic of the network; int8 needs a runtime that needs no calibration")
    ] = "float32",
    runtime: Annotated[str, Option("inference runtime to use instead of torch", part="runtimes")] = "",
    batch: Annotated[
        int | None,
        Option("most images of one size that are translated together (default: 1 on a CPU, 8 on a GPU)", ge=1),
    ] = None,
    queue: Annotated[
        int, Option("most requests at a time, waiting ones included; what comes beyond is answered by 503", ge=1)
    ] = 32,
    max_bytes: Annotated[
        int, Option("most bytes of a request, 64MB ...; more are answered by 413", parse=parse_memory, metavar="BYTES")
    ] = 2**26,
    max_pixels: MaxPixels = 2**25,
    memory: Memory = None,
    timeout: Annotated[
        float, Option("seconds for a request, from its first byte to its answer", gt=0, le=86400)
    ] = 60.0,
    allow_origin: Annotated[
        tuple[str, ...], Option("another site whose pages may ask, such as https://example.org; may be repeated")
    ] = (),
    allow_host: Annotated[
        tuple[str, ...], Option("another name by which this server may be asked; may be repeated", metavar="NAME")
    ] = (),
    range: Annotated[  # noqa: A002 - the command line's word
        str,
        Option("of an .onnx file: -1..1, 0..1 or 0..255, or two as INPUT,OUTPUT", metavar="RANGE"),
    ] = "",
    layout: Annotated[str, Option("of an .onnx file: NCHW or NHWC")] = "",
    plugins: Sequence[str] = (),
    no_plugins: Sequence[str] = (),
    started: Callable[[str], None] | None = None,
) -> None:
    """Serve a page and an HTTP interface that translate images, until a signal ends it.

    ``translator`` is a run's folder, a translator's or a checkpoint's file, or an exported ``.onnx`` file. SIGINT,
    SIGTERM and SIGHUP stop it: no more requests are taken, and those that have begun are answered; a second signal ends
    the process at once, with 128 plus the signal's number. ``started`` is called with the server's address, once it
    listens. An answer's pixels are those of ``convert``, up to rounding if images share a batch.

    Raises ``TranslateError`` if a package is missing, the translator cannot be loaded, or the address cannot be taken.
    """
    asked = asked_of(serve, locals())
    # Before a network is loaded, which takes seconds.
    require(PACKAGES, "serve", "translate serve")
    from translate.serving.running import run

    run(expanded(translator), asked, plugins, no_plugins, started or (lambda _address: None))
