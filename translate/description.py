"""Descriptions: what a translator, a checkpoint, a run or an exported network holds, told from its header alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from translate.data import domain_of
from translate.directions import role_of
from translate.errors import TranslateError
from translate.numbered import steps_of
from translate.options import Call, Option, asked_of
from translate.paths import expanded
from translate.sizes import Size
from translate.taken import Taken

if TYPE_CHECKING:
    from translate.exported import Facts

__all__ = [
    "Description",
    "show",
]

Kind = Literal["run", "translator", "checkpoint", "exported network"]


@dataclass(frozen=True, slots=True)
class Description:
    """What a file or a run's folder holds; what it does not tell is None or empty.

    ``directions`` maps each direction to the role of its network. ``source`` and ``target`` are the fields of the
    domains, of an exported network those of its own input and output. ``size`` is the training size (height, width),
    ``step`` the number of steps trained and ``steps`` that of the whole training. ``weights`` counts the values of
    each direction's network. ``checkpoints`` are the steps of those in a run's folder. ``chosen`` is the score by which
    a training kept it as its best. ``takes`` holds, by direction,
    the options and inputs that a network takes beside its image. ``fixed`` and all that follows describe an exported
    network: the options that it holds, its sizes, range and layout.
    """

    path: Path
    kind: Kind
    method: str | None
    options: Mapping[str, Any] = field(default_factory=dict)
    plugin: Mapping[str, str] = field(default_factory=dict)
    directions: Mapping[str, str] = field(default_factory=dict)
    source: Mapping[str, Any] | None = None
    target: Mapping[str, Any] | None = None
    size: Size | None = None
    step: int | None = None
    steps: int | None = None
    weights: Mapping[str, int] = field(default_factory=dict)
    checkpoints: Sequence[int] = ()
    licence: str | None = None
    about: str | None = None
    chosen: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    takes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    size_multiple: int | None = None
    fixed_size: Size | None = None
    range: str | None = None
    layout: str | None = None

    def lines(self) -> list[str]:
        """The description as aligned lines of text."""
        rows = [(name, text) for name, text in self._rows() if text]
        width = max((len(name) for name, _ in rows), default=0)
        lines = [f"{self.path}: {'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"]
        for name, text in rows:
            for number, line in enumerate(text.split("\n")):
                lines.append(f"  {'' if number else name:<{width}}  {line}".rstrip())
        return lines

    def _rows(self) -> Iterator[tuple[str, str]]:
        yield "method", "" if self.method is None else str(Call(self.method, self.options))
        yield "plugin", " ".join(self.plugin[name] for name in ("distribution", "version") if name in self.plugin)
        yield "directions", ", ".join(f"{name} ({role})" for name, role in self.directions.items())
        for name, fields in (("source", self.source), ("target", self.target)):
            yield name, "" if fields is None else domain_of(fields).summary
        for direction, facts in self.takes.items():
            yield f"{direction} takes", "\n".join(Taken.from_json(facts).lines())
        yield "holds", ", ".join(f"{name}={value}" for name, value in self.fixed.items())
        yield "weights", ", ".join(f"{name} {count:,}" for name, count in self.weights.items())
        of = f" of {self.steps:,} steps" if self.steps is not None else " step" if self.step == 1 else " steps"
        at = "" if self.size is None else f"at {self.size[0]}x{self.size[1]}"
        yield "trained", ", ".join(filter(None, ("" if self.step is None else f"{self.step:,}{of}", at)))
        yield "checkpoints", ", ".join(f"{step:,}" for step in self.checkpoints)
        if self.fixed_size is not None:
            yield "takes", f"images of {self.fixed_size[0]}x{self.fixed_size[1]}"
        elif self.size_multiple is not None:
            yield "takes", f"images whose sides divide by {self.size_multiple}"
        yield "values", ", ".join(filter(None, (self.range and self.range.replace("..", " to "), self.layout)))
        if self.chosen:
            value = float(self.chosen["value"])
            yield "chosen", f"by its {self.chosen['score']} of {value:.5g} on the split {self.chosen['split']}"
        yield "licence", self.licence or ""
        yield "about", self.about or ""
        yield "versions", ", ".join(f"{name} {version}" for name, version in self.versions.items())

    def to_json(self) -> dict[str, Any]:
        """The description as JSON values."""
        return {**asdict(self), "path": str(self.path)}


def show(
    run: str | Path,
    *,
    step: Annotated[int | None, Option("describe this checkpoint of the run, by its step", ge=1)] = None,
) -> Description:
    """Describe a run's folder, a ``translator.safetensors``, a checkpoint, or an exported network.

    It is read from the header alone, without the weights, so a checksum is not checked; torch is not imported. A run is
    described by the weights that ``convert`` would use. Raises ``TranslateError`` for a file of another kind.
    """
    step = asked_of(show, locals())["step"]
    # Imported where a file is read: they take longer than all of the command line.
    from translate.embedded import SUFFIXES

    path = expanded(run)
    if path.is_dir():
        return _of_run(path, step)
    if step is not None:
        raise TranslateError(f"{path} is no folder of a run, so it has no step {step} to choose; leave out --step")
    return _of_exported(path) if path.suffix.lower() in SUFFIXES else _of_tensors(path)


def taken_in(run: str | Path, step: int | None, direction: str | None) -> Taken | None:
    """What a network takes beside its image, by the header of its file; None where that does not tell.

    ``direction`` is the network's, by default the first.
    """
    found = show(run, step=step)
    chosen = direction or next(iter(found.directions), "")
    return Taken.from_json(found.takes[chosen]) if chosen in found.takes else None


def check_given(run: str | Path, step: int | None, direction: str | None, given: Mapping[str, Any]) -> None:
    """Hold the names and the options that are given against the header of a network's file, before it is loaded.

    Raises ``TranslateError`` for what does not fit. What is wrong with the file itself is left to whoever loads it.
    """
    if not given:
        return
    try:
        taken = taken_in(run, step, direction)
    except TranslateError:
        return
    if taken is not None:
        taken.check_names(given, f"{run}")
        taken.constants(given, f"{run}")


def _of_run(folder: Path, step: int | None) -> Description:
    """Describe a run by its translator, or by a newer checkpoint, or by the one of ``step``."""
    from translate.tensor_header import CheckpointError

    checkpoints = steps_of(folder)
    if step is not None and step not in checkpoints:
        known = ", ".join(map(str, reversed(checkpoints)))
        raise TranslateError(f"{folder} has no checkpoint of step {step}; it has {known or 'none at all'}")
    files = [checkpoints[step]] if step is not None else [folder / "translator.safetensors", *checkpoints.values()]
    found: list[Description] = []
    damage: list[CheckpointError] = []
    for file in files:
        # Of the checkpoints, only those of a later step than the translator's say more than that.
        if not found or (found[0].step is not None and file != files[0] and _step(file, checkpoints) > found[0].step):
            try:
                found.insert(0, _of_tensors(file))
            except CheckpointError as error:
                damage.append(error)
    if not found:
        there = [error for error, file in zip(damage, files, strict=False) if file.exists()]
        if there:
            raise there[0]
        raise TranslateError(f"{folder} is no folder of a run: it holds neither a translator nor a checkpoint")
    steps, versions = _asked(folder)
    return replace(
        found[0],
        path=folder,
        kind="run",
        steps=steps or found[0].steps,
        checkpoints=tuple(sorted(checkpoints)),
        versions=found[0].versions or versions,
    )


def _step(file: Path, checkpoints: Mapping[int, Path]) -> int:
    return next((step for step, path in checkpoints.items() if path == file), -1)


def _asked(folder: Path) -> tuple[int | None, Mapping[str, str]]:
    """The number of steps and the versions in a run's ``config.json``, if that can be read."""
    from translate.schema import FactsError, RunFacts, parse_json, read_text

    try:
        values = parse_json(read_text(folder / "config.json"))
        RunFacts.check(values)
    except (OSError, FactsError):
        return None, {}
    versions = values.get("versions")
    texts = versions if isinstance(versions, dict) else {}
    return values["steps"], {name: text for name, text in texts.items() if isinstance(text, str)}


def _of_tensors(path: Path) -> Description:
    """Describe a translator or a checkpoint."""
    from translate.tensor_header import CheckpointError, read_header

    header = read_header(path)
    facts = header.facts
    kind: Kind = "checkpoint" if "engine" in facts else "translator"
    inner = facts.get("translator") if kind == "checkpoint" else facts
    if kind == "translator" and "directions" not in facts:
        raise CheckpointError(f"{path} is neither a translator nor a checkpoint of a training; give a run's folder")
    config = facts.get("config", {})
    step = facts["engine"]["step"] if kind == "checkpoint" else facts.get("step")
    if inner is None:
        # Checkpoints of earlier versions do not say how to build their translator.
        method = config.get("method")
        return Description(path, kind, method if isinstance(method, str) else None, step=step)
    counts: dict[str, int] = {}
    for name, count in header.counts.items() if kind == "translator" else ():
        direction = name.partition("/")[0]
        counts[direction] = counts.get(direction, 0) + count
    height, width = inner["size"]
    return Description(
        path,
        kind,
        inner["method"],
        inner["options"],
        inner["plugin"],
        {direction: role_of(direction) for direction in inner["directions"]},
        inner["source"],
        inner["target"],
        (height, width),
        step,
        weights=counts,
        licence=inner.get("licence"),
        about=inner.get("about"),
        chosen=inner.get("chosen") or {},
        versions=facts.get("versions", {}),
        takes=inner.get("takes", {}),
    )


def _of_exported(path: Path) -> Description:
    """Describe an exported network."""
    from translate.embedded import read_facts
    from translate.programs import noted

    # What a conversion has found out of a file that says nothing itself.
    facts = read_facts(path) or noted(path)
    if facts is None:
        raise TranslateError(
            f"{path} says nothing of itself, since it was not made by `translate export`; `translate convert` finds "
            "out what it takes, and notes it beside the file"
        )
    size = None if facts.size is None else (facts.size[0], facts.size[1])
    fixed = None if facts.fixed_size is None else (facts.fixed_size[0], facts.fixed_size[1])
    return Description(
        path,
        "exported network",
        facts.method,
        directions={facts.direction: "translator"},
        source=facts.source,
        target=facts.target,
        size=size,
        licence=facts.licence,
        about=facts.about,
        versions=facts.versions,
        takes=_of_inputs(facts),
        fixed=dict(facts.options or {}),
        size_multiple=facts.size_multiple,
        fixed_size=fixed,
        range=facts.range,
        layout=facts.layout,
    )


def _of_inputs(facts: Facts) -> dict[str, dict[str, Any]]:
    """What an exported network takes behind its image, by its direction."""
    inputs = {name: each.model_dump(mode="json", exclude_none=True) for name, each in (facts.inputs or {}).items()}
    return {facts.direction: {"options": {}, "inputs": inputs}} if inputs else {}
