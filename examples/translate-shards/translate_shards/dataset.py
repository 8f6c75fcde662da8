"""Tar shards: images are listed by the archives' headers, and each is read from its place without unpacking."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated

from translate import images
from translate.data import Dataset, Domain, Example
from translate.errors import TranslateError
from translate.images import Image, ImageError
from translate.options import Option

SPLITS = ("train", "val", "test")
SIDES = ("source", "target")


def shards(
    root: Path,
    *,
    channels: Annotated[int, Option("channels of the images: 1 for gray, 3 for RGB", ge=1)] = 3,
) -> Dataset:
    """Images in tar shards: members NAME.source.png and NAME.target.png are a pair, as WebDataset names them.

    Shards lie in the folders ``train``, ``val`` and ``test``, or side by side, and then train. Archives that are
    compressed as a whole cannot be read at a place, and are refused.
    """
    folders = {split: root / split for split in SPLITS if any((root / split).glob("*.tar"))} or {"train": root}
    splits: dict[str, dict[str, list[Example]]] = {}
    problems: list[str] = []
    for split, folder in folders.items():
        found: dict[str, dict[str, Example]] = {side: {} for side in SIDES}
        for shard in sorted(folder.glob("*.tar")):
            for name, side, example in _members(root, shard):
                if name in found[side]:
                    problems.append(f"{example.name} is there twice, the second time in {shard}; rename one of them")
                found[side][name] = example
        names = {side: sorted(found[side]) for side in SIDES}
        if names["target"] and names["source"] != names["target"]:
            alone = sorted(set(names["source"]) ^ set(names["target"]))
            problems.append(f"{alone[0]} in {folder} has no partner; add it, or remove the image")
        splits[split] = {side: [found[side][name] for name in names[side]] for side in SIDES if names[side]}
    if not splits["train"].get("source"):
        raise TranslateError(f"{root} holds no shards with images; name their members NAME.source.png and so on")
    domains = {side: Domain(channels) for side in SIDES if any(side in sides for sides in splits.values())}
    paired = "target" in domains
    return Dataset(root.name, "shards", paired, domains, splits, tuple(problems))


def _members(root: Path, shard: Path) -> Iterator[tuple[str, str, Example]]:
    """Each image of a shard with its name and its side; only headers are read."""
    state = shard.stat()
    try:
        # "r:" is an archive that is not compressed, whose members lie in it as they are.
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                name, side = path.with_suffix("").stem, path.with_suffix("").suffix[1:]
                if not member.isreg() or side not in SIDES or path.suffix.lower() not in images.READABLE:
                    continue
                place = Place(shard, member.name, member.offset_data, member.size)
                # The key stands for the content: a shard that is written again has another time.
                key = f"{shard.name} {state.st_size} {state.st_mtime_ns} {place.start} {place.length}"
                read: Callable[[], Image] = partial(decode, place)
                shown = f"{shard.relative_to(root).as_posix()}/{member.name}"
                yield str(path.with_name(name)), side, Example(read, shown, key=key)
    except (tarfile.TarError, OSError) as error:
        raise TranslateError(
            f"{shard} cannot be read as a tar archive that is not compressed ({error}); restore it, or unpack and "
            "pack it anew without compression"
        ) from None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image lies: the shard, the member's name, its first byte and the number of them."""

    shard: Path
    member: str
    start: int
    length: int


def decode(place: Place) -> Image:
    """Read one image; several threads call this at once, so each call opens the shard for itself."""
    with place.shard.open("rb") as file:
        file.seek(place.start)
        data = file.read(place.length)
    name = f"{place.shard}: {place.member}"
    if len(data) < place.length:
        raise ImageError(f"{name} is cut off; restore the shard")
    return images.decode(data, name)
