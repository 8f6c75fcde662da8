"""``Config``: the options of a training run. ``Run``: its folder, metrics and checkpoints."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from translate import atomic, changes, lock, metrics_file
from translate.asked_optimizers import as_meant, as_written
from translate.balance import Balance
from translate.best import Best
from translate.changes import Change
from translate.common_options import Device, Layout
from translate.errors import TranslateError
from translate.logger import parse_loggers
from translate.memory import MAX_PIXELS, MaxPixels, Memory
from translate.notes import parse_note
from translate.numbered import picture_path, steps_of
from translate.options import Option, Parameter, check_options, parameter_of
from translate.paths import expanded, quoted
from translate.progress import Progress
from translate.sizes import Size, parse_size
from translate.trust import origin_of

__all__ = [
    "Config",
    "Run",
    "Scalars",
]


@dataclass(frozen=True, slots=True)
class Scalars:
    """The values of one log interval: ``terms`` are means over the interval, by ``player/term``."""

    step: int
    terms: Mapping[str, float]
    images_per_second: float
    seconds_left: float
    memory: int
    """Memory in use, in bytes: on a GPU what torch has allocated, otherwise the peak of the process."""
    epoch: float = 0.0
    """Images seen over the images of an epoch."""
    seconds: float = 0.0
    """Seconds that the run has trained, over all its resumptions."""
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    """The learning rate of the step, by player."""
    gradient_norms: Mapping[str, float] = field(default_factory=dict)
    """The norm of each player's gradient in the step, of those that moved; empty without ``Config.guard``."""
    balances: Mapping[str, Balance] = field(default_factory=dict)
    """How each adversary's discriminator stands, by the adversary's name; empty without ``Config.guard``."""


@dataclass(frozen=True, slots=True)
class Config:
    """All options of a training run; the field names are those of the command line, a config file and ``fit``."""

    method: str
    data: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """The method's own options."""

    layout: Layout = None
    steps: Annotated[int | None, Option("length of the training in steps (default: what --epochs gives)", ge=1)] = None
    epochs: Annotated[float | None, Option("length of the training in passes over the data (default: 200)", gt=0)] = (
        None
    )
    minutes: Annotated[
        float | None,
        Option("length of the training in minutes; the number of steps is fixed once their speed is measured", gt=0),
    ] = None
    batch: Annotated[int, Option("images in a batch", ge=1)] = 1
    accumulate: Annotated[int, Option("gradient accumulation: batches per optimizer step", ge=1)] = 1
    size: Annotated[
        Size,
        Option(
            "training size, 256 or HEIGHTxWIDTH",
            parse=parse_size,
            metavar="SIZE",
            fixed="networks and image pools are made for it",
        ),
    ] = (256, 256)
    load_size: Annotated[
        Size | None,
        Option("size before the random crop (default: 286/256 of the size)", parse=parse_size, metavar="SIZE"),
    ] = None
    resize: Annotated[
        Literal["stretch", "cover"], Option("stretch: ignore the aspect ratio; cover: keep it and crop the middle")
    ] = "stretch"
    flip: Annotated[bool, Option("random horizontal flip of half of the images")] = True
    augment: Annotated[
        tuple[str, ...],
        Option('further augmentation, such as "jitter(hue=0.1)"; may be repeated', part="augmentations"),
    ] = ()
    albumentations: Annotated[
        Path | None, Option("YAML or JSON file of an albumentations pipeline, run on the CPU")
    ] = None
    optimizer: Annotated[
        tuple[str, ...],
        Option(
            'optimizer of all players or of one, such as "discriminator=adam(lr=1e-4)"; may be repeated '
            "(default: those of the method, or else adam)",
            part="optimizers",
        ),
    ] = ()
    schedule: Annotated[str, Option("learning-rate schedule", part="schedules")] = "linear"
    clip_norm: Annotated[float | None, Option("gradient clipping: largest norm of a player's gradient", gt=0)] = None
    ema: Annotated[
        float, Option("EMA: decay of the moving average of the translators' weights; 0: no average", ge=0, lt=1)
    ] = 0.0
    precision: Annotated[
        Literal["auto", "float32", "bf16"],
        Option("arithmetic of the networks; auto: bf16 where it is native and faster"),
    ] = "auto"
    memory_format: Annotated[
        Literal["auto", "contiguous", "channels_last", "mixed"],
        Option("layout of images in memory; mixed: channels_last where a network prefers it"),
    ] = "auto"
    convolutions: Annotated[
        Literal["auto", "direct", "fast"],
        Option("convolution algorithm; fast: fewer multiplications in wide layers (Winograd); auto: fast on a CPU"),
    ] = "auto"
    compile: Annotated[
        Literal["auto", "yes", "no"],
        Option("torch.compile the networks; auto: in a long run, if it measures faster"),
    ] = "auto"
    graphs: Annotated[
        bool, Option("CUDA graphs: on a GPU, record each step of the method's period once and replay it")
    ] = True
    recompute: Annotated[
        bool,
        Option(
            "activation checkpointing: recompute the generators' activations in the backward pass, do not store them"
        ),
    ] = False
    device: Device = "auto"
    devices: Annotated[
        int, Option("data parallelism: devices of this machine that train together, each on its own batches", ge=1)
    ] = 1
    stop_timeout: Annotated[
        float,
        Option("with several devices: seconds for which a process may be stopped (SIGSTOP) before the job ends", gt=0),
    ] = 30.0
    batch_statistics: Annotated[
        Literal["device", "all"],
        Option(
            "all: SyncBatchNorm, batch-norm statistics over the batches of all devices; device: of each device alone"
        ),
    ] = "device"
    seed: Annotated[int, Option("seed of every random draw", ge=0)] = 0
    cache: Annotated[Literal["auto", "device", "host", "stream"], Option("where decoded images are kept")] = "auto"
    cache_folder: Annotated[
        Path | None, Option("folder in which decoded images are cached, by their content, for later runs")
    ] = None
    broken: Annotated[
        Literal["skip", "stop"],
        Option(
            "a broken or vanished image; skip: another stands in its place, for 1 % of a domain at most, or one image; "
            "stop: save and end"
        ),
    ] = "skip"
    workers: Annotated[int, Option("decoding threads (0: one per core)", ge=0)] = 0
    memory: Memory = None
    max_pixels: MaxPixels = MAX_PIXELS
    log_every: Annotated[int, Option("steps between two lines of the log", ge=1)] = 50
    log: Annotated[
        tuple[str, ...],
        Option("loggers that get the log as well, with commas, or repeated", part="loggers", parse=parse_loggers),
    ] = ()
    sample_every: Annotated[int | None, Option("steps between two sample grids (default: a tenth of all)", ge=1)] = None
    save_every: Annotated[int | None, Option("steps between two checkpoints (default: a tenth of all)", ge=1)] = None
    keep: Annotated[int, Option("how many checkpoints to keep", ge=1)] = 2
    guard: Annotated[bool, Option("watch the training, and warn in plain words when it goes wrong")] = True
    validate: Annotated[
        tuple[str, ...],
        Option('metrics of the split val in training, such as "psnr, ssim"; may be repeated', part="metrics"),
    ] = ()
    validate_every: Annotated[int | None, Option("steps between validations (default: a tenth of all)", ge=1)] = None
    validate_limit: Annotated[
        int | None, Option("most images of each domain in a validation, evenly spaced (default: all)", ge=1)
    ] = None
    keep_best: Annotated[
        str | None,
        Option("score of the validation, such as psnr, whose best checkpoint is kept, too", metavar="SCORE"),
    ] = None
    patience: Annotated[
        int | None, Option("end after this many validations without a better score of --keep-best", ge=1)
    ] = None
    on_nan: Annotated[
        Literal["stop", "rollback"],
        Option("a value that is not finite; rollback: go on from the last checkpoint at half the learning rates"),
    ] = "stop"
    init: Annotated[
        tuple[str, ...],
        Option(
            "run, checkpoint or translator.safetensors to take initial weights from, what fits by name and shape; "
            "NETWORK=SOURCE or NETWORK=SOURCE:NETWORK for one network; may be repeated",
            metavar="[NETWORK=]SOURCE[:NETWORK]",
            fixed="it has begun with other weights and trained them",
        ),
    ] = ()
    licence: Annotated[
        str | None,
        Option("licence of the translator, such as CC-BY-4.0, kept in its file", parse=parse_note, metavar="TEXT"),
    ] = None
    about: Annotated[
        str | None, Option("description of the translator, kept in its file", parse=parse_note, metavar="TEXT")
    ] = None
    plugins: tuple[str, ...] = ()
    """Files or modules of plugins that are not installed."""

    @classmethod
    def parameters(cls) -> dict[str, Parameter]:
        """The options of every training, by name; a method's options must have other names."""
        hints = get_type_hints(cls, include_extras=True)
        return {
            entry.name: parameter_of(entry.name, hints[entry.name], entry.default)
            for entry in dataclasses.fields(cls)
            if entry.name not in ("method", "data", "options", "plugins")
        }

    @classmethod
    def from_values(cls, values: Mapping[str, Any], where: str = "fit") -> Config:
        """Make a config from option values by name: names that are no fields become options of the method.

        The method's options are not checked here, since that needs an import of its factory.
        """
        known = {entry.name for entry in dataclasses.fields(cls)}
        parameters = cls.parameters()
        core = {name: value for name, value in values.items() if name in known}
        method_options = {name: value for name, value in values.items() if name not in known}
        own, plugins = core.get("options", {}), core.get("plugins", ())
        if not isinstance(own, Mapping) or not all(isinstance(name, str) for name in own):
            raise TranslateError(f"{where}: options must be names and values, not {own!r:.80}")
        plugins = [plugins] if isinstance(plugins, (str, Path)) else plugins
        if not isinstance(plugins, (list, tuple)) or not all(isinstance(each, (str, Path)) for each in plugins):
            raise TranslateError(f"{where}: plugins must be a list of files or modules, not {plugins!r:.80}")
        for name in ("method", "data"):
            if not isinstance(core.get(name), (str, Path)):
                raise TranslateError(
                    f"{where}: {name} is missing; {'name a method' if name == 'method' else 'name a folder'}"
                )
        checked = check_options({name: core[name] for name in core if name in parameters}, parameters, where)
        return cls(
            method=str(core["method"]),
            data=str(core["data"]),
            options={**own, **method_options},
            plugins=tuple(str(plugin) for plugin in plugins),
            **checked,
        )

    def to_json(self) -> dict[str, Any]:
        """The config as JSON values; ``from_values`` reads them back."""
        fields = dataclasses.asdict(self) | {"optimizer": as_written(self.optimizer)}
        return {name: str(value) if isinstance(value, Path) else value for name, value in fields.items()}


_UNSEEN = (".DS_Store", ".gitignore", ".gitkeep", "Thumbs.db", "desktop.ini")
"""Files that folders of no content may hold."""


class Run:
    """A training run on the disk: ``config.json``, ``metrics.jsonl``, ``samples/``, ``checkpoints/``.

    ``step`` is the number of steps done, ``steps`` the number asked for.
    """

    def __init__(self, folder: Path, config: Config, *, step: int = 0, steps: int = 0) -> None:
        self.folder = folder
        self.config = config
        self.step = step
        self.steps = steps
        self.origin: Mapping[str, Any] | None = None
        """What its ``config.json`` says of the plugins that it was made with; see ``translate.trust``."""
        self.fingerprint: str | None = None
        """The fingerprint of its data in its ``config.json``; see ``translate.fingerprint``."""
        self.progress = Progress()
        """The epochs and the time of its training; see ``translate.progress``."""
        self.best: Best | None = None
        """The best checkpoint of its training so far, where one is kept; see ``translate.best``."""
        self.rollbacks = 0
        """How often it has gone back to a checkpoint and halved its learning rates; see ``translate.rollback``."""

    def __repr__(self) -> str:
        return f"<Run {self.folder}: {self.config.method} on {self.config.data}, step {self.step} of {self.steps}>"

    @property
    def rate_scale(self) -> float:
        """The factor on its learning rates, which each rollback has halved."""
        return 0.5**self.rollbacks

    @property
    def translator(self) -> Path:
        """The file that ``convert`` and ``load`` need."""
        return self.folder / "translator.safetensors"

    @property
    def samples(self) -> Path:
        """The folder of sample pictures."""
        return self.folder / "samples"

    def picture(self, step: int) -> Path:
        """The file of the sample picture of a step."""
        return picture_path(self.folder, step)

    @property
    def checkpoints(self) -> list[Path]:
        """All checkpoints, oldest first."""
        return [*reversed(steps_of(self.folder).values())]

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The rows of ``metrics.jsonl`` that can be read, in the order of steps."""
        return metrics_file.read(self.folder)

    @property
    def changes(self) -> list[Change]:
        """What the run was told to do otherwise on its way; raises ``TranslateError`` for a damaged file."""
        return changes.read(self.folder)

    @classmethod
    def create(cls, folder: Path, config: Config, *, steps: int, metadata: Mapping[str, Any]) -> Run:
        """Make the folder of a new run, and write ``metadata`` to its ``config.json``.

        Raises ``TranslateError`` if the folder already holds a run or anything else.
        """
        cls.refuse_taken(folder)
        try:
            (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TranslateError(f"cannot make the run's folder {folder}: {error.strerror}") from None
        run = cls(folder, config, steps=steps)
        run.write_config(metadata)
        return run

    @staticmethod
    def refuse_taken(folder: Path) -> None:
        """Raise ``TranslateError`` if the folder already holds a run, or something that no run has made."""
        if (folder / "config.json").exists():
            again = f"translate fit --resume {quoted(folder)}"
            raise TranslateError(f"{folder} already holds a run; go on with `{again}` or choose another -o")
        try:
            found = sorted(entry.name for entry in folder.iterdir() if not _is_left_over(entry))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise TranslateError(f"cannot list {folder}: {error.strerror}; choose another -o") from None
        if found:
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            raise TranslateError(
                f"{folder} holds {found[0]}{more}, which no run has made; choose a new or empty folder with -o"
            )

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Open the run in a folder."""
        # Imported where a file is read: it takes longer than all of the command line.
        from translate.schema import FactsError, RunFacts, check_file, parse_json, read_text

        folder = expanded(folder)
        path = folder / "config.json"
        try:
            values = parse_json(read_text(path))
        except OSError:
            raise TranslateError(f"{folder} is not a run: it has no readable config.json") from None
        except FactsError as error:
            raise TranslateError(f"{path} is damaged: {error}; start the run anew or restore the file") from None
        check_file(path, RunFacts, values)
        run = cls(folder, Config.from_values(as_meant(values["config"]), str(path)), steps=values["steps"])
        run.origin, run.fingerprint = values.get("origin"), values.get("data")
        run.rollbacks = values.get("rollbacks", 0)
        return run

    def write_config(self, metadata: Mapping[str, Any]) -> None:
        """Write ``config.json`` atomically: all options with ``auto`` resolved, and ``metadata``."""
        lock.refuse_lost(self.folder)
        origin = {"origin": origin_of(self.config.plugins)} if self.config.plugins else {}
        rollbacks = {"rollbacks": self.rollbacks} if self.rollbacks else {}
        values = {"config": self.config.to_json(), "steps": self.steps, **rollbacks, **metadata, **origin}
        path = self.folder / "config.json"
        try:
            atomic.write(path, f"{json.dumps(values, indent=2)}\n".encode())
        except OSError as error:
            reason = error.strerror or str(error)
            raise TranslateError(f"cannot write {path}: {reason}; check its permissions and the disk's space") from None

    def record(self, scalars: Scalars) -> None:
        """Append a row to ``metrics.jsonl``."""
        lock.refuse_lost(self.folder)
        row = {
            "step": scalars.step,
            "epoch": round(scalars.epoch, 6),
            "seconds": round(scalars.seconds, 3),
            **{f"learning_rate/{player}": rate for player, rate in scalars.learning_rates.items()},
            **scalars.terms,
            "images_per_second": round(scalars.images_per_second, 3),
            "memory": scalars.memory,
        }
        metrics_file.append(self.folder, row)

    def forget_after(self, step: int) -> None:
        """Drop the rows of ``metrics.jsonl`` after ``step``, the step of the checkpoint that a run resumes from."""
        metrics_file.cut(self.folder, step)


def _is_left_over(entry: Path) -> bool:
    """Whether a folder's entry is what a run that ended before its ``config.json`` leaves, or a file manager."""
    if entry.name == "checkpoints" and entry.is_dir():
        return not any(entry.iterdir())
    return entry.name in (lock.NAME, *_UNSEEN) or (entry.name.startswith(".") and entry.name.endswith(".part"))
