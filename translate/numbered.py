"""Numbered files: the checkpoints of a run's folder, by the step in their names."""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"step-(\d{8,})\.safetensors")


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies.

    >>> checkpoint_path(Path("run"), 400).name
    'step-00000400.safetensors'
    """
    return folder / "checkpoints" / f"step-{step:08d}.safetensors"


def steps_of(folder: Path) -> dict[int, Path]:
    """The checkpoints of a run's folder by step, the newest first. Files of other names are not the run's own."""
    named = ((_NAME.fullmatch(path.name), path) for path in (folder / "checkpoints").glob("step-*.safetensors"))
    found = {int(match[1]): path for match, path in named if match and len(match[1]) < 20}
    return dict(sorted(found.items(), reverse=True))
