"""The public list against the modules: each name is there, ``__all__`` says the same, and the page is up to date."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from translate.public import PUBLIC

ROOT = Path(__file__).parents[1]
each_module = pytest.mark.parametrize("module", PUBLIC)


@each_module
def test_public_names_are_there(module: str) -> None:
    found = importlib.import_module(module)
    for name in PUBLIC[module]:
        assert getattr(found, name) is not None


@each_module
def test_modules_export_what_is_public_and_nothing_else(module: str) -> None:
    if PUBLIC[module]:
        assert list(importlib.import_module(module).__all__) == list(PUBLIC[module])


@each_module
def test_names_are_sorted_and_unique(module: str) -> None:
    names = PUBLIC[module]
    assert len(set(names)) == len(names)
    kinds = (
        [n for n in names if n.isupper() or n.startswith("__")],
        [n for n in names if n[0].isupper() and not n.isupper()],
    )
    rest = [name for name in names if name.islower() and not name.startswith("__")]
    assert list(names) == [*sorted(kinds[0]), *sorted(kinds[1]), *sorted(rest)]


def test_public_modules_are_listed_in_order() -> None:
    assert list(PUBLIC) == sorted(PUBLIC)


def test_a_changed_signature_is_noticed(tmp_path: Path) -> None:
    """The page holds every signature; one that differs makes the check of the tables fail."""
    code = (
        "import runpy, sys, translate.latent as latent\n"
        "old = latent.tie\n"
        "def tie(pair, name, hint, further=None): ...\n"
        "latent.tie = tie\n"
        f"sys.argv = ['tables.py', '--check']\n"
        f"runpy.run_path({str(ROOT / 'docs' / 'tables.py')!r}, run_name='__main__')\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 1
