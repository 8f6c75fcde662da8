"""Benchmark: what the machine at hand makes of a method, against what one writes by hand, as ratios with spread."""

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
    data: Annotated[Path | str | None, Option("folder of images (default: made up)", metavar="DATA")] = None,
    size: Annotated[int, Option("sides of the images", ge=1)] = 256,
    batch: Annotated[int, Option("images in a batch", ge=1)] = 1,
    rounds: Annotated[int, Option("turns of each rival", ge=1)] = 10,
    images: Annotated[int, Option("how many to convert", ge=2)] = 100,
    rival: Annotated[
        Sequence[str],
        Option("a way to convert: float32, bf16, openvino-int8 ...; may be repeated (default: all that there are)"),
    ] = (),
    device: Device = "auto",
    **options: Any,
) -> Report:
    """Measure a method on the machine: its step, what that costs, feeding, conversion, how fast a command begins.

    ``data`` is a folder of pairs or of two domains; without, photographs of 640 x 480 are made up. ``options`` are the
    method's own and those of the training. ``rounds`` is how often each rival has its turn, ``images`` how many a
    conversion converts, ``rival`` in which ways: all that the machine has, unless some are named.
    """
    asked = asked_of(bench, locals())
    # Imported here, so that what may be asked can be read without torch.
    from translate.benchmark.measuring import measure

    return measure(method, asked, options)
