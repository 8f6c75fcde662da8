"""Facts: what a run's folder says of a run: its state, options, machine, warnings, files and the commands to go on."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from translate import lock, webpage
from translate.errors import TranslateError
from translate.lists import split_list
from translate.numbered import steps_of
from translate.options import Call
from translate.paths import quoted
from translate.reporting import journal
from translate.reporting.evaluations import Tables
from translate.reporting.grids import MOST_LISTED, Grid, Pictures, grids_of
from translate.reporting.guarding import Guarding
from translate.reporting.journal import Journal
from translate.reporting.series import Series
from translate.reporting.texts import text_of
from translate.run import Config, Run
from translate.schema import FactsError, parse_json, read_text
from translate.tensor_header import read_header
from translate.terminal import printable

State = Literal["running", "finished", "stopped", "damaged"]

HIGHER = re.compile(r"psnr|ssim|accuracy|iou|agreement|precision|recall|density|coverage|diversity|elbo|inception")
"""Names of scores of which a higher one is better, as far as names tell; of all others a lower one is."""

VALIDATION = "validation/"
"""How the names of scores on held-out images begin."""


def state_of(run: Run, step: int) -> State:
    """What has become of a run that has done ``step`` steps; a training may end before all that were asked for."""
    if lock.is_locked(run.folder):
        return "running"
    ends = journal.read(run.folder).of("end")
    ended = bool(ends) and ends[-1].get("reason") == "finished" and ends[-1].get("step") == step
    return "finished" if ended or step >= run.steps else "stopped"


def last_step(run: Run, series: Series) -> int:
    """The last step that the log or a checkpoint of a run tells of."""
    return max(series.last_step, *steps_of(run.folder), 0)


def best_of(run: Run, tables: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The score of the checkpoint that was kept as the best, else the best of the first validation score.

    ``better`` is what the name of such a score was taken to mean, ``file`` the translator that was kept.
    """
    for path, facts in kept_best(run):
        chosen = facts["chosen"]
        found = {"score": printable(chosen["score"]), "value": chosen["value"], "step": facts.get("step")}
        return {**found, "split": printable(chosen["split"]), "file": printable(path.name)}
    for table in tables:
        for curve in table["curves"]:
            if curve["name"].startswith(VALIDATION) and "high_at" in curve:
                better = "high" if HIGHER.search(curve["name"].lower()) else "low"
                return {
                    "score": curve["name"].removeprefix(VALIDATION), "better": f"{better}er",
                    "value": curve[f"{better}est"], "step": curve[f"{better}_at"],
                }  # fmt: skip
    return None


def kept_best(run: Run) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The translators that a run has kept since a validation preferred them, with what their headers say."""
    for path in sorted(run.folder.glob("best-*.safetensors")):
        with suppress(TranslateError, OSError):
            facts = read_header(path).facts
            if isinstance(facts.get("chosen"), Mapping) and facts["chosen"].keys() >= {"score", "value", "split"}:
                yield path, facts


def options_of(config: Config) -> Iterator[tuple[str, Any, bool]]:
    """All options of a run, the method's own first, each with its name, value and whether that is the default.

    Of the method's own options a run keeps those that were asked for.
    """
    for name, value in config.options.items():
        yield name, value, False
    # As a file holds them, in which a tuple is a list.
    own, defaults = (json.loads(json.dumps(each.to_json())) for each in (config, Config(method="", data="")))
    for name, value in own.items():
        if name not in ("method", "data", "options"):
            yield name, value, value == defaults[name]


class RunFacts:
    """A run's folder as JSON values for a page; what has been read and encoded is kept for the next time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.series = Series(folder)
        self.guarding = Guarding(folder)
        self.tables = Tables()
        """Those of its evaluations."""
        self.pictures = Pictures()

    def collect(self, base: Path | None, *, state: State | None = None, most: int, room: int) -> dict[str, Any]:
        """All that the folder says. Pictures that are not held are linked relative to ``base``, or, with None, by step.

        ``state`` is what whoever trains the run knows of it. ``most`` and ``room`` bound the pictures that are held.
        Raises ``TranslateError`` if the folder is no run.
        """
        run = Run.open(self.folder)
        self.series.read()
        self.guarding.read()
        run.step = last_step(run, self.series)
        state = state or state_of(run, run.step)
        facts = _json_of(run.folder / "config.json")
        entries = journal.read(run.folder)

        def link(grid: Grid) -> str | None:
            if base is None:
                return f"grids/{grid.step}"
            try:
                return webpage.relative_url(os.path.relpath(grid.path, base))
            except ValueError:  # another drive of Windows
                return None

        problems: list[str] = []
        try:
            grids = grids_of(run)
        except OSError as error:
            grids = []
            problems.append(f"the sample grids cannot be read: {error.strerror or error}")
        if len(grids) > MOST_LISTED:
            problems.append(f"of {len(grids):,} sample grids the last {MOST_LISTED:,} are shown")
            grids = grids[-MOST_LISTED:]
        shown, tables = self.pictures.listed(grids, link, most=most, room=room), self.series.curves()
        if unreadable := shown.pop("unreadable"):
            problems.append(f"{unreadable} of the sample grids cannot be read, so the page lacks them")
        return {
            "folder": printable(run.folder.resolve()),
            "method": printable(Call(run.config.method)),
            "about": printable(run.config.about) if run.config.about else "",
            "data": printable(run.config.data),
            "state": state,
            "step": run.step,
            "steps": run.steps,
            "written": round(time.time()),
            "options": [[printable(name), text_of(value), same] for name, value, same in options_of(run.config)],
            "own": len(run.config.options),
            "domains": [[printable(name), text_of(each)] for name, each in _mapping(facts.get("domains")).items()],
            "environment": list(_environment(facts, entries)),
            "notes": _notes(run, facts, entries, self.series, self.guarding, problems),
            "guard": self.guarding.facts(),
            "commands": list(_commands(run, state, facts.get("paired"))),
            "files": _files(run),
            "best": best_of(run, tables),
            "tables": tables,
            "rows": self.series.rows,
            "grids": shown,
        }


def _json_of(path: Path) -> Mapping[str, Any]:
    try:
        return _mapping(parse_json(read_text(path)))
    except (OSError, FactsError):
        return {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _environment(facts: Mapping[str, Any], entries: Journal) -> Iterator[list[str]]:
    for row in entries.of("begin")[-1:]:
        yield from ([name, text_of(row[name])] for name in ("machine", "accelerator", "system") if row.get(name))
    for name in ("device", "threads", "ranks", "plugin"):
        if name in facts:
            yield [name, text_of(facts[name])]
    for name, version in _mapping(facts.get("versions")).items():
        yield [printable(name), text_of(version)]
    if "data" in facts:
        yield ["fingerprint of the data", text_of(facts["data"])]


def _notes(
    run: Run,
    facts: Mapping[str, Any],
    entries: Journal,
    series: Series,
    guarding: Guarding,
    problems: Iterable[str],
) -> list[dict[str, Any]]:
    """What somebody should know: warnings, changes of settings, resumptions, images that were left out."""
    notes: list[dict[str, Any]] = []

    def note(kind: str, text: object, row: Mapping[str, Any] = {}) -> None:
        found: dict[str, Any] = {"kind": kind, "text": printable(str(text)[: journal.LONGEST])}
        found |= {name: row[name] for name in ("step", "time") if name in row}
        notes.append(found)

    if series.unreadable:
        lines = f"{series.unreadable} line{'s' if series.unreadable > 1 else ''}"
        note("warning", f"metrics.jsonl holds {lines} that cannot be read, left out here")
    if series.left_out:
        note("warning", f"{len(series.left_out)} scalars are not drawn, since there are too many: "
                        f"{', '.join(list(series.left_out)[:10])}")  # fmt: skip
    for side, missing in _mapping(facts.get("left_out")).items():
        count = len(_mapping(missing))
        note("warning", f"{count} image{'s' if count != 1 else ''} of {side} left out: "
                        f"{'; '.join(list(map(str, _mapping(missing).values()))[:5])}")  # fmt: skip
    try:
        for change in run.changes:
            note("change", change, {"step": change.step})
    except TranslateError as error:
        note("warning", error)
    for problem in filter(None, (entries.problem, guarding.problem, *problems)):
        note("warning", problem)
    for row in guarding.warnings:
        note("guard", row["text"], row)
        notes[-1]["advice"] = row["advice"]
    for row in entries.of("told"):
        if any(each["text"] and each["text"] in str(row.get("text")) for each in guarding.warnings):
            continue  # as it stood on the console
        note("warning" if row.get("level") == "warning" else "log", row.get("text", ""), row)
    for row in entries.of("begin"):
        if row.get("step"):
            note("resumed", f"resumed at step {row['step']}", row)
    for row in entries.of("end"):
        if row.get("reason") != "finished":
            note("ended", f"ended at step {row.get('step')}: {row.get('reason')}", row)
    return notes


def _metrics(run: Run, roles: set[str], paired: object) -> list[str]:
    """Metrics that fit a run: those of its validation, else one for what its networks do and the data that it has."""
    if run.config.validate:
        return [each for text in run.config.validate for each in split_list(text) if each]
    if roles == {"classifier"}:
        return ["classification_error"]
    # Runs of earlier versions do not say whether their data is paired.
    return ["ssim"] if "translator" in roles and paired is not False else ["kid(extractor=EXTRACTOR)"]


def _commands(run: Run, state: State, paired: object) -> Iterator[list[str]]:
    folder, data = quoted(run.folder), quoted(run.config.data)
    if state == "running":
        yield ["watch it", f"translate watch {folder}"]
    elif state == "stopped":
        yield ["go on", f"translate fit --resume {folder}"]
    else:
        yield ["train longer", f"translate fit --resume {folder} --steps {run.steps * 2}"]
    roles = _roles(run)
    if "translator" in roles:
        yield ["convert images", f"translate convert {folder} IN OUT --gallery"]
        for path, facts in kept_best(run):
            score = printable(facts["chosen"]["score"])
            yield [f"with the best {score}", f"translate convert {quoted(path)} IN OUT --gallery"]
    if "sampler" in roles:
        yield ["make images", f"translate sample {folder} OUT"]
    if "classifier" in roles:
        yield ["tell classes", f"translate classify {folder} IN"]
    measured = " ".join(f"--metric {quoted(metric)}" for metric in _metrics(run, roles, paired))
    yield ["measure it", f"translate evaluate {folder} {data} {measured}"]
    yield ["train the same anew", f"translate fit --config {quoted(run.folder / 'config.json')} -o NEW"]
    yield ["this report anew", f"translate report {folder}"]


def _roles(run: Run) -> set[str]:
    """What the networks of a run are for, as its translator's header says; a translator where there is none yet."""
    from translate.description import show

    try:
        return set(show(run.translator).directions.values()) or {"translator"}
    except (TranslateError, OSError):
        return {"translator"}


def _files(run: Run) -> list[list[Any]]:
    best = (path for place in (run.folder, run.folder / "checkpoints") for path in place.glob("best-*.safetensors"))
    named = [run.translator, *run.checkpoints, *sorted(best)]
    found = []
    for path in named:
        try:
            found.append([printable(path.relative_to(run.folder)), path.stat().st_size])
        except OSError:
            continue
    return found
