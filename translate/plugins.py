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
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from translate import hookspecs, strangers
from translate.answers import KINDS as KINDS
from translate.answers import OFFERING, AnswerError, check_answer
from translate.errors import TranslateError, nearest
from translate.isolation import Held, PluginError, failures_of_a_plugin, shown
from translate.options import options_of
from translate.paths import expanded
from translate.version import DISTRIBUTION, version_of

GROUP = "translate"
OURS = DISTRIBUTION
BLOCK_VARIABLE = "TRANSLATE_NO_PLUGIN"

log = logging.getLogger("translate")


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed plugin (an entry point of a distribution) or an unpackaged one (a file or module)."""

    name: str
    distribution: str
    version: str
    module: ModuleType = field(repr=False, compare=False)
    unpackaged: bool = False
    seconds: float = field(default=0.0, repr=False, compare=False)
    """What its import took; 0 if it was imported before."""

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
        module, _, attribute = self.target.partition(":")
        try:
            with _held(str(self.plugin), f"imports {module}", module) as held, failures_of_a_plugin(held):
                factory = getattr(importlib.import_module(module), attribute)
        except Exception as error:
            raise TranslateError(
                f"the plugin {self.plugin} cannot provide {singular(self.kind)} {self.name!r}: {format_error(error)}"
            ) from error
        if not callable(factory):
            raise TranslateError(f"{self.target} of the plugin {self.plugin} cannot be called, so it builds nothing")
        return factory  # type: ignore[no-any-return]

    @property
    def summary(self) -> str:
        """The first line of the factory's docstring, read without importing its module."""
        if not isinstance(self.target, str):
            return (inspect.getdoc(self.target) or "").partition("\n")[0]
        module, _, attribute = self.target.partition(":")
        node = _definition(self._source(module), attribute)
        return (ast.get_docstring(node) or "").partition("\n")[0] if node else ""

    @property
    def option_names(self) -> list[str]:
        """The names of the factory's options, read without importing its module, for shell completion.

        A class without a constructor of its own, such as a preset, has the options of its base in the same package.
        """
        if not isinstance(self.target, str):
            return list(options_of(self.target))
        target, seen = self.target, set[str]()
        while target and target not in seen:
            seen.add(target)
            module, _, attribute = target.partition(":")
            nodes = self._source(module)
            node = _definition(nodes, attribute)
            if isinstance(node, ast.ClassDef):
                target = _base(node, nodes, module)
                node = _definition(node.body, "__init__")
            if isinstance(node, ast.FunctionDef):
                return [argument.arg for argument in node.args.kwonlyargs]
        return []

    def _source(self, module: str) -> list[ast.stmt]:
        """The statements of a module, which is not imported for that; none if it cannot be read."""
        try:
            # To find a module imports the packages that hold it.
            holding = module.rpartition(".")[0]
            with _held(str(self.plugin), f"imports {holding}", holding) as held, failures_of_a_plugin(held):
                spec = importlib.util.find_spec(module)
            text = Path(spec.origin or "").read_text(encoding="utf-8") if spec else ""
            return ast.parse(text).body
        except Exception:  # whoever asks for the part is told what is wrong with it
            return []


def _definition(nodes: Sequence[ast.stmt], name: str) -> ast.ClassDef | ast.FunctionDef | None:
    found = [node for node in nodes if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name]
    return found[-1] if found else None


def _base(node: ast.ClassDef, nodes: Sequence[ast.stmt], module: str) -> str:
    """The import path of a class's first base within its package; empty if it comes from elsewhere."""
    name = node.bases[0].id if node.bases and isinstance(node.bases[0], ast.Name) else ""
    if _definition(nodes, name):
        return f"{module}:{name}"
    for statement in nodes:
        # Looking into another package would import it.
        if isinstance(statement, ast.ImportFrom) and not statement.level:
            place = statement.module or ""
            for alias in statement.names:
                if (alias.asname or alias.name) == name and place.partition(".")[0] == module.partition(".")[0]:
                    return f"{place}:{alias.name}"
    return ""


class Catalog:
    """All plugins' offers by kind and name, and all their observers."""

    def __init__(self, manager: pluggy.PluginManager, plugins: Sequence[Plugin]) -> None:
        self._manager = manager
        self._plugins = {id(plugin.module): plugin for plugin in plugins}
        strangers.note((str(plugin), plugin.module) for plugin in plugins if plugin.distribution != OURS)
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
            if kind not in self.kinds:
                raise TranslateError(f"there are no parts of the kind {kind!r:.80}; {nearest(str(kind), self.kinds)}")
            raise TranslateError(f"there is no {singular(kind)} {name!r}; {nearest(name, sorted(self._all(kind)))}")
        if len(found) > 1:
            names = " and by ".join(str(offer.plugin) for offer in found)
            block = f"block one with --no-plugin {found[1].plugin.name}"
            raise TranslateError(f"{singular(kind)} {name!r} is offered by {names}; {block}")
        return found[0]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of part that there are: those of hooks, then those that plugins have opened."""
        return (*KINDS, *sorted({kind for _, answer in self.ask("parts") for kind in answer}))

    def offered_by(self, plugin: Plugin) -> dict[str, list[str]]:
        """The names that a plugin offers, by kind."""
        names_by_kind = {
            kind: sorted(offer.name for found in self._all(kind).values() for offer in found if offer.plugin == plugin)
            for kind in self.kinds
        }
        return {kind: names for kind, names in names_by_kind.items() if names}

    def only(self, plugin: Plugin) -> Catalog:
        """A catalog of one of the plugins alone."""
        manager = _manager()
        manager.register(plugin.module)
        return Catalog(manager, [plugin])

    def ask(self, hook: str, **arguments: Any) -> Iterator[tuple[Plugin, Any]]:
        """Call a hook of every plugin and yield the checked answers, in pluggy's order: last registered, first called.

        A plugin that raises, or that answers with something else than its hook promises, is told in one warning and is
        not asked again. So is one that changes global state, such as torch's default dtype, which is restored.
        """
        offering = hook in OFFERING
        if hook == "recognize":
            # Their answers are checked against these names, which other hooks tell.
            self._all("datasets")
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            plugin = self._plugins[id(implementation.plugin)]
            if (plugin.name, hook) in self._silenced:
                continue
            given = [arguments[name] for name in implementation.argnames]
            try:
                if offering:
                    with _held(str(plugin), f"answers {hook}") as held, failures_of_a_plugin(held):
                        answer = check_answer(hook, implementation.function(*given), self._is_dataset)
                else:
                    with failures_of_a_plugin():
                        answer = implementation.function(*given)
            except AnswerError as error:
                self._silenced.add((plugin.name, hook))
                log.warning("warning: the plugin %s answers %s with %s; it is left out there", plugin, hook, error)
                continue
            except Exception as error:
                self._silenced.add((plugin.name, hook))
                log.warning(
                    "warning: the plugin %s failed in %s and is left out there: %s", plugin, hook, format_error(error)
                )
                continue
            yield plugin, answer

    def tell(self, event: str, **arguments: Any) -> None:
        """Call every observer of an event; never raises."""
        for _ in self.ask(event, **arguments):
            pass

    def _is_dataset(self, name: str) -> bool:
        return name in self._all("datasets")

    def _all(self, kind: str) -> dict[str, list[Offer]]:
        if kind not in self._offers:
            table: dict[str, list[Offer]] = {}
            known = kind in KINDS
            for plugin, answer in self.ask(kind if known else "parts"):
                for name, target in (answer if known else answer.get(kind, {})).items():
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
                loser.plugin, singular(loser.kind), loser.name, winner[0].plugin,
            )  # fmt: skip
    return winner


def discover(*, extra: Sequence[str] = (), blocked: Sequence[str] = ()) -> Catalog:
    """Find the installed plugins and load ``extra`` ones from files or modules.

    ``blocked`` names plugins (or distributions) that are not imported at all. The environment variable
    ``TRANSLATE_NO_PLUGIN`` names further ones, separated by commas.
    """
    manager, trial = _manager(), _manager()
    found = list(metadata.entry_points(group=GROUP))
    # A distribution parses its whole description anew whenever it is asked for its name.
    told = {each: (each.name, version_of(each)) for each in {entry.dist for entry in found} if each}
    names = {entry.name for entry in found} | {name for name, _ in told.values()}
    for name in blocked:
        if name not in names:
            raise TranslateError(f"there is no plugin {name!r} to block; {nearest(name, sorted(names))}")
    excluded = {*blocked, *filter(None, os.environ.get(BLOCK_VARIABLE, "").split(","))}
    plugins: list[Plugin] = []
    by_distribution = [(*(told[entry.dist] if entry.dist else ("unknown", "?")), entry) for entry in found]
    for distribution, version, entry in sorted(by_distribution, key=lambda each: (each[0] != OURS, each[2].name)):
        if excluded & {entry.name, distribution}:
            continue
        started = time.perf_counter()
        title = f"{entry.name} ({distribution} {version})"
        try:
            with _held(title, "is imported", entry.module) as held, failures_of_a_plugin(held):
                module = entry.load()
            if not isinstance(module, ModuleType):
                raise TypeError(f"{entry.value} is not a module")
            _check_hooks(module, plugins, trial)
        except Exception as error:
            log.warning(
                "warning: the plugin %s (%s %s, %s) is broken and left out: %s",
                entry.name, distribution, version, entry.value, format_error(error),
            )  # fmt: skip
            continue
        seconds = 0.0 if held is None else time.perf_counter() - started
        plugins.append(Plugin(entry.name, distribution, version, module, seconds=seconds))
    for name in extra:
        plugins.append(_load_unpackaged(name, plugins, trial))
    # What is registered last is called first: ours, installed ones by name, then those that the user has given.
    for plugin in reversed(plugins):
        manager.register(plugin.module)
    return Catalog(manager, plugins)


@contextmanager
def _held(plugin: str, does: str, module: str | None = None) -> Iterator[Held | None]:
    """Hold the global state while a plugin's code runs, and warn of what it has changed or printed.

    Nothing is held if ``module`` is imported already, since its code does not run again.
    """
    if module is not None and module in sys.modules:
        yield None
        return
    held = Held()
    try:
        with held:
            yield held
    finally:
        if held.changed:
            log.warning(
                "warning: the plugin %s changes %s when it %s; that was undone", plugin, _listed(held.changed), does
            )
        if held.printed.strip():
            log.warning("warning: the plugin %s prints when it %s: %s", plugin, does, shown(held.printed))


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    return manager


def _check_hooks(module: ModuleType, others: Sequence[Plugin], trial: pluggy.PluginManager) -> None:
    """Refuse misspelt hooks, wrong signatures and hooks that cannot be honoured, by a trial registration."""
    if any(plugin.module is module for plugin in others):
        raise TranslateError(f"its module {module.__name__} is a plugin already, under another name")
    try:
        trial.register(module)
        for caller in trial.get_hookcallers(module) or ():
            _check_hook(module, caller, trial)
    finally:
        # Some versions of pluggy leave nothing, others a part of a plugin that they refuse.
        if trial.is_registered(module):
            trial.unregister(module)


def _check_hook(module: ModuleType, caller: pluggy.HookCaller, trial: pluggy.PluginManager) -> None:
    if not caller.has_spec():
        known = [name for name in vars(trial.hook) if not name.startswith("_") and getattr(trial.hook, name).has_spec()]
        raise TranslateError(f"there is no extension point {caller.name!r}; {nearest(caller.name, sorted(known))}")
    if any(each.hookwrapper or each.wrapper for each in caller.get_hookimpls()):
        raise TranslateError(
            f"its hook {caller.name} wraps those of other plugins, which are kept apart here; "
            "leave out wrapper=True or hookwrapper=True"
        )
    if hasattr(module, "__path__") and importlib.util.find_spec(f"{module.__name__}.{caller.name}"):
        # An import of the submodule would overwrite the hook of that name.
        raise TranslateError(f"its submodule {caller.name} hides its hook {caller.name}; rename the submodule")


def _load_unpackaged(name: str, others: Sequence[Plugin], trial: pluggy.PluginManager) -> Plugin:
    path = expanded(name)
    started = time.perf_counter()
    try:
        if path.suffix == ".py":
            source = path.read_bytes()
            spec = importlib.util.spec_from_file_location(f"translate_unpackaged_{path.stem}", path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[module.__name__] = module
            with _held(name, "is imported") as held, failures_of_a_plugin(held):
                spec.loader.exec_module(module)
        else:
            # sys.path of a console script lacks the working directory, where a module under development lies.
            if str(Path.cwd()) not in sys.path:
                sys.path.insert(0, str(Path.cwd()))
            with _held(name, "is imported", name) as held, failures_of_a_plugin(held):
                module = importlib.import_module(name)
            source = Path(module.__file__ or "").read_bytes()
        _check_hooks(module, others, trial)
    except Exception as error:
        raise TranslateError(f"cannot load the plugin {name}: {format_error(error)}") from error
    version = f"sha256:{hashlib.sha256(source).hexdigest()[:16]}"
    seconds = time.perf_counter() - started
    return Plugin(path.stem, "unpackaged", version, module, unpackaged=True, seconds=seconds)


def format_error(error: BaseException) -> str:
    """An exception in one line, with the file and line that raised it; a ``TranslateError`` says enough itself."""
    if isinstance(error, PluginError):
        error = error.error
    return shown(str(error)) if isinstance(error, TranslateError) else strangers.describe(error)


def singular(kind: str) -> str:
    """What one of a kind is called in a sentence."""
    return kind.removesuffix("es" if kind.endswith("sses") else "s").replace("_", " ")
