"""Config files: the options of a training in YAML or JSON, read within bounds, since they may come from a stranger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from translate.errors import TranslateError
from translate.schema import MOST_DIGITS, FactsError, bound, read_text

MOST_BYTES = 2**20
"""The largest config file."""


def read_config(path: Path) -> dict[str, Any]:
    """Read a YAML or JSON file of options; dashes in names become underscores."""
    try:
        values = parse_yaml(read_text(path, MOST_BYTES))
    except OSError as error:
        raise TranslateError(f"cannot read the config {path}: {error.strerror}") from None
    except ValueError as error:
        reason = str(error) if isinstance(error, FactsError) else "its name is no path"
        raise TranslateError(f"cannot read the config {path}: {reason}") from None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise TranslateError(f"{path} must hold names and values, such as `steps: 1000`")
    found = {name.replace("-", "_"): value for name, value in values.items()}
    if len(found) < len(values):
        raise TranslateError(f"{path} names an option twice, with a dash and with an underscore")
    return found


class _Loader(yaml.SafeLoader):
    """YAML without anchors, which can stand for exponentially many values, and without names that stand twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise FactsError("an alias (*name) stands in it; write the values out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        for name in names:
            if isinstance(name, (list, dict, set)):
                raise FactsError("a name in it is no text")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise FactsError(f"{twice!r:.60} stands twice in it")
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: Any) -> int:
        if len(node.value) > MOST_DIGITS:
            raise FactsError(f"a number of {len(node.value)} digits stands in it")
        return int(super().construct_yaml_int(node))


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def parse_yaml(text: str) -> Any:
    """Parse YAML (or JSON, which is YAML) as ``parse_json`` does; raises ``FactsError``."""
    try:
        value = yaml.load(text, _Loader)
    except FactsError:
        raise
    except RecursionError:
        raise FactsError("it is nested too deeply") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise FactsError(f"it is neither YAML nor JSON: {reason}") from None
    bound(value)
    return value
