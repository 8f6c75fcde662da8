"""Numbered files: the checkpoints and the sample pictures of a run's folder, by the step in their names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_NAME = re.compile(r"step-(\d{8,19})\.(safetensors|png)")


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies.

    >>> checkpoint_path(Path("run"), 400).name
    'step-00000400.safetensors'
    """
    return folder / "checkpoints" / f"step-{step:08d}.safetensors"


def steps_of(folder: Path) -> dict[int, Path]:
    """The checkpoints of a run's folder by step, the newest first. Files of other names are not the run's own."""
    found = _numbered((folder / "checkpoints").glob("step-*.safetensors"), "safetensors")
    return dict(sorted(found.items(), reverse=True))


def picture_path(folder: Path, step: int) -> Path:
    """Where the sample picture of a step lies.

    >>> picture_path(Path("run"), 400).as_posix()
    'run/samples/step-00000400.png'
    """
    return folder / "samples" / f"step-{step:08d}.png"


def pictures_of(folder: Path) -> dict[int, Path]:
    """The sample pictures of a run's folder by step, the oldest first; raises ``OSError`` where they cannot be listed.

    A run that has made none has no folder of them.
    """
    try:
        found = _numbered((folder / "samples").iterdir(), "png")
    except FileNotFoundError:
        return {}
    return dict(sorted(found.items()))


def _numbered(paths: Iterable[Path], kind: str) -> dict[int, Path]:
    """Files of a kind by the step in their names; others are none of a run's own."""
    named = ((_NAME.fullmatch(path.name), path) for path in paths)
    return {int(match[1]): path for match, path in named if match and match[2] == kind}
