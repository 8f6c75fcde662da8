"""Image-to-image translation: train, extend by plugins, convert whole folders.

The Python API has one function per command. Each is imported on first use, so that ``import translate`` stays fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from translate.benchmark import bench
    from translate.classification import classify
    from translate.conversion import convert
    from translate.description import show
    from translate.encoding import encode
    from translate.evaluation import compare, evaluate
    from translate.exporting import export
    from translate.importing import import_network
    from translate.sampling import sample
    from translate.serving import serve
    from translate.training import fit, resume
    from translate.translator import load
    from translate.version import __version__

hookimpl = pluggy.HookimplMarker("translate")
"""Marks a function of a plugin as the implementation of the extension point of the same name."""

__all__ = [
    "__version__",
    "bench",
    "classify",
    "compare",
    "convert",
    "encode",
    "evaluate",
    "export",
    "fit",
    "hookimpl",
    "import_network",
    "load",
    "resume",
    "sample",
    "serve",
    "show",
]

_modules = {
    "__version__": "translate.version",
    "bench": "translate.benchmark",
    "fit": "translate.training",
    "resume": "translate.training",
    "convert": "translate.conversion",
    "evaluate": "translate.evaluation",
    "compare": "translate.evaluation",
    "import_network": "translate.importing",
    "export": "translate.exporting",
    "show": "translate.description",
    "sample": "translate.sampling",
    "serve": "translate.serving",
    "classify": "translate.classification",
    "encode": "translate.encoding",
    "load": "translate.translator",
}


def __dir__() -> list[str]:
    """The API, which is imported on first use, beside what is here."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name not in _modules:
        raise AttributeError(f"module 'translate' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_modules[name]), name)
