"""Benchmark: compare this framework with hand-written loops on this machine, as speed ratios with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from translate.common_options import Device
from translate.options import Option, asked_of

if TYPE_CHECKING:
    from translate.benchmark.report import Report

__all__ = [
    "bench",
]

Part = Literal["steps", "cost", "feeding", "conversion", "beginning"]


def bench(
    method: str,
    *,
    what: Annotated[
        Sequence[Part], Option("what to measure: steps, cost, feeding, conversion, beginning; may be repeated")
    ] = ("steps", "cost", "feeding", "conversion", "beginning"),
    data: Annotated[Path | str | None, Option("folder of images (default: synthetic images)", metavar="DATA")] = None,
    size: Annotated[int, Option("height and width of the images", ge=1)] = 256,
    batch: Annotated[int, Option("images in a batch", ge=1)] = 1,
    rounds: Annotated[int, Option("how often each rival is timed", ge=1)] = 10,
    images: Annotated[int, Option("number of images to convert", ge=2)] = 100,
    rival: Annotated[
        Sequence[str],
        Option("way of conversion: float32, bf16, openvino-int8 ...; may be repeated (default: all available)"),
    ] = (),
    device: Device = "auto",
    **options: Any,
) -> Report:
    """Benchmark a method on this machine: training step, time and memory, data loading, conversion, start-up time.

    ``data`` is a folder of pairs or of two domains; by default synthetic images of 640 x 480 pixels are used.
    ``options`` are those of the method and the training. ``rounds`` is how often each rival is timed, ``images`` the
    number of images to convert, and ``rival`` the ways of conversion, by default all that the machine supports.
    """
    asked = asked_of(bench, locals())
    # Imported here, so that the options can be read without torch.
    from translate.benchmark.measuring import measure

    return measure(method, asked, options)
