"""Optional libraries of other formats of networks, imported where they are asked for, and kept quiet."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from translate.errors import TranslateError

__all__ = [
    "openvino_core",
    "openvino_library",
    "quiet",
]


def require(names: tuple[str, ...], extra: str, what: str) -> list[ModuleType]:
    """Import optional packages; raises ``TranslateError`` with the extra that installs them.

    ``what`` is what needs them, as the subject of that sentence.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [import_module(name) for name in names]
    except ImportError:
        packages = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        noun = "a package of that name" if names == (what.rpartition(" ")[2],) else f"the packages {packages}"
        raise TranslateError(f"{what} needs {noun}; install it by pip install 'image-translate[{extra}]'") from None


def openvino_library(what: str = "the runtime openvino") -> ModuleType:
    """Import OpenVINO; raises ``TranslateError`` if it is not installed. ``what`` needs it."""
    # OpenVINO reports its use to its maker through this package; without the package it reports nothing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return require(("openvino",), "openvino", what)[0]


@cache
def openvino_core() -> Any:
    """The only OpenVINO core of this process, which is never destroyed.

    Each core installs an alternate signal stack for the main thread and restores the previous one when it is destroyed.
    If two cores are destroyed in the order of their creation, the second restores a stack that has been freed, and the
    next signal crashes the process.
    """
    return openvino_library().Core()


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, exporters neither print, log nor warn; what they change of the process's logging is undone."""
    root, disabled = logging.getLogger(), logging.root.manager.disable
    level, handlers = root.level, list(root.handlers)
    try:
        logging.disable()
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        # When an export fails, OpenVINO reconfigures the logging of the whole process.
        root.setLevel(level)
        root.handlers[:] = handlers
