"""Two folders of paired files, matched by name or by order."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from translate.data import Dataset, Example
from translate.options import Call, Option
from translate_datasets.domains import describe
from translate_datasets.labels import LabelSeed, LabelsPerClass, LabelTable, label, label_options
from translate_datasets.listing import Files, HoldOut, all_paths, choose_sides, count_named, files, hold_out, paths_of
from translate_datasets.maps import Classes, Ignore, Maps, Palette, Which
from translate_datasets.pairing import Pair, by_name, by_order, different_numbers
from translate_datasets.streams import Aligned, VectorsBeside, stream_options, with_streams
from translate_datasets.values import AlphaPlane, Background, Bits, High, Low, Ranged, Values


def folders(
    root: Path,
    *,
    source: Annotated[str | None, Option("name of the source's folder (default: a usual one)")] = None,
    target: Annotated[str | None, Option("name of the target's folder (default: a usual one)")] = None,
    match: Annotated[
        Literal["stem", "order", "index"],
        Option("how files are paired: by name, by order with equal numbers, or by order whatever the numbers"),
    ] = "stem",
    classes: Classes = None,
    palette: Palette = None,
    maps: Which = None,
    ignore: Ignore = None,
    low: Low = None,
    high: High = None,
    bits: Bits = None,
    ranged: Ranged = None,
    background: Background = "white",
    alpha: AlphaPlane = None,
    holdout: HoldOut = 0.1,
    labels: LabelTable = None,
    labels_per_class: LabelsPerClass = None,
    label_seed: LabelSeed = 0,
    aligned: Aligned = None,
    vectors: VectorsBeside = None,
) -> Dataset:
    """List pairs in SPLIT/NAME, NAME/SPLIT, trainA and trainB, or NAME: two folders of images; suffixes may differ."""
    found = choose_sides(root, source, target, "folders")
    problems: list[str] = []
    notes: list[str] = []
    values = Values(low, high, bits, ranged, background, alpha)
    asked = Maps(classes, palette, maps, ignore)
    splits: dict[str, dict[str, list[Example]]] = {}
    for split, (first, second) in found.folders.items():
        pairs = _pair(files(first, problems), files(second, problems), match, (first, second), problems, notes)
        if split:
            splits[split] = _examples(pairs)
            continue
        held = hold_out([stem for stem, _, _ in pairs], holdout)
        splits["train"] = _examples([pair for pair in pairs if pair[0] not in held])
        if held:
            splits["val"] = _examples([pair for pair in pairs if pair[0] in held])
    if not splits.get("train", {}).get("source") and not any(sides["source"] for sides in splits.values()):
        problems.append(f"{root} has no training pairs; two folders must hold images of the same names")
    first_split = splits.get("train") or next(iter(splits.values()))
    paths = {side: paths_of(examples) for side, examples in first_split.items()}
    written: dict[str, object] = {"source": found.source, "target": found.target}
    written |= {"match": match} if match != "stem" else {}
    domains = describe(
        paths,
        problems,
        notes,
        call=Call("folders", written),
        values=values,
        maps=asked,
        everything=all_paths(splits),
        root=root,
    )
    written |= asked.options(max(domain.classes for domain in domains.values())) | values.options()
    written |= label_options(labels, labels_per_class, label_seed) | stream_options(aligned, vectors)
    layout = str(Call("folders", written))
    plain = Dataset(root.resolve().name, layout, True, domains, splits, tuple(problems), tuple(notes))
    labelled = label(plain, root, table=labels, folders=False, per_class=labels_per_class, seed=label_seed)
    return with_streams(labelled, root, values=values, aligned=aligned, vectors=vectors)


def _examples(pairs: list[Pair]) -> dict[str, list[Example]]:
    return {
        "source": [Example(source, stem) for stem, source, _ in pairs],
        "target": [Example(target, stem) for stem, _, target in pairs],
    }


def _pair(
    first: Files, second: Files, match: str, where: tuple[Path, Path], problems: list[str], notes: list[str]
) -> list[Pair]:
    for found, folder in zip((first, second), where, strict=True):
        if not found:
            problems.append(f"{folder} holds no images")
    if match in ("order", "index"):
        if len(first) != len(second):
            problems.append(
                f"{where[0]} holds {len(first)} images and {where[1]} {len(second)}; only equal numbers pair by order"
            )
        pairs = by_order(first, second)
        wrong = different_numbers(pairs) if match == "order" else None
        problems += [wrong] if wrong is not None else []
        return pairs
    matched = by_name(first, second)
    for side, tail, folder in zip(("source", "target"), matched.tails, where, strict=True):
        note = f"the {side}'s names are paired without their common tail {tail!r}, such as in {folder}"
        notes += [note] if tail and not any(each.startswith(note.partition(", such")[0]) for each in notes) else []
    taken = {path for _, *both in matched.pairs for path in both}
    for found, other, folder in ((first, second, where[1]), (second, first, where[0])):
        alone = [path.name for path in found.values() if path not in taken]
        if alone and other:
            have = "has" if len(alone) == 1 else "have"
            problems.append(f"{count_named(alone, 'file')} {have} no partner in {folder}; add it or remove the file")
    return matched.pairs
