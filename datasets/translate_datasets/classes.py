"""One domain of images in class folders."""

from __future__ import annotations

from pathlib import Path

from translate.data import Dataset, Example
from translate.errors import TranslateError
from translate.options import Call
from translate_datasets.domains import describe
from translate_datasets.labels import LabelSeed, LabelsPerClass, LabelTable, label, label_options
from translate_datasets.listing import HoldOut, files, hold_out, is_folder, paths_of
from translate_datasets.side_by_side import split_folders
from translate_datasets.streams import Aligned, VectorsBeside, stream_options, with_streams, without
from translate_datasets.values import AlphaPlane, Background, Bits, High, Low, Ranged, Values


def classes(
    root: Path,
    *,
    labels: LabelTable = None,
    labels_per_class: LabelsPerClass = None,
    label_seed: LabelSeed = 0,
    holdout: HoldOut = 0.1,
    low: Low = None,
    high: High = None,
    bits: Bits = None,
    ranged: Ranged = None,
    background: Background = "white",
    alpha: AlphaPlane = None,
    aligned: Aligned = None,
    vectors: VectorsBeside = None,
) -> Dataset:
    """List one domain, SPLIT/CLASS/NAME or CLASS/NAME; images in no folder have a label only from a table."""
    if not is_folder(root):
        raise TranslateError(f"there is no folder {root}; check its name")
    problems: list[str] = []
    notes: list[str] = []
    values = Values(low, high, bits, ranged, background, alpha)
    splits: dict[str, dict[str, list[Example]]] = {}
    for split, folder in split_folders(root).items():
        listed = without(files(folder, problems), root, aligned)
        held = hold_out(list(listed), holdout) if not split else set()
        examples = [Example(path, stem) for stem, path in listed.items()]
        splits[split or "train"] = {"source": [each for each in examples if each.name not in held]}
        if held:
            splits["val"] = {"source": [each for each in examples if each.name in held]}
    listed_first = (splits.get("train") or next(iter(splits.values())))["source"]
    if not any(sides["source"] for sides in splits.values()):
        problems.append(f"{root} has no training images; put them into folders named by their classes")
    domains = describe({"source": paths_of(listed_first)}, problems, notes, call=Call("classes"), values=values)
    written = values.options() | label_options(labels, labels_per_class, label_seed)
    layout = str(Call("classes", written | stream_options(aligned, vectors)))
    plain = Dataset(root.resolve().name, layout, False, domains, splits, tuple(problems), tuple(notes))
    labelled = label(plain, root, table=labels, folders=True, per_class=labels_per_class, seed=label_seed)
    return with_streams(labelled, root, values=values, aligned=aligned, vectors=vectors)
