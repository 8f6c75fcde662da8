"""Inference: a trained network at work, by torch or by a runtime, whole or in parts, with what else it takes."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from translate.compute import PassBytes, algorithms, convolve_fast, lay_out
from translate.errors import TranslateError, UnfitError
from translate.given import Bound, Given, Packed, Ready, check_samples, drawn_by_rows, examples, with_noise
from translate.large import InParts
from translate.parts import build
from translate.plugins import Catalog
from translate.programs import ProgramNetwork
from translate.runtime import Precision, Runtime, Seen, copy_sharing_weights
from translate.sizes import Size
from translate.taken import Taken
from translate.traits import Traits

COUNTED = (128, 512)
"""The least sides of the images whose passes are counted for ``bytes_for``."""

MOST_RUNTIMES = 8
"""How many combinations of options and inputs keep a runtime."""

CARRIED = ("aligned", "noise")
"""The kinds of inputs that are as large as the image."""


V = TypeVar("V")


class OfInference(Generic[V]):
    """An attribute of an object that lies in its ``inference``, so that both always have the same."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, owner: Any, kind: type | None = None) -> V:
        if owner is None:
            raise AttributeError(self._name)
        value: V = getattr(owner.inference, self._name)
        return value

    def __set__(self, owner: Any, value: V) -> None:
        setattr(owner.inference, self._name, value)


class Inference:
    """Computes a network's outputs for batches that it takes; ``channels`` are those of its images and outputs.

    ``size`` is the training size.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        taken: Taken,
        catalog: Catalog,
        channels: tuple[int, int],
        size: Size,
        device: torch.device,
        precision: Precision,
        runtime: str,
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.taken = taken
        self.catalog = catalog
        self.channels = channels
        self.size = size
        traits = Traits(network)
        self.size_multiple = traits.size_multiple
        self.fixed_size = traits.fixed_size
        self.draws = traits.draws_noise
        arguments = inspect.signature(type(network).forward).parameters.values()
        drawing = any(each.name == "samples" or each.kind is each.VAR_KEYWORD for each in arguments)
        self.takes_samples = drawing and not isinstance(network, ProgramNetwork)
        self.device = device
        self.precision = precision
        self.runtime_name = runtime
        self._counted: dict[tuple[str, ...], PassBytes] = {}
        self._parts: dict[str, InParts] = {}
        self._runtimes: dict[str, _Built] = {}
        if runtime:
            self._build_runtime({}, ())
        elif precision == "int8":
            raise TranslateError("torch alone does not compute networks in int8; add --runtime openvino")
        else:
            half = precision == "bf16"
            lay_out(self.network, "mixed" if device.type == "cpu" else "channels_last" if half else "contiguous")
            if device.type == "cpu":
                convolve_fast(self.network)

    def replicate(self) -> Inference | None:
        """A replica for another thread; None if only one thread may compute."""
        if self.device.type != "cpu" or self.runtime_name:
            # Runtimes use all cores themselves, and just as well.
            return None
        other = copy.copy(self)
        try:
            other.network = copy_sharing_weights(self.network, *algorithms(self.network))
        except TypeError:
            # The network holds something that cannot be copied.
            return None
        return other

    def needs_calibration(self, options: Mapping[str, Any]) -> bool:
        """Whether ``calibrate`` must be called before it can translate with these options of the network."""
        built = self._runtimes.get(_key(options, ()))
        return self.precision == "int8" if built is None else built.runtime.needs_calibration

    def calibrate(self, batches: Iterable[Tensor], options: Mapping[str, Any]) -> None:
        """Calibrate the runtime, if any, on batches that the network takes, for these options of it."""
        if (runtime := self._current_runtime(options, ())) is not None:
            runtime.calibrate(batches)

    def forward(self, batch: Tensor, ready: Ready, samples: int | None, seeds: Sequence[int]) -> Tensor:
        """The network's outputs, computed by torch or by the runtime."""
        check_samples(samples)
        if self.taken.noise:
            # What is drawn outside of it makes the samples, whatever computes the network.
            return self._compute(*with_noise(batch, ready, self.taken, seeds, samples))
        if samples is not None and not (self.takes_samples or self.draws):
            raise UnfitError("this translator draws no noise, so it has one answer; leave out --samples")
        if samples is not None and self.runtime_name:
            raise UnfitError("samples are drawn by torch alone; leave out --samples or --runtime")
        if samples is not None or self.draws:
            alone = samples is not None and self.takes_samples
            return drawn_by_rows(partial(self._compute, one_sample=alone), batch, ready, seeds, samples)
        return self._compute(batch, ready)

    def _compute(self, batch: Tensor, ready: Ready, one_sample: bool = False) -> Tensor:
        """A pass over a batch that the network takes; with ``one_sample`` it draws noise, if it is asked to."""
        runtime = self._current_runtime(ready.options, tuple(ready.tensors))
        if runtime is not None:
            return runtime(batch, *ready.tensors.values())
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            own = {"samples": 1} if one_sample else {}
            output: Tensor = self.network(batch, **ready.options, **ready.tensors, **own)
            return output

    def in_parts(self, given: Given) -> InParts | None:
        """The network with what it is given, for images that are too large for one pass; None if it takes whole ones.

        Its image carries further planes, as ``Packed`` says. Replicas share it.
        """
        if self.runtime_name or self.fixed_size is not None or self.draws:
            return None
        key = _key(given.options, given.names)
        if key not in self._parts:
            network, channels = self._packed(given)
            made = InParts(
                network,
                channels=channels,
                multiple=self.size_multiple,
                device=self.device,
                half=self.precision == "bf16",
                bytes_for=partial(self.bytes_for, given=given),
            )
            self._parts.setdefault(key, made)
        return self._parts[key]

    def _packed(self, given: Given) -> tuple[nn.Module, int]:
        """The network with what it is given, and the planes of the image that it takes."""
        found = examples(self.taken, given.names, given.lengths, 1, (1, 1), self.size)
        if not found and not given.options:
            return self.network, self.channels[0]
        carried = {name: each.shape[1] for name, each in found.items() if self.taken.inputs[name].kind in CARRIED}
        constants = {name: each.to(self.device) for name, each in found.items() if name not in carried}
        network = Packed(self.network, given.options, channels=self.channels[0], planes=carried, constants=constants)
        return network, self.channels[0] + sum(carried.values())

    def bytes_for(self, size: Size, given: Given | None = None) -> int:
        """About how much memory on the device the translation of one image (height, width) takes, from above.

        It is taken from two passes of a replica of the network, which are counted at the first call with these inputs.
        """
        if isinstance(self.network, ProgramNetwork):
            return self.network.program.bytes_for(size)
        names, lengths = ((), {}) if given is None else (given.names, given.lengths)
        if names not in self._counted:
            self._counted[names] = self._count_passes(names, lengths)
        height, width = (side + -side % self.size_multiple for side in self.fixed_size or size)
        outside = 16 * size[0] * size[1] * max(self.channels) if self.fixed_size else 0
        # Convolutions that are computed with fewer multiplications keep weights of up to four times the size.
        fast = [each for each in self.network.modules() if getattr(each, "kernel_size", None) == (3, 3)]
        transformed = 4 * sum(weight.nbytes for each in fast for weight in each.parameters(recurse=False))
        return self._counted[names].at(height * width) + transformed + outside

    def _count_passes(self, names: Sequence[str], lengths: Mapping[str, int]) -> PassBytes:
        sides = [-(-side // self.size_multiple) * self.size_multiple for side in COUNTED]
        sizes = [(side, side) for side in sides] if self.fixed_size is None else [self.fixed_size]

        def compute(height: int, width: int) -> Tensor:
            image = torch.zeros(1, self.channels[0], height, width, device=self.device)
            found = examples(self.taken, names, lengths, 1, (height, width), self.size)
            inputs = {name: each.to(self.device) for name, each in found.items()}
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
                output: Tensor = network(image, **inputs)
                return output.float()

        try:
            # A stateful network stays as it was, and noise is drawn from a generator of its own.
            network = copy_sharing_weights(self.network, *algorithms(self.network))
            with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
                return PassBytes.count(compute, *sizes)
        except Exception:  # a network that cannot be copied, or that fails for an image too and says why there
            return PassBytes((1, 0), (1, 0))

    def _build_runtime(self, options: Mapping[str, Any], names: tuple[str, ...]) -> Runtime:
        """Build a runtime from the network's current weights, for these options and inputs."""
        network = Bound(self.network, options, names) if options or names else self.network
        built: Runtime = build(
            self.catalog, "runtimes", self.runtime_name, network=network, precision=self.precision, device=self.device
        )
        self._runtimes[_key(options, names)] = _Built(built, Seen(self._tensors()))
        # Each holds what it has prepared for several sizes.
        for key in list(self._runtimes)[:-MOST_RUNTIMES]:
            del self._runtimes[key]
        return built

    def _current_runtime(self, options: Mapping[str, Any], names: tuple[str, ...]) -> Runtime | None:
        """The runtime, if any; it is rebuilt if the weights have changed since it was built.

        Raises ``UnfitError`` if it cannot take what is given.
        """
        if not self.runtime_name:
            return None
        self.refuse_unfit(names)
        built = self._runtimes.get(_key(options, names))
        if built is not None and built.unchanged(self._tensors()):
            return built.runtime
        with torch.inference_mode(False), torch.no_grad():
            return self._build_runtime(options, names)

    def refuse_unfit(self, names: Sequence[str]) -> None:
        """Raise ``UnfitError`` if the runtime cannot compute the network with these inputs."""
        if not self.runtime_name:
            return
        if self.draws:
            raise UnfitError("the noise of this translator is drawn by torch alone; leave out --runtime")
        drawn = [each.name for each in self.taken.noise]
        inputs = [*names, *(name for name in drawn if name not in names)]
        if inputs and self.precision == "int8":
            raise UnfitError(
                f"int8 is calibrated on images alone, and this translator is given {', '.join(inputs)}; leave out "
                "--precision int8"
            )
        if inputs and not next(iter(self._runtimes.values())).runtime.takes_inputs:
            raise UnfitError(
                f"the runtime {self.runtime_name} takes images alone, and this translator is given "
                f"{', '.join(inputs)}; leave out --runtime"
            )

    def _tensors(self) -> Iterator[Tensor]:
        yield from self.network.parameters()
        yield from self.network.buffers()


@dataclass(frozen=True, slots=True)
class _Built:
    """A runtime, and whether the weights are still those that it was built from."""

    runtime: Runtime
    unchanged: Seen


def _key(options: Mapping[str, Any], names: Sequence[str]) -> str:
    """What stands for options and inputs among what was prepared for others."""
    return repr((sorted(options.items()), tuple(names))) if options or names else ""
