"""Listings of the wrong form are refused before anything reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from translate.data import Dataset, Domain, Example
from translate.errors import TranslateError
from translate.listed import check_listed

PIXELS = np.zeros((8, 8, 3), np.uint8)
ONE = Example(PIXELS, "one")


def listing(**changes: Any) -> Dataset:
    fields: dict[str, Any] = {
        "name": "mine",
        "layout": "mine",
        "paired": False,
        "domains": {"source": Domain(3), "target": Domain(1)},
        "splits": {"train": {"source": [ONE], "target": [ONE, ONE]}},
    }
    return Dataset(**{**fields, **changes})


def source(example: Any, **domain: Any) -> Mapping[str, Any]:
    return {"domains": {"source": Domain(3, **domain)}, "splits": {"train": {"source": [example]}}}


@pytest.mark.parametrize(
    "fit",
    [
        {},
        {"splits": {}},
        {"splits": {"train": {"source": (ONE,)}, "test": {}}},
        {"domains": {"source": Domain(3), "target": Domain(12, classes=12)}},
        {"domains": {"source": Domain(3), "target": Domain(3, classes=2, palette=((0, 0, 0), (1, 1, 1)))}},
        {"paired": True, "splits": {"train": {"source": [ONE], "target": [ONE]}}},
        {"paired": True, "problems": ("a file has no partner",)},
        source(Example(PIXELS, "x", label=np.int64(1)), labels=("a", "b")),
        source(Example(PIXELS, "x", label=7)),
    ],
)
def test_what_is_fit(fit: Mapping[str, Any]) -> None:
    found = listing(**fit)
    assert check_listed(found, "mine") is found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"paired": 1}, "paired must be True or False, not 1"),
        ({"domains": [Domain(3)]}, "domains must be listed by name"),
        ({"splits": 3}, "splits must be listed by name, not as 3"),
        ({"problems": "one text"}, "problems must be a tuple of sentences"),
        ({"notes": (3,)}, "notes must be a tuple of sentences"),
        ({"domains": {"target": Domain(3)}, "splits": {}}, "has no domain source"),
        ({"domains": {"source": Domain(3), "photo": Domain(3)}}, "its domain 'photo' is neither source nor target"),
        ({"domains": {"source": 3}, "splits": {}}, "its domain source must be a translate.data.Domain, not 3"),
        ({"domains": {"source": Domain(0)}, "splits": {}}, "cannot have 0 channels and 0 classes"),
        ({"domains": {"source": Domain(True)}, "splits": {}}, "cannot have True channels"),
        ({"domains": {"source": Domain(3, classes=4)}, "splits": {}}, "has 3 channels, where its classes make 4"),
        (source(ONE, depth="int8"), "has the depth 'int8'; there are uint8, uint16, float32"),
        (source(ONE, alpha="red"), "has the alpha 'red'"),
        (source(ONE, labels="ab"), "must have names of classes as labels, not 'ab'"),
        (source(ONE, depth="float32", low=1.0), "has values from 1.0 to 1.0, which is no range"),
        (source(ONE, depth="float32", high="1"), "has values from 0.0 to '1'"),
        ({"splits": {"train": [ONE]}}, "the split 'train' must have examples by domain"),
        ({"splits": {"train": {"photo": [ONE]}}}, "lists 'photo', which is none of its domains"),
        ({"splits": {"train": {"source": ONE}}}, "the source of the split 'train' must be a list of examples"),
        (source(3), "lists 3 in place 1, which is no translate.data.Example"),
        (source(Example(PIXELS, 3)), "calls an example 3; a name is text"),  # type: ignore[arg-type]
        (source(Example(PIXELS, "x", label="a")), "the label 'a', which is none of a class by number"),  # type: ignore[arg-type]
        (source(Example(PIXELS, "x", label=-2)), "the label -2"),
        (source(Example(PIXELS, "x", label=2), labels=("a", "b")), "the label 2, which is none of its 2 classes"),
        (source(Example(PIXELS, "x", region="top")), "has the region 'top'"),  # type: ignore[arg-type]
        (source(Example(PIXELS, "x", extras=[1])), "gives 'x' extras that are not by name"),  # type: ignore[arg-type]
        ({"paired": True}, "its pairs are of unlike number, 1 of the source and 2 of the target, in the split 'train'"),
    ],
)
def test_what_is_refused(changes: Mapping[str, Any], message: str) -> None:
    with pytest.raises(TranslateError, match=f"^the dataset mine cannot be used: .*{message}"):
        check_listed(listing(**changes), "mine")


def test_what_is_no_listing() -> None:
    with pytest.raises(TranslateError, match="mine is no dataset: its factory returned a NoneType"):
        check_listed(None, "mine")
