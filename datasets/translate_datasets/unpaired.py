"""Two folders of unpaired images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from translate.data import Dataset, Example
from translate.options import Call, Option
from translate_datasets.domains import describe
from translate_datasets.labels import LabelSeed, LabelsPerClass, LabelTable, label, label_options
from translate_datasets.listing import HoldOut, all_paths, choose_sides, files, hold_out, is_folder, paths_of
from translate_datasets.maps import Classes, Ignore, Maps, Palette, Which
from translate_datasets.streams import Aligned, VectorsBeside, stream_options, with_streams
from translate_datasets.values import AlphaPlane, Background, Bits, High, Low, Ranged, Values


def unpaired(
    root: Path,
    *,
    source: Annotated[str | None, Option("name of the source's folder (default: a usual one)")] = None,
    target: Annotated[str | None, Option("name of the target's folder (default: a usual one)")] = None,
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
    """List two domains in trainA and trainB (testA ...), SPLIT/NAME, NAME/SPLIT or NAME; subfolders are classes."""
    found = choose_sides(root, source, target, "unpaired", both=False)
    problems: list[str] = []
    notes: list[str] = []
    values = Values(low, high, bits, ranged, background, alpha)
    asked = Maps(classes, palette, maps, ignore)
    splits: dict[str, dict[str, list[Example]]] = {}
    for split, pair in found.folders.items():
        listed = {
            side: files(folder, problems) if is_folder(folder) else {}
            for side, folder in zip(("source", "target"), pair, strict=True)
        }
        held = {side: set() if split else hold_out(list(stems), holdout) for side, stems in listed.items()}
        if not all(held.values()):  # a split needs both sides
            held = {side: set() for side in listed}
        splits[split or "train"] = {
            side: [Example(path, stem) for stem, path in stems.items() if stem not in held[side]]
            for side, stems in listed.items()
        }
        if any(held.values()):
            splits["val"] = {
                side: [Example(path, stem) for stem, path in stems.items() if stem in held[side]]
                for side, stems in listed.items()
            }
        if split in ("", "train"):
            problems += [
                f"{folder} holds no images" for folder, stems in zip(pair, listed.values(), strict=True) if not stems
            ]
    first_split = splits.get("train") or next(iter(splits.values()))
    paths = {side: paths_of(examples) for side, examples in first_split.items()}
    written: dict[str, object] = {"source": found.source, "target": found.target}
    domains = describe(
        paths,
        problems,
        notes,
        call=Call("unpaired", written),
        values=values,
        maps=asked,
        everything=all_paths(splits),
        root=root,
    )
    written |= asked.options(max(domain.classes for domain in domains.values())) | values.options()
    written |= label_options(labels, labels_per_class, label_seed) | stream_options(aligned, vectors)
    layout = str(Call("unpaired", written))
    plain = Dataset(root.resolve().name, layout, False, domains, splits, tuple(problems), tuple(notes))
    labelled = label(plain, root, table=labels, folders=True, per_class=labels_per_class, seed=label_seed)
    return with_streams(labelled, root, values=values, aligned=aligned, vectors=vectors)
