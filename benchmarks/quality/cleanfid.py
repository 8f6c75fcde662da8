"""FID against clean-fid: resizing, distances and, against torch-fidelity, the network; each where it is installed.

python -m benchmarks.quality.cleanfid FOLDER_OF_PHOTOS
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image

from translate_features.inception import Inception
from translate_features.resizing import RESIZES, Resize
from translate_metrics.distances import frechet
from translate_metrics.kernels import cubic_discrepancy

CASES = ((3000, 2500, 256), (300, 200, 64), (60, 50, 256))
"""Numbers of samples of two sets, and of their features; the last has fewer samples than features."""


def main() -> None:
    """Compare, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="folder of photos")
    photos = sorted(each for each in parser.parse_args().photos.rglob("*") if each.suffix in (".jpg", ".png"))
    if importlib.util.find_spec("cleanfid") is None:
        sys.exit("clean-fid is not installed: pip install --no-deps clean-fid, beside requests and scipy")
    _stand_in("tqdm", tqdm=iter)
    block = {f"Inception{each}": object for each in "ACE"}
    _stand_in("torchvision", models=SimpleNamespace(inception=SimpleNamespace(**block)))
    resizing(photos)
    distances()
    network(photos)


def _stand_in(name: str, **attributes: Any) -> None:
    """Put a module in the place of one that is missing, of which nothing is called here."""
    if importlib.util.find_spec(name) is None:
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(attributes)


def resizing(photos: list[Path]) -> None:
    """How far resized photos are from those of clean-fid, values from 0 to 255."""
    build_resizer = import_module("cleanfid.resize").build_resizer

    print(f"resizing of {len(photos)} photos, Pillow {PIL.__version__}")
    modes: tuple[Resize, ...] = ("clean", "legacy_pytorch")
    for mode in modes:
        apart = []
        for photo in photos:
            with Image.open(photo) as file:
                values = np.array(file.convert("RGB"))
            ours = RESIZES[mode](torch.from_numpy(values).permute(2, 0, 1).float(), 299).permute(1, 2, 0).numpy()
            apart.append(float(np.abs(ours - build_resizer(mode)(values)).max()))
        print(f"  {mode}: {apart.count(0)} equal to the last bit, largest difference {max(apart):.2g}")


def distances() -> None:
    """How far distances of the same features are from those of clean-fid, relative to them."""
    theirs_of = import_module("cleanfid.fid")

    generator = np.random.default_rng(0)
    for one, two, width in CASES:
        mixing = generator.normal(size=(width, width)) / width**0.5
        x, y = generator.normal(size=(one, width)) @ mixing, generator.normal(size=(two, width)) @ mixing + 0.1
        theirs = float(theirs_of.fid_from_feats(x, y))
        print(
            f"frechet of {one} and {two} samples of {width} features: {theirs:.6f}, {frechet(x, y) / theirs - 1:+.1e}"
        )
        # One subset of all samples is the estimate by all pairs.
        theirs = theirs_of.kernel_distance(x[:two], y, num_subsets=1, max_subset_size=two)
        ours = cubic_discrepancy(x[:two], y, paired=False).value
        print(f"kid of {two} and {two} samples of {width} features: {theirs:.6f}, {ours / theirs - 1:+.1e}")


def network(photos: list[Path]) -> None:
    """How far the features of random weights are from those of torch-fidelity's network with the same weights."""
    found = importlib.util.find_spec("torch_fidelity")
    if found is None or found.submodule_search_locations is None:
        print("torch-fidelity is not installed: pip install --no-deps torch-fidelity; the network is not compared")
        return
    # Its package imports torchvision, and its network does not.
    package = sys.modules["torch_fidelity"] = ModuleType("torch_fidelity")
    package.__path__ = list(found.submodule_search_locations)
    made = import_module("torch_fidelity.feature_extractor_inceptionv3").FeatureExtractorInceptionV3

    torch.manual_seed(0)
    ours = Inception(3, weights=None, layer="logits", resize="legacy_tensorflow", quantize=True).eval()
    for name, each in ours.named_buffers():
        each.uniform_(0.5, 1.5) if name.endswith("var") else each.normal_(0, 0.1)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "weights.pth"
        torch.save(ours.state_dict(), file)
        theirs = made("inception", ["logits"], feature_extractor_weights_path=str(file))
    for name, photo in (("299 px", photos[0]), ("its size", photos[0])):
        with Image.open(photo) as opened:
            image = opened.convert("RGB")
        image = image.resize((299, 299)) if name == "299 px" else image
        values = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
        with torch.no_grad():
            one, two = ours(values / 127.5 - 1), theirs(values)[0]
        print(f"logits of {photo.name} at {name}: relative difference {float((one - two).norm() / two.norm()):.1e}")


if __name__ == "__main__":
    main()
