"""What a network or a metric answers in an evaluation is checked, since both may be a stranger's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from translate.errors import TranslateError
from translate.evaluation import answered

IMAGE = torch.zeros(2, 3, 4, 4)
EACH = torch.ones(2)


@pytest.mark.parametrize(
    "answer", [None, 3, torch.zeros(()), torch.zeros(3), IMAGE, torch.zeros(2, dtype=torch.complex64)]
)
def test_numbers_of_images(answer: Any) -> None:
    with pytest.raises(TranslateError, match=r"bits_per_dimension of Identity must give \(2,\) numbers for 2 images"):
        answered.numbers(answer, 2, "bits_per_dimension", nn.Identity())
    assert answered.numbers(EACH, 2, "bits_per_dimension", nn.Identity()) is EACH


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "give divergences and images, not what is of the type NoneType"),
        ([EACH, IMAGE], "not what is of the type list"),
        ((EACH, IMAGE, IMAGE), "not what is of the type tuple"),
        ((EACH, IMAGE[:, :1]), r"decode images \(2, 3, 4, 4\), not \(2, 1, 4, 4\)"),
        ((EACH, None), "decode images"),
        ((IMAGE, IMAGE), r"give \(2,\) numbers"),
    ],
)
def test_a_variational_pass(answer: Any, message: str) -> None:
    with pytest.raises(TranslateError, match=f"variational_pass of Identity .*{message}"):
        answered.variational(answer, IMAGE, nn.Identity())
    assert answered.variational((EACH, IMAGE), IMAGE, nn.Identity()) == (EACH, IMAGE)


@pytest.mark.parametrize("answer", [None, 3, [("a", 1)], {3: 1.0}, {"a\n": 1.0}, {"a": "x"}, {"a": None}, {"a": EACH}])
def test_scores(answer: Any) -> None:
    with pytest.raises(TranslateError, match=r"result of the metric mine must give numbers by name"):
        answered.scores(answer, "mine")
    assert answered.scores({"a": torch.tensor(2.0), "b": 1}, "mine") == {"a": 2.0, "b": 1.0}
