"""Optimizers: torch's, with the published defaults for GANs, fused where torch has a fused kernel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from torch.nn import Parameter
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from translate.options import Option

Rate = Annotated[float, Option("learning rate", gt=0)]
Betas = Annotated[tuple[float, float], Option("decay rates of the first and the second moment", ge=0, lt=1)]
Epsilon = Annotated[float, Option("added to the square root of the second moment", gt=0)]
Decay = Annotated[float, Option("weight decay", ge=0)]
Fused = Annotated[bool, Option("fused kernel for all weights, if device and dtype support it")]


def adam(
    parameters: Iterable[Parameter],
    *,
    lr: Rate = 2e-4,
    betas: Betas = (0.5, 0.999),
    eps: Epsilon = 1e-8,
    weight_decay: Decay = 0.0,
    fused: Fused = True,
) -> Optimizer:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980) with DCGAN's learning rate and first beta (arXiv:1511.06434)."""
    weights = list(parameters)
    return Adam(weights, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused and can_fuse(weights))


def adamw(
    parameters: Iterable[Parameter],
    *,
    lr: Rate = 2e-4,
    betas: Betas = (0.5, 0.999),
    eps: Epsilon = 1e-8,
    weight_decay: Decay = 0.01,
    fused: Fused = True,
) -> Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101)."""
    weights = list(parameters)
    return AdamW(weights, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused and can_fuse(weights))


def sgd(
    parameters: Iterable[Parameter],
    *,
    lr: Rate = 0.01,
    momentum: Annotated[float, Option("momentum", ge=0, lt=1)] = 0.9,
    weight_decay: Decay = 0.0,
    fused: Fused = True,
) -> Optimizer:
    """Stochastic gradient descent with momentum: ``v = momentum v + gradient``, ``w = w - lr v``."""
    weights = list(parameters)
    return SGD(weights, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=fused and can_fuse(weights))


def rmsprop(
    parameters: Iterable[Parameter],
    *,
    lr: Rate = 5e-5,
    alpha: Annotated[float, Option("decay rate of the second moment", ge=0, lt=1)] = 0.99,
    eps: Epsilon = 1e-8,
    momentum: Annotated[float, Option("momentum", ge=0, lt=1)] = 0.0,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """RMSprop (Tieleman & Hinton 2012) with WGAN's learning rate (Arjovsky et al. 2017, arXiv:1701.07875).

    torch has no fused RMSprop.
    """
    return RMSprop(list(parameters), lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay)


def can_fuse(weights: list[Parameter]) -> bool:
    """Whether torch's fused kernels support these weights: floats on the CPU or on a CUDA device.

    >>> can_fuse([Parameter(torch.zeros(2))]), can_fuse([Parameter(torch.zeros(2, device="meta"))])
    (True, False)
    """
    return all(torch.is_floating_point(weight) and weight.device.type in ("cpu", "cuda") for weight in weights)
