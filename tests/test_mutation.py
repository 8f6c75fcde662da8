"""The mutation run: what it changes and leaves alone, and on a toy that it tells a weak test from a strong one."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("benchmarks.mutation", reason="the benchmarks are not part of every distribution")
pytest.importorskip("coverage", reason="the map of the tests is recorded by coverage")

from benchmarks.mutation import forks, table, targets
from benchmarks.mutation.covering import LEFT_OUT, Map, chosen
from benchmarks.mutation.mutations import Mutation, mutations_of
from benchmarks.mutation.verdicts import Verdict

ROOT = Path(__file__).parents[1]


def changed(line: str) -> dict[str, str]:
    """By kind what a line becomes, without the brackets that only keep it whole."""
    source = f"{line}\n"
    return {
        one.id.partition(":")[2].partition(":")[2]: ast.unparse(ast.parse(one.apply(source)))
        for one in mutations_of(source, "f.py")
    }


@pytest.mark.parametrize(
    ("line", "kind", "wanted"),
    [
        ("y = a < b", "comparison", "y = a <= b"),
        ("y = a == b", "comparison", "y = a != b"),
        ("y = a is None", "comparison", "y = a is not None"),
        ("y = a + b", "arithmetic", "y = a - b"),
        ("y = a * b", "arithmetic", "y = a / b"),
        ("y = 1 - decay", "complement", "y = decay"),
        ("y = a and b", "boolean", "y = a or b"),
        ("y = not a", "boolean", "y = a"),
        ("y = 3", "constant", "y = 4"),
        ("y = True", "constant", "y = False"),
        ("y = 0.5", "constant", "y = 1.0"),
        ("y = a if b else c", "condition", "y = c if b else a"),
        ("while a: b()", "condition", "while not a:\n    b()"),
        ("f(a)", "statement", "pass"),
        ("a.b = c", "assignment", "pass"),
        ("raise KeyError(3)", "raise", "pass"),
        ("f(a, b, c)", "arguments", "f(b, a, c)"),
        ("y = {'forward': a, 'backward': b}", "values", "y = {'forward': b, 'backward': a}"),
        ("y = f(a, b=c)", "keyword", "y = f(a)"),
        ("y = min(a, b)", "extremum", "y = max(a, b)"),
        ("y = a.max()", "extremum", "y = a.min()"),
        ("y = f(a).detach()", "detach", "y = f(a)"),
    ],
)
def test_each_kind_of_mutation(line: str, kind: str, wanted: str) -> None:
    assert changed(line)[kind] == wanted


@pytest.mark.parametrize(
    "text",
    [
        '"""Texts: 1 + 1."""',
        "def f(a: Annotated[int, Option(ge=1)]) -> Literal[1]: ...",
        "if TYPE_CHECKING:\n    x = 1",
        "__all__ = [1]",
        "@dataclass(frozen=True)\nclass A:\n    b: int",
        "class A:\n    def __repr__(self):\n        return f(1)",
        "assert a < 1",
        "y = f'{a + 1}'",
        "y = zip(a, a, strict=True)",
        "y = a / 'name'",
    ],
)
def test_what_says_nothing_about_behaviour_is_left_alone(text: str) -> None:
    assert mutations_of(text, "f.py") == []


def test_of_an_error_and_of_the_log_only_whole_statements_go() -> None:
    assert list(changed("raise Error(f'{a}', 1 + 2, b=3)")) == ["raise"]
    assert list(changed("log.warning('%d', 1 + 2)")) == ["statement"]


def test_every_mutation_is_another_program_and_has_its_own_id() -> None:
    file = "plugins/translate_cyclegan/method.py"
    source = (ROOT / file).read_text(encoding="utf-8")
    found = mutations_of(source, file)
    assert len(found) > 20
    assert len({one.id for one in found}) == len(found)
    before = ast.dump(ast.parse(source))
    dumps = [ast.dump(ast.parse(one.apply(source))) for one in found]
    assert before not in dumps
    assert len(set(dumps)) == len(dumps)


def test_places_are_right_behind_letters_of_several_bytes() -> None:
    (one,) = mutations_of('y = "ä→", a == b\n', "f.py")
    assert one.apply('y = "ä→", a == b\n') == 'y = "ä→", (a != b)\n'


def test_a_sample_is_even_and_seeded(tmp_path: Path) -> None:
    (tmp_path / "short.py").write_text("y = a + b\n" * 10)
    (tmp_path / "long.py").write_text("y = a + b\n" * 30)
    files = targets.files_of(tmp_path, ["*.py", "none/*.py"])
    assert files == ["long.py", "short.py"]
    drawn = targets.sample(tmp_path, files, 8, seed=0)
    assert [one.file for one in drawn] == ["long.py"] * 6 + ["short.py"] * 2
    assert drawn == targets.sample(tmp_path, files, 8, seed=0)
    assert drawn != targets.sample(tmp_path, files, 8, seed=1)
    assert len(targets.sample(tmp_path, files, 1000, seed=0)) == 40


def test_the_command_imports_nothing_that_is_mutated() -> None:
    """What the first process has imported would be tested in place of the mutants of its forks."""
    code = (
        "import sys, benchmarks.mutation.__main__ as command; command.forks.warm()\n"
        "print([name for name in sys.modules if name.partition('_')[0].partition('.')[0] == 'translate'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_the_targets_and_the_tests_left_out_exist() -> None:
    files = targets.files_of(ROOT)
    assert len(files) > 20
    assert "plugins/translate_cyclegan/method.py" in files
    assert all((ROOT / name).exists() for name in LEFT_OUT)


def mutation(file: str, line: int, last: int | None = None) -> Mutation:
    return Mutation(f"{file}:{line}:x", file, line, last or line, "x", 0, 0, "")


def test_the_tests_of_a_line_follow_it_through_changes(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").touch()
    covers = Map(texts={"a.py": "one = 1\ndef two():\n    return 2\n"})
    covers.take(
        "tests/test_a.py",
        {"seconds": {"tests/test_a.py::slow": 3.0, "tests/test_a.py::quick": 0.1}, "apart": [], "lines": {
            "a.py": {"1": ["tests/test_a.py::quick"], "3": ["tests/test_a.py::slow", "tests/test_a.py::quick"]}
        }},
    )  # fmt: skip
    covers.take(
        "tests/test_b.py",
        {"seconds": {f"tests/test_b.py::{n}": n for n in (3, 2, 1)}, "apart": ["tests/test_b.py::1"], "lines": {
            "a.py": {"3": [f"tests/test_b.py::{n}" for n in (3, 2, 1)]}
        }},
    )  # fmt: skip
    path = tmp_path / "map.json"
    covers.write(path)
    covers = Map.read(path)
    text = "before = 0\none = 1\ndef two():\n    return 2\n"
    batches = chosen(covers, mutation("a.py", 4), text, tmp_path, limit=1)
    assert batches == [["tests/test_a.py::quick"], ["tests/test_b.py::2"], ["tests/test_a.py::slow"]]
    # A line that runs on import is seen by all that run any of the file; a new line by the file of its name.
    on_import = chosen(covers, mutation("a.py", 2), text, tmp_path, limit=0)
    assert on_import == [*batches[:1], [*batches[1], "tests/test_b.py::3"], *batches[2:]]
    covers.seconds["tests/test_a.py::looks"] = 0.5
    looks = [["tests/test_a.py::quick", "tests/test_a.py::looks"], *batches[1:]]
    assert chosen(covers, mutation("a.py", 2), text, tmp_path, limit=1) == looks
    assert chosen(covers, mutation("a.py", 4), text, tmp_path, limit=1) == batches
    assert chosen(covers, mutation("a.py", 1), text, tmp_path, limit=1) == [["tests/test_a.py"]]
    assert chosen(covers, mutation("c.py", 1), text, tmp_path, limit=1) == []
    covers.take("tests/test_a.py", {"seconds": {}, "apart": [], "lines": {}})
    covers.follow({"a.py": text})
    assert covers.lines["a.py"] == {2: set(), 4: {f"tests/test_b.py::{n}" for n in (1, 2, 3)}}


def test_the_table_knows_reasons_by_the_text_of_the_line(tmp_path: Path) -> None:
    path = tmp_path / "survivors.toml"
    path.write_text('[[survivor]]\nfile = "a.py"\nkind = "x"\nline = "y = a | b"\nreason = "equivalent"\n')
    reasons = table.reasons_of(path)
    verdicts = [
        Verdict(mutation("a.py", 7), "y = a | b", "y = b", "survived", "", 3, 1.0),
        Verdict(mutation("a.py", 8), "y = c", "y = d", "survived", "", 3, 1.0),
        Verdict(mutation("a.py", 9), "y = e", "y = f", "killed", "tests/test_a.py::t", 3, 1.0),
    ]
    text = table.table(verdicts, reasons)
    assert "| `a.py` | 3 | 1 | 2 | 1 | 0 |" in text
    assert "| `a.py:7:x` | `y = a \\| b` | `y = b` | survived | equivalent |" in text
    assert "| `a.py:8:x` | `y = c` | `y = d` | survived |  |" in text
    assert "a.py:9" not in text


def test_the_reasons_kept_are_about_lines_that_exist() -> None:
    for (file, kind, line), reason in table.reasons_of().items():
        source = (ROOT / file).read_text(encoding="utf-8")
        lines = source.splitlines()
        found = {
            (" ".join(text.strip() for text in lines[one.line - 1 : one.last_line]), one.kind)
            for one in mutations_of(source, file)
        }
        assert (line, kind) in found, f"survivors.toml: {file} has no {kind} in {line!r}"
        assert reason


def left_running(_tree: Path, count: int, seconds: float) -> dict[str, list[int]]:
    """A job that starts processes in groups of their own and does not end them."""
    found = [subprocess.Popen(["sleep", "60"], process_group=0).pid for _ in range(count)]
    time.sleep(seconds)
    return {"started": found}


def runs(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes() != b""
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds processes in /proc")
def test_processes_that_tests_leave_are_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    ((_, answer, _, _),) = forks.run_all([(partial(left_running, count=3, seconds=0.5), 20.0)], [tree])
    assert answer is not None
    assert len(answer["started"]) == 3
    assert not any(runs(number) for number in answer["started"])
    # Without end: it is stopped long before its limit.
    monkeypatch.setattr(forks, "MOST_PROCESSES", 4)
    ((_, answer, _, seconds),) = forks.run_all([(partial(left_running, count=6, seconds=60.0), 60.0)], [tree])
    assert answer == {"timeout": True}
    assert seconds < 30


TOY = '''"""A toy."""


def larger(a, b):
    return a > b


def half(x):
    return x / 2


def count(steps):
    while steps > 0:
        steps = steps - 1
    return steps


def stop(wanted):
    if wanted:
        raise KeyboardInterrupt
'''

TESTS = """
import pytest
from toy.parts import things


@pytest.fixture(scope="module")
def made():
    return things.half(4)


def test_weak():
    assert things.larger(2, 1)


def test_first(made):
    assert made > 0


def test_strong(made):
    assert made == 2


def test_goes_on():
    things.stop(False)
"""


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    given = [sys.executable, "-m", "benchmarks.mutation", "--cold", *arguments]
    return subprocess.run(given, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_weak_test_lets_a_mutant_live_and_a_strong_one_kills_it(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "toy" / "parts").mkdir(parents=True)
    (tmp_path / "toy" / "parts" / "things.py").write_text(TOY)
    (tmp_path / "tests" / "test_toys.py").write_text(TESTS)
    root = ("--root", str(tmp_path))
    assert "there is no map" in command(*root).stderr
    mapped = command(*root, "--map", "--mapped", "toy")
    assert mapped.stdout.startswith("tests/test_toys.py: 4 tests in"), mapped.stderr
    wanted = {
        "toy/parts/things.py:5:comparison": "survived",
        "toy/parts/things.py:9:arithmetic": "killed",
        "toy/parts/things.py:9:return": "killed",
        "toy/parts/things.py:19:condition": "killed",
        "toy/parts/things.py:14:arithmetic": "no test",
    }
    done = command(*root, "--only", *wanted, "--json", str(tmp_path / "results.json"))
    assert done.returncode == 1, done.stderr
    results: dict[str, Any] = json.loads((tmp_path / "results.json").read_text())
    mutants = {one["id"]: one for one in results["mutants"]}
    assert {name: one["result"] for name, one in mutants.items()} == wanted
    # The strong test is credited with what its module's fixture ran for the test before it.
    assert mutants["toy/parts/things.py:9:arithmetic"]["by"] == "tests/test_toys.py::test_strong"
    assert results["figures"]["killed"] == 3
    assert "| `toy/parts/things.py:5:comparison` | `return a > b` | `return (a >= b)` | survived |  |" in done.stdout
    assert (tmp_path / "toy" / "parts" / "things.py").read_text() == TOY
    # A later run takes over what was killed, and runs the rest again, with the tests as they are by then.
    stronger = TESTS.replace("assert things.larger(2, 1)", "assert things.larger(2, 1) and not things.larger(1, 1)")
    (tmp_path / "tests" / "test_toys.py").write_text(stronger)
    files = [str(tmp_path / f"{name}.json") for name in ("results", "again")]
    again = command(*root, "--only", *wanted, "--after", files[0], "--json", files[1])
    assert [line.split()[1] for line in again.stderr.splitlines() if line[:1].isdigit()] == [
        "toy/parts/things.py:14:arithmetic:", "toy/parts/things.py:5:comparison:",
    ]  # fmt: skip
    later = {one["id"]: one for one in json.loads(Path(files[1]).read_text())["mutants"]}
    assert list(later) == list(wanted)
    assert later["toy/parts/things.py:5:comparison"]["by"] == "tests/test_toys.py::test_weak"
    assert later["toy/parts/things.py:9:return"] == mutants["toy/parts/things.py:9:return"]
    assert (
        "there is no mutant toy/parts/things.py:5:nothing"
        in command(*root, "--only", "toy/parts/things.py:5:nothing").stderr
    )
