"""The version of the installed distribution, which the tag of its commit gave when it was built."""

from __future__ import annotations

import json
from importlib import metadata

DISTRIBUTION = "image-translate"
"""The name that pip knows."""

UNKNOWN = "0+unknown"
"""The version of files that were copied and not installed."""


def installed_version(distribution: str = DISTRIBUTION) -> str:
    """The version as it goes into files and reports.

    That of an editable installation ends in ``+editable``, in place of a commit: its code may be newer than the
    installation, so the commit at which it was installed would say something wrong.
    """
    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return UNKNOWN
    if not found.version:  # a damaged installation
        return UNKNOWN
    return f"{found.version.partition('+')[0]}+editable" if _is_editable(found) else found.version


def _is_editable(found: metadata.Distribution) -> bool:
    """Whether a checkout is used in place, as pip notes it (PEP 610)."""
    try:
        told = json.loads(found.read_text("direct_url.json") or "{}")
        return told.get("dir_info", {}).get("editable") is True
    except (ValueError, AttributeError):
        return False


__version__ = installed_version()
