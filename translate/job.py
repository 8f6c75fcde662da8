"""The job: which rank of how many this process is, as its environment says; without torch."""

from __future__ import annotations

import os

EXIT_LOST_RANK = 4
"""Exit code of a rank that lost the others, and of a job that lost a rank."""


def is_distributed() -> bool:
    """Whether this process was started as one of several ranks."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def rank_and_world_size() -> tuple[int, int]:
    """This process's rank and the number of ranks: (0, 1) for a single process."""
    return (int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])) if is_distributed() else (0, 1)


def is_launcher_or_main() -> bool:
    """Whether this process reports to the user: the launcher of the ranks, or rank 0 without our launcher."""
    return not is_distributed() or (os.environ["RANK"] == "0" and "TRANSLATE_PARENT" not in os.environ)


def parent_died() -> bool:
    """Whether the process that started this rank has ended, so that nothing waits for the job any more."""
    parent = os.environ.get("TRANSLATE_PARENT")
    return parent is not None and os.getppid() != int(parent)
