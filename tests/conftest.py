"""The process of tests: what is imported for all of them stays to its end, so nobody looks for cycles among it.

Python would, again and again: it took a third of the collection's time.
"""

from __future__ import annotations

import gc
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
