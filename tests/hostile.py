"""Crafted files with right checksums: what a stranger may hand over as a translator, a checkpoint or a config."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from translate.checkpoint import FORMAT, _checksum

Facts = dict[str, Any]

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 10**400, 0.5, -1e308, math.inf, -math.inf, math.nan, "", "a",
    "../../etc/passwd", "/dev/zero", "unet(width=100000)", "unet(" * 60, "x" * 300_000, "\x1b[31m\n", [], {}, [[]],
    {"": None}, [1, 2], ["a"], {"method": "pix2pix"},
)  # fmt: skip
"""What stands in place of a value."""


def write(path: Path, tensors: Mapping[str, Tensor], content: Any) -> None:
    """Write a file whose checksum is right, whatever its content."""
    text = content if isinstance(content, str) else json.dumps(content)
    stored = dict(tensors)
    header = {"format": "translate", "version": FORMAT, "content": text, "sha256": _checksum(stored, text)}
    save_file(stored, path, metadata=header)


def places(tree: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a tree of JSON values, the root's first."""
    yield where
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, value in inner:
        yield from places(value, (*where, name))


def changed(tree: Any, where: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    """A copy of a tree in which ``change(parent, name)`` was applied at a place."""
    made = copy.deepcopy(tree)
    parent = made
    for name in where[:-1]:
        parent = parent[name]
    change(parent, where[-1])
    return made


def deep(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@st.composite
def mutated(draw: st.DrawFn, tree: Any) -> Any:
    """A tree of JSON values with one to three changes: dropped, added, replaced, nested, moved."""
    for _ in range(draw(st.integers(1, 3))):
        where = draw(st.sampled_from([each for each in places(tree) if each]))
        how = draw(st.sampled_from(("drop", "add", "replace", "replace", "replace", "nest", "deep", "wrap")))
        value = draw(st.sampled_from(VALUES) | st.integers() | st.floats() | st.text(max_size=20))

        def change(parent: Any, name: Any, how: str = how, value: Any = value) -> None:
            if how == "drop":
                del parent[name]
            elif how == "add" and isinstance(parent, dict):
                parent["added"] = value
            elif how == "add":
                parent.append(value)
            elif how == "nest":
                parent[name] = {"inner": parent[name]}
            elif how == "wrap":
                parent[name] = [parent[name]] * 3
            elif how == "deep":
                parent[name] = deep(100)
            else:
                parent[name] = value

        tree = changed(tree, where, change)
        if not any(places(tree)):
            break
    return tree


@st.composite
def mutated_tensors(draw: st.DrawFn, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of which one is dropped, added, renamed, or of another shape, type or value."""
    made = dict(tensors)
    name = draw(st.sampled_from(sorted(made)))
    how = draw(
        st.sampled_from(("drop", "add", "rename", "shape", "integer", "double", "nan", "empty", "scalar", "half"))
    )
    if how == "add":
        made[
            draw(st.sampled_from(("strange", "forward/strange", "a/b/c", "/", "optimizer/x", "method/x", "log/x")))
        ] = torch.ones(2)
        return made
    value = made.pop(name)
    changes: dict[str, Callable[[Tensor], Tensor]] = {
        "shape": lambda each: torch.cat([each.reshape(-1)] * 2),
        "integer": lambda each: each.long(),
        "double": lambda each: each.double(),
        "half": lambda each: each.half(),
        "nan": lambda each: torch.full_like(each.float(), math.nan),
        "empty": lambda each: torch.empty(0),
        "scalar": lambda each: torch.ones(()),
    }
    if how == "rename":
        made[f"{name}x"] = value
    elif how != "drop":
        made[name] = changes[how](value)
    return made
