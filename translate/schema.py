"""The schema of every file of facts: what a translator, a checkpoint, a run's ``config.json`` or a config may hold.

A file may come from a stranger, so each is read by ``parse_json``, or by ``translate.config_file``, which bound its
size and nesting, and validated by a model before anything is built from it. Nothing else reads facts from a file.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import stat
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, BinaryIO, ClassVar, Literal, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator

from translate.data import STREAM, Domain
from translate.errors import TranslateError

MOST_BYTES = 64 * 2**20
"""The largest file of facts; a checkpoint's metadata are far smaller."""

MOST_NODES = 2_000_000
MOST_DEPTH = 32
MOST_DIGITS = 300
MOST_TEXT = 100_000
MOST_SIDE = 2**16
MOST_CHANNELS = 2**12
MOST_WIDTH = 2**16

Text = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
Note = Annotated[str, Field(min_length=1, max_length=10_000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$")]
"""Text of several lines: a licence, a description."""

StreamName = Annotated[str, Field(pattern=f"^{STREAM.pattern}$")]
Width = Annotated[int, Field(ge=1, le=MOST_WIDTH)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][\w. -]{0,63}$")]
ArgumentName = Annotated[str, Field(pattern=r"^[A-Za-z_]\w{0,63}$")]
Count = Annotated[int, Field(ge=0, le=2**53)]
Side = Annotated[int, Field(ge=1, le=MOST_SIDE)]
Level = Annotated[int, Field(ge=0, le=255)]
Index = Annotated[str, Field(pattern=r"^[0-9]{1,15}$")]
Colour = Annotated[list[Level], Field(min_length=3, max_length=3)]

Score = int | float | Literal["inf", "-inf", "nan"]
"""A number; as text where it is not finite."""

M = TypeVar("M", bound="Facts")


class FactsError(ValueError):
    """Facts that do not fit their schema; the message is a part of a sentence without the file's name."""


class Facts(BaseModel):
    """The base of all models: strict types, no unknown keys, finite numbers."""

    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)

    @classmethod
    def check(cls, values: Any) -> None:
        """Raise ``FactsError`` unless JSON values fit this model."""
        try:
            # Validated as JSON, in which a list may stand for a tuple and a whole number for a float.
            cls.model_validate_json(json.dumps(values))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(f"{part!s:.60}" for part in first["loc"])
            reason = first["msg"].removeprefix("Value error, ")
            found = f"{where}: {reason[:1].lower()}{reason[1:]}" if where else reason
            raise FactsError("".join(letter if letter.isprintable() else "?" for letter in found)) from None
        except (ValueError, TypeError, RecursionError) as error:
            raise FactsError(str(error)[:200]) from None


class PluginFacts(Facts):
    """The plugin that a method came from."""

    name: Text
    distribution: Text
    version: Text


class TakenOption(Facts):
    """An option of a network: see ``translate.taken``."""

    type: Literal["int", "float", "bool", "str", "choice"]
    choices: Annotated[list[str | int | float | bool], Field(max_length=1000)] = Field(default_factory=list)
    none: bool = Field(default=False, description="whether it may be none")
    several: Annotated[int, Field(ge=0, le=1000)] | None = Field(default=None, description="of how many; 0 for any")
    required: bool = False
    default: Any = None
    help: Annotated[str, Field(max_length=10_000)] = ""
    ge: int | float | None = None
    gt: int | float | None = None
    le: int | float | None = None
    lt: int | float | None = None

    @model_validator(mode="after")
    def _has_choices(self) -> TakenOption:
        if (self.type == "choice") != bool(self.choices):
            raise ValueError("its choices do not fit its type")
        return self


class TakenInput(Facts):
    """An input of a network: see ``translate.taken``."""

    kind: Literal["class", "image", "aligned", "vector", "noise", "latent"]
    of: Annotated[str, Field(max_length=1000)] = ""
    help: Annotated[str, Field(max_length=10_000)] = ""
    required: bool = False
    domain: dict[str, Any] | None = None
    length: Annotated[int, Field(ge=1, le=2**31)] | None = None
    hole: bool = False

    @model_validator(mode="after")
    def _fits(self) -> TakenInput:
        if self.domain is not None:
            try:
                domain_facts().check(self.domain)
            except FactsError as error:
                raise ValueError(f"domain.{error}") from None
        elif self.kind not in ("vector", "class", "latent"):
            raise ValueError("its domain is missing")
        if self.kind == "latent" and self.length is None:
            raise ValueError("its length is missing")
        return self


class Takes(Facts):
    """What a network takes beside its image."""

    options: dict[ArgumentName, TakenOption] = Field(default_factory=dict)
    inputs: dict[ArgumentName, TakenInput] = Field(default_factory=dict)


class ChosenFacts(Facts):
    """The score by which a translator was chosen among those of its training, and on which split."""

    score: Text
    value: Score
    split: Text


class TranslatorFacts(Facts):
    """The metadata of ``translator.safetensors``, from which a method is rebuilt."""

    method: Text
    options: dict[str, Any]
    plugin: PluginFacts
    directions: Annotated[list[Name], Field(max_length=64)]
    step: Count | None = None
    size: Annotated[list[Side], Field(min_length=2, max_length=2)]
    source: dict[str, Any]
    target: dict[str, Any]
    aligned: Annotated[dict[StreamName, dict[str, Any]], Field(max_length=64)] = Field(default_factory=dict)
    vectors: Annotated[dict[StreamName, Width], Field(max_length=64)] = Field(default_factory=dict)
    takes: dict[Name, Takes] = Field(default_factory=dict, description="by direction, beside images")
    resources: dict[str, TranslatorFacts] = Field(default_factory=dict)
    features: Annotated[Name | None, Field(description="of a resource: the direction that gives its features")] = None
    licence: Note | None = None
    about: Note | None = None
    chosen: ChosenFacts | None = None
    range: list[int | float] = Field(default=[-1, 1], description="written by early versions, and not used")
    size_multiple: dict[str, Side] = Field(default_factory=dict, description="written by early versions, and not used")

    @model_validator(mode="after")
    def _fits(self) -> TranslatorFacts:
        if len(set(self.directions)) < len(self.directions):
            raise ValueError("a direction is named twice")
        for name, domain in {"source": self.source, "target": self.target, **self.aligned}.items():
            try:
                domain_facts().check(domain)
            except FactsError as error:
                raise ValueError(f"{name}.{error}") from None
        return self


class EngineFacts(Facts):
    """The numbers of a training's engine."""

    step: Count
    steps: Annotated[Count, Field(description="written by early versions, and not used")] = 0
    optimizer_numbers: dict[str, int | float | bool | None] = Field(default_factory=dict)
    log_counts: dict[str, Annotated[int, Field(ge=1, le=2**53)]]
    partial: Annotated[bool, Field(description="saved after an error, in the middle of the step that follows")] = False


class ProgressFacts(Facts):
    """The epochs and the seconds of a training: see ``translate.progress``."""

    images: Count
    length: Annotated[int, Field(ge=1, le=2**53)]
    epochs: Annotated[float, Field(ge=0)]
    seconds: Annotated[float, Field(ge=0)]


class BestFacts(Facts):
    """The best checkpoint of a training so far: see ``translate.best``."""

    name: Text
    value: Score | None
    step: Count
    waited: Count


class SetupFacts(Facts):
    """What a run's files say of the machine, the plugin and the data."""

    versions: dict[str, Text]
    plugin: Text
    device: Text
    threads: Annotated[int, Field(ge=1, le=2**20)]
    ranks: Annotated[int, Field(ge=1, le=2**20)] = 1
    data: Text
    paired: bool | None = None
    domains: dict[Name, Text] = Field(default_factory=dict)
    resources: dict[str, TranslatorFacts] = Field(default_factory=dict)
    left_out: dict[Name, dict[Index, Text]] = Field(default_factory=dict)


class CheckpointFacts(SetupFacts):
    """The metadata of a checkpoint of a training."""

    engine: EngineFacts
    config: dict[str, Any]
    progress: ProgressFacts | None = None
    best: BestFacts | None = None
    translator: TranslatorFacts | None = None


class Origin(Facts):
    """The plugins that a run's config names, each with its SHA-256, and a signature: see ``translate.trust``."""

    plugins: dict[str, Text]
    signature: Text


class RunFacts(Facts):
    """A run's ``config.json``; programs that read it may add to it, so only what is used here is checked."""

    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, frozen=True)

    config: dict[str, Any]
    steps: Annotated[int, Field(ge=1, le=2**53)]
    rollbacks: Annotated[int, Field(ge=0, le=1000)] = 0
    data: Text | None = None
    resources: dict[str, TranslatorFacts] = Field(default_factory=dict)
    origin: Origin | None = None


class ChangeFacts(Facts):
    """One change of a run: see ``translate.changes``."""

    step: Count
    what: Text
    before: Any
    after: Any


class ChangesFacts(Facts):
    """A run's ``changes.json``."""

    changes: Annotated[list[ChangeFacts], Field(max_length=100_000)]


@cache
def domain_facts() -> type[Facts]:
    """The model of a domain: the fields of ``translate.data.Domain`` with bounds."""
    bounds: dict[str, Any] = {
        "channels": Annotated[int, Field(ge=1, le=MOST_CHANNELS)],
        "classes": Annotated[int, Field(ge=0, le=MOST_CHANNELS)],
        "palette": Annotated[list[Colour], Field(max_length=MOST_CHANNELS)],
        "labels": Annotated[list[Annotated[str, Field(max_length=10_000)]], Field(max_length=100_000)],
    }
    hints = get_type_hints(Domain)
    fields: dict[str, Any] = {}
    for each in dataclasses.fields(Domain):
        default = ... if each.default is dataclasses.MISSING else each.default
        fields[each.name] = (bounds.get(each.name, hints[each.name]), default)

    def fits(self: Any) -> Any:
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        if self.palette and not (self.classes == len(self.palette) and self.channels == 3):
            raise ValueError("the palette does not fit the classes and channels")
        if self.classes and not self.palette and self.channels != self.classes:
            raise ValueError("the channels do not fit the classes")
        return self

    validators: Any = {"fits": model_validator(mode="after")(fits)}
    return create_model("DomainFacts", __base__=Facts, __validators__=validators, **fields)


def parse_json(text: str | bytes) -> Any:
    """Parse JSON whose nesting and numbers are bounded; a key that stands twice is refused. Raises ``FactsError``."""
    if len(text) > MOST_BYTES:
        raise FactsError(f"it has {len(text):,} bytes, and at most {MOST_BYTES:,} are read")
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant, parse_int=_whole)
    except FactsError:
        raise
    except RecursionError:
        raise FactsError("it is nested too deeply") from None
    except (ValueError, MemoryError) as error:
        raise FactsError(f"it is no JSON: {' '.join(str(error).split())[:200]}") from None
    bound(value)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise FactsError("a name stands twice in it")
    return found


def _refuse_constant(name: str) -> Any:
    raise FactsError(f"{name} is no finite number")


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise FactsError(f"a number of {len(digits)} digits stands in it")
    return int(digits)


def bound(value: Any) -> None:
    """Raise ``FactsError`` for values that are nested too deeply, too many, too long, or not finite."""
    seen = 0
    ahead = [(value, 0)]
    while ahead:
        each, depth = ahead.pop()
        seen += 1
        if seen > MOST_NODES:
            raise FactsError(f"it holds more than {MOST_NODES:,} values")
        if depth > MOST_DEPTH:
            raise FactsError(f"it is nested more than {MOST_DEPTH} deep")
        if isinstance(each, Mapping):
            for name, inner in each.items():
                if isinstance(name, str) and len(name) > MOST_TEXT:
                    raise FactsError(f"a name of {len(name):,} characters stands in it")
                ahead.append((inner, depth + 1))
        elif isinstance(each, (list, tuple)):
            ahead.extend((inner, depth + 1) for inner in each)
        elif isinstance(each, str):
            if len(each) > MOST_TEXT:
                raise FactsError(f"a text of {len(each):,} characters stands in it")
        elif isinstance(each, float) and not math.isfinite(each):
            raise FactsError(f"{each} is no finite number")
        elif isinstance(each, int) and abs(each) >= 2**63:
            raise FactsError("a whole number beyond 64 bits stands in it")


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading; raises ``FactsError`` for anything else, or ``OSError``."""
    # Opened without waiting, since a FIFO would wait for a writer; checked on the open handle.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    file = os.fdopen(handle, "rb")
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        file.close()
        raise FactsError("it is no regular file")
    return file


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """Read a regular file of at most ``most`` bytes as UTF-8; raises ``FactsError`` or ``OSError``."""
    with open_file(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise FactsError(f"it has more than {most:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FactsError(f"it is no text in UTF-8: {error.reason} at byte {error.start}") from None


def check_file(path: Path, model: type[Facts], values: Any, error: type[TranslateError] = TranslateError) -> None:
    """Raise ``error``, which names the file, unless ``values`` fit the model."""
    try:
        model.check(values)
    except FactsError as reason:
        raise error(f"{path} is damaged, or no file of ours: {reason}; restore it or get it anew") from None
