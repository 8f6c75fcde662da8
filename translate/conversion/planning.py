"""Planning: which images become which files, and what must not be written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from translate import outputs
from translate.conversion.batch import AnyTranslator
from translate.conversion.manifest import FOLDER, unwritable
from translate.conversion.plan import Task, plan_single, suffix_rule
from translate.conversion.showing import target_side_by_side
from translate.conversion.standing import refuse_foreign, refuse_twins, refuse_within
from translate.conversion.stored_plan import Naming, planned
from translate.conversion.together import is_a_share
from translate.errors import TranslateError
from translate.inputs import Inputs


def plan_conversion(
    inputs: Inputs, target: Path, translator: AnyTranslator, asked: Mapping[str, Any]
) -> tuple[list[Task], list[Task]]:
    """All images of the plan, and those of this shard; refuse what must not be written."""
    strips = asked["side_by_side"]
    written = target_side_by_side(translator.source, translator.target) if strips else translator.target
    rule = suffix_rule(translator.source, written, asked["format"])
    samples = None if strips else asked["samples"]
    if inputs.single:
        if asked["shard"] is not None:
            raise TranslateError("convert: one image has no shards; leave out --shard, or name a folder")
        task = plan_single(inputs.files[0][1], target, rule, asked["format"], samples, asked["suffix"])
        if not asked["overwrite"]:
            outputs.refuse_existing(*task.outputs)
        _make_folder(task.outputs[0].parent, make=not asked["dry_run"])
        return [task], [task]
    if target.exists() and not target.is_dir():
        what = f"{inputs.folders[0]} is a folder" if inputs.folders else "there are several images"
        raise TranslateError(f"{target} is a file, but {what}; name a folder for the outputs")
    for folder in target.parents:
        if folder.exists() and not folder.is_dir():
            raise TranslateError(f"{folder} is a file, so {target} can be no folder in it; name another place")
    naming = Naming(rule, samples, asked["suffix"])
    names = [name for name, _ in inputs.files]
    # Before anything is stored, these must not be refused.
    unstored = planned(target, inputs.root, names, naming, store=False)
    files = dict(inputs.files)
    tasks = _tasks(unstored.outputs, files, target)
    if not is_a_share():
        refuse_twins(tasks)
        refuse_within(tasks, target, inputs.folders)
        if not asked["overwrite"]:
            root = os.path.realpath(inputs.root)
            refuse_foreign(tasks, target, moved_from=unstored.root if unstored.root != root else None)
    plan = unstored
    _make_folder(target, make=not asked["dry_run"])
    if asked["dry_run"]:
        _make_folder(target / FOLDER / "manifest", make=False)
    else:
        plan = planned(target, inputs.root, names, naming)
        tasks = _tasks(plan.outputs, files, target)
    # Of the stored plan, which another shard may have made of another listing.
    numbers = {name: number for number, name in enumerate(plan.outputs)}
    if asked["shard"] is None:
        return tasks, tasks
    shard, shards = asked["shard"]
    return tasks, [task for task in tasks if numbers[task.name] % shards == shard - 1]


def _tasks(planned_outputs: Mapping[str, tuple[str, ...]], files: Mapping[str, Path], target: Path) -> list[Task]:
    return [
        Task(files[name], name, tuple(target / path for path in paths))
        for name, paths in planned_outputs.items()
        if name in files
    ]


def _make_folder(folder: Path, *, make: bool) -> None:
    """Make a folder of outputs, or see only whether it could be made; raise ``TranslateError`` if it takes none."""
    if make:
        outputs.make_folder(folder)
    else:
        folder = outputs.folder_above(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise unwritable(folder, PermissionError(13, "permission denied"))
