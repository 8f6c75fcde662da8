"""Fields of a request: which of them are options of the conversion, and which the network takes beside its image.

A client never names a file of this machine: what comes as text is a number, a word or a class; images come as files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from translate.conversion import OF_A_JOB, Converter, convert
from translate.errors import TranslateError, nearest
from translate.options import Parameter, check, declared_by
from translate.serving.multipart import Form
from translate.serving.refusing import RefusedError
from translate.taken import Taken, Wanted

WHERE = "the request"
GIVEN = "given."
"""What stands before a name that the network takes and that is also a field of every request."""

OWN_ALPHA = "alpha"
"""What a mask of holes may be in place of a file: the image's own transparency."""

LONGEST_NAME = 255


def declared() -> dict[str, Parameter]:
    """The options of a conversion that every request may have, as ``convert`` declares them."""
    known = declared_by(convert)
    return {name: known[name] for name in OF_A_JOB}


def taken_of(converter: Converter) -> Taken:
    """What the network takes beside its image."""
    return getattr(converter.translator, "taken", None) or Taken()


def asked_of_form(form: Form, query: Mapping[str, str], taken: Taken) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The image's name, the options of the conversion, and what is given to the network, of a form and a query.

    Raises ``RefusedError`` for what is unknown, there twice, or of the wrong kind.
    """
    options = declared()
    asked = {name: parameter.default for name, parameter in options.items()}
    given: dict[str, Any] = {}
    name = last_part(form.filename)
    if both := sorted(query.keys() & (form.texts.keys() | form.files.keys())):
        raise RefusedError(400, f"the request has {both[0]!r:.60} in its address and in its form; send it once")
    if "image" not in form.files:
        raise RefusedError(400, "the request has no image; send it as the body, or as the form's part image")
    for field, text in {**query, **form.texts}.items():
        if field == "name":
            name = last_part(text)
        elif field in options:
            asked[field] = _checked(text, options[field])
        else:
            given |= _given(field, text, taken, given)
    for field, path in form.files.items():
        if field == "image":
            continue
        if field in options or field == "name":
            raise RefusedError(400, f"{field} is text, and came as a file; send it as a field without a file name")
        given |= _given(field, path, taken, given)
    return name, asked, given


def last_part(name: str) -> str:
    r"""The name of a file without its folders, whatever separates them; it is hashed for noise, and never opened.

    >>> last_part("../../etc/passwd"), last_part("C:\\photos\\a.png")
    ('passwd', 'a.png')
    """
    return name.replace("\\", "/").rpartition("/")[2][:LONGEST_NAME]


def _checked(text: str, parameter: Parameter) -> Any:
    try:
        return check(text, parameter, WHERE)
    except TranslateError as error:
        raise RefusedError(400, str(error)) from None


def _given(field: str, value: str | Path, taken: Taken, given: Mapping[str, Any]) -> dict[str, Any]:
    """A value that the network takes, by its name."""
    name = field.removeprefix(GIVEN)
    if name in given:
        raise RefusedError(400, f"the request has {name!r:.60} twice; send it once")
    if name in taken.options:
        if isinstance(value, Path):
            raise RefusedError(400, f"{name} is an option, and came as a file; send it as a field without a file name")
        return {name: value}
    if name not in taken.inputs:
        known = ["image", "name", *declared(), *taken.names]
        raise RefusedError(400, f"the request has a field {field!r:.60}, which is unknown; {nearest(name, known)}")
    return {name: _input(taken.inputs[name], value)}


def _input(wanted: Wanted, value: str | Path) -> Any:
    """The value of an input, of a type that is never taken for a file's name."""
    if wanted.kind == "noise":
        raise RefusedError(400, f"{wanted.name} is noise, which is drawn; leave it out, and send another seed")
    if wanted.kind in ("image", "aligned"):
        if isinstance(value, Path) or (wanted.hole and value == OWN_ALPHA):
            return value
        raise RefusedError(400, f"{wanted.name} is {wanted.describe()}, and came as text; send it as a file")
    if isinstance(value, Path):
        raise RefusedError(400, f"{wanted.name} is {wanted.describe()}, and came as a file; send it as text")
    if wanted.kind == "class":
        if value in wanted.labels:
            return wanted.labels.index(value)
        if value.isascii() and value.isdigit() and len(value) < 10:
            return int(value)
        there = nearest(value, wanted.labels) if wanted.labels else "send the number of a class, from 0"
        raise RefusedError(400, f"{wanted.name} is a class, and none is called {value!r:.60}; {there}")
    try:
        return np.array([float(each) for each in value.split(",")], np.float32)
    except (ValueError, OverflowError):
        raise RefusedError(
            400, f"{wanted.name} is {wanted.describe()}, not {value!r:.60}; send numbers such as 0.5,1"
        ) from None
