"""The facts that an exported network carries in its file, or that lie beside it: its domains, sizes, range and layout.

An ONNX file holds them as JSON under the key ``translate`` of its metadata, an exported program of torch in its extra
file ``translate.json``, an OpenVINO model in its runtime information. Beside a foreign ONNX file they lie in a file of
its name and ``.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from translate import schema
from translate.data import Domain, domain_of
from translate.schema import FactsError, Name, Note, Side, Text, domain_facts

KEY = "translate"
"""The key of the facts in a file's own metadata."""

Range = Literal["-1..1", "0..1", "0..255"]
"""The numbers that a network takes for the least and the largest value of an image."""

Layout = Literal["NCHW", "NHWC"]
"""The order of an image's dimensions: batch, channels, height and width."""

MOST_MULTIPLE = 2**12

LIMITS: Mapping[str, tuple[float, float]] = {"-1..1": (-1.0, 1.0), "0..1": (0.0, 1.0), "0..255": (0.0, 255.0)}
"""The least and the largest number of each range."""


class Facts(schema.Facts):
    """What must be known of an exported network to use it."""

    format_version: Literal[1]
    direction: Name
    source: dict[str, Any]
    target: dict[str, Any]
    size: Annotated[list[Side], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="the training size (height, width)"
    )
    size_multiple: Annotated[int, Field(ge=1, le=MOST_MULTIPLE)] = 1
    fixed_size: Annotated[list[Side], Field(min_length=2, max_length=2)] | None = None
    range: Range = Field(default="-1..1", description="of the input")
    output_range: Range | None = Field(default=None, description="of the output, if it is another")
    layout: Layout = "NCHW"
    output: Text | None = Field(default=None, description="the name of the output, if there are several")
    sha256: Text | None = Field(default=None, description="of the file that facts beside it were found out from")
    licence: Note | None = None
    about: Note | None = None
    versions: dict[Text, Text] = Field(default_factory=dict)
    method: Text | None = None
    inputs: Annotated[dict[schema.ArgumentName, schema.TakenInput] | None, Field(max_length=64)] = Field(
        default=None, description="what it takes behind its image, in their order"
    )
    options: dict[schema.ArgumentName, Any] | None = Field(
        default=None, description="of the network, which have other values than their defaults"
    )

    @model_validator(mode="after")
    def _domains_fit(self) -> Facts:
        for name in ("source", "target"):
            try:
                domain_facts().check(getattr(self, name))
            except FactsError as error:
                raise ValueError(f"{name}.{error}") from None
        return self

    @property
    def domains(self) -> tuple[Domain, Domain]:
        """The domains of the images that go in and come out."""
        return domain_of(self.source), domain_of(self.target)

    def to_json(self) -> str:
        """The facts as JSON text; what is not known is left out.

        >>> from dataclasses import asdict
        >>> rgb = asdict(Domain(3))
        >>> facts = Facts(format_version=1, direction="forward", source=rgb, target=rgb)
        >>> Facts.from_json(facts.to_json()).domains == (Domain(3), Domain(3))
        True
        """
        return json.dumps(self.model_dump(mode="json", exclude_none=True), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Facts:
        """Read facts that may come from a stranger; raises ``FactsError`` for what does not fit."""
        values = schema.parse_json(text)
        cls.check(values)
        return cls.model_validate_json(json.dumps(values))
