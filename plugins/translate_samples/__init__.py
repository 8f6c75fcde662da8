"""Samples: a grid of the preview examples at each sampling step, ``samples/step-00001000.png``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from translate import hookimpl

if TYPE_CHECKING:
    from torch import Tensor

    from translate.run import Run


@hookimpl
def samples_drawn(run: Run, images: Mapping[str, Tensor]) -> None:
    """Write the grid of this step."""
    from translate_samples.grid import write_grid

    write_grid(run.picture(run.step), images)
