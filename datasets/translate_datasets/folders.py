"""Two folders of paired files, matched by name or by order."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from translate.data import Dataset, Example
from translate.options import Call, Option
from translate_datasets.domains import describe
from translate_datasets.labels import LabelSeed, LabelsPerClass, LabelTable, label, label_options
from translate_datasets.listing import Files, choose_sides, count_named, files, hold_out, paths_of


def folders(
    root: Path,
    *,
    source: Annotated[str | None, Option("name of the source's folder (default: a usual one)")] = None,
    target: Annotated[str | None, Option("name of the target's folder (default: a usual one)")] = None,
    match: Annotated[Literal["stem", "order"], Option("how files are paired: by name, or by their order")] = "stem",
    classes: Annotated[int | None, Option("classes of index maps (default: counted; 0: no maps)", ge=0, le=256)] = None,
    palette: Annotated[Path | None, Option("image, .json or .txt with the classes' colours, to make them RGB")] = None,
    holdout: Annotated[float, Option("share for validation if there are no split folders", ge=0, lt=1)] = 0.1,
    labels: LabelTable = None,
    labels_per_class: LabelsPerClass = None,
    label_seed: LabelSeed = 0,
) -> Dataset:
    """List pairs in SPLIT/NAME, NAME/SPLIT, trainA and trainB, or NAME: two folders of images; suffixes may differ."""
    found = choose_sides(root, source, target, "folders")
    problems: list[str] = []
    splits: dict[str, dict[str, list[Example]]] = {}
    for split, (first, second) in found.folders.items():
        pairs = _pair(files(first, problems), files(second, problems), match, (first, second), problems)
        if split:
            splits[split] = _examples(pairs)
            continue
        held = hold_out([stem for stem, _, _ in pairs], holdout)
        splits["train"] = _examples([pair for pair in pairs if pair[0] not in held])
        if held:
            splits["val"] = _examples([pair for pair in pairs if pair[0] in held])
    if not splits.get("train", {}).get("source"):
        problems.append(f"{root} has no training pairs; two folders must hold images of the same names")
    first_split = splits.get("train") or next(iter(splits.values()))
    paths = {side: paths_of(examples) for side, examples in first_split.items()}
    domains = describe(paths, problems, classes=classes, palette=palette, root=root)
    written: dict[str, object] = {"source": found.source, "target": found.target}
    written |= {"match": match} if match != "stem" else {}
    counted = max(domain.classes for domain in domains.values())
    written |= {"classes": counted} if counted else {"classes": 0} if classes == 0 else {}
    written |= {"palette": str(palette)} if palette is not None else {}
    written |= label_options(labels, labels_per_class, label_seed)
    plain = Dataset(root.resolve().name, str(Call("folders", written)), True, domains, splits, tuple(problems))
    return label(plain, root, table=labels, folders=False, per_class=labels_per_class, seed=label_seed)


Pair = tuple[str, Path, Path]


def _examples(pairs: list[Pair]) -> dict[str, list[Example]]:
    return {
        "source": [Example(source, stem) for stem, source, _ in pairs],
        "target": [Example(target, stem) for stem, _, target in pairs],
    }


def _pair(first: Files, second: Files, match: str, where: tuple[Path, Path], problems: list[str]) -> list[Pair]:
    for found, folder in zip((first, second), where, strict=True):
        if not found:
            problems.append(f"{folder} holds no images")
    if match == "order":
        if len(first) != len(second):
            problems.append(
                f"{where[0]} holds {len(first)} images and {where[1]} {len(second)}; only equal numbers pair by order"
            )
        return [(stem, path, other) for (stem, path), other in zip(first.items(), second.values(), strict=False)]
    for found, other, folder in ((first, second, where[1]), (second, first, where[0])):
        alone = [found[stem].name for stem in found if stem not in other]
        if alone and other:
            problems.append(f"{count_named(alone, 'file')} have no partner in {folder}; they are left out")
    return [(stem, path, second[stem]) for stem, path in first.items() if stem in second]
