"""Fuzzing of everything that is read from files: crafted translators, checkpoints, configs and names of parts.

    python -m benchmarks.fuzz --examples 2000

Each case must open, or be refused by a ``TranslateError``; any other exception, and any case that takes longer or more
memory than the bound, ends the run with the case that did it. The quick form runs in the suite, ``tests/test_fuzz.py``.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))


def main() -> None:
    """Run the long form, and print how many cases were tried, refused and opened, and the worst."""
    fuzzing: Any = import_module("fuzzing")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--examples", type=int, default=1000, help="cases of each kind")
    parser.add_argument("--seed", type=int, default=0)
    kinds = ", ".join(fuzzing.KINDS)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"what to fuzz, of {kinds} (default: all)")
    asked = parser.parse_args()
    if unknown := [kind for kind in asked.kinds if kind not in fuzzing.KINDS]:
        parser.error(f"there is no kind {unknown[0]}, but {kinds}")
    # What is told of a thousand files that open is not worth reading.
    logging.getLogger("translate").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="translate-") as place:
        for kind in asked.kinds or fuzzing.KINDS:
            print(fuzzing.fuzz(kind, Path(place), examples=asked.examples, seed=asked.seed), flush=True)


if __name__ == "__main__":
    main()
