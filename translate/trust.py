"""Trust: whether the plugins that a file names may be run as code.

A plugin is code. One that only a config or a run's ``config.json`` names may come from a stranger, so it is loaded only
if the command line names it as well, or if this user has made the run on this machine and the plugin is unchanged.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import shlex
import socket
import sys
import uuid
from collections.abc import Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from translate.errors import TranslateError
from translate.job import is_launcher_or_main
from translate.paths import expanded

log = logging.getLogger("translate")


def origin_of(plugins: Sequence[str]) -> dict[str, Any]:
    """What a run notes of its plugins: the SHA-256 of each, signed with what only this user on this machine knows."""
    digests = {plugin: digest for plugin in plugins if (digest := _digest(plugin)) is not None}
    return {"plugins": digests, "signature": _sign(digests)}


def check_named(plugins: Sequence[str], named: Sequence[str], where: Path | str) -> None:
    """Raise ``TranslateError`` for the first of a config's plugins that the command line does not name, too."""
    known = {_identity(plugin) for plugin in named}
    for plugin in plugins:
        if _identity(plugin) not in known:
            raise TranslateError(
                f"{where} names the plugin {plugin!r:.200}, which is code; if you trust it, name it yourself: "
                f"translate -p {shlex.quote(plugin)} fit ..."
            )


def check_run(folder: Path, plugins: Sequence[str], origin: Mapping[str, Any] | None) -> None:
    """Raise ``TranslateError`` unless this user has made the run here with these plugins, as they are now.

    Each plugin that is loaded for this reason is told in one line.
    """
    if not plugins:
        return
    noted = origin or {}
    digests = noted.get("plugins", {})
    own = isinstance(digests, Mapping) and hmac.compare_digest(str(noted.get("signature", "")), _sign(digests))
    for plugin in plugins:
        if not own:
            reason = "and was not made by you on this machine"
        elif plugin not in digests or _digest(plugin) != digests[plugin]:
            reason = "which is no longer what it was when the run was made"
        else:
            if is_launcher_or_main():
                log.warning("%s loads the plugin %s, unchanged since you made the run here", folder, plugin)
            continue
        raise TranslateError(
            f"{folder} names the plugin {plugin!r:.200}, which is code, {reason}; if you trust it, name it yourself: "
            f"translate -p {shlex.quote(plugin)} fit --resume {shlex.quote(str(folder))}"
        )


def _identity(plugin: str) -> str:
    path = expanded(plugin)
    return str(path.resolve()) if path.suffix == ".py" else plugin


def _digest(plugin: str) -> str | None:
    """The SHA-256 of a plugin's file, or of all Python files of its package; None if there is none. Runs no code."""
    path = expanded(plugin)
    try:
        if path.suffix == ".py":
            return hashlib.sha256(path.read_bytes()).hexdigest()
        # As an import would find it; the working directory comes first, as it does there.
        spec = PathFinder.find_spec(plugin.partition(".")[0], [str(Path.cwd()), *sys.path])
        if spec is None or spec.origin is None:
            return None
        file = Path(spec.origin)
        files = sorted(file.parent.rglob("*.py")) if spec.submodule_search_locations else [file]
        digest = hashlib.sha256()
        for each in files:
            digest.update(f"{each.relative_to(file.parent).as_posix()}\0{each.stat().st_size}\0".encode())
            digest.update(each.read_bytes())
        return digest.hexdigest()
    except (OSError, ValueError, ImportError):
        return None


def _sign(digests: Mapping[str, Any]) -> str:
    text = json.dumps(digests, sort_keys=True)
    return hmac.new(_own_key(), text.encode(), hashlib.sha256).hexdigest()


def _own_key() -> bytes:
    """What identifies this user on this machine; it is never written to a file."""
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        machine = ""
    machine = machine or f"{uuid.getnode():x}"
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    return f"translate {machine} {socket.gethostname()} {user}".encode()
