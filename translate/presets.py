"""Presets: factories with other defaults for some options, so that no signature is written twice."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from translate.errors import nearest

__all__ = [
    "preset",
]


def preset(factory: Callable[..., Any], **defaults: Any) -> Callable[..., Any]:
    """A factory with other defaults for some of its options, whose types, bounds and help stay declared once.

    A class has its options in its constructor: ``__init__ = preset(CUT.__init__, nce=10.0)`` in a subclass. Raises
    ``TypeError`` for a default of no option.

    >>> from typing import Annotated
    >>> from translate.options import Option, options_of
    >>> def unet(inputs: int, *, depth: Annotated[int, Option("number of halvings", ge=1)] = 8): return depth
    >>> shallow = preset(unet, depth=3)
    >>> shallow(3), shallow(3, depth=4), options_of(shallow)["depth"].default, options_of(shallow)["depth"].option.help
    (3, 4, 3, 'number of halvings')
    """
    signature = inspect.signature(factory)
    options = {each.name: each for each in signature.parameters.values() if each.kind is each.KEYWORD_ONLY}
    if unknown := sorted(defaults.keys() - options):
        raise TypeError(f"{factory.__qualname__} has no option {unknown[0]!r}; {nearest(unknown[0], options)}")

    @wraps(factory)
    def made(*given: Any, **asked: Any) -> Any:
        return factory(*given, **{**defaults, **asked})

    changed = [each.replace(default=defaults.get(each.name, each.default)) for each in signature.parameters.values()]
    made.__signature__ = signature.replace(parameters=changed)  # type: ignore[attr-defined]
    return made
