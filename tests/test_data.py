"""Data: what a dataset author writes down is plain, frozen and has the defaults that are told."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from translate.data import Dataset, Domain, Example


def test_a_domain_is_rgb_bytes_unless_told_otherwise() -> None:
    domain = Domain(channels=3)
    assert (domain.depth, domain.low, domain.high, domain.classes, domain.palette) == ("uint8", 0.0, 1.0, 0, ())
    assert domain.labels == ()


@pytest.mark.parametrize(
    ("domain", "one_hot"),
    [
        (Domain(channels=3), False),
        (Domain(channels=4, classes=4), True),
        (Domain(channels=3, classes=2, palette=((0, 0, 0), (255, 255, 255))), False),
    ],
)
def test_only_class_maps_without_a_palette_are_one_hot(domain: Domain, one_hot: bool) -> None:
    assert domain.one_hot is one_hot


def test_domains_compare_by_value_and_examples_by_identity() -> None:
    assert Domain(channels=3) == Domain(channels=3)
    assert len({Domain(channels=3), Domain(channels=3), Domain(channels=1)}) == 2
    pixels = np.zeros((2, 2), np.uint8)
    assert Example(pixels, "a") != Example(pixels, "a")  # arrays have no single answer to ==


def test_nothing_listed_can_be_changed() -> None:
    example, domain = Example(np.zeros((2, 2)), "a"), Domain(channels=3)
    dataset = Dataset("d", "made", True, {"source": domain}, {"train": {"source": [example]}})
    for thing, name in ((example, "label"), (domain, "channels"), (dataset, "paired")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, name, 1)
    assert (example.region, example.label, dataset.problems) == ("whole", -1, ())


def test_listing_needs_no_torch() -> None:
    code = "import sys, translate.data; assert 'torch' not in sys.modules and 'cv2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
