"""What the report of a long run costs: the time to write it first and again, its size, and how long a browser takes.

``python -m benchmarks.report --rows 100000 --grids 500`` makes a run's folder of that size, writes its report, appends
a row and a grid and writes it once more, as a training does, and opens it in Chromium if there is one.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import numpy as np

from translate import images
from translate.reporting.facts import RunFacts
from translate.reporting.writing import content_of, page_of
from translate.run import Config, Run

ROOT = Path(__file__).parents[1]
TERMS = ("discriminator/adversarial", "generator/adversarial", "generator/l1", "generator/perceptual")


def make(folder: Path, rows: int, grids: int, side: int) -> Run:
    """A run's folder with so many rows of ten scalars, and so many grids of 4 rows and 3 columns of images."""
    run = Run.create(folder, Config("pix2pix", "photos"), steps=rows * 50, metadata={})
    draw = random.Random(0)
    with (folder / "metrics.jsonl").open("w") as file:
        for row in range(rows):
            file.write(line_of(row, draw))
    run.samples.mkdir()
    for number in range(grids):
        write_grid(run, number, side)
    return run


def line_of(row: int, draw: random.Random) -> str:
    """One row of a log."""
    values = {
        "step": (row + 1) * 50, "epoch": row / 100, "seconds": row * 3.0,
        "learning_rate/generator": 2e-4, "learning_rate/discriminator": 2e-4,
        **{term: draw.random() + 100 / (row + 100) for term in TERMS},
        "images_per_second": 20 + draw.random(), "memory": 2**30,
    }  # fmt: skip
    return json.dumps(values) + "\n"


def write_grid(run: Run, number: int, side: int) -> None:
    """Write the grid of a number, of smooth images."""
    noise = np.random.default_rng(number).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    picture = images.resize(noise, (4 * side, 3 * side))
    images.write(run.samples / f"step-{number * 1000:08d}.png", images.Image(picture))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--grids", type=int, default=500)
    parser.add_argument("--side", type=int, default=256)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        run = make(Path(place, "run"), asked.rows, asked.grids, asked.side)
        facts, page = RunFacts(run.folder), run.folder / "report.html"
        for what in ("first", "again"):
            begun, used = time.perf_counter(), time.thread_time()
            content = content_of([facts], run.folder)
            page.write_text(page_of(content, "report"))
            print(f"{what}: {time.perf_counter() - begun:.2f} s, {time.thread_time() - used:.2f} s of the processor")
            with (run.folder / "metrics.jsonl").open("a") as file:
                file.write(line_of(asked.rows, random.Random(1)))
            write_grid(run, asked.grids, asked.side)
        held, listed = content["runs"][0]["grids"]["held"], len(content["runs"][0]["grids"]["list"])
        print(f"size: {page.stat().st_size / 2**20:.1f} MiB, with {held} of {listed} grids")
        in_browser(page)


def in_browser(page: Path) -> None:
    """Open the page, and draw all its curves at several zooms."""
    sys.path.insert(0, str(ROOT / "tests"))
    module = import_module("browser")
    if module.CHROMIUM is None:
        return
    with module.browser() as tab:
        begun = time.perf_counter()
        tab.open(page)
        tab.until("document.documentElement.dataset.ready === 'true'")
        print(f"opened: {time.perf_counter() - begun:.2f} s")
        each = tab.ask(
            "(() => { const begun = performance.now();"
            " for (let n = 0; n < 20; n += 1) { charts.from = n * 1000; charts.until = 4e6; charts.smooth = n / 21;"
            " for (const chart of charts.all) chart.draw(); }"
            " return (performance.now() - begun) / 20 / charts.all.length; })()"
        )
        print(f"drawn: {each:.1f} ms a chart")
        grids = tab.ask(
            "(async () => { const time = document.getElementById('time'), begun = performance.now();"
            " for (let n = 0; n < 40; n += 1) { time.value = n * 12; time.dispatchEvent(new Event('input'));"
            " await new Promise(requestAnimationFrame); } return (performance.now() - begun) / 40; })()"
        )
        print(f"slider: {grids:.1f} ms a grid")


if __name__ == "__main__":
    main()
