"""Traits: their defaults, what is read, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from translate.errors import TranslateError
from translate.traits import Traits

DEFAULTS = {
    "size_multiple": 1,
    "fixed_size": None,
    "prefers_channels_last": False,
    "translates_each_alone": False,
    "judges_each_alone": False,
    "shared": None,
    "domain": "target",
    "bits_per_dimension": None,
    "shared_statistics": None,
}


def network(**attributes: Any) -> nn.Module:
    made = nn.Identity()
    vars(made).update(attributes)
    return made


def test_a_network_that_says_nothing_has_the_defaults() -> None:
    traits = Traits(nn.Identity())
    assert {name: getattr(traits, name) for name in DEFAULTS} == DEFAULTS
    for name in ("latent", "noise"):
        with pytest.raises(TranslateError, match=f"Identity must have an attribute {name}, a tuple of whole numbers"):
            getattr(traits, name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size_multiple", 32),
        ("fixed_size", (28, 30)),
        ("prefers_channels_last", True),
        ("translates_each_alone", True),
        ("judges_each_alone", True),
        ("latent", (8, 4, 4)),
        ("noise", (100,)),
        ("domain", "source"),
        ("shared_statistics", False),
    ],
)
def test_what_a_network_says_is_read(name: str, value: Any) -> None:
    assert getattr(Traits(network(**{name: value})), name) == value


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("size_multiple", 0, "a whole number >= 1, not 0"),
        ("size_multiple", True, "a whole number >= 1, not True"),
        ("size_multiple", 2.0, "a whole number >= 1, not 2.0"),
        ("size_multiple", None, "a whole number >= 1, not None"),
        ("fixed_size", 28, r"a \(height, width\) or None, not 28"),
        ("fixed_size", (28,), r"a \(height, width\) or None"),
        ("prefers_channels_last", 1, "True or False, not 1"),
        ("judges_each_alone", "no", "True or False, not 'no'"),
        ("translates_each_alone", None, "True or False, not None"),
        ("latent", [8], r"a tuple of whole numbers, not \[8\]"),
        ("noise", (0,), "a tuple of whole numbers"),
        ("domain", "forward", "'source' or 'target', not 'forward'"),
        ("shared", 3, "a module, not 3"),
        ("bits_per_dimension", 3, "a method, not 3"),
    ],
)
def test_another_type_is_refused_by_name(name: str, value: Any, wanted: str) -> None:
    with pytest.raises(TranslateError, match=f"the attribute {name} of Identity must be {wanted}"):
        getattr(Traits(network(**{name: value})), name)
