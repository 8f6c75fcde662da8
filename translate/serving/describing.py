"""The description of a served translator, as JSON: what it takes, the fields of a request, and the server's limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from translate.conversion import Converter, suffix_rule
from translate.data import Domain
from translate.description import show
from translate.errors import TranslateError
from translate.options import Parameter, describe
from translate.serving.fields import declared, taken_of

SHOWN = ("method", "licence", "about", "step")


def description_of(converter: Converter, path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a client needs to know; no path of this machine is in it but the last part of the translator's."""
    translator = converter.translator
    facts: dict[str, Any] = {}
    try:
        found = show(path, step=asked["step"])
        facts = {name: getattr(found, name) for name in SHOWN}
    except TranslateError:
        # An exported file that says nothing of itself.
        facts = dict.fromkeys(SHOWN)
    return {
        "name": path.resolve().name,
        **facts,
        "direction": translator.direction,
        "size": list(getattr(translator, "size", ())),
        "source": _domain(translator.source),
        "target": _domain(translator.target),
        "takes": taken_of(converter).to_json(),
        "draws_noise": converter.draws,
        "takes_samples": converter.takes_samples,
        "suffix": suffix_rule(translator.source, translator.target, "same")(".png"),
        "fields": {name: _field(each) for name, each in declared().items()},
        "limits": {name: asked[name] for name in ("max_bytes", "max_pixels", "queue", "timeout")},
    }


def _domain(domain: Domain) -> dict[str, Any]:
    return {**asdict(domain), "summary": domain.summary}


def _field(parameter: Parameter) -> dict[str, Any]:
    default = parameter.default
    return {
        "default": list(default) if isinstance(default, tuple) else default,
        "values": describe(parameter),
        "help": parameter.option.help,
    }
