"""Identity of a translator: a hash of its weights and of all else that its outputs depend on."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from translate.programs import Program


def identity_of(translator: Any) -> str:
    """The hash of a translator: its own ``identity`` if it has one, otherwise of its network and its domains.

    One without either is unlike any other, so that nothing it has made is taken for what it would make now.
    """
    own = getattr(translator, "identity", None)
    if own is not None:
        return str(own)
    digest = hashlib.blake2b(digest_size=16)
    facts = [translator.direction, translator.source, translator.target, getattr(translator, "size", None)]
    digest.update(repr(facts).encode())
    network = getattr(translator, "network", None)
    # Whether it computes arrays or is a network of tensors, a program answers alike.
    program = getattr(translator, "program", None) or getattr(network, "program", None)
    if isinstance(program, Program):
        digest.update(program.identity.encode())
    elif network is None:
        return secrets.token_hex(16)
    else:
        import torch

        digest.update(repr(network).encode())
        for name, tensor in network.state_dict().items():
            if isinstance(tensor, torch.Tensor):
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
                digest.update(values.numpy().data)
    return digest.hexdigest()
