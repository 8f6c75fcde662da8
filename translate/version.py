"""The versions of installed distributions; that of ours came from the tag of its commit when it was built."""

from __future__ import annotations

import json
from importlib import metadata

DISTRIBUTION = "image-translate"
"""The name that pip knows."""

UNKNOWN = "0+unknown"
"""The version of files that were copied and not installed."""


def version_of(found: metadata.Distribution) -> str:
    """The version of a distribution as it goes into files and reports.

    That of an editable installation ends in ``+editable``, in place of a commit: its code may be newer than the
    installation, so the commit at which it was installed would say something wrong.
    """
    version: str | None = found.version
    if not version:  # a damaged installation
        return UNKNOWN
    return f"{version.partition('+')[0]}+editable" if _is_editable(found) else version


def installed_version(distribution: str = DISTRIBUTION) -> str:
    """The version of an installed distribution by its name, ``0+unknown`` if there is none.

    >>> installed_version("a-distribution-that-nobody-has")
    '0+unknown'
    """
    try:
        return version_of(metadata.distribution(distribution))
    except metadata.PackageNotFoundError:
        return UNKNOWN


def _is_editable(found: metadata.Distribution) -> bool:
    """Whether a checkout is used in place, as pip notes it (PEP 610)."""
    try:
        told = json.loads(found.read_text("direct_url.json") or "{}")
        return told.get("dir_info", {}).get("editable") is True
    except (ValueError, AttributeError):
        return False


__version__ = installed_version()
