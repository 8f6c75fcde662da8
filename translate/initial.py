"""Initial weights (``--init``): what fits by name and shape, out of a run, a checkpoint or a translator.

A source is opened and validated before anything of the training is built. Nothing is loaded in silence: what was
loaded, what was not there, what has another shape and what is left over is told, network by network.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from translate import checkpoint, derived
from translate.errors import TranslateError, nearest
from translate.frozen import is_frozen
from translate.method import Method
from translate.parts import SavedMethod
from translate.paths import expanded, quoted
from translate.plugins import Catalog
from translate.saving import last_good
from translate.setup import Setup

log = logging.getLogger("translate")

LISTED = 3
"""How many tensors of a kind a line names."""

MOST_NETWORKS = 12
"""How many networks a line names; a file of a stranger may have any number."""

_NETWORK = re.compile(r"[A-Za-z_]\w*(\.\w+)*")


@dataclass(frozen=True, slots=True)
class Init:
    """What ``--init [NETWORK=]SOURCE[:NETWORK]`` asks for: a path, the network it is for, and the one to take there.

    What is there as a path is a path, whatever signs are in it.

    >>> Init.parse("to_target=runs/one:backward")
    Init(path=PosixPath('runs/one'), into='to_target', part='backward')
    >>> Init.parse("runs/rate=1e-4").into is None
    True
    """

    path: Path
    into: str | None = None
    part: str | None = None

    @classmethod
    def parse(cls, text: str) -> Init:
        """Read what was asked for; raises ``TranslateError`` where no source is named."""
        into, rest = None, text
        name, equals, after = text.partition("=")
        if equals and not _exists(text) and _NETWORK.fullmatch(name):
            into, rest = name, after
        if not rest.strip():
            raise TranslateError(f"--init {text!r:.200} names no source; give a run, a checkpoint or a translator")
        part = None
        before, colon, name = rest.rpartition(":")
        if colon and before and not _exists(rest) and _NETWORK.fullmatch(name):
            rest, part = before, name
        return cls(expanded(rest), into, part)

    @property
    def absolute(self) -> str:
        """The text that asks for the same from any working directory."""
        return f"{self.into}={self._source}" if self.into else self._source

    @property
    def _source(self) -> str:
        try:
            path = self.path.resolve()
        except (OSError, ValueError, RuntimeError):
            # What is no path is told where it is opened.
            path = self.path
        return f"{path}:{self.part}" if self.part else str(path)

    def __str__(self) -> str:
        source = f"{self.path}:{self.part}" if self.part else str(self.path)
        return f"--init {quoted(f'{self.into}={source}' if self.into else source)}"


@dataclass(frozen=True, slots=True)
class Source:
    """An opened source: ``tensors`` by ``NETWORK.NAME``, those of a method or, of a translator, of its directions."""

    path: Path
    tensors: Mapping[str, Tensor]
    directions: Sequence[str]
    is_training: bool
    has_averages: bool

    @classmethod
    def open(cls, path: Path) -> Source:
        """Open a run's folder, a checkpoint or a translator, of which neither the method nor the plugin is needed."""
        if _exists(str(path)) and path.is_dir():
            found = last_good(path)
            if found is None and not (path / "translator.safetensors").exists():
                raise TranslateError(
                    f"--init {quoted(path)}: that folder is no run with weights: it holds neither a checkpoint nor a "
                    "translator.safetensors; give the folder of a run that has saved"
                )
            tensors, metadata = found or checkpoint.load(path / "translator.safetensors", holds="translator")
        else:
            tensors, metadata = checkpoint.load(path)
        is_training = "engine" in metadata
        if not is_training and "directions" not in metadata:
            raise TranslateError(f"{path} is neither a translator nor a checkpoint of a training; give a run's folder")
        try:
            facts = derived.facts_of(path, metadata) or metadata
        except TranslateError:
            # A checkpoint of an early version, away from its run: its networks have their names all the same.
            facts = {}
        return cls(
            path=path,
            tensors={
                name.removeprefix("method/") if is_training else name.replace("/", ".", 1): value
                for name, value in tensors.items()
                if not is_training or name.startswith("method/")
            },
            directions=list(facts.get("directions", ())),
            is_training=is_training,
            has_averages=any(name.startswith("ema/") for name in tensors),
        )

    @property
    def networks(self) -> list[str]:
        """The names by which a network of it can be chosen."""
        return [f"{name:.60}" for name in dict.fromkeys([*_heads(self.tensors), *self.directions])][:MOST_NETWORKS]

    def under(self, network: str) -> dict[str, Tensor]:
        """The tensors of a network, by their names in it; none if there is no such network."""
        return {
            name.removeprefix(f"{network}."): value
            for name, value in self.tensors.items()
            if name.startswith(f"{network}.")
        }

    def network(self, name: str, catalog: Catalog) -> dict[str, Tensor]:
        """The tensors of a network or of a direction; none if there is neither."""
        found = self.under(name)
        if found or name not in self.directions:
            return found
        # Which of a method's networks translates, and which of its tensors are averaged, only the method knows.
        saved = SavedMethod.open(self.path, catalog)
        return {key.partition("/")[2]: value for key, value in saved.tensors.items() if key.partition("/")[0] == name}

    def kind_of(self, name: str | None) -> str:
        """Which of its weights are taken, in words; empty where there is only one kind."""
        if not self.is_training:
            return "the translator's weights: the averages (EMA), if it was trained with them"
        if not self.has_averages:
            return ""
        if name is not None and name in self.directions and not self.under(name):
            return "the averages (EMA)"
        return "the weights that were trained, not their averages (EMA), which its directions name"


@dataclass(slots=True)
class Fit:
    """What of a source fits into a method: each tensor by its name in the method."""

    loaded: dict[str, Tensor] = field(default_factory=dict)
    rounded: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    unlike: dict[str, str] = field(default_factory=dict)
    """Names of tensors of another shape or type, with both."""
    left_over: list[str] = field(default_factory=list)


def _exists(path: str) -> bool:
    try:
        return expanded(path).exists()
    except (OSError, ValueError):
        # A name that is too long, or not allowed to be looked at.
        return False


def open_sources(asked: Iterable[str]) -> list[tuple[Init, Source]]:
    """Open all sources, the one without a network's name first, so that those with a name win over it."""
    inits = [Init.parse(text) for text in asked]
    for number, each in enumerate(inits):
        if each.into in [other.into for other in inits[:number]]:
            what = f"the network {each.into} twice" if each.into else "two sources for the whole method"
            raise TranslateError(f"--init names {what}; choose one, or give NETWORK=SOURCE for one of its networks")
    return [(each, Source.open(each.path)) for each in sorted(inits, key=lambda each: each.into is not None)]


def load_initial_weights(setup: Setup, sources: Iterable[tuple[Init, Source]]) -> None:
    """Load what fits out of sources into a training's networks and image pools; averages start from them.

    Networks that no training changes stay those of this training. Raises ``TranslateError`` if nothing of a source
    fits.
    """
    for init, source in sources:
        _load(setup, init, source)
    setup.engine.restart_averages()


def _load(setup: Setup, init: Init, source: Source) -> None:
    method = setup.method
    own = _Own(method)
    if init.into is None:
        given = _whole(own, source, init.part, setup.catalog)
        wanted = [name for name in own.tensors if name not in own.fixed]
    else:
        local = own.named_in(_destination(init, method))
        init = replace(init, part=init.part or _namesake(init, source, method))
        chosen = source.network(init.part or "", setup.catalog)
        if not chosen:
            raise TranslateError(
                f"{init}: {source.path} has no network {init.part!r}; {nearest(init.part or '', source.networks)}"
            )
        given = {local.get(name, f"{init.into}.{name}"): value for name, value in chosen.items()}
        wanted = [name for name in local.values() if name in own.tensors and name not in own.fixed]
    found = _fit(own, wanted, given, source.path)
    if not found.loaded:
        raise TranslateError(_nothing_fits(init, source, setup, found))
    try:
        method.load_state_dict(found.loaded, strict=False)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise TranslateError(f"{init}: the networks here refuse what fits by name and shape: {reason}") from None
    if setup.group.is_main:
        for line in _lines(init, source, own, wanted, found):
            log.warning("init: %s", line)


class _Own:
    """A method's tensors by name: each once, also where two names stand for one."""

    def __init__(self, method: Method) -> None:
        state = {name: value for name, value in method.state_dict(keep_vars=True).items() if isinstance(value, Tensor)}
        self.names: dict[int, str] = {}
        """The first name of each tensor, by its identity."""
        self.alias: dict[str, str] = {}
        """The first name for each name."""
        for name, value in state.items():
            self.alias[name] = self.names.setdefault(id(value), name)
        self.tensors = {name: state[name].detach() for name in dict.fromkeys(self.alias.values())}
        self.fixed = {
            self.alias[name]
            for path, module in method.named_modules()
            if path and _is_fixed(module)
            for name in (f"{path}.{key}" for key in module.state_dict())
            if name in self.alias
        }
        """The names of tensors that no training changes."""
        self.buffers = {
            self.alias[name] for name, _ in method.named_buffers(remove_duplicate=False) if name in self.alias
        }
        self.translators = {direction: self.named_in(module) for direction, module in method.translators.items()}

    def named_in(self, module: nn.Module) -> dict[str, str]:
        """The names of a module's tensors in the method, by their names in the module."""
        state = module.state_dict(keep_vars=True)
        return {name: self.names[id(value)] for name, value in state.items() if id(value) in self.names}


def _is_fixed(module: nn.Module) -> bool:
    weights = list(module.parameters())
    return is_frozen(module) or (bool(weights) and not any(weight.requires_grad for weight in weights))


def _whole(own: _Own, source: Source, part: str | None, catalog: Catalog) -> dict[str, Tensor]:
    """All tensors of a source, or those of one of its networks, by their names in the method."""
    given: dict[str, Tensor] = {}
    for name, value in source.tensors.items():
        head, _, rest = name.partition(".")
        if part is not None and not name.startswith(f"{part}."):
            continue
        if not source.is_training and head in own.translators:
            name = own.translators[head].get(rest, name)
        given.setdefault(own.alias.get(name, name), value)
    if part is not None and not given:
        if part not in source.directions:
            raise TranslateError(f"{source.path} has no network {part!r}; {nearest(part, source.networks)}")
        into = own.translators.get(part, {})
        given = {into.get(name, f"{part}.{name}"): value for name, value in source.network(part, catalog).items()}
    return given


def _destination(init: Init, method: Method) -> nn.Module:
    """The network of a method that a name stands for: a module, a direction or a player."""
    assert init.into is not None
    modules = dict(method.named_modules())
    named: dict[str, nn.Module] = {**method.players, **method.translators, **modules}
    if init.into in named:
        return named[init.into]
    raise TranslateError(f"{init}: there is no network {init.into!r} here; {nearest(init.into, _networks_of(method))}")


def _networks_of(method: Method) -> list[str]:
    children = [name for name, module in method.named_children() if module.state_dict()]
    return list(dict.fromkeys([*children, *method.translators, *method.players]))


def _namesake(init: Init, source: Source, method: Method) -> str:
    """The network of a source that is meant for one of a method: of the same name, or translating in its direction."""
    assert init.into is not None
    network = _destination(init, method)
    paths: list[str] = [path for path, module in method.named_modules() if path and module is network]
    for name in (init.into, *paths):
        if source.under(name):
            return name
    if directions := [direction for direction, module in method.translators.items() if module is network]:
        alike = [name for name in directions if name in source.directions]
        if alike or len(source.directions) == 1:
            return alike[0] if alike else source.directions[0]
    raise TranslateError(
        f"{init}: {source.path} has no network of that name; choose one of its {', '.join(source.networks)}, such as "
        f"{_example(init.into, source)}"
    )


def _fit(own: _Own, wanted: Sequence[str], given: Mapping[str, Tensor], path: Path) -> Fit:
    """Sort tensors by whether they fit those that are wanted."""
    found = Fit(left_over=[name for name in given if name not in own.fixed and name not in set(wanted)])
    for name in wanted:
        like = own.tensors[name]
        if name not in given:
            found.absent.append(name)
            continue
        value = given[name]
        if value.shape != like.shape:
            found.unlike[name] = f"{tuple(value.shape)}, here {tuple(like.shape)}"
        elif value.dtype != like.dtype and not (value.is_floating_point() and like.is_floating_point()):
            found.unlike[name] = f"{_type(value)}, here {_type(like)}"
        else:
            converted = value.to(like.dtype)
            if converted.is_floating_point() and not bool(torch.isfinite(converted).all()):
                raise TranslateError(f"{path} holds values in {name} that {_type(like)} cannot hold; nothing is loaded")
            if not torch.equal(converted.to(value.dtype), value):
                found.rounded.append(name)
            found.loaded[name] = converted
    # Buffers of one module belong together: an image pool's count says nothing of another pool's images.
    broken = {name.rpartition(".")[0] for name in (*found.absent, *found.unlike) if name in own.buffers}
    for name in [each for each in found.loaded if each in own.buffers and each.rpartition(".")[0] in broken]:
        del found.loaded[name]
        found.unlike[name] = "belongs to others that do not fit"
    return found


def _type(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _lines(init: Init, source: Source, own: _Own, wanted: Sequence[str], found: Fit) -> Iterable[str]:
    """What has become of a source, network by network."""
    origin = f"{source.path}:{init.part}" if init.part else str(source.path)
    for head in [init.into] if init.into else _heads(wanted):
        mine = [name for name in wanted if init.into or _heads([name]) == [head]]
        loaded = [name for name in mine if name in found.loaded]
        line = f"{head}: {len(loaded) or 'none'} of {len(mine)} tensors loaded from {origin}"
        unlike = [f"{name} ({found.unlike[name]})" for name in mine if name in found.unlike]
        for what, names in (
            ("not there", [name for name in mine if name in set(found.absent)]),
            ("of another shape or type", unlike),
            (f"rounded to {_type(own.tensors[mine[0]])}" if mine else "", [n for n in found.rounded if n in set(mine)]),
        ):
            if names:
                line += f"; {what}: {_cut(names)}"
        yield line
    if kind := source.kind_of(init.part):
        yield f"{origin} gives {kind}"
    heads = _heads(found.left_over)
    for head in heads[:MOST_NETWORKS]:
        names = [name for name in found.left_over if _heads([name]) == [head]]
        yield f"left over in {origin}: {_cut(names)}"
    if len(heads) > MOST_NETWORKS:
        yield f"left over in {origin}: the tensors of {len(heads) - MOST_NETWORKS} more networks"
    if init.into is None and own.fixed:
        yield f"{', '.join(_heads(sorted(own.fixed)))}: not taken over, since no training changes it"


def _nothing_fits(init: Init, source: Source, setup: Setup, found: Fit) -> str:
    """The sentence for a source of which nothing fits; it names both sides."""
    theirs = ", ".join(source.networks) or "no networks"
    here = f"{setup.config.method} has {', '.join(_networks_of(setup.method))}"
    if found.unlike:
        name, reason = next(iter(found.unlike.items()))
        why = f"no tensor has the shape that is wanted, such as {name} ({reason})"
    else:
        why = "no tensor has a name that is wanted"
    example = _example(init.into or _networks_of(setup.method)[0], source)
    return f"{init}: nothing fits, since {why}: it holds {theirs}, and {here}; choose networks, such as {example}"


def _example(into: str, source: Source) -> str:
    """A command's option that takes one network of a source into one of the method's."""
    part = next(iter([*source.directions, *source.networks]), "NETWORK")
    return f"--init {quoted(f'{into}={source.path}:{part}')}"


def _heads(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.partition(".")[0] for name in names))


def _cut(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(f"{name:.100}" for name in names[:LISTED]) + more
