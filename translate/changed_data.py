"""Whether a resumed run finds the data that it was trained on, and what becomes of data that moved or changed."""

from __future__ import annotations

import logging
from dataclasses import replace

from translate import changes
from translate.data import DOMAINS, Dataset
from translate.errors import TranslateError
from translate.fingerprint import NAME, Listing, differences, unfit
from translate.job import rank_and_world_size
from translate.method import Needs
from translate.paths import expanded, quoted
from translate.run import Config, Run
from translate.terminal import printable

log = logging.getLogger("translate")


class DataCheck:
    """The check of a resumed run's data against the fingerprint in the run's ``config.json``.

    ``data`` is the place where the data lies now, if it moved; ``accept`` says whether changed data is to be used.
    """

    def __init__(self, run: Run, *, data: str | None, accept: bool) -> None:
        self.accept = accept
        self._run, self._before = run, run.config.data
        self._moved = data is not None and data != run.config.data
        self._listing: Listing | None = None
        self._what = ""
        if data is not None:
            run.config = replace(run.config, data=data)

    @property
    def changed(self) -> bool:
        """Whether the data has changed, and is used all the same."""
        return bool(self._what)

    def refuse_unfit(self, dataset: Dataset) -> None:
        """Raise ``TranslateError`` if the run's networks cannot fit a dataset, before a method is built for it."""
        before = Listing.read(self._run.folder, str(self._run.fingerprint))
        if before is not None:
            streams = frozenset(side.domain for side in before.sides) - set(DOMAINS)
            now = Listing.of(dataset, Needs(aligned=streams))
            self._refuse_unfit(before, now)

    def _refuse_unfit(self, before: Listing, now: Listing) -> None:
        if (reason := unfit(before, now)) is not None:
            raise TranslateError(
                f"the data of {self._run.folder} has changed so that its networks do not fit: {reason}; {self._anew}"
            )

    @property
    def _anew(self) -> str:
        return f"start a new run from its weights with --init {quoted(self._run.folder)}"

    def __call__(self, config: Config, dataset: Dataset, needs: Needs) -> Config:
        """The config to go on with on a dataset: its number of steps stays although an epoch is longer or shorter.

        ``needs`` are those of the run's method; what it does not ask for may change. Raises ``TranslateError``, which
        names what has changed, if the data is not the run's and is not accepted, or if the networks cannot fit it.
        """
        self._listing = now = Listing.of(dataset, needs)
        known = self._run.fingerprint
        if known in (None, now.fingerprint):
            if self.accept and rank_and_world_size()[0] == 0:
                log.warning("the data of %s has not changed", self._run.folder)
            return config
        before = Listing.read(self._run.folder, str(known))
        if before is not None:
            self._refuse_unfit(before, now)
        # Runs of earlier versions kept no listing.
        self._what = f"it has {now.counts} images to train on" if before is None else differences(before, now)
        if not self.accept:
            subject = (
                f"{config.data} does not hold the data of {self._run.folder} as it was"
                if self._moved
                else f"the data of {self._run.folder} has changed since"
            )
            raise TranslateError(
                f"{subject}: {self._what}; go on with it, no longer exactly, by --changed-data, or {self._anew}"
            )
        return config if config.steps is not None else replace(config, steps=self._run.steps, epochs=None)

    def record(self, step: int, retried: int = 0) -> None:
        """Write down in the run, from ``step`` on, that its data moved or changed; by the main rank only.

        ``retried`` images that were left out are used again if they can be read.
        """
        assert self._listing is not None
        if retried and not self.changed:
            self._what = f"{retried} that were left out are tried again"
        here = self._run.config.data
        if self.changed:
            log.warning(
                "the data of %s has changed: %s; the run goes on with it from step %d, and is no longer exact",
                self._run.folder, self._what, step,
            )  # fmt: skip
        if self.changed or self._moved:
            after = f"{here}: {self._what}".removesuffix(": ")
            changes.record(self._run.folder, step, "data", printable(self._before), printable(after))
        if self.changed or not (self._run.folder / NAME).exists():
            self._listing.write(self._run.folder)


def refuse_missing(run: Run, data: str | None) -> None:
    """Raise ``TranslateError`` if the folder of a run's data is gone; the name of a dataset is no folder.

    ``data`` is the place that was given anew, if any; what is wrong with it is told when it is opened.
    """
    if data is not None:
        return
    place = expanded(run.config.data)
    if place.is_absolute() and not place.exists():
        raise TranslateError(
            f"the data of {run.folder} is no longer at {place}; name its new place with --data, or put it back"
        )


def after_broken(run: Run, error: Exception) -> str:
    """What to say of a training that broken images have stopped: where it stopped, and how to go on."""
    saved = "and saved" if run.step else "with nothing to save yet"
    again = f"translate fit --resume {quoted(run.folder)}"
    skip = ", or with --broken skip to leave such images out" if run.config.broken == "stop" else ""
    return (
        f"stopped at step {run.step} of {run.steps} {saved}: {error}; restore the files and go on with `{again}`"
        f"{skip}, or remove them and add --changed-data"
    )
