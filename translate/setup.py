"""Setup: the data, method, engine and optimizers of a training, built from a config and checked against each other."""

from __future__ import annotations

import logging
import math
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from typing import Any, Protocol

import torch

from translate import __version__
from translate.adversary import Adversary
from translate.asked_optimizers import DEFAULT_OPTIMIZER, player_of, refuse_double
from translate.balance import Balance
from translate.compute import convolutions_of, convolve_fast, lay_out, memory_format_of, precision_of, recompute
from translate.data import DOMAINS, Dataset
from translate.devices import pick_device
from translate.engine import Engine, cuda_graphs
from translate.errors import TranslateError, nearest
from translate.fingerprint import Listing
from translate.job import is_distributed, rank_and_world_size
from translate.layouts import open_dataset
from translate.loader import LeftOut, Loader
from translate.loggers import Loggers
from translate.memory import limits
from translate.method import Method, Needs
from translate.options import Call, options_of, parse_call
from translate.overview import first_only_among_some
from translate.parts import CatalogParts, build, build_method
from translate.plugins import OURS, Catalog, discover
from translate.ranks import ProcessGroup, device_of_rank, join, share_statistics
from translate.run import Config
from translate.seeds import seed_step
from translate.streams import Streams, refuse_unmet

log = logging.getLogger("translate")

DEFAULT_EPOCHS = 200


class DataGate(Protocol):
    """What a resumed run says to the data that it finds: see ``translate.changed_data``."""

    def refuse_unfit(self, dataset: Dataset) -> None:
        """Raise ``TranslateError`` if the run's networks cannot fit the data."""
        ...

    def __call__(self, config: Config, dataset: Dataset, needs: Needs) -> Config:
        """Return the config to go on with, or raise ``TranslateError``."""
        ...


@dataclass(slots=True)
class Setup:
    """The components of a training; in its ``config``, every ``auto`` is resolved."""

    config: Config
    catalog: Catalog
    dataset: Dataset
    parts: CatalogParts
    method: Method
    engine: Engine
    steps: int
    group: ProcessGroup
    listing: Listing
    left_out: LeftOut
    loggers: Loggers

    @classmethod
    def make(
        cls,
        config: Config,
        no_plugins: Sequence[str] = (),
        resources: Mapping[str, Any] | None = None,
        on_data: DataGate | None = None,
    ) -> Setup:
        """Open the data, and build the method and its optimizers.

        Raises ``TranslateError`` for an invalid combination before any image is decoded. ``resources`` come from the
        checkpoint of a resumed run: the metadata of its frozen networks, whose files may be gone. ``on_data`` may
        refuse the dataset, as far as the method sees it, and returns the config to go on with.
        """
        if config.minutes is not None and (config.steps or config.epochs):
            raise TranslateError("a training has one length; give --minutes, or --steps or --epochs")
        if on_data is None:
            # A run that goes on has what it was trained with, whatever that was.
            refuse_double(config.optimizer)
        catalog = discover(extra=config.plugins, blocked=no_plugins)
        catalog.offer("methods", config.method)
        loggers = Loggers.build(catalog, config.log if rank_and_world_size()[0] == 0 else ())
        device = pick_device(config.device if not is_distributed() else device_of_rank(config.device))
        group = join(device)
        precision = precision_of(config.precision, device, config.size)
        memory_format = memory_format_of(config.memory_format, device, config.size, precision)
        convolutions = convolutions_of(config.convolutions, device)
        config = replace(config, precision=precision, memory_format=memory_format, convolutions=convolutions)
        with limits(config.memory, config.max_pixels):
            dataset = open_dataset(catalog, config.data, config.layout)
        if dataset.refusal is not None:
            raise TranslateError(f"{dataset.refusal}; see `translate data`")
        parts = CatalogParts(
            catalog,
            source=dataset.domains["source"],
            target=dataset.domains.get("target", dataset.domains["source"]),
            size=config.size,
            resources=resources,
            streams=Streams.of(dataset),
        )
        seed_step(config.seed, 0)
        try:
            method = build_method(catalog, config.method, config.options, parts)
        except TranslateError:
            # The reason may be what has become of the data.
            if on_data is not None:
                on_data.refuse_unfit(dataset)
            raise
        needs = method.needs
        if on_data is not None:
            config = on_data(config, dataset, needs)
        _check_needs(needs, dataset, config.method, catalog)
        if group.is_main:
            _tell_data(dataset, needs)
        length = _epoch_length(dataset)
        steps = config.steps or math.ceil(
            (config.epochs or DEFAULT_EPOCHS) * length / (config.batch * config.accumulate * group.size)
        )
        method.to(device).train()
        lay_out(method, memory_format)
        if convolutions == "fast":
            convolve_fast(method)
        if device.type == "cuda":
            # Concatenated batches need fewer and larger kernels; on a CPU they gain nothing.
            method.pass_together()
        if config.recompute:
            if config.compile == "yes":
                raise TranslateError(
                    "with activation checkpointing, what is recomputed cannot be compiled; "
                    "leave out --compile or --recompute"
                )
            config = replace(config, compile="no")
            recompute(parts.translating)
        if config.batch_statistics == "all" and group.size > 1:
            share_statistics(method)
        group.broadcast(method.state_dict().values())
        engine = Engine(
            method,
            {name: partial(_build_optimizer, catalog, text) for name, text in optimizer_texts(config, method).items()},
            steps=steps,
            schedule=build(catalog, "schedules", config.schedule),
            clip_norm=config.clip_norm,
            ema=config.ema,
            precision=precision,
            seed=config.seed,
            group=group,
            device=device,
            graphs=cuda_graphs(device) if is_recorded(config, device, group) else None,
        )
        listing, left_out = Listing.of(dataset, needs), LeftOut(config.broken, group=group)
        return cls(config, catalog, dataset, parts, method, engine, steps, group, listing, left_out, loggers)

    @property
    def images_per_step(self) -> int:
        """The images of a step, on all ranks."""
        return self.config.batch * self.config.accumulate * self.group.size

    @property
    def epoch_length(self) -> int:
        """The images of an epoch."""
        return _epoch_length(self.dataset)

    def loader(self) -> Loader:
        """The loader of the training split's batches."""
        config = self.config
        last = 0.0

        def progress(done: int, total: int) -> None:
            nonlocal last
            if done == total or time.monotonic() - last > 0.1:
                last = time.monotonic()
                self.tell("images_decoded", done=done, total=total)

        return Loader(
            self.dataset.splits["train"],
            self.dataset.domains,
            paired=self.dataset.paired and self.method.needs.paired,
            needs=self.method.needs,
            batch=config.batch,
            size=config.size,
            load_size=config.load_size,
            resize=config.resize,
            flip=config.flip,
            augment=[build(self.catalog, "augmentations", name) for name in config.augment],
            albumentations=config.albumentations,
            cache=config.cache,
            cache_folder=config.cache_folder,
            workers=config.workers,
            memory=config.memory,
            max_pixels=config.max_pixels,
            seed=config.seed,
            device=self.engine.device,
            rank=self.group.rank,
            ranks=self.group.size,
            on_progress=progress,
            left_out=self.left_out,
            aligned=self.dataset.aligned,
        )

    def take_balances(self) -> dict[str, Balance]:
        """How each adversary's discriminator stands that has moved since the last call, by the adversary's name."""
        adversaries = {name: each for name, each in self.method.named_modules() if isinstance(each, Adversary)}
        found = {name: each.take_balance() for name, each in adversaries.items()}
        return {name: balance for name, balance in found.items() if balance is not None}

    def tell(self, event: str, **arguments: Any) -> None:
        """Call the observers of an event, then the loggers, on the main rank only."""
        if self.group.is_main:
            self.catalog.tell(event, **arguments)
            self.loggers.tell(event, **arguments)

    @property
    def metadata(self) -> dict[str, Any]:
        """Metadata for the run's files: versions, plugin, device, threads, ranks, and a fingerprint of the data."""
        return {
            "versions": {OURS: __version__, "python": platform.python_version()}
            | {name: metadata.version(name) for name in ("torch", "numpy")},
            "plugin": str(self.catalog.offer("methods", self.config.method).plugin),
            "device": str(self.engine.device),
            "threads": torch.get_num_threads(),
            "ranks": self.group.size,
            "data": self.listing.fingerprint,
            "paired": self.dataset.paired,
            "domains": _summaries(self.dataset, self.method.needs),
            "resources": self.parts.resources,
        } | ({"left_out": left_out} if (left_out := self.left_out.names) else {})


def _epoch_length(dataset: Dataset) -> int:
    """The images of an epoch: of unpaired domains it is the longer one's."""
    return max(len(dataset.splits["train"].get(side, ())) for side in DOMAINS)


def is_recorded(config: Config, device: torch.device, group: ProcessGroup) -> bool:
    """Whether steps are recorded as CUDA graphs.

    A graph cannot record the collectives of several ranks, nor accesses to the random generator's state: activation
    checkpointing reads it, and gradient accumulation seeds it.
    """
    recordable = group.size == 1 and config.accumulate == 1 and not config.recompute
    return config.graphs and device.type == "cuda" and recordable


def optimizer_texts(config: Config, method: Method) -> dict[str, str]:
    """The optimizer of each player: ``adam(lr=1e-4)`` is for all, ``discriminator=adam(lr=4e-4)`` for one player.

    A player for which none is asked has the one that the method publishes, or else Adam.
    """
    chosen: dict[str, str] = {}
    published = dict(method.optimizers)
    for text in config.optimizer:
        if (player := player_of(text)) is not None:
            if player not in method.players:
                raise TranslateError(
                    f"--optimizer {text}: there is no player {player!r}; {nearest(player, method.players)}"
                )
            chosen[player] = text.partition("=")[2]
        else:
            chosen.update({name: text for name in method.players if name not in chosen})
    return {name: chosen.get(name) or published.get(name, DEFAULT_OPTIMIZER) for name in method.players}


def _build_optimizer(catalog: Catalog, text: str, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    optimizer: torch.optim.Optimizer = build(catalog, "optimizers", text, parameters=parameters)
    return optimizer


def _check_needs(needs: Needs, dataset: Dataset, name: str, catalog: Catalog) -> None:
    """Raise ``TranslateError`` if the data lacks something that the method needs."""
    train = dataset.splits["train"]
    if needs.paired and not dataset.paired:
        raise TranslateError(
            f"{name} needs pairs, and {dataset.name} is unpaired: its sources and targets do not belong together"
        )
    for domain in needs.labels:
        if not any(example.label >= 0 for example in train.get(domain, ())):
            raise TranslateError(f"{name} needs labels of the {domain}, and {dataset.name} has none")
    sides = {side: domain for side, domain in dataset.domains.items() if side in DOMAINS}
    hint = partial(_in_layout, dataset.layout, catalog)
    refuse_unmet(needs, train, sides, dataset.aligned, method=name, data=dataset.name, hint=hint)


def _in_layout(layout: str, catalog: Catalog, option: str, stream: str) -> str:
    """What to do about a stream that the data lacks: the option of its layout to paste, where it has such a one."""
    with suppress(TranslateError):
        call = parse_call(layout)
        if option in options_of(catalog.offer("datasets", call.name).load()):
            given = ", ".join(str(each) for each in (call.options.get(option), stream) if each)
            return f'; name it in the layout: --layout "{Call(call.name, {**call.options, option: given})}"'
    return "; use data that lists it"


def _summaries(dataset: Dataset, needs: Needs) -> dict[str, str]:
    """What each domain, and each stream that the method asks for, is taken for."""
    return {side: each.summary for side, each in dataset.domains.items() if side in DOMAINS or side in needs.aligned}


def _tell_data(dataset: Dataset, needs: Needs) -> None:
    """Say what each domain's images are taken for, and what else the user should know of the data."""
    for side, summary in _summaries(dataset, needs).items():
        log.warning("%s: %s", side, summary)
    for note in (*dataset.notes, *first_only_among_some(dataset)):
        log.warning("%s", note)
