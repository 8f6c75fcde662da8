"""Directions: what the name of a trained network says of its role and its images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from translate.data import Domain, domain_of

Role = Literal["translator", "sampler", "classifier"]


def role_of(direction: str) -> Role:
    """The role of a direction's module: ``sample`` is a sampler, ``classify`` a classifier, all others translate.

    >>> role_of("backward"), role_of("sample")
    ('translator', 'sampler')
    """
    roles: dict[str, Role] = {"sample": "sampler", "classify": "classifier"}
    return roles.get(direction, "translator")


def domains_of(metadata: Mapping[str, Any], direction: str) -> tuple[Domain, Domain]:
    """The domains of the images that a translator takes and makes, by the metadata of its file."""
    source, target = domain_of(metadata["source"]), domain_of(metadata["target"])
    return (target, source) if direction == "backward" else (source, target)
