"""The gallery's command: run pages as they are written, draw their pictures, and write down what was measured."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gallery import index
from benchmarks.gallery.made import made
from benchmarks.gallery.pages import FOLDER, Page, pages, write_made
from benchmarks.gallery.pictures import draw
from benchmarks.gallery.running import Runner, in_process, run
from translate.errors import TranslateError


def make(page: Page, folder: Path, pictures: Path, *, runner: Runner = in_process, is_quick: bool = False) -> str:
    """Run a page's commands in ``folder``, draw into ``pictures``, and return the text that the page gets."""
    done = run(page, folder, runner=runner, is_quick=is_quick)
    for picture in page.pictures:
        draw(picture, folder, pictures / picture.file)
    return made(page, done)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit code 2 where a page or one of its commands fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gallery", description=__doc__)
    parser.add_argument("pages", nargs="*", help="names of pages (default: all)")
    parser.add_argument("--quick", action="store_true", help="few steps of small networks; nothing in docs is changed")
    parser.add_argument(
        "--work", type=Path, default=Path("gallery"), help="folder of the runs, kept (default: gallery)"
    )
    parser.add_argument("--index", action="store_true", help="only write the table of the gallery's first page anew")
    asked = parser.parse_args(arguments)
    try:
        for page in [] if asked.index else pages(asked.pages):
            if asked.quick:
                with tempfile.TemporaryDirectory() as folder:
                    make(page, Path(folder), Path(folder), is_quick=True)
                continue
            write_made(page, make(page, asked.work / page.name, FOLDER))
        if not asked.quick:
            index.write()
    except TranslateError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
