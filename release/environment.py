"""A fresh virtual environment, in which a release is installed and used as by somebody who has nothing else."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROUNDS = 5


class CheckError(Exception):
    """One sentence on what a release fails in."""


def told(text: str = "") -> None:
    """Print a line at once, among those of the commands."""
    print(text, flush=True)


def ran(command: Sequence[str | Path], cwd: Path, environment: dict[str, str] | None = None) -> str:
    """Run a command, show it and what it prints, and give its output; raises ``CheckError`` if it fails."""
    words = [str(word) for word in command]
    told("$ " + " ".join(words))
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    for line in [*lines[:8], *([f"... {len(lines) - 16} lines ..."] if len(lines) > 16 else []), *lines[8:][-8:]]:
        told(f"  {line}")
    if done.returncode:
        told("\n".join(lines))
        raise CheckError(f"`{' '.join(words)}` ended with {done.returncode}")
    return done.stdout


class Environment:
    """A virtual environment in a folder, beside a working directory from which no checkout is seen."""

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.work = folder / "work"
        self.work.mkdir(parents=True)
        self.bin = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "TRANSLATE_NO_PLUGIN")
        self.variables = {name: value for name, value in os.environ.items() if name not in hidden}
        self.variables["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
        ran([python, "-m", "venv", folder / "venv"], self.work, self.variables)

    def run(self, program: str, *arguments: str | Path) -> str:
        """Run a program of the environment."""
        return ran([self.bin / program, *arguments], self.work, self.variables)

    def install(self, *what: str | Path, constraints: Path) -> None:
        """Install by pip with the tested versions."""
        self.run("python", "-m", "pip", "install", "--quiet", "--constraint", constraints, *what)

    def seconds(self, code: str) -> float:
        """The median of the seconds that a new interpreter takes for some code, less those for none."""
        taken: dict[str, list[float]] = {"pass": [], code: []}
        for _ in range(ROUNDS + 1):
            for each, times in taken.items():
                started = time.perf_counter()
                subprocess.run([self.bin / "python", "-c", each], cwd=self.work, env=self.variables, check=True)
                times.append(time.perf_counter() - started)
        # The first round reads files for the first time.
        none, some = (statistics.median(times[1:]) for times in taken.values())
        return max(some - none, 0.0)


def use(environment: Environment, version: str) -> None:
    """Use an installed release: what it says of itself, a training and a conversion of embedded data, import times."""
    environment.run("python", "-m", "pip", "check")
    found = environment.run("translate", "--version")
    if version not in found.split():
        raise CheckError(f"the archives are of version {version}, but `translate --version` prints {found.strip()!r}")
    if "convert" not in environment.run("translate", "--help"):
        raise CheckError("`translate --help` does not list the command convert")
    plugins = environment.run("translate", "plugins")
    if f"pix2pix  (image-translate {version})" not in plugins:
        raise CheckError("`translate plugins` does not list the plugin pix2pix of the release")
    environment.run("translate", "data", "demo(size=32)", "--export", "pairs")
    small = ["--size", "32", "--steps", "4", "--batch", "2", "--generator", "small_unet(width=4)"]
    environment.run("translate", "fit", "pix2pix", "pairs", "-o", "run", *small)
    environment.run("translate", "convert", "run", Path("pairs", "test", "source"), "converted")
    wanted = {path.name for path in (environment.work / "pairs" / "test" / "source").iterdir()}
    if not wanted or wanted - {path.name for path in (environment.work / "converted").iterdir()}:
        raise CheckError("the conversion of the embedded data left images out")
    if not (environment.work / "run" / "report.html").is_file():
        raise CheckError("the training wrote no report.html, so the pages' templates are missing")
    for code in ("import translate", "import translate.cli", "import translate; translate.fit"):
        told(f"  {code}: {environment.seconds(code):.3f} s")
