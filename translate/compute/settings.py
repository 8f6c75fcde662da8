"""How networks compute: precision, memory format, and activation checkpointing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from translate.errors import TranslateError
from translate.traits import Traits

Precision = Literal["auto", "float32", "bf16"]
MemoryFormat = Literal["auto", "contiguous", "channels_last", "mixed"]

LARGE = 128
"""From this many pixels a side on, bf16 and channels_last pay on a CPU; below, converting costs what they save."""


def precision_of(asked: Precision, device: torch.device, size: tuple[int, int]) -> Literal["float32", "bf16"]:
    """The precision of the networks; ``auto`` takes bf16 where the device computes it natively and it is faster.

    That is on GPUs of compute capability 8 and later, and on CPUs with bf16 instructions for images of 128 px and
    more. Other GPUs emulate bf16, and slowly.

    >>> precision_of("auto", torch.device("cpu"), (64, 64))
    'float32'
    """
    if asked != "auto":
        if asked == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
            raise TranslateError("this GPU does not compute in bf16; use --precision float32")
        return asked
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    native = device.type == "cpu" and _cpu_has("avx512_bf16", "amx_bf16", "bf16")
    return "bf16" if native and min(size) >= LARGE else "float32"


def memory_format_of(
    asked: MemoryFormat, device: torch.device, size: tuple[int, int], precision: str
) -> Literal["contiguous", "channels_last", "mixed"]:
    """The memory format of images and weights; ``mixed`` is channels_last for the networks that prefer it only.

    ``auto`` takes channels_last on a GPU in bf16, whose tensor cores want it, and mixed on a CPU for large images:
    there channels_last speeds up networks of wide maps and slows down others.

    >>> memory_format_of("auto", torch.device("cpu"), (256, 256), "bf16")
    'mixed'
    """
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "channels_last" if precision == "bf16" else "contiguous"
    return "mixed" if device.type == "cpu" and min(size) >= LARGE else "contiguous"


def lay_out(method: nn.Module, memory_format: str) -> None:
    """Convert the weights of a method's networks to the run's memory format; their activations follow.

    The trait ``prefers_channels_last`` marks a network that is faster in channels_last on a CPU as well.
    """
    chosen = [method]
    if memory_format != "channels_last":
        preferring = (module for module in method.modules() if Traits(module).prefers_channels_last)
        chosen = list(preferring) if memory_format == "mixed" else []
    for module in chosen:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def recompute(networks: Iterable[nn.Module]) -> None:
    """Activation checkpointing: drop networks' activations after the forward pass and recompute them in backward.

    Of several passes only one then holds its activations at a time (Chen et al. 2016, arXiv:1604.06174, with whole
    networks as segments). Outputs and gradients stay the same to the last bit; random draws are repeated.
    """
    for network in networks:
        for name in ("forward", *Traits(network).passes):
            setattr(network, name, partial(_checkpointed, getattr(network, name)))


def as_written(method: nn.Module) -> None:
    """Undo, in a copy of a method, what has replaced its modules' methods: compiled or recomputed ones."""
    for module in method.modules():
        for name in ("forward", *Traits(module).passes):
            vars(module).pop(name, None)


def _checkpointed(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)


def _cpu_has(*instructions: str) -> bool:
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) is True for name in instructions)
