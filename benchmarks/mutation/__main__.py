"""Mutation run: would the tests notice if a line were wrong? Small faults are put in one at a time, and tests run.

A line's mutant is shown the tests that run that line, as a map says which is recorded once, until one fails. The map is
kept in ``.mutation/``; record it anew after files have moved, or for the files of tests that have changed.

    python -m benchmarks.mutation --map [TESTS ...]
    python -m benchmarks.mutation [--count 400] [--files PATTERN ...] [--only ID ...] [--json FILE] [--after FILE]

The code is the project's own, since ready tools start a process and import torch for each mutant, which takes longer
than the tests that kill most of them: here one process imports the heavy libraries and forks.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.mutation import covering, forks, table, targets, verdicts
from benchmarks.mutation.covering import Map

ROOT = Path(__file__).parents[2]
KEPT = ".mutation/map.json"
LONGEST = 1800.0
"""Seconds that one file of tests may take while the map is recorded."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Record the map or judge a sample of mutants; 1 if one without a reason survived that was asked for by id."""
    given = _parser().parse_args(arguments)
    root: Path = given.root.resolve()
    # So that forks and copies are cleared away then, too.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    if not given.cold:
        forks.warm()
    if given.map is not None:
        _record(root, given.map or covering.parts_of(root), given.mapped, given.jobs)
        return 0
    if not (root / KEPT).exists():
        sys.exit("there is no map of the tests yet; record it with --map")
    covers = Map.read(root / KEPT)
    if given.only:
        try:
            mutations = targets.named(root, given.only)
        except KeyError as error:
            sys.exit(f"there is no mutant {error.args[0]}")
    else:
        mutations = targets.sample(root, targets.files_of(root, given.files), given.count, given.seed)
    verdict_of = verdicts.killed_before(given.after, mutations, root) if given.after else {}
    asked = [mutation for mutation in mutations if mutation.id not in verdict_of]
    reasons = table.reasons_of()
    begun = time.monotonic()
    done = 0

    def told(verdict: verdicts.Verdict) -> None:
        nonlocal done
        done += 1
        place = f"{done}/{len(asked)} {verdict.mutation.id}: {verdict.result}"
        print(f"{place} in {verdict.seconds:.1f} s {verdict.by}".rstrip(), file=sys.stderr, flush=True)
        verdict_of[verdict.mutation.id] = verdict
        if given.json:
            # After each one, so that a run which is stopped can go on by --after.
            write(given.json)

    def write(path: Path) -> None:
        judged = [verdict_of[mutation.id] for mutation in mutations if mutation.id in verdict_of]
        facts = {"seed": given.seed, "limit": given.limit, "figures": table.figures(judged, reasons)}
        mutants = [{**one.to_json(), "reason": table.reason_of(one, reasons)} for one in judged]
        # The project's own code is imported in the forks alone, where it is mutated.
        temporary = path.with_name(f".{path.name}.part")
        temporary.write_text(json.dumps({**facts, "mutants": mutants}, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)

    verdicts.judge(asked, covers, root, jobs=given.jobs, limit=given.limit, told=told)
    found = [verdict_of[mutation.id] for mutation in mutations]
    counts = table.figures(found, reasons)
    print(table.table(found, reasons))
    print(f"\n{', '.join(f'{count} {name}' for name, count in counts.items())}; {time.monotonic() - begun:.0f} s")
    if given.json:
        write(given.json)
    return int(bool(given.only) and counts["killed"] + counts["timeout"] < len(found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mutation", description=(__doc__ or "").partition("\n")[0], allow_abbrev=False
    )
    parser.add_argument(
        "--map", nargs="*", metavar="TESTS", help="record which tests run which line, of all or of these"
    )
    parser.add_argument("--files", nargs="+", default=targets.TARGETS, metavar="PATTERN", help="files to mutate")
    parser.add_argument("--count", type=int, default=400, help="number of mutants (default 400)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample (default 0)")
    parser.add_argument("--only", nargs="+", metavar="ID", help="mutants such as translate/pool.py:30:comparison")
    parser.add_argument(
        "--limit", type=int, default=60, help="tests beside those of the file's own; 0 runs all (default 60)"
    )
    parser.add_argument("--jobs", type=int, default=2, help="forks at a time (default 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to a file")
    parser.add_argument(
        "--after", type=Path, metavar="FILE", help="results of an earlier run, whose killed mutants are not run again"
    )
    parser.add_argument("--root", type=Path, default=ROOT, help="the tree to mutate (default: this project's)")
    parser.add_argument("--mapped", nargs="+", default=targets.MAPPED, help="files and folders that the map covers")
    parser.add_argument("--cold", action="store_true", help="import nothing before forking")
    return parser


def _record(root: Path, parts: Sequence[str], mapped: Sequence[str], jobs: int) -> None:
    path = root / KEPT
    covers = Map.read(path) if path.exists() else Map()
    files = {file for name in mapped for file in targets.files_of(root, [name, f"{name}/**/*.py"])}
    covers.follow({file: (root / file).read_text(encoding="utf-8") for file in sorted(files)})
    tasks = [(covering.recording(part, mapped), LONGEST) for part in parts]
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        trees = [forks.copy_tree(root, Path(folder) / f"tree{number}") for number in range(jobs)]
        for number, answer, output, seconds in forks.run_all(tasks, trees):
            if answer is None or "timeout" in answer:
                sys.exit(f"the tests of {parts[number]} could not be recorded:\n{output[-3000:]}")
            covers.take(parts[number], answer)
            print(f"{parts[number]}: {len(answer['seconds'])} tests in {seconds:.0f} s", flush=True)
            for name in answer["failed"]:
                print(f"  without {name}, which fails here", flush=True)
            covers.write(path)


if __name__ == "__main__":
    sys.exit(main())
