"""Discovery of plugins, and the catalog of their offers; errors of one plugin never affect the others."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from translate import hookspecs
from translate.errors import TranslateError, nearest
from translate.options import options_of
from translate.paths import expanded

GROUP = "translate"
OURS = "image-translate"
BLOCK_VARIABLE = "TRANSLATE_NO_PLUGIN"
KINDS = tuple(
    name for name, spec in vars(hookspecs).items() if getattr(spec, "__annotations__", {}).get("return") == "Offers"
)
"""The kinds of part that plugins offer, by the names of their hooks: ``methods``, ``generators`` ..."""

log = logging.getLogger("translate")


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed plugin (an entry point of a distribution) or an unpackaged one (a file or module)."""

    name: str
    distribution: str
    version: str
    module: ModuleType = field(repr=False, compare=False)
    unpackaged: bool = False

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version})"


@dataclass(frozen=True, slots=True)
class Offer:
    """A named part of a plugin: its factory, or the factory's import path as text."""

    kind: str
    name: str
    plugin: Plugin
    target: Callable[..., Any] | str

    def load(self) -> Callable[..., Any]:
        """Import the factory."""
        if not isinstance(self.target, str):
            return self.target
        try:
            module, _, attribute = self.target.partition(":")
            factory = getattr(importlib.import_module(module), attribute)
        except (Exception, SystemExit) as error:
            raise TranslateError(
                f"the plugin {self.plugin} cannot provide {_singular(self.kind)} {self.name!r}: {_format_error(error)}"
            ) from error
        if not callable(factory):
            raise TranslateError(f"{self.target} of the plugin {self.plugin} cannot be called, so it builds nothing")
        return factory  # type: ignore[no-any-return]

    @property
    def summary(self) -> str:
        """The first line of the factory's docstring, read without importing its module."""
        if not isinstance(self.target, str):
            return (inspect.getdoc(self.target) or "").partition("\n")[0]
        node = self._source()
        return (ast.get_docstring(node) or "").partition("\n")[0] if node else ""

    @property
    def option_names(self) -> list[str]:
        """The names of the factory's options, read without importing its module, for shell completion."""
        if not isinstance(self.target, str):
            return list(options_of(self.target))
        node = self._source()
        for inner in node.body if isinstance(node, ast.ClassDef) else []:
            if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                node = inner
        return [argument.arg for argument in node.args.kwonlyargs] if isinstance(node, ast.FunctionDef) else []

    def _source(self) -> ast.ClassDef | ast.FunctionDef | None:
        module, _, attribute = str(self.target).partition(":")
        try:
            spec = importlib.util.find_spec(module)
            text = Path(spec.origin or "").read_text(encoding="utf-8") if spec else ""
            nodes = ast.parse(text).body
        except (ImportError, OSError, SyntaxError, ValueError):
            return None
        found = (node for node in nodes if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == attribute)
        return next(found, None)


class Catalog:
    """All plugins' offers by kind and name, and all their observers."""

    def __init__(self, manager: pluggy.PluginManager, plugins: Sequence[Plugin]) -> None:
        self._manager = manager
        self._plugins = {id(plugin.module): plugin for plugin in plugins}
        self._offers: dict[str, dict[str, list[Offer]]] = {}
        self._silenced: set[tuple[str, str]] = set()

    @property
    def plugins(self) -> list[Plugin]:
        """All plugins that loaded; those of this distribution first."""
        return sorted(
            self._plugins.values(), key=lambda plugin: (plugin.distribution != OURS, plugin.distribution, plugin.name)
        )

    def offers(self, kind: str) -> dict[str, Offer]:
        """The offers of a kind, by name; if two third-party plugins share a name, the first (see ``offer``)."""
        return {name: found[0] for name, found in sorted(self._all(kind).items())}

    def offer(self, kind: str, name: str) -> Offer:
        """The offer of that name; raises ``TranslateError`` if it is unknown or offered by two third-party plugins."""
        found = self._all(kind).get(name)
        if not found:
            raise TranslateError(f"there is no {_singular(kind)} {name!r}; {nearest(name, sorted(self._all(kind)))}")
        if len(found) > 1:
            names = " and by ".join(str(offer.plugin) for offer in found)
            raise TranslateError(
                f"{_singular(kind)} {name!r} is offered by {names}; block one with --no-plugin {found[1].plugin.name}"
            )
        return found[0]

    def offered_by(self, plugin: Plugin) -> dict[str, list[str]]:
        """The names that a plugin offers, by kind."""
        names_by_kind = {
            kind: sorted(offer.name for found in self._all(kind).values() for offer in found if offer.plugin == plugin)
            for kind in KINDS
        }
        return {kind: names for kind, names in names_by_kind.items() if names}

    def ask(self, hook: str, **arguments: Any) -> Iterator[tuple[Plugin, Any]]:
        """Call a hook of every plugin and yield the results; if one raises, warn and do not call it again."""
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            plugin = self._plugins[id(implementation.plugin)]
            if (plugin.name, hook) in self._silenced:
                continue
            try:
                answer = implementation.function(*(arguments[name] for name in implementation.argnames))
            except (Exception, SystemExit) as error:
                self._silenced.add((plugin.name, hook))
                log.warning(
                    "warning: the plugin %s failed in %s and is left out there: %s", plugin, hook, _format_error(error)
                )
                continue
            yield plugin, answer

    def tell(self, event: str, **arguments: Any) -> None:
        """Call every observer of an event; never raises."""
        for _ in self.ask(event, **arguments):
            pass

    def _all(self, kind: str) -> dict[str, list[Offer]]:
        if kind not in self._offers:
            table: dict[str, list[Offer]] = {}
            for plugin, answer in self.ask(kind):
                if not isinstance(answer, Mapping) or not all(
                    isinstance(name, str) and (callable(target) or isinstance(target, str))
                    for name, target in answer.items()
                ):
                    log.warning(
                        "warning: the plugin %s answers %s with something other than names and factories", plugin, kind
                    )
                    continue
                for name, target in answer.items():
                    table.setdefault(name, []).append(Offer(kind, name, plugin, target))
            self._offers[kind] = {name: _resolve(found) for name, found in table.items()}
        return self._offers[kind]


def _resolve(offers: list[Offer]) -> list[Offer]:
    """Resolve offers of one name: ours wins, then the unpackaged one given by the user.

    Two third-party offers stay ambiguous.
    """
    ours = [offer for offer in offers if offer.plugin.distribution == OURS]
    given = [offer for offer in offers if offer.plugin.unpackaged]
    winner = (ours or given)[:1]
    if not winner:
        return offers
    for loser in offers:
        if loser is not winner[0]:
            log.warning(
                "warning: the plugin %s offers %s %r, which %s has already; that one is used",
                loser.plugin, _singular(loser.kind), loser.name, winner[0].plugin,
            )  # fmt: skip
    return winner


def discover(*, extra: Sequence[str] = (), blocked: Sequence[str] = ()) -> Catalog:
    """Find the installed plugins and load ``extra`` ones from files or modules.

    ``blocked`` names plugins (or distributions) that are not imported at all. The environment variable
    ``TRANSLATE_NO_PLUGIN`` names further ones, separated by commas.
    """
    manager = _manager()
    found = list(metadata.entry_points(group=GROUP))
    names = {entry.name for entry in found} | {entry.dist.name for entry in found if entry.dist}
    for name in blocked:
        if name not in names:
            raise TranslateError(f"there is no plugin {name!r} to block; {nearest(name, sorted(names))}")
    excluded = {*blocked, *filter(None, os.environ.get(BLOCK_VARIABLE, "").split(","))}
    plugins: list[Plugin] = []
    for entry in sorted(found, key=lambda entry: (entry.dist is None or entry.dist.name != OURS, entry.name)):
        distribution, version = (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "?")
        if excluded & {entry.name, distribution}:
            continue
        try:
            module = entry.load()
            if not isinstance(module, ModuleType):
                raise TypeError(f"{entry.value} is not a module")
            _register(manager, module)
        except (Exception, SystemExit) as error:
            log.warning(
                "warning: the plugin %s (%s %s, %s) is broken and left out: %s",
                entry.name, distribution, version, entry.value, _format_error(error),
            )  # fmt: skip
            continue
        plugins.append(Plugin(entry.name, distribution, version, module))
    for name in extra:
        plugins.append(_load_unpackaged(manager, name))
    return Catalog(manager, plugins)


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    return manager


def _register(manager: pluggy.PluginManager, module: ModuleType) -> None:
    """Register a plugin; a trial registration first finds misspelt hooks and wrong signatures."""
    trial = _manager()
    trial.register(module)
    for caller in trial.get_hookcallers(module) or ():
        if not caller.has_spec():
            known = [
                name for name in vars(trial.hook) if not name.startswith("_") and getattr(trial.hook, name).has_spec()
            ]
            raise TranslateError(f"there is no extension point {caller.name!r}; {nearest(caller.name, sorted(known))}")
        if hasattr(module, "__path__") and importlib.util.find_spec(f"{module.__name__}.{caller.name}"):
            # An import of the submodule would overwrite the hook of that name.
            raise TranslateError(f"its submodule {caller.name} hides its hook {caller.name}; rename the submodule")
    manager.register(module)


def _load_unpackaged(manager: pluggy.PluginManager, name: str) -> Plugin:
    path = expanded(name)
    try:
        if path.suffix == ".py":
            source = path.read_bytes()
            spec = importlib.util.spec_from_file_location(f"translate_unpackaged_{path.stem}", path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[module.__name__] = module
            spec.loader.exec_module(module)
        else:
            # sys.path of a console script lacks the working directory, where a module under development lies.
            if str(Path.cwd()) not in sys.path:
                sys.path.insert(0, str(Path.cwd()))
            module = importlib.import_module(name)
            source = Path(module.__file__ or "").read_bytes()
        _register(manager, module)
    except (Exception, SystemExit) as error:
        raise TranslateError(f"cannot load the plugin {name}: {_format_error(error)}") from error
    return Plugin(path.stem, "unpackaged", f"sha256:{hashlib.sha256(source).hexdigest()[:16]}", module, unpackaged=True)


def _format_error(error: BaseException) -> str:
    """An exception in one line, with the file and line that raised it."""
    trace = error.__traceback__
    place = ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith("<"):
            place = f" ({Path(file).name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    text = " ".join(str(error).split())
    if isinstance(error, TranslateError):
        return text
    return f"{type(error).__name__}{': ' + text if text else ''}{place}"


_singulars = {"losses": "loss", "adversarial_losses": "adversarial loss"}


def _singular(kind: str) -> str:
    return _singulars.get(kind, kind.removesuffix("s").replace("_", " "))
