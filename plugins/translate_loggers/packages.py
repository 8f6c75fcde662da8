"""Packages of loggers: imported where one is asked for."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from translate.errors import TranslateError


def require(name: str, logger: str, environment: Mapping[str, str] | None = None) -> Any:
    """Import a logger's package; raises ``TranslateError`` that says what to install, or why it cannot be imported.

    ``environment`` are variables that the package reads when it is imported; what the user has set stays.
    """
    for variable, value in (environment or {}).items():
        os.environ.setdefault(variable, value)
    package = name.partition(".")[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] != package:
            raise TranslateError(
                f"the logger {logger} needs the package {package}, which lacks {error.name} here; "
                f"install both by pip install 'image-translate[{logger}]'"
            ) from None
        raise TranslateError(
            f"the logger {logger} needs a package of that name; install it by pip install 'image-translate[{logger}]'"
        ) from None
    except Exception as error:  # an import runs whatever the package holds
        raise TranslateError(
            f"the logger {logger} cannot be used, since its package {package} cannot be imported "
            f"({type(error).__name__}: {' '.join(str(error).split()):.200}); mend it, or leave out --log {logger}"
        ) from error
