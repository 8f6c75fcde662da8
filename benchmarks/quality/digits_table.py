"""The digits' table: one line for each row and score, mean and spread over the seeds."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

UNITS: Mapping[str, tuple[str, int | None]] = {
    "content_accuracy": ("content accuracy, % ↑", 2),
    "domain_accuracy": ("domain recognized, % ↑", 2),
    "untranslated": ("the judge's accuracy on untranslated sources, %", 2),
    "ceiling": ("the judge's accuracy on real images, %", 2),
    "classification_error": ("classification error, % ↓", 2),
    "psnr": ("PSNR, dB ↑", 2),
    "ssim": ("SSIM ↑", 4),
    "l1": ("L1, values in [-1, 1] ↓", 4),
    "bits_per_dim": ("bits/dim ↓", 4),
    "elbo": ("evidence lower bound, nats ↑", 1),
    "elbo_bits_per_dim": ("the bound in bits/dim ↓", 4),
    "kl": ("its KL divergence, nats", 1),
    "reconstruction": ("its reconstruction, nats ↓", 1),
    "frechet": ("Fréchet distance of samples ↓", 2),
    "diversity": ("diversity, L1", 4),
    "class_diversity": ("diversity within a class, of that of real images ↑", 3),
    "class_diversity_made": ("mean distance within a class", 4),
    "class_diversity_real": ("mean distance within a class of real images", 4),
    "read right": ("read by the judge as the class asked for, % ↑", 2),
    "read right, worst class": ("of the worst class, % ↑", 2),
    "cycle, mean": ("error of the cycle, mean ↓", None),
    "cycle, largest": ("error of the cycle, largest ↓", None),
    "cycle in float64, mean": ("error of the cycle in float64, mean ↓", None),
    "cycle in float64, largest": ("error of the cycle in float64, largest ↓", None),
    "cycle by 8 bits, mean": ("error of the cycle by files of 8 bits, mean ↓", None),
    "cycle by 8 bits, largest": ("error of the cycle by files of 8 bits, largest ↓", None),
}
"""What a score is called, and how many decimals it has: none in powers of ten."""

DIRECTIONS = ("forward", "backward", "sample", "classify")
"""What may stand before the name of a score."""


def read(folder: Path) -> list[dict[str, Any]]:
    """All result files of a folder, by name."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def render(results: Sequence[Mapping[str, Any]], order: Sequence[str]) -> str:
    """The table in Markdown, rows in the given order, with the command of each row."""
    if not results:
        return "No results yet.\n"
    rows = {name: [each for each in results if each["row"] == name] for name in order}
    lines = ["| row | score | mean ± deviation | seeds | steps | minutes |", "| :-- | :-- | --: | --: | --: | --: |"]
    for name, members in rows.items():
        for number, score in enumerate(scores_of(members)):
            minutes = statistics.mean(member["seconds"] for member in members) / 60
            about = f"`{name}`" if not number else ""
            cells = [about, titled(score), spread([member["scores"][score] for member in members], score)]
            cells += [str(len(members)), f"{members[0]['steps']:,}", f"{minutes:.0f}"] if not number else ["", "", ""]
            lines.append("| " + " | ".join(cells) + " |")
    machines = dict.fromkeys(
        "{cpu}, torch {torch}, {threads} thread of {cores}".format(**each["machine"]) for each in results
    )
    commands = [members[0]["command"].rpartition(" --seed")[0] for members in rows.values() if members]
    told = [f"- Trained and scored on: {machine}." for machine in machines]
    return "\n".join([*lines, "", *told, "", "```sh", *dict.fromkeys(commands), "```"]) + "\n"


def scores_of(members: Sequence[Mapping[str, Any]]) -> list[str]:
    """The scores that all members have, without their standard errors over the images."""
    if not members:
        return []
    common = [score for score in members[0]["scores"] if all(score in member["scores"] for member in members)]
    return [score for score in common if not score.endswith("_standard_error")]


def titled(score: str) -> str:
    """The heading of a score, with its direction where it has one.

    >>> titled("backward content_accuracy")
    'backward: content accuracy, % ↑'
    """
    direction, name = split(score)
    title = UNITS.get(name, (name, 4))[0]
    return title if direction in ("", "sample", "classify") else f"{direction}: {title}"


def split(score: str) -> tuple[str, str]:
    """The direction of a score, if it has one, and its name.

    >>> split("forward cycle, mean"), split("psnr")
    (('forward', 'cycle, mean'), ('', 'psnr'))
    """
    direction, _, name = score.partition(" ")
    return (direction, name) if direction in DIRECTIONS or name in UNITS else ("", score)


def spread(values: Sequence[float], score: str) -> str:
    """The mean over seeds, and its standard deviation where there are several.

    >>> spread([94.0, 96.0], "forward content_accuracy"), spread([1.5], "bits_per_dim")
    ('95.00 ± 1.41', '1.5000')
    >>> spread([2e-6, 4e-6], "backward cycle, mean")
    '3.0e-06 ± 1.4e-06'
    """
    digits = UNITS.get(split(score)[1], ("", 4))[1]
    form = ".1e" if digits is None else f".{digits}f"
    mean = f"{statistics.mean(values):{form}}"
    return f"{mean} ± {statistics.stdev(values):{form}}" if len(values) > 1 else mean
