"""Layouts: the dataset at a path or of a name, opened by the plugin that reads it, without decoding any image."""

from __future__ import annotations

from pathlib import Path

from translate.data import Dataset
from translate.errors import TranslateError
from translate.listed import check_listed
from translate.options import Call, parse_call
from translate.overview import is_there, unrecognized, with_left_out
from translate.parts import build
from translate.paths import expanded
from translate.plugins import Catalog


def open_dataset(catalog: Catalog, data: str, layout: str | None = None) -> Dataset:
    """Open the dataset at a path, or a dataset by its name (``demo(size=64)``), without decoding any image.

    Without a ``layout``, every plugin is asked whether it recognizes the folder. Raises ``TranslateError``, which lists
    the choices, unless exactly one layout fits.
    """
    root = expanded(data)
    there = is_there(root)
    if layout is not None:
        return _built_dataset(catalog, layout, root)
    if not there:
        try:
            call = parse_call(data)
        except TranslateError:
            call = Call("")
        if call.name in catalog.offers("datasets"):
            return _built_dataset(catalog, data, root)
        known = ", ".join(catalog.offers("datasets"))
        raise TranslateError(f"there is no folder {data!r}, nor a dataset of that name; give a path, or one of {known}")
    seen = [call for _, calls in catalog.ask("recognize", root=root) for call in calls]
    if len(seen) == 1:
        return _built_dataset(catalog, seen[0], root)
    if not seen:
        raise TranslateError(unrecognized(root, catalog.offers("datasets")))
    choices = " or ".join(f'--layout "{call}"' for call in seen)
    raise TranslateError(f"{root} can be read in more than one way; choose {choices}")


def _built_dataset(catalog: Catalog, layout: str, root: Path) -> Dataset:
    return with_left_out(check_listed(build(catalog, "datasets", layout, root=root), layout), root)
