"""The fuzzing of files and texts, for the suite and for ``python -m benchmarks.fuzz``."""

from __future__ import annotations

import json
import resource
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hostile
import torch
import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from safetensors import safe_open

from translate import changes, checkpoint
from translate.config_file import read_config
from translate.engine import Engine
from translate.errors import TranslateError
from translate.initial import load_initial_weights, open_sources
from translate.options import parse_calls
from translate.parts import SavedMethod
from translate.plugins import Catalog, discover
from translate.run import Config, Run
from translate.setup import Setup
from translate.training import fit

SECONDS = 20.0
"""The longest that one case may take; on a busy machine a good file takes a second."""

MEBIBYTES = 1500
"""The most that a case may add to the peak of the process's memory."""

GAN = {"generator": "unet(width=4)", "discriminator": "patch(width=4, receptive_field=16)"}


@dataclass
class Outcome:
    """How many cases were tried and refused, and the worst."""

    kind: str
    tried: int = 0
    refused: int = 0
    seconds: float = 0.0
    mebibytes: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.kind}: {self.tried} tried, {self.refused} refused, {self.tried - self.refused} opened; "
            f"the longest took {self.seconds:.2f} s, the largest {self.mebibytes:.0f} MiB more"
        )


@cache
def catalog() -> Catalog:
    """The catalog, discovered once."""
    return discover()


@cache
def trained(place: Path) -> Run:
    """A small run whose files are changed."""
    return fit("pix2pix", "demo(size=32, count=4)", output=place / "run", size=32, steps=2, save_every=1, **GAN)


def read(path: Path) -> tuple[dict[str, torch.Tensor], Any]:
    """The stored tensors and the JSON of a file."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["content"])  # noqa: SIM118


def open_translator(path: Path) -> None:
    """Open a translator and load all its networks."""
    saved = SavedMethod.open(path, catalog())
    for direction in saved.metadata["directions"]:
        saved.module(direction)
        saved.domain(direction)


@cache
def training(place: Path) -> Setup:
    """The training that checkpoints and initial weights are loaded into."""
    return Setup.make(trained(place).config)


def engine(place: Path) -> Engine:
    """The engine that checkpoints are loaded into."""
    return training(place).engine


def open_checkpoint(place: Path, path: Path) -> None:
    """Load a checkpoint as a resumed training does."""
    tensors, metadata = checkpoint.load(path, holds="training")
    engine(place).load(tensors, metadata["engine"])


def begin_with(place: Path, path: Path) -> None:
    """Load a file's tensors as initial weights, of all networks and of one."""
    load_initial_weights(training(place), open_sources([str(path)]))
    load_initial_weights(training(place), open_sources([f"generator={path}:forward"]))


def fuzz(kind: str, place: Path, *, examples: int, seed: int = 0) -> Outcome:
    """Try so many cases of a kind; an exception that is no ``TranslateError``, or a bound that is passed, fails."""
    outcome = Outcome(kind)
    KINDS[kind](place, _Tried(outcome), examples, seed)
    return outcome


class _Tried:
    """Calls a function for one case, and counts."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def __call__(self, call: Callable[[], Any]) -> None:
        started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.outcome.tried += 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                call()
        except TranslateError as error:
            self.outcome.refused += 1
            text = str(error)
            assert text.isprintable(), f"the message has control characters: {text!r:.300}"
            assert len(text) < 1500, f"the message is long: {text!r:.300}"
        seconds = time.perf_counter() - started
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert seconds < SECONDS, f"it took {seconds:.1f} s"
        assert grown < MEBIBYTES, f"it took {grown:.0f} MiB"
        self.outcome.seconds = max(self.outcome.seconds, seconds)
        self.outcome.mebibytes = max(self.outcome.mebibytes, grown)


def _run(strategy: st.SearchStrategy[Any], case: Callable[[Any], None], examples: int, number: int) -> None:
    bounds = settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    seed(number)(bounds(given(strategy)(case)))()


def _files(
    place: Path, tried: _Tried, source: Path, open_file: Callable[[Path], None], examples: int, seed: int
) -> None:
    tensors, content = read(source)
    path = place / f"{source.stem}-changed.safetensors"

    def of_facts(facts: Any) -> None:
        hostile.write(path, tensors, {"facts": facts, "aliases": content["aliases"]})
        tried(lambda: open_file(path))

    def of_tensors(changed: dict[str, torch.Tensor]) -> None:
        hostile.write(path, changed, content)
        tried(lambda: open_file(path))

    _run(hostile.mutated(content["facts"]), of_facts, examples, seed)
    _run(hostile.mutated_tensors(tensors), of_tensors, max(examples // 4, 1), seed)


def _translators(place: Path, tried: _Tried, examples: int, seed: int) -> None:
    _files(place, tried, trained(place).translator, open_translator, examples, seed)


def _initial(place: Path, tried: _Tried, examples: int, seed: int) -> None:
    run = trained(place)
    _files(place, tried, run.translator, lambda path: begin_with(place, path), examples, seed)
    _files(place, tried, run.checkpoints[-1], lambda path: begin_with(place, path), max(examples // 4, 1), seed)


def _checkpoints(place: Path, tried: _Tried, examples: int, seed: int) -> None:
    source = trained(place).checkpoints[-1]
    _files(place, tried, source, lambda path: open_checkpoint(place, path), examples, seed)


def _runs(place: Path, tried: _Tried, examples: int, seed: int) -> None:
    values = json.loads((trained(place).folder / "config.json").read_text())
    folder = place / "changed-run"
    folder.mkdir(exist_ok=True)

    def case(facts: Any) -> None:
        (folder / "config.json").write_text(json.dumps(facts))
        tried(lambda: Run.open(folder))

    _run(hostile.mutated(values), case, examples, seed)


def _changes(place: Path, tried: _Tried, examples: int, seed: int) -> None:
    folder = place / "changes"
    folder.mkdir(exist_ok=True)
    values = {"changes": [{"step": 1, "what": "optimizer", "before": ["adam"], "after": [None, 0.1, {"a": True}]}]}

    def case(facts: Any) -> None:
        (folder / "changes.json").write_text(json.dumps(facts))
        tried(lambda: [str(each) for each in changes.read(folder)])

    _run(hostile.mutated(values), case, examples, seed)


def _configs(place: Path, tried: _Tried, examples: int, seed: int) -> None:
    values = json.loads((trained(place).folder / "config.json").read_text())["config"]
    path = place / "changed.yaml"

    def case(facts: Any) -> None:
        path.write_text(yaml.safe_dump(facts), encoding="utf-8")
        tried(lambda: Config.from_values(read_config(path), str(path)))

    def of_text(text: str) -> None:
        path.write_text(text, encoding="utf-8")
        tried(lambda: Config.from_values(read_config(path), str(path)))

    _run(hostile.mutated(values), case, examples, seed)
    _run(st.text(alphabet="{}[]&*!|>-:?,#%@'\" \n\t012a.e_", max_size=60), of_text, examples, seed)


def _parts(place: Path, tried: _Tried, examples: int, seed: int) -> None:
    bits = ("unet", "(", ")", "[", "]", "{", "}", ",", "=", "+", "-", "~", "not ", "'", '"', "1", "1e999", "9" * 5000, ":=",
            "lambda: 0", "**", "*", "...", "0x" + "f" * 400, "1j", "b''", "f'{0}'", "\\", "\n", "\0", "x" * 3000, " for x in y")  # fmt: skip
    pieces = st.lists(st.sampled_from(bits) | st.text(max_size=3), max_size=12).map("".join)
    repeated = st.tuples(st.sampled_from(bits), st.integers(1, 3000)).map(lambda pair: pair[0] * pair[1])
    _run(pieces | repeated | st.text(max_size=50), lambda text: tried(lambda: parse_calls(text)), examples, seed)


KINDS: dict[str, Callable[[Path, _Tried, int, int], None]] = {
    "translators": _translators,
    "checkpoints": _checkpoints,
    "runs": _runs,
    "changes": _changes,
    "initial": _initial,
    "configs": _configs,
    "parts": _parts,
}
