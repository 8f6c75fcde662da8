"""The contract of a method, checked when it is built: its players, translators, needs, period and stages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, get_args

from torch import nn

from translate.data import DOMAINS, check_stream_name
from translate.errors import TranslateError
from translate.method import Method, Needs, Parts, Role, Stream, role_of
from translate.streams import vector_of
from translate.taken import facts_of
from translate.traits import Traits

NAME = re.compile(r"[A-Za-z_][\w. -]{0,63}")
"""A name of a player or direction: it stands in names of tensors, in the log and in flags."""

OF_ROLES: Mapping[Role, Sequence[str]] = {
    "sampler": ("noise", "domain"),
    "classifier": ("features", "domain"),
    "translator": (
        "draws_noise",
        "feature_extractor",
        "encodes",
        "named_codes",
        "variational_pass",
        "negative_log_likelihood",
    ),
}
"""The traits of each role that are checked."""


def check_contract(method: Method, name: str, parts: Parts) -> None:
    """Raise ``TranslateError`` for the first of a method's properties that breaks the contract; ``name`` names it.

    ``parts`` are those that it was built with.
    """

    def read(attribute: str, wanted: str, fits: Callable[[Any], bool]) -> Any:
        try:
            value = getattr(method, attribute)
        except TranslateError:
            raise
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            raise TranslateError(
                f"{name} cannot say its {attribute} ({type(error).__name__}: {text}); they must be {wanted}"
            ) from error
        if not fits(value):
            raise TranslateError(f"{name}: its {attribute} must be {wanted}, not {_short(value)}")
        return value

    players = read("players", "modules by name, at least one", lambda value: _is_modules(value) and len(value) > 0)
    translators = read("translators", "modules by direction", _is_modules)
    for kind, names in (("player", players), ("direction", translators)):
        for each in names:
            if not NAME.fullmatch(each):
                raise TranslateError(
                    f"{name} calls a {kind} {each!r:.80}; a name has letters, digits, dots, dashes and underscores, "
                    "and begins with a letter"
                )
    for direction, module in translators.items():
        for trait in OF_ROLES[role_of(direction)]:
            _check_trait(name, module, trait)
    try:
        takes = facts_of(translators, parts).get("takes", {})
    except TranslateError as error:
        raise TranslateError(f"{name}: {error}") from None
    for direction, taken in takes.items():
        if any(each.get("hole") for each in taken["inputs"].values()) and not _same_planes(parts):
            raise TranslateError(
                f"{name}: its {direction} fills holes and keeps all other pixels, so source and target must be images "
                "of the same channels, and no maps of classes"
            )
    needs = read("needs", "a translate.method.Needs", lambda value: isinstance(value, Needs))
    if not isinstance(needs.paired, bool):
        raise TranslateError(f"{name}: needs.paired must be True or False, not {_short(needs.paired)}")
    _check_names(name, "needs.labels", needs.labels, DOMAINS, "domain")
    _check_names(name, "needs.streams", needs.streams, get_args(Stream), "stream")
    if not isinstance(needs.references, bool):
        raise TranslateError(f"{name}: needs.references must be True or False, not {_short(needs.references)}")
    for what, given in (("needs.aligned", needs.aligned), ("needs.vectors", needs.vectors)):
        _check_collection(name, what, given)
        for each in given:
            bare = each if what == "needs.aligned" else vector_of(each)[1]
            check_stream_name(bare, f"{name}: what {what} names")
    if both := sorted(set(needs.aligned) & set(needs.vectors)):
        raise TranslateError(f"{name}: needs.aligned and needs.vectors both name {both[0]!r}; rename one of them")
    optimizers = read("optimizers", "texts by player", _are_texts)
    for each in optimizers:
        if each not in players:
            raise TranslateError(
                f"{name} names an optimizer of the player {each!r:.80}, and its players are {', '.join(players)}"
            )
    read("period", "a whole number >= 1", lambda value: type(value) is int and value >= 1)
    for attribute in ("stages", "restarts"):
        read(attribute, "shares of the training between 0 and 1 in their order", _are_shares)


def _same_planes(parts: Parts) -> bool:
    return parts.source.channels == parts.target.channels and not (parts.source.classes or parts.target.classes)


def _check_trait(name: str, module: nn.Module, trait: str) -> None:
    try:
        value = getattr(Traits(module), trait)
    except TranslateError as error:
        raise TranslateError(f"{name}: {error}") from None
    if trait == "features" and value is None:
        raise TranslateError(f"{name}: its classifier {type(module).__name__} must have a method features")


def _check_names(name: str, what: str, given: Any, known: Sequence[str], kind: str) -> None:
    _check_collection(name, what, given)
    for each in given:
        if each not in known:
            raise TranslateError(
                f"{name}: {what} names {_short(each)}, and there is no such {kind} ({', '.join(known)})"
            )


def _check_collection(name: str, what: str, given: Any) -> None:
    if isinstance(given, str) or not isinstance(given, (Sequence, set, frozenset)):
        raise TranslateError(f"{name}: {what} must be a collection of names, not {_short(given)}")


def _is_modules(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(module, nn.Module) for name, module in value.items()
    )


def _are_texts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(text, str) and text for text in value.values())


def _are_shares(value: Any) -> bool:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return False
    if not all(isinstance(share, (int, float)) and not isinstance(share, bool) and 0 <= share <= 1 for share in value):
        return False
    return all(first <= second for first, second in pairwise(value))


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        value = {name: type(each).__name__ for name, each in list(value.items())[:4]}
    return f"{value!r:.80}"


def check_held(method: Method, losses: Iterable[tuple[str, nn.Module]], name: str) -> None:
    """Raise ``TranslateError`` if a loss with weights, by its text, is no module of the method that has built it."""
    held = set(method.modules())
    for loss, network in losses:
        if network not in held and network.state_dict():
            raise TranslateError(
                f"{name} does not hold the loss {loss} as a module, so that its weights would not be saved with it; "
                "assign it to an attribute of the method or of one of its modules"
            )


def check_passes(networks: Iterable[nn.Module], name: str) -> None:
    """Raise ``TranslateError`` if one of a method's networks names a pass that it has not; ``name`` is the method's."""
    for network in networks:
        _check_trait(name, network, "passes")
