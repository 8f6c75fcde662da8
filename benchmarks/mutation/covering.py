"""Which tests see a line: a map of the tests' coverage, recorded once and kept in a file."""

from __future__ import annotations

import ast
import difflib
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.mutation.forks import Job, pytest_run
from benchmarks.mutation.mutations import Mutation
from benchmarks.mutation.targets import MAPPED

LEFT_OUT = (
    "tests/test_compilation.py", "tests/test_docs.py", "tests/test_example_package.py", "tests/test_house.py",
    "tests/test_mutation.py", "tests/test_ranks.py",
)  # fmt: skip
"""Tests that take long, live in processes of their own or read the sources: run only where nothing else sees a line."""

QUICK = 1.0
"""Seconds of a test that is run before the others."""


@dataclass(slots=True)
class Map:
    """The tests with their seconds, and by file and line the tests that ran it; the text that it is about, too."""

    seconds: dict[str, float] = field(default_factory=dict)
    apart: set[str] = field(default_factory=set)
    """Tests that start processes."""
    lines: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Map:
        """What ``write`` wrote."""
        kept = json.loads(path.read_text(encoding="utf-8"))
        names = kept["tests"]
        lines = {
            file: {int(line): {names[number] for number in seen} for line, seen in found.items()}
            for file, found in kept["lines"].items()
        }
        return cls(dict(zip(names, kept["seconds"], strict=True)), set(kept["apart"]), lines, kept["texts"])

    def write(self, path: Path) -> None:
        """Keep the map in a file."""
        numbers = {name: number for number, name in enumerate(self.seconds)}
        lines = {
            file: {line: sorted(numbers[name] for name in seen) for line, seen in found.items()}
            for file, found in self.lines.items()
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = {"tests": list(self.seconds), "seconds": list(self.seconds.values()), "apart": sorted(self.apart)}
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps({**kept, "lines": lines, "texts": self.texts}), encoding="utf-8")
        beside.replace(path)

    def follow(self, texts: dict[str, str]) -> None:
        """Let the lines be those of the texts as they are now."""
        for file, text in texts.items():
            old = _old_lines(self.texts.get(file, text), text)
            found = self.lines.get(file, {})
            self.lines[file] = {line: found[was] for line, was in old.items() if was in found}
        self.texts = texts

    def take(self, part: str, answer: dict[str, Any]) -> None:
        """Put what was recorded of one file or folder of tests in the place of what was known of it."""
        gone = {name for name in self.seconds if name.startswith((f"{part}::", f"{part}/"))}
        self.seconds = {name: value for name, value in self.seconds.items() if name not in gone} | answer["seconds"]
        self.apart = (self.apart - gone) | set(answer["apart"])
        for found in self.lines.values():
            for line, seen in found.items():
                found[line] = seen - gone
        for file, found in answer["lines"].items():
            mine = self.lines.setdefault(file, {})
            for line, names in found.items():
                mine[int(line)] = mine.get(int(line), set()) | set(names)

    def covering(self, mutation: Mutation, text: str) -> set[str]:
        """The tests that ran the mutated lines; of lines that run on import only, those that ran any of the file."""
        found = self.lines.get(mutation.file, {})
        old = _old_lines(self.texts.get(mutation.file, text), text)
        lines = [old[line] for line in range(mutation.line, mutation.last_line + 1) if line in old]
        if lines and not _in_a_function(text, mutation.line):
            return set().union(*found.values())
        return set().union(*(found.get(line, set()) for line in lines))


def _in_a_function(text: str, line: int) -> bool:
    """Whether a line runs when a function is called; others run on import, in whichever test came first."""
    functions = (
        node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )
    return any(function.body[0].lineno <= line <= (function.end_lineno or line) for function in functions)


def _old_lines(old: str, new: str) -> dict[int, int]:
    """By line of the new text the line of the old one."""
    if old == new:
        return {line: line for line in range(1, new.count("\n") + 2)}
    matcher = difflib.SequenceMatcher(None, old.splitlines(), new.splitlines(), autojunk=False)
    return {b + n + 1: a + n + 1 for a, b, size in matcher.get_matching_blocks() for n in range(size)}


def chosen(covers: Map, mutation: Mutation, text: str, root: Path, limit: int) -> list[list[str]]:
    """The tests for a mutant, in batches: the quick ones of its own test file, the fastest others, the rest of its own.

    Where no mapped test sees the line, the test files of its name are run whole.
    """
    seen = covers.covering(mutation, text)
    own_files = _own_test_files(mutation.file, root)
    if seen and not _in_a_function(text, mutation.line):
        # A default or a constant may be seen without running any line of the file, such as a dataclass's.
        seen = seen | {name for name in covers.seconds if name.partition("::")[0] in own_files}
    seen = seen - covers.apart or seen
    if not seen:
        return [own_files] if own_files else []
    order = sorted(seen, key=lambda name: (covers.seconds[name], name))
    own = [name for name in order if name.partition("::")[0] in own_files]
    others = [name for name in order if name not in set(own)][: limit or None]
    quick = [name for name in own if covers.seconds[name] <= QUICK]
    return [batch for batch in (quick, others, [name for name in own if covers.seconds[name] > QUICK]) if batch]


def _own_test_files(file: str, root: Path) -> list[str]:
    """The test files that are named like a file or one of its folders."""
    path = Path(file)
    names = {path.stem, *(part.removeprefix("translate_") for part in path.parts[1:-1])} - {"method"}
    tests = (test.relative_to(root).as_posix() for test in (root / "tests").rglob("test_*.py"))
    return sorted(test for test in tests if Path(test).stem.removeprefix("test_") in names)


# --- recording ------------------------------------------------------------------------------------------------------


def parts_of(root: Path) -> list[str]:
    """What is recorded one by one: each file of tests, and the folders whose docstrings are tests."""
    files = [path.relative_to(root).as_posix() for path in (root / "tests").rglob("test_*.py")]
    return [*sorted(set(files) - set(LEFT_OUT)), *(name for name in MAPPED if (root / name).is_dir())]


def recording(part: str, mapped: Sequence[str]) -> Job:
    """A job that runs one part of the tests and answers with what each ran; tests that fail are left out."""
    return partial(_record, part=part, mapped=mapped)


def _record(tree: Path, part: str, mapped: Sequence[str]) -> dict[str, Any]:
    import coverage

    patterns = [f"{tree / name}{deeper}" for name in mapped for deeper in ("", "/**")]
    measure = coverage.Coverage(data_file=None, config_file=False, include=patterns)
    recorder = _Recorder(measure)
    measure.start()
    code = pytest_run(tree, [part], recorder)
    measure.stop()
    if code not in (0, 1, 5):
        raise RuntimeError(f"pytest ended with {code} in {part}")
    data = measure.get_data()
    lines: dict[str, dict[int, list[str]]] = {}
    for name in data.measured_files():
        found = {
            line: sorted({test for context in contexts for test in recorder.tests_of(context)})
            for line, contexts in data.contexts_by_lineno(name).items()
        }
        lines[Path(name).relative_to(tree).as_posix()] = found
    return {
        "seconds": {name: value for name, value in recorder.seconds.items() if name in recorder.passed},
        "apart": sorted(recorder.apart & recorder.passed),
        "lines": lines,
        "failed": sorted(recorder.failed),
    }


class _Recorder:
    """Tells coverage which test runs. What a fixture of several tests runs is seen by all that use it."""

    def __init__(self, measure: Any) -> None:
        self.measure = measure
        self.seconds: dict[str, float] = defaultdict(float)
        self.apart: set[str] = set()
        self.failed: set[str] = set()
        self.skipped: set[str] = set()
        self.users: dict[str, set[str]] = defaultdict(set)
        self.now = ""
        sys.addaudithook(self._audit)

    def _audit(self, event: str, _arguments: object) -> None:
        if event == "subprocess.Popen" and self.now:
            self.apart.add(self.now)

    @property
    def passed(self) -> set[str]:
        return set(self.seconds) - self.failed - self.skipped

    def tests_of(self, context: str) -> set[str]:
        """The tests that passed and saw what ran in a context."""
        kind, _, name = context.partition(" ")
        names = self.users[name] if kind == "fixture" else {name} if kind == "test" else set()
        return names & self.passed

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.now = item.nodeid
        for name in getattr(item, "fixturenames", ()):
            self.users[name].add(item.nodeid)
        self.measure.switch_context(f"test {item.nodeid}")
        try:
            return (yield)
        finally:
            self.now = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        if fixturedef.scope == "function":
            return (yield)
        self.measure.switch_context(f"fixture {fixturedef.argname}")
        try:
            return (yield)
        finally:
            self.measure.switch_context(f"test {self.now}")

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.skipped:
            self.skipped.add(report.nodeid)
        self.seconds[report.nodeid] += report.duration
