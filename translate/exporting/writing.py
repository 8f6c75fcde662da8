"""Writing: a trained translator exported to a file, which takes its name only once it has answered as torch does."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from translate import __version__, atomic, outputs
from translate.directions import domains_of, role_of
from translate.embedded import SUFFIXES, Format
from translate.errors import TranslateError, nearest
from translate.exported import Facts
from translate.exporting import Export
from translate.exporting.comparing import example, largest_difference, sizes_to_compare
from translate.exporting.formats import WRITERS, Writer
from translate.exporting.program import Program, capture, draws_noise, reason_of
from translate.libraries import quiet
from translate.parts import SavedMethod
from translate.plugins import OURS, discover
from translate.taken import Taken, Wanted, taken_of
from translate.traits import Traits

log = logging.getLogger("translate")


def export_as_asked(
    run: Path, target: Path, asked: Mapping[str, Any], plugins: Sequence[str], no_plugins: Sequence[str]
) -> Export:
    """Do what ``translate.export`` promises."""
    kind = _format_of(target, asked["format"])
    writer = WRITERS[kind]
    files = tuple(target.with_suffix(suffix) if number else target for number, suffix in enumerate(writer.suffixes))
    if asked["opset"] is not None and kind != "onnx":
        raise TranslateError(f"--opset is a version of ONNX operators, and {target} is no ONNX file; leave it out")
    _check_place(files, asked["overwrite"])
    with quiet():
        versions = writer.needs()
    saved = SavedMethod.open(run, discover(extra=plugins, blocked=no_plugins), asked["step"])
    direction = _direction_of(saved, run, asked["direction"])
    source, _ = domains_of(saved.metadata, direction)
    network = saved.module(direction).eval().requires_grad_(False)
    taken = taken_of(saved.metadata, direction, network)
    options, inputs = _held(taken, asked, network, str(run))
    program = capture(
        network, source, f"the network {direction!r} of {run}", options=options, inputs=inputs, trained=saved.size
    )
    pairs = sizes_to_compare(saved.size, program.size_multiple, program.fixed_size)
    if not taken and draws_noise(network, example(source, *pairs[0])):
        log.warning("%s draws noise; its deterministic output is exported, which it has without --samples", run)
    facts = _facts(saved, direction, program, versions, options).to_json()
    difference = _write(program, writer, files, facts, asked["opset"], pairs)
    return Export(files, kind, direction, difference, tuple(size for _, size in pairs))


def _format_of(target: Path, asked: str) -> Format:
    """The format of a file by its name, which must fit the one that was asked for, if any."""
    found = SUFFIXES.get(target.suffix.lower())
    suffixes = {kind: suffix for suffix, kind in SUFFIXES.items()}
    if found is not None and asked in ("auto", found):
        return found
    if asked == "auto":
        raise TranslateError(
            f"the name {target.name!r} says no format; let it end in .onnx, .pt2 (torch) or .xml (OpenVINO)"
        )
    suffix = suffixes[asked]  # type: ignore[index]
    raise TranslateError(f"a file of the format {asked} ends in {suffix}; name it {target.with_suffix(suffix)}")


def _check_place(files: Sequence[Path], overwrite: bool) -> None:
    """Raise ``TranslateError`` unless files can be made there, before the work of minutes."""
    folder = files[0].absolute().parent
    if not folder.is_dir():
        raise TranslateError(f"there is no folder {folder} for {files[0].name}; make it first")
    if not overwrite:
        outputs.refuse_existing(*files)
    for file in files:
        if file.is_dir() or atomic.is_special(file):
            raise TranslateError(f"{file} is a folder or a device, where no file can be put; name another place")


def _direction_of(saved: SavedMethod, run: Path, asked: str | None) -> str:
    """The translator to export: the one asked for, or the first."""
    directions = saved.directions("translator")
    if asked is not None and asked in saved.metadata["directions"] and asked not in directions:
        raise TranslateError(
            f"the direction {asked!r} of {run} is a {role_of(asked)}; only networks from images to images are exported"
        )
    if not directions:
        raise TranslateError(
            f"{run} keeps no network from images to images, which alone can be exported; "
            f"it has {', '.join(saved.metadata['directions'])}"
        )
    chosen = asked or directions[0]
    if chosen not in directions:
        raise TranslateError(f"{run} has no direction {chosen!r}; {nearest(chosen, directions)}")
    return chosen


def _held(
    taken: Taken, asked: Mapping[str, Any], network: nn.Module, where: str
) -> tuple[dict[str, Any], list[Wanted]]:
    """The options that the file holds, and the inputs that it takes behind its image."""
    if Traits(network).draws_noise:
        raise TranslateError(
            f"{where} draws noise in every pass, so a file would answer otherwise each time; only noise that a network "
            "takes as an input can be exported"
        )
    given = asked["given"] or {}
    taken.check_names({**given, **dict.fromkeys(asked["inputs"])}, where)
    for name in given:
        if name in taken.inputs:
            raise TranslateError(f"{where}: {name} is an input of the network; let the file take it by --with {name}")
    for name in asked["inputs"]:
        if name in taken.options:
            raise TranslateError(f"{where}: {name} is an option of the network; fix it with --set {name}=VALUE")
    inputs = [each for each in taken.inputs.values() if each.required or each.drawn or each.name in asked["inputs"]]
    for each in inputs:
        if each.kind == "vector" and each.length is None:
            raise TranslateError(
                f"{where} does not tell how long the vectors {each.name} are, so it cannot be exported"
            )
    left = [name for name in taken.inputs if all(name != each.name for each in inputs)]
    if left:
        log.warning("%s is exported without the inputs %s; --with NAME exports one", where, ", ".join(left))
    return taken.constants(given, where), inputs


def _facts(
    saved: SavedMethod, direction: str, program: Program, versions: Mapping[str, str], options: Mapping[str, Any]
) -> Facts:
    source, target = domains_of(saved.metadata, direction)
    plugin = saved.metadata["plugin"]
    fixed = program.fixed_size
    return Facts(
        format_version=1,
        direction=direction,
        source=asdict(source),
        target=asdict(target),
        size=list(saved.size),
        size_multiple=program.size_multiple,
        fixed_size=None if fixed is None else list(fixed),
        licence=saved.metadata.get("licence"),
        about=saved.metadata.get("about"),
        versions={plugin["distribution"]: plugin["version"], OURS: __version__, "torch": torch.__version__, **versions},
        method=saved.metadata["method"],
        inputs=Taken(inputs={each.name: each for each in program.inputs}).to_json()["inputs"] or None,
        options={name: list(each) if isinstance(each, tuple) else each for name, each in options.items()} or None,
    )


def _write(
    program: Program,
    writer: Writer,
    files: Sequence[Path],
    facts: str,
    opset: int | None,
    pairs: list[tuple[int, tuple[int, int]]],
) -> float:
    """Write the files, compare them with torch, and only then let them take their names; their difference."""
    target = files[0]
    atomic.sweep(target.absolute().parent)
    try:
        with atomic.replacing_together(files) as temporary:
            try:
                with quiet(), torch.no_grad():
                    writer.write(program, temporary[0], facts, opset)
                    return largest_difference(program, writer.open(temporary[0]), pairs, "the exported network")
            except OSError:
                raise
            except Exception as error:  # an exporter or a runtime, in all the ways in which they can fail
                hint = "" if isinstance(error, TranslateError) else "; try another --format"
                raise TranslateError(f"{target} was not written: {reason_of(error)}{hint}") from None
    except OSError as error:
        raise TranslateError(
            f"cannot write {target}: {error.strerror or error}; check its permissions and the disk's space"
        ) from None
