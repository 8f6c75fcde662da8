"""Translators that a metric names, such as a segmenter, opened with the plugins that are at hand."""

from __future__ import annotations

from pathlib import Path

from translate.errors import TranslateError
from translate.parts import SavedMethod
from translate.paths import expanded
from translate.plugins import Catalog
from translate.programs import is_program, refuse_other
from translate.translator import Translator, load, translator_of


def opened(catalog: Catalog, path: str | Path, *, device: str) -> Translator:
    """The first translator of a run, or an exported program, which is computed on the CPU whatever the device is."""
    if is_program(path):
        return load(path)
    refuse_other(path)
    saved = SavedMethod.open(expanded(path), catalog)
    directions = saved.directions("translator")
    if not directions:
        raise TranslateError(f"{path} does not turn images into images; name a run of translators")
    return translator_of(saved, directions[0], device=device)
