"""Flops: how many floating-point operations one step of a method takes, counted without computing them."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from translate.compute.settings import as_written
from translate.method import Method


def flops_of_step(method: Method, batch: Mapping[str, Tensor], step: int = 0) -> int | None:
    """Multiplications and additions of matrix products and convolutions in one step, forward and backward.

    The step runs on meta tensors, so it is quick and changes nothing. None for a method that reads values of tensors.
    Each update counts the gradients of its own player's weights only.
    """
    # deepcopy takes these meta tensors from its memo instead of copying values that nobody needs.
    memo: dict[int, object] = {}
    for weight in method.parameters():
        memo[id(weight)] = nn.Parameter(weight.detach().to("meta"), requires_grad=weight.requires_grad)
    for buffer in method.buffers():
        memo[id(buffer)] = buffer.detach().to("meta")
    meta_copy = copy.deepcopy(method, memo)
    as_written(meta_copy)
    shapes = {name: tensor.to("meta") for name, tensor in batch.items()}
    with FlopCounterMode(display=False) as counter:
        try:
            for item in meta_copy.updates(shapes, step):
                for move in item if isinstance(item, tuple) else (item,):
                    moving = [weight for name in move.players for weight in meta_copy.players[name].parameters()]
                    weights = list(dict.fromkeys(each for each in moving if each.requires_grad))
                    loss = torch.stack(list(move.terms.values())).sum()
                    torch.autograd.backward(loss, inputs=weights, retain_graph=True)
        except (NotImplementedError, RuntimeError):
            return None
    return int(counter.get_total_flops())
