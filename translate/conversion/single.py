"""Images one by one, for a program that is handed them as it runs: each becomes what ``convert`` makes of its file.

A job goes through three steps, which may run in different threads: ``decode``, ``answer`` (several jobs of one ``key``
together), and ``encode``. What the steps need of memory is held by an ``Account`` from the first to the last.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from translate import images
from translate.conversion.answering import translate
from translate.conversion.batch import Answer, AnyTranslator, Decoded, Work, decode, outputs
from translate.conversion.fitting import Account, Need, plan_memory
from translate.conversion.framing import why_first_only
from translate.conversion.loading import batch_size, load_asked
from translate.conversion.partners import given_for
from translate.conversion.pipeline import BATCH_PIXELS, convert_all, failure_sentence
from translate.conversion.plan import Task, name_outputs, suffix_rule
from translate.conversion.resizing import check_resizing
from translate.conversion.size_warnings import SizeWarnings
from translate.errors import TranslateError, UnfitError
from translate.memory import free_share

OF_A_JOB = (
    "at", "long_side", "scale", "samples", "seed", "format", "quality", "metadata", "gps", "frames",
)  # fmt: skip
"""The options of ``convert`` that each job has for itself."""


class TooLargeError(TranslateError):
    """An image has more pixels, or needs more memory, than may be used."""


class WrongKindError(TranslateError):
    """A file is no image of a kind that is read."""


@dataclass(slots=True, eq=False)
class Job:
    """An image to convert: a file without suffix in a folder of its own, and how it was asked for.

    ``name`` is what its file is called elsewhere; noise is drawn for it, and nothing is opened by it. ``asked`` holds
    ``OF_A_JOB``, and ``given`` what the network takes beside the image: numbers, text, and paths of files that lie in
    the folder.
    """

    folder: Path
    file: Path
    name: str
    asked: Mapping[str, Any]
    given: Mapping[str, Any] = field(default_factory=dict)
    work: Work | None = None
    task: Task | None = None
    need: Need = field(default_factory=Need)
    decoded: Decoded | None = None

    @property
    def alone(self) -> bool:
        """Whether it goes the way of a folder's images, by files: one of several frames, or one in parts."""
        return bool(self.need.several) or self.need.algorithm != "whole"


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a job: files of images by their suffix, and sentences about what was left out of them."""

    suffix: str
    files: tuple[bytes, ...]
    notices: tuple[str, ...] = ()


class Converter:
    """A translator at work for jobs.

    ``asked`` are options of ``convert``: those by which a translator is loaded, ``batch``, ``max_pixels`` and
    ``memory``. Raises ``TranslateError`` for a translator that needs images to be calibrated on.
    """

    def __init__(
        self, path: Path, asked: Mapping[str, Any], plugins: Sequence[str] = (), no_plugins: Sequence[str] = ()
    ) -> None:
        translator: AnyTranslator = load_asked(path, {**asked, "given": None}, plugins, no_plugins)
        if translator.needs_calibration:
            raise TranslateError(
                f"{path}: int8 is calibrated on images of a folder, which a single image does not bring; take "
                "--precision bf16 or float32"
            )
        self.translator = translator
        self._path = path
        self._work = Work(
            translator, max_pixels=asked["max_pixels"], memory=asked["memory"] or free_share(), whole=asked["memory"],
            sizes=SizeWarnings(silent=True),
        )  # fmt: skip
        self._asked = asked
        self.account = Account(self._work)
        # A network in another precision or of a runtime is prepared before the first image waits for it.
        self.batch = batch_size(translator, {"samples": None, "batch": asked["batch"]})

    @property
    def draws(self) -> bool:
        """Whether the network draws noise for every answer."""
        return bool(getattr(self.translator, "takes_noise", False))

    @property
    def takes_samples(self) -> bool:
        """Whether several samples of one image differ."""
        inference = getattr(self.translator, "inference", None)
        return self.draws or bool(getattr(inference, "takes_samples", False))

    def decode(self, job: Job) -> None:
        """Read what is given and, of the image, its header: what it needs is known then; its memory is not held yet.

        Raises ``TranslateError`` for what does not fit.
        """
        with self.sentences(job):
            check_resizing(job.asked)
            try:
                suffix = images.suffix_of(job.file)
            except images.ImageError as error:
                raise WrongKindError(str(error)) from None
            named = job.file.rename(job.file.with_suffix(suffix))
            rule = suffix_rule(self.translator.source, self.translator.target, job.asked["format"])
            place = job.folder / "outputs"
            made = name_outputs([f"output{suffix}"], rule, job.asked["samples"])[0]
            job.file, job.task = named, Task(named, job.name, tuple(place / each for each in made))
            given = given_for(self.translator, {"given": dict(job.given), "max_pixels": self._work.max_pixels})
            own = {name: job.asked[name] for name in OF_A_JOB if name != "format"}
            job.work = replace(self._work, given=given, notices=type(self._work.notices)(), **own)
            self._refuse_large(job, images.probe(named))
            job.need = plan_memory(job.task, job.work)
            if (refusal := self.account.refusal(job.task, job.need)) is not None:
                raise TooLargeError(refusal)
            if job.need.several and (reason := why_first_only(job.need.several, job.task, job.work)):
                job.work.notices.add(job.task.source, (reason,))
                job.need = replace(job.need, several="")
            if job.need.several:
                self._refuse_many(job)

    def read(self, job: Job) -> None:
        """Decode the image itself, once its memory is held."""
        assert job.work is not None
        assert job.task is not None
        if not job.alone:
            with self.sentences(job):
                job.decoded = decode(job.task, job.work)

    def key(self, job: Job) -> tuple[Any, ...]:
        """What jobs have in common that may be answered together."""
        if job.decoded is None or job.work is None:
            return (id(job),)
        given = job.work.given
        options = tuple(sorted((name, repr(value)) for name, value in given.options.items()))
        return (*job.decoded.bucket, options, given.names, job.work.samples, job.work.seed)

    def most(self, job: Job) -> int:
        """How many jobs of this one's key may be answered together."""
        if job.decoded is None or job.work is None:
            return 1
        height, width = map(int, job.decoded.pixels.shape[:2])
        asked = {"samples": job.work.samples, "batch": self.batch}
        return max(1, min(batch_size(self.translator, asked), BATCH_PIXELS // (height * width)))

    def answer(self, jobs: Sequence[Job]) -> list[Answer | Answered | TranslateError]:
        """The network's answers to jobs of one key, in their order; a job that fails does not affect the others."""
        if len(jobs) == 1 and jobs[0].decoded is None:
            return [self._by_files(jobs[0])]
        try:
            decoded = [job.decoded for job in jobs if job.decoded is not None]
            assert jobs[0].work is not None
            return list(translate(decoded, jobs[0].work))
        except Exception as error:
            if len(jobs) > 1:
                # One image is bad, or the batch was too large for the memory.
                return [found for job in jobs for found in self.answer([job])]
            return [self._failed(error, jobs[0])]

    def encode(self, job: Job, answer: Answer) -> Answered:
        """The files of an answer, as ``convert`` would write them."""
        assert job.work is not None
        assert job.task is not None
        with self.sentences(job):
            found = []
            for path, image in zip(job.task.outputs, outputs(answer, job.work), strict=True):
                made = images.file_of(path, image, quality=job.work.quality, metadata=answer.metadata)
                job.work.notices.add(job.task.source, made.told)
                found.append(made.data)
            return self._answered(job, found)

    def close(self, job: Job) -> None:
        """Give back the memory that a job held, and remove its folder."""
        if job.task is not None:
            self.account.give_back(job.task)
        shutil.rmtree(job.folder, ignore_errors=True)

    def sentences(self, job: Job) -> _Sentences:
        """Let errors of a block name no file of this machine."""
        return _Sentences(self, job)

    def _refuse_large(self, job: Job, header: images.Header) -> None:
        assert job.work is not None
        most = self._work.max_pixels
        pixels = header.height * header.width
        if pixels > most:
            raise TooLargeError(
                f"{job.file} has {header.width} x {header.height} pixels, more than {most:,} are not taken; make it "
                "smaller"
            )
        height, width = job.work.resizing.of((header.height, header.width))
        if height * width * (job.work.samples or 1) > most:
            samples = "" if job.work.samples in (None, 1) else f"{job.work.samples} images of "
            raise TooLargeError(
                f"{samples}{width} x {height} pixels are asked for, more than {most:,} are not made; ask for less"
            )

    def _refuse_many(self, job: Job) -> None:
        """Refuse a file whose frames or pages have more pixels together than one image may have."""
        frames = images.survey_frames(job.file, max_pixels=self._work.max_pixels)
        height, width = job.need.size
        if frames.count * height * width > self._work.max_pixels:
            raise TooLargeError(
                f"{job.file} has {frames.count} {job.need.several} of {width} x {height} pixels, more than "
                f"{self._work.max_pixels:,} in all are not taken; make it smaller, or ask for frames=first"
            )

    def _by_files(self, job: Job) -> Answered | TranslateError:
        """Convert one image as ``convert`` does, into its folder."""
        assert job.work is not None
        assert job.task is not None
        try:
            for _, reason in convert_all([job.task], job.work, batch=1, workers=1, alone=True):
                if reason is not None:
                    return TranslateError(self.without_paths(reason, job))
            return self._answered(job, [path.read_bytes() for path in job.task.outputs])
        except Exception as error:
            return self._failed(error, job)

    def _answered(self, job: Job, files: Sequence[bytes]) -> Answered:
        assert job.work is not None
        assert job.task is not None
        told = tuple(self.without_paths(each, job) for each in job.work.notices.of(job.task.source))
        return Answered(job.task.outputs[0].suffix, tuple(files), told)

    def _failed(self, error: Exception, job: Job) -> TranslateError:
        assert job.task is not None
        kind = type(error) if isinstance(error, (TooLargeError, UnfitError)) else TranslateError
        return kind(self.without_paths(failure_sentence(error, job.task), job))

    def without_paths(self, text: str, job: Job) -> str:
        """A sentence in which the files of a job, and the translator's, are called by what they are."""
        for path in (self._path, self._path.absolute(), self._path.resolve()):
            text = text.replace(str(path), path.name)
        for name, value in job.given.items():
            if isinstance(value, Path):
                text = text.replace(str(value), f"the file of {name}")
        text = text.replace(str(job.file), "the image").replace(str(job.file.with_suffix("")), "the image")
        for path in () if job.task is None else job.task.outputs:
            text = text.replace(str(path), "the output")
        return text.replace(str(job.folder), "").strip()


class _Sentences:
    """A block whose errors are sentences about a job's image, without a path."""

    def __init__(self, converter: Converter, job: Job) -> None:
        self._converter, self._job = converter, job

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> None:
        if isinstance(error, TranslateError):
            with suppress(AttributeError):
                error.args = (self._converter.without_paths(str(error), self._job),)
            return
        if isinstance(error, (OSError, MemoryError)) and self._job.task is not None:
            text = self._converter.without_paths(failure_sentence(error, self._job.task), self._job)
            raise TranslateError(text) from None
