"""Image files that contain a pair: A on the left, B on the right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from translate import images
from translate.data import Dataset, Domain, Example, Region
from translate.errors import TranslateError
from translate.images import ImageError
from translate.options import Call, Option
from translate_datasets.domains import describe
from translate_datasets.listing import SPLITS, HoldOut, count_named, files, hold_out, is_folder, paths_of, spread
from translate_datasets.streams import Aligned, VectorsBeside, stream_options, with_streams, without
from translate_datasets.values import AlphaPlane, Background, Bits, High, Low, Ranged, Values


def side_by_side(
    root: Path,
    *,
    direction: Annotated[Literal["AtoB", "BtoA"], Option("AtoB: the left half is the source")] = "AtoB",
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
    """List pairs in files A|B, in SPLIT folders or in one (as Isola et al. 2017, arXiv:1611.07004)."""
    if not is_folder(root):
        raise TranslateError(f"there is no folder {root}; check its name")
    problems: list[str] = []
    notes: list[str] = []
    values = Values(low, high, bits, ranged, background, alpha)
    splits: dict[str, dict[str, list[Example]]] = {}
    for split, folder in split_folders(root).items():
        listed = without(files(folder, problems), root, aligned)
        held = hold_out(list(listed), holdout) if not split else set()
        splits[split or "train"] = _halves({stem: path for stem, path in listed.items() if stem not in held}, direction)
        if held:
            splits["val"] = _halves({stem: path for stem, path in listed.items() if stem in held}, direction)
        if not listed:
            problems.append(f"{folder} holds no images")
    if not any(sides["source"] for sides in splits.values()):
        problems.append(f"{root} has no training pairs; put files A|B into it or into its folder train")
    paths = paths_of(next(iter(splits.values()))["source"])
    odd = [path.name for path in spread(paths, 16) if not _is_even(path)]
    if odd:
        problems.append(f"{count_named(odd, 'file')} in {root} cannot be cut into two halves of one width")
    layout = Call("side_by_side", {"direction": direction} | values.options() | stream_options(aligned, vectors))
    domain: Domain = describe({"source": paths}, problems, notes, call=layout, values=values)["source"]
    both = {"source": domain, "target": domain}
    plain = Dataset(root.resolve().name, str(layout), True, both, splits, tuple(problems), tuple(notes))
    return with_streams(plain, root, values=values, aligned=aligned, vectors=vectors)


def split_folders(root: Path) -> dict[str, Path]:
    """Find the folders of the splits; the split "" is the root itself."""
    found = {
        split: next(root / name for name in names if is_folder(root / name))
        for split, names in SPLITS.items()
        if any(is_folder(root / name) for name in names)
    }
    return found or {"": root}


def _halves(listed: dict[str, Path], direction: str) -> dict[str, list[Example]]:
    order: tuple[Region, Region] = ("left", "right") if direction == "AtoB" else ("right", "left")
    return {
        side: [Example(path, stem, region=region) for stem, path in listed.items()]
        for side, region in zip(("source", "target"), order, strict=True)
    }


def _is_even(path: Path) -> bool:
    try:
        return images.probe(path).width % 2 == 0
    except ImageError:
        return True  # unreadable files are reported when they are opened
