"""The run: each mutant is written into a copy of the tree, its tests are run in a fork, and the verdict is told."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.mutation.covering import Map, chosen
from benchmarks.mutation.forks import Job, copy_tree, pytest_run, run_all
from benchmarks.mutation.mutations import Mutation

PATIENCE = 5
"""A mutant may take so many times the seconds of its tests, and no less than ``LEAST`` seconds."""

LEAST = 120.0
"""More than a survivor of some ninety quick tests takes on a busy machine, most of it before and between the tests."""

UNKNOWN = 300.0
"""Seconds for tests that the map does not know."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant: ``killed``, ``timeout``, ``survived``, ``no test``, or ``stale`` (the map is old)."""

    mutation: Mutation
    line: str
    changed: str
    result: str
    by: str
    tests: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """For the file of results."""
        told = {name: getattr(self, name) for name in ("line", "changed", "result", "by", "tests")}
        place = {"id": self.mutation.id, "file": self.mutation.file, "kind": self.mutation.kind}
        return {**place, **told, "seconds": round(self.seconds, 2)}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any], mutation: Mutation) -> Verdict:
        """What ``to_json`` gave, about this mutation."""
        told = {name: entry[name] for name in ("line", "changed", "result", "by", "tests", "seconds")}
        return cls(mutation, **told)


def killed_before(path: Path, mutations: Sequence[Mutation], root: Path) -> dict[str, Verdict]:
    """By id the verdicts in a file of results on mutants that were killed and are still the same ones."""
    entries = {entry["id"]: entry for entry in json.loads(path.read_text(encoding="utf-8"))["mutants"]}
    texts = {name: (root / name).read_text(encoding="utf-8") for name in {mutation.file for mutation in mutations}}
    found: dict[str, Verdict] = {}
    for mutation in mutations:
        entry = entries.get(mutation.id)
        if entry is None or entry["result"] != "killed":
            continue
        if (entry["line"], entry["changed"]) == _before_and_after(mutation, texts[mutation.file]):
            found[mutation.id] = Verdict.from_json(entry, mutation)
    return found


def judge(
    mutations: Sequence[Mutation], covers: Map, root: Path, *, jobs: int, limit: int, told: Callable[[Verdict], None]
) -> list[Verdict]:
    """The verdicts on mutants, in their order; ``told`` is called with each as it comes."""
    texts = {name: (root / name).read_text(encoding="utf-8") for name in {mutation.file for mutation in mutations}}
    verdicts: dict[int, Verdict] = {}
    tasks: list[tuple[Job, float]] = []
    numbers: list[int] = []
    batches = [chosen(covers, mutation, texts[mutation.file], root, limit) for mutation in mutations]

    def tell(number: int, answer: dict[str, Any] | None, seconds: float) -> None:
        mutation = mutations[number]
        result, by = _result(answer, bool(batches[number]))
        before, after = _before_and_after(mutation, texts[mutation.file])
        tests = sum(map(len, batches[number]))
        verdicts[number] = Verdict(mutation, before, after, result, by, tests, seconds)
        told(verdicts[number])

    for number, mutation in enumerate(mutations):
        if not batches[number]:
            tell(number, None, 0.0)
            continue
        names = [name for batch in batches[number] for name in batch]
        known = all(name in covers.seconds for name in names)
        seconds = max(LEAST, PATIENCE * sum(covers.seconds[name] for name in names)) if known else UNKNOWN
        tasks.append((partial(_try, mutation=mutation, text=texts[mutation.file], batches=batches[number]), seconds))
        numbers.append(number)
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        trees = [copy_tree(root, Path(folder) / f"tree{number}") for number in range(jobs)]
        for number, answer, _, seconds in run_all(tasks, trees):
            tell(numbers[number], answer, seconds)
    return [verdicts[number] for number in sorted(verdicts)]


def _before_and_after(mutation: Mutation, text: str) -> tuple[str, str]:
    """All of a statement in one line, before and after."""
    first, last = mutation.line - 1, mutation.last_line - 1
    before, after = text.splitlines(), mutation.apply(text).splitlines()
    stop = last + 1 + len(after) - len(before)
    return _joined(before[first : last + 1]), _joined(after[first:stop])


def _joined(lines: Sequence[str]) -> str:
    return " ".join(line.strip() for line in lines)


def _result(answer: dict[str, Any] | None, tested: bool) -> tuple[str, str]:
    if not tested:
        return "no test", ""
    if answer is None:
        return "killed", "the process died"
    if "timeout" in answer:
        return "timeout", ""
    if answer["code"] == 0:
        return "survived", ""
    if answer["code"] == pytest.ExitCode.INTERRUPTED and not answer["failed"]:
        return "killed", "an interrupt that no test expected"
    return ("killed", answer["failed"]) if answer["failed"] else ("stale", f"pytest ended with {answer['code']}")


def _try(tree: Path, mutation: Mutation, text: str, batches: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Run the tests on one mutant, until one fails."""
    place, aside = tree / mutation.file, tree.with_name(f"{tree.name}-unchanged")
    if aside.is_symlink():
        # A mutant that was stopped could not clean up.
        _write(aside.readlink(), aside.with_name(f"{aside.name}.txt").read_text(encoding="utf-8"))
        aside.unlink()
    aside.with_name(f"{aside.name}.txt").write_text(text, encoding="utf-8")
    aside.symlink_to(place)
    _write(place, mutation.apply(text))
    watcher = _Watcher()
    code = 0
    for batch in batches:
        code = pytest_run(tree, ["-x", *batch], watcher)
        # 5: all were deselected.
        if code not in (0, 5):
            break
    _write(place, text)
    aside.unlink()
    return {"code": 0 if code == 5 else code, "failed": watcher.failed}


def _write(place: Path, text: str) -> None:
    """Write a source so that no compiled file of another text of the same size and second is taken for its own."""
    place.write_text(text, encoding="utf-8")
    os.utime(place, (_moment(text), _moment(text)))


def _moment(text: str) -> int:
    return 1_000_000_000 + hash(text) % 1_000_000_000


class _Watcher:
    """Notes the first test, or file of tests, that fails."""

    def __init__(self) -> None:
        self.failed = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid or "collection"
