"""The process of tests: what is imported for all of them stays to its end, so nobody looks for cycles among it.

Python would, again and again: it took a third of the collection's time.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect the tests, then freeze what was made for it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def temporary_files_lie_with_those_of_pytest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What processes leave behind that tests kill goes as pytest's own folders go."""
    place = str(tmp_path_factory.mktemp("temporary"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", place)
        patch.setattr(tempfile, "tempdir", place)
        yield
