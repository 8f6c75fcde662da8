"""Weights of published networks: files of tensors by name, read without running code from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from translate.errors import TranslateError
from translate.paths import expanded

__all__ = [
    "read_weights",
]


def read_weights(network: nn.Module, path: Path, what: str) -> None:
    """Load a network's parameters and buffers from a ``.safetensors`` or ``.pth`` file that has them by name.

    Further tensors of the file are passed over. ``what`` says whose weights they must be, with a hint after a semicolon
    if need be. Raises ``TranslateError`` if a tensor is missing, has another shape or is not finite, or if the file
    cannot be read without running code from it.
    """
    found = tensors_of(path)
    wanted = network.state_dict()
    whose, _, hint = what.partition("; ")
    for name, tensor in wanted.items():
        if name not in found or found[name].shape != tensor.shape:
            raise TranslateError(
                f"{path} does not hold the weights of {whose}: {name} is missing or has another shape; "
                f"{hint or f'give the file of {whose}'}"
            )
        if not bool(torch.isfinite(found[name]).all()):
            raise TranslateError(f"{path} is damaged: {name} holds values that are not finite; fetch it anew")
    network.load_state_dict({name: found[name] for name in wanted})


def let_read(network: nn.Module, weights: object, name: str) -> None:
    """Let a network read its file of weights, if it has both; its errors become a sentence that names the part."""
    if weights in (None, "none") or not hasattr(network, "read"):
        return
    try:
        network.read(expanded(str(weights)))  # type: ignore[operator]
    except TranslateError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise TranslateError(f"{weights} is not read as the weights of {name}: {reason}; give another file") from error


def tensors_of(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a file by name; a ``.pth`` is read with ``weights_only``, so no code from it is run."""
    if not path.is_file():
        raise TranslateError(f"there is no file of weights at {path}; give the option weights a file that is there")
    try:
        path.open("rb").close()
    except OSError as error:
        raise TranslateError(f"cannot read the weights at {path}: {error.strerror}; check its permissions") from None
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found: object = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        # torch and safetensors raise many types of errors; some messages suggest unsafe loading.
        raise TranslateError(
            f"{path} is no file of tensors that can be read without running code from it; "
            "give a .safetensors, or a .pth that holds a state_dict"
        ) from None
    if not isinstance(found, Mapping) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise TranslateError(f"{path} holds something else than tensors by name; give the file of a state_dict")
    return found
