"""Whose code an error comes from: a plugin that is not ours may raise anything, and its author must mend it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from translate.isolation import PluginError, shown

_places: dict[Path, tuple[str, bool]] = {}
"""Where the code of plugins lies: a package's folder, with all below it, or the folder of a single file."""


def note(plugins: Iterable[tuple[str, ModuleType]]) -> None:
    """Note where the code of plugins lies; each has a name for sentences, and its module."""
    for plugin, module in plugins:
        top = sys.modules.get(getattr(module, "__name__", "").partition(".")[0], module)
        folders = [Path(each) for each in getattr(top, "__path__", ())]
        _places.update((folder, (plugin, True)) for folder in folders)
        file = getattr(module, "__file__", None)
        if not folders and file:
            # Helpers of a file lie beside it.
            _places[Path(file).parent] = plugin, False


def broken_plugin(error: BaseException) -> str | None:
    """What an error within a noted plugin's code says, in one sentence; None if no such code was running."""
    if isinstance(error, PluginError):
        error = error.error
    plugin, place = None, ""
    for file, line in _frames(error):
        found = _owner(file)
        if found is not None:
            # The last of the plugin's own lines says more than one within a library.
            plugin, place = found, f"{file.name}, line {line}"
    if plugin is None:
        return None
    text = shown(str(error))
    what = f"{type(error).__name__}{': ' + text if text else ''} ({place})"
    return f"the plugin {plugin} failed: {what}; mend it, or tell its author"


def _frames(error: BaseException) -> Iterator[tuple[Path, int]]:
    trace = error.__traceback__
    while trace is not None:
        yield Path(trace.tb_frame.f_code.co_filename), trace.tb_lineno
        trace = trace.tb_next


def _owner(file: Path) -> str | None:
    """The plugin whose code a file is, if any."""
    for folder, (plugin, whole) in _places.items():
        if folder in file.parents if whole else folder == file.parent:
            return plugin
    return None
