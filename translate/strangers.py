"""Whose code an error comes from: a plugin that is not ours may raise anything, and its author must mend it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from translate.isolation import PluginError, shown

_places: dict[Path, str] = {}
"""The plugins by where their code lies: in a folder, for packages, or in a file."""


def note(plugins: Iterable[tuple[str, ModuleType]]) -> None:
    """Note where the code of plugins lies; each has a name for sentences, and its module."""
    for plugin, module in plugins:
        top = sys.modules.get(getattr(module, "__name__", "").partition(".")[0], module)
        folders = [Path(each) for each in getattr(top, "__path__", ())]
        _places.update(dict.fromkeys(folders or _files(module), plugin))


def _files(module: ModuleType) -> Iterator[Path]:
    """The file of a module, and those beside it that it has imported from."""
    file = getattr(module, "__file__", None)
    if not file:
        return
    yield Path(file)
    for value in list(vars(module).values()):
        # An object may answer anything, and raise anything, where its module is asked for.
        with suppress(Exception):
            origin = value if isinstance(value, ModuleType) else sys.modules.get(value.__module__)
            helper = Path(getattr(origin, "__file__", None) or file)
            if helper.parent == Path(file).parent:
                yield helper


def broken_plugin(error: BaseException) -> str | None:
    """What an error within a noted plugin's code says, in one sentence; None if no such code was running."""
    plugin, _ = _origin(error)
    return None if plugin is None else f"the plugin {plugin} failed: {describe(error)}; mend it, or tell its author"


def describe(error: BaseException) -> str:
    """An exception in one line, with the file and line that raised it.

    The last of a plugin's own lines says more than one within a library.
    """
    if isinstance(error, PluginError):
        error = error.error
    text = shown(str(error))
    return f"{type(error).__name__}{': ' + text if text else ''}{_origin(error)[1]}"


def _origin(error: BaseException) -> tuple[str | None, str]:
    """The noted plugin in whose code an error came up, if any, and the place as the end of a sentence."""
    if isinstance(error, PluginError):
        error = error.error
    plugin, place = None, ""
    for file, line in _frames(error):
        owner = _owner(file)
        if owner is not None or plugin is None:
            plugin, place = owner, f" ({file.name}, line {line})"
    return plugin, place


def _frames(error: BaseException) -> Iterator[tuple[Path, int]]:
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        # Code that was made of text has no file.
        if not file.startswith("<"):
            yield Path(file), trace.tb_lineno
        trace = trace.tb_next


def _owner(file: Path) -> str | None:
    """The plugin whose code a file is, if any."""
    return next((_places[place] for place in (file, *file.parents) if place in _places), None)
