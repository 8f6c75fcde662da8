"""Sample grids: which examples a training shows, and what its translators and samplers make of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from translate import images
from translate.background import Background
from translate.columns import Made
from translate.data import DOMAINS
from translate.errors import TranslateError
from translate.given import Ready, with_noise
from translate.loader import Preview, preview_batch
from translate.lock import refuse_lost
from translate.method import role_of
from translate.row_inputs import RowInputs
from translate.run import Run
from translate.seeds import noise_of
from translate.setup import Setup
from translate.taken import Taken, Wanted, named_by, taken_by
from translate.terminal import printable
from translate.traits import Traits

SHOWN = 4
"""Rows of a sample grid."""

DRAWN = 8
"""Columns of a sample grid for a sampler."""

CLASSES = 12
"""The most classes of one network that have a column each."""

log = logging.getLogger("translate")


class SampleGrids:
    """The grids of a training: the examples that they show, and what they cannot show, which is told once.

    The examples are the first of the validation split, or of the training split if it is empty.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._told: set[str] = set()
        domains, lengths = named_by(setup.parts)
        self._taken = {
            direction: taken_by(network, domains=domains, vectors=lengths)
            for direction, network in setup.method.translators.items()
        }
        self._held_out = False
        self._shown = self._read()
        self._real = {
            name: images.to_rgb(each, setup.dataset.domains[name])
            for name, each in self._shown.images.items()
            if name in DOMAINS
        }

    def _read(self) -> Preview:
        """The preview batch, with the aligned streams that a network takes."""
        setup = self._setup
        splits = setup.dataset.splits
        aligned_by = {each.of for taken in self._taken.values() for each in taken.inputs.values()}
        aligned = {name: home for name, home in setup.dataset.aligned.items() if name in aligned_by}
        held_out = {name: examples for name, examples in splits.get("val", {}).items() if examples}

        def tell(_name: str, reason: str) -> None:
            if setup.group.is_main:
                log.warning("not shown in the sample grids: %s", reason.rstrip("."))

        rows = setup.left_out.by_home
        missing = {
            name: {row for each in rows.values() for row in each}
            if setup.dataset.paired
            else rows.get(setup.dataset.aligned.get(name, name), ())
            for name in splits["train"]
        }
        usable = {
            name: [example for row, example in enumerate(examples) if row not in missing[name]]
            for name, examples in splits["train"].items()
        }
        self._held_out = bool(held_out)
        return preview_batch(
            held_out or usable,
            setup.dataset.domains,
            count=SHOWN,
            size=setup.config.size,
            resize=setup.config.resize,
            device=setup.engine.device,
            memory=setup.config.memory,
            max_pixels=setup.config.max_pixels,
            paired=setup.dataset.paired,
            aligned=aligned,
            on_broken=tell if setup.config.broken == "skip" else None,
        )

    @torch.no_grad()
    def draw(self, run: Run, background: Background) -> None:
        """Draw the sample grids of a run's step; the observers get them from the background thread."""
        refuse_lost(run.folder)
        setup = self._setup
        columns: dict[str, Tensor] = {}
        made: dict[str, Made] = {}
        # A compilation for a few images of another batch size would not pay.
        with setup.engine.averaged(), torch.compiler.set_stance("force_eager"):
            for direction, network in setup.method.translators.items():
                found = self._columns(direction, network)
                made |= self._made(direction, network, found)
                columns |= found
        if columns:
            told = {"run": copy(run), "images": columns, "made": made, "real": self._real}
            background.begin(partial(setup.tell, "samples_drawn", **told))

    def _made(self, direction: str, network: nn.Module, columns: Mapping[str, Tensor]) -> dict[str, Made]:
        """What the columns stand for that a network has made."""
        shown, paired = self._shown.images, self._setup.dataset.paired
        if role_of(direction) == "sampler":
            domain: str = Traits(network).domain
            domain = domain if domain in shown else next(iter(self._real), domain)
            kinds = [name for name in columns if name.startswith(f"{direction} ")]
            return {name: Made(direction, None, domain, None, self._held_out) for name in kinds}
        given, domain = ("target", "source") if direction == "backward" else ("source", "target")
        domain, head = domain if domain in shown else given, _head(direction)
        truth = domain if paired and domain != given else None
        kinds = [name for name in columns if name == head or name.startswith(f"{head} ")]
        return {name: Made(direction, given, domain, truth, self._held_out) for name in kinds}

    def _columns(self, direction: str, network: nn.Module) -> dict[str, Tensor]:
        """The columns of one network; none if it needs what a grid cannot give, which is told once."""
        role, taken = role_of(direction), self._taken[direction]
        if role == "classifier":
            return {}
        side = Traits(network).domain if role == "sampler" else "target" if direction == "backward" else "source"
        if role == "translator" and side not in self._shown.images:
            return {}
        draw = self._samples if role == "sampler" else self._translations
        network.eval()
        try:
            return draw(direction, network, _Rows(self._setup, self._shown, taken, side))
        except Exception as error:
            if not taken:
                raise
            # A network that cannot do with what a grid gives it must not end a training.
            reason = str(error) if isinstance(error, TranslateError) else f"{type(error).__name__}: {error}"
            self._tell_once(f"the sample grids leave out {direction}: {printable(reason, 300)}")
            return {}
        finally:
            network.train()

    def _tell_once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            log.warning("%s", line)

    def _translations(self, direction: str, network: nn.Module, rows: _Rows) -> dict[str, Tensor]:
        setup, shown, domains = self._setup, self._shown.images, self._setup.dataset.domains
        inputs, outputs = ("target", "source") if direction == "backward" else ("source", "target")
        made, name = {}, _head(direction)
        for kind, tensors in self._told_of(rows, direction):
            with torch.autocast(
                setup.engine.device.type, dtype=torch.bfloat16, enabled=setup.config.precision == "bf16"
            ):
                each = [rows.compute(network, image[None], tensors, row) for row, image in enumerate(shown[inputs])]
            made[f"{name} {kind}" if kind else name] = torch.cat(each).float()
        of_output = domains.get(outputs, domains[inputs])
        columns = {inputs: images.to_rgb(shown[inputs], domains[inputs]), **rows.beside}
        columns |= {name: images.to_rgb(fakes, of_output) for name, fakes in made.items()}
        return columns | ({outputs: images.to_rgb(shown[outputs], domains[outputs])} if outputs in shown else {})

    def _samples(self, direction: str, network: nn.Module, rows: _Rows) -> dict[str, Tensor]:
        columns = dict(rows.beside)
        kinds = self._told_of(rows, direction)
        device, target = self._setup.engine.device, self._setup.parts.target
        # What differs along a row is the class, or else the noise.
        for number in range(DRAWN if [kind for kind, _ in kinds] == [""] else 1):
            noise = noise_of(network, range(number * SHOWN, (number + 1) * SHOWN), seed=0)[: rows.count].to(device)
            for kind, tensors in kinds:
                made: Tensor = network(noise, **tensors)
                columns[f"{direction} {kind or number + 1}"] = images.to_rgb(made.float(), target)
        return columns

    def _told_of(self, rows: _Rows, direction: str) -> list[tuple[str, dict[str, Tensor]]]:
        kinds = list(rows.kinds())
        if rows.classes > CLASSES:
            self._tell_once(f"the sample grids show {CLASSES} of the {rows.classes} classes that {direction} takes")
        return kinds


def _head(direction: str) -> str:
    """The name of a translator's column, or its beginning."""
    return "fake" if direction == "forward" else f"fake {direction}"


class _Rows:
    """What one network is given for the shown rows: ``beside`` are the columns of it, ``count`` the number of rows.

    Raises ``TranslateError`` if it needs what is not there.
    """

    def __init__(self, setup: Setup, shown: Preview, taken: Taken, side: str) -> None:
        self._setup, self._shown, self._taken = setup, shown, taken
        self._device = setup.engine.device
        side = side if side in shown.images else next(iter(shown.images), side)
        dataset = setup.dataset
        self._data = RowInputs(side, shown.examples, dataset.domains, dataset.aligned, dataset.paired)
        self.beside: dict[str, Tensor] = {}
        self._own: dict[str, Tensor] = {}
        self._next: dict[str, Tensor] = {}
        # Aligned streams stand beside the source, before images of other rows.
        for name, wanted in sorted(taken.inputs.items(), key=lambda each: each[1].kind != "aligned"):
            if (found := self._of_rows(wanted)) is not None:
                (self._next if wanted.kind == "image" else self._own)[name] = found
        first = next((each for each in taken.inputs.values() if each.kind == "class" and each.labels), None)
        self._classed = first
        self.classes = 0 if first is None else len(first.labels)
        for option in taken.options.values():
            if option.required:
                raise TranslateError(f"it needs the option {option.name}, which has no default")
        known = {*self._own, *self._next, *([first.name] if first is not None else [])}
        for wanted in taken.inputs.values():
            if wanted.required and wanted not in taken.noise and wanted.name not in known:
                raise TranslateError(
                    f"it needs {wanted.name}, {wanted.describe()}, which the shown examples do not have"
                )
        self.count = self._data.count if self._own or self._next else SHOWN

    def _of_rows(self, wanted: Wanted) -> Tensor | None:
        """What the data has of an input for the shown rows, or of an image that of the next row; None if nothing."""
        data, shown = self._data, self._shown.images
        if wanted.kind == "aligned":
            stream = data.stream_of(wanted)
            if stream is None or wanted.domain is None:
                return None
            self.beside[stream] = images.to_rgb(shown[stream], self._setup.dataset.domains[stream])
            return shown[stream]
        if wanted.kind == "image":
            home = data.home(wanted.of)
            if home not in shown:
                return None
            found = shown[home][[(row + 1) % len(shown[home]) for row in range(data.count)]]
            self.beside[wanted.name] = images.to_rgb(found, self._setup.dataset.domains[home])
            return found
        if wanted.kind == "class":
            labels = data.classes(wanted)
            known = [each for each in labels if each is not None]
            return torch.tensor(known, device=self._device) if known and len(known) == len(labels) else None
        if wanted.kind == "vector":
            vectors = [torch.from_numpy(each) for each in data.vectors(wanted) if each is not None]
            return torch.stack(vectors).to(self._device) if vectors and len(vectors) == data.count else None
        return None

    def kinds(self) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """The tensors of each column of the network with what tells the columns apart.

        There is one for each class; then one by the next row's image with its own class, where both may be given.
        """
        first, own = self._classed, dict(self._own)
        if first is None:
            yield "", own | self._next
            return
        needed = {name: each for name, each in self._next.items() if self._taken.inputs[name].required}
        for number, label in list(enumerate(first.labels))[:CLASSES]:
            labels = torch.full((self.count,), number, device=self._device)
            yield printable(label, 40), {**own, **needed, first.name: labels}
        if len(needed) < len(self._next):
            own.pop(first.name, None)
            home = self._data.home(first.of)
            classes = replace(self._data, image=home).classes(first)
            following = [classes[(row + 1) % len(classes)] for row in range(self.count)] if classes else []
            if following and None not in following:
                own[first.name] = torch.tensor(following, device=self._device)
            elif first.required:
                return
            yield f"by {' and '.join(self._next)}", own | self._next

    def compute(self, network: nn.Module, image: Tensor, tensors: Mapping[str, Tensor], row: int) -> Tensor:
        """The network's answer for one image of a row, with the noise of the seed 0."""
        own = {name: each[row : row + 1] for name, each in tensors.items()}
        batch, ready = with_noise(image, Ready(tensors=own), self._taken, [0], None)
        answer: Tensor = network(batch, **ready.tensors)
        return answer
