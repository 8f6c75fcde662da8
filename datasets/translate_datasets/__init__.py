"""Layouts of folders and files, and a generated data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from translate import hookimpl


@hookimpl
def datasets() -> Mapping[str, str]:
    """Name the layouts."""
    return {
        "folders": "translate_datasets.folders:folders",
        "classes": "translate_datasets.classes:classes",
        "unpaired": "translate_datasets.unpaired:unpaired",
        "side_by_side": "translate_datasets.side_by_side:side_by_side",
        "arrays": "translate_datasets.arrays:arrays",
        "holes": "translate_datasets.holes:holes",
        "demo": "translate_datasets.demo:demo",
    }


@hookimpl
def augmentations() -> Mapping[str, str]:
    """Name the augmentations."""
    return {
        "affine": "translate_datasets.affine:affine",
        "jitter": "translate_datasets.jitter:jitter",
        "random_holes": "translate_datasets.redrawn:random_holes",
    }


@hookimpl
def recognize(root: Path) -> list[str]:
    """Say which layouts a folder or file may have."""
    from translate_datasets.recognition import layouts

    return layouts(root)
